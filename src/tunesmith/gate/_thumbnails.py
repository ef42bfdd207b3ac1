"""Small grey copies of pictures: what tells whether two look alike, and how a set of pictures differs from another."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Picture
from tunesmith.core.errors import RowError, require
from tunesmith.core.findings import View
from tunesmith.core.kinds import is_empty

if TYPE_CHECKING:
    from tunesmith.core.arrays import Floats

SIDE = 32
WINDOW = 64
THREADS = 2


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """Pictures of one column.

    Attributes:
        grey: (n, SIDE, SIDE) uint8.
        sizes: (n, 2) width and height of the pictures in pixels, as they are kept.
    """

    grey: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int64]


def thumbnails(view: View, numbers: npt.NDArray[np.int64], column: str) -> Thumbnails:
    """Thumbnails of the pictures in these rows; a row without one has a black one of size 0.

    Raises:
        RowError: a picture cannot be read any more.
    """
    require("PIL", "looking at pictures")
    grey = np.empty((len(numbers), SIDE, SIDE), np.uint8)
    sizes = np.empty((len(numbers), 2), np.int64)
    values = (row[column] for row in view.read(numbers, [column]))
    place = 0
    with ThreadPoolExecutor(THREADS) as pool:  # decoding leaves Python's lock
        while window := list(islice(values, WINDOW)):
            for small, size in pool.map(lambda value: _thumbnail(value, column), window):
                grey[place], sizes[place] = small, size
                place += 1
    return Thumbnails(grey, sizes)


def _thumbnail(value: Any, column: str) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    from PIL import Image, ImageOps

    if is_empty(value, "image"):
        return np.zeros((SIDE, SIDE), np.uint8), (0, 0)
    if isinstance(value, Picture):
        picture: Any = Image.fromarray(np.asarray(value.pixels))
        size = picture.size
    else:
        try:
            with Image.open(io.BytesIO(value) if isinstance(value, bytes) else Path(value)) as opened:
                size = opened.size
                opened.draft("L", (2 * SIDE, 2 * SIDE))  # a large JPEG is decoded small
                picture = ImageOps.exif_transpose(opened)
        except (OSError, SyntaxError, ValueError) as error:
            raise RowError(f"the picture cannot be read: {error}", column) from error
    if picture.mode.startswith(("I", "F")):  # more than 8 bits, which `convert` would clip
        wide = np.nan_to_num(np.asarray(picture, np.float64))
        picture = Image.fromarray(np.uint8(np.interp(wide, (wide.min(), max(wide.max(), wide.min() + 1e-9)), (0, 255))))
    return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)), size


def hashed(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """(n,) perceptual hashes of 64 bits: signs of the lowest cosine frequencies (phash of ImageHash)."""
    phash = require("imagehash", "looking for near duplicates of pictures").phash
    from PIL import Image

    bits = [np.packbits(phash(Image.fromarray(small)).hash) for small in grey]
    return np.asarray(bits, np.uint8).reshape(-1, 8).view(np.uint64)[:, 0]


def appearance(found: Thumbnails) -> dict[str, Floats]:
    """Name of a property -> (n,) its value for each picture."""
    light = found.grey.astype(np.float32)
    steps = np.abs(np.diff(light, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(light, axis=2)).mean(axis=(1, 2))
    width, height = found.sizes.T.astype(np.float32)
    return {
        "brightness": light.mean(axis=(1, 2)),
        "contrast": light.std(axis=(1, 2)),
        "fine detail": steps,
        "width in pixels": width,
        "height in pixels": height,
    }
