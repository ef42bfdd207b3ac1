"""Pictures as the networks read them: what is kept of a picture that is decoded once, and the square that is cut from it."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from tunesmith.core.contracts import Picture
from tunesmith.core.errors import require
from tunesmith.core.pictures import read_picture

SHRUNK = 4 / 3
"""How much longer than the square's side the shorter side of a picture is kept for random crops."""


def decoder() -> str:
    """What decides, besides settings, which pixels a picture becomes."""
    import PIL

    require("PIL", "pictures")
    return f"Pillow {PIL.__version__}"


def prepared(value: Any, column: str, size: int, crop: float) -> Picture:
    """A picture decoded once for all epochs.

    Where it is much larger than what the network reads, the square of evaluation is cut from the whole picture, and random crops are to be
    taken from one whose shorter side is `SHRUNK * size` pixels; otherwise the picture is kept whole, and nothing changes.

    Args:
        value: path of a file, or the bytes of one.
        column: where the value stands, for messages.
        size: side of the square in pixels.
        crop: as for `square`.

    Raises:
        RowError: as `read_picture`.
    """
    from PIL import Image

    picture = read_picture(value, column)
    shorter, side = min(picture.size), round(SHRUNK * size)
    if shorter <= side:
        return Picture(np.asarray(picture))
    smaller = [max(1, round(length * side / shorter)) for length in picture.size]
    shrunk = picture.resize((smaller[0], smaller[1]), Image.Resampling.BICUBIC)
    return Picture(np.asarray(shrunk), np.asarray(square(picture, size, crop, None)))


def square(picture: Any, size: int, crop: float, rng: Random | None) -> Any:
    """The picture as a square of `size` pixels.

    Args:
        picture: PIL picture.
        size: side of the square in pixels.
        crop: share of the shorter side that the central square covers, when `rng` is None.
        rng: where given, a random square of 60% to 100% of the picture's area and a random mirror image (training).
    """
    from PIL import Image

    width, height = picture.size
    if rng is None:
        side = min(width, height) * crop
        left, top = (width - side) / 2, (height - side) / 2
        return picture.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    share = rng.uniform(0.6, 1.0) ** 0.5
    w, h = width * share, height * share
    ratio = min(width, height) / max(width, height)
    if ratio < 0.75:  # long pictures: a square of the shorter side, somewhere
        w = h = min(width, height) * share
    left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
    result = picture.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + w, top + h))
    return result.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else result
