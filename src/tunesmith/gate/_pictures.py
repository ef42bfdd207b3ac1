"""What can be said of a picture without a network: its size, brightness, kind of file, and the maker of the camera."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.contracts import Picture
from tunesmith.core.errors import require
from tunesmith.core.kinds import is_empty

MAKE = 271
"""The EXIF tag of the camera's maker."""

SMALL = (64, 64)
"""In so many pixels brightness is measured."""


@dataclass(frozen=True)
class Seen:
    """A picture's outside.

    Attributes:
        width: in pixels.
        height: likewise.
        ending: of its file's name, in lower case; empty where that is not known.
        make: maker of the camera; empty where that is not known.
    """

    width: int
    height: int
    ending: str = ""
    make: str = ""


def seen(value: str | bytes) -> Seen | None:
    """Look at a picture's header.

    Args:
        value: the path of a file, or the bytes of one, as `View.raw` gives them.

    Returns:
        None where there is none, or it cannot be read any more; the audit named what it could not read.
    """
    if is_empty(value, "image"):
        return None
    try:
        with _opened(value) as picture:
            width, height = picture.size
            make = str(picture.getexif().get(MAKE) or "").strip("\0 ")
    except (OSError, SyntaxError, ValueError, EOFError):
        return None
    return Seen(width, height, Path(value).suffix.lower() if isinstance(value, str) else "", make)


def brightness(value: str | bytes | Picture) -> float | None:
    """Mean grey value from 0 to 255; None where there is no picture, or it cannot be read any more.

    Args:
        value: as `View.read` gives it: a picture that is decoded is not decoded again, and a large JPEG only in a fraction of its size.
    """
    require("PIL", "pictures")
    from PIL import Image

    if is_empty(value, "image"):
        return None
    try:
        if isinstance(value, Picture):
            return _grey(Image.fromarray(np.asarray(value.pixels)))
        with _opened(value) as picture:
            picture.draft("L", SMALL)
            return _grey(picture)
    except (OSError, SyntaxError, ValueError, EOFError):
        return None


@contextmanager
def _opened(value: str | bytes) -> Iterator[Any]:
    require("PIL", "pictures")
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged EXIF data, and of sizes that the audit has judged
        with Image.open(io.BytesIO(value) if isinstance(value, bytes) else value) as picture:
            yield picture


def _grey(picture: Any) -> float:
    picture.thumbnail(SMALL)
    return float(np.asarray(picture.convert("L")).mean())
