"""What can be said of a picture without a network: its size, brightness, kind of file, and the maker of the camera."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.contracts import Picture
from tunesmith.core.errors import require

MAKE = 271
"""The EXIF tag of the camera's maker."""


@dataclass(frozen=True)
class Seen:
    """A picture's outside.

    Attributes:
        width: in pixels; None where it is not known, as the picture was kept smaller.
        height: likewise.
        brightness: mean grey value from 0 to 255; None where it was not asked for.
        ending: of its file's name, in lower case; empty where that is not known.
        make: maker of the camera; empty where that is not known.
    """

    width: int | None
    height: int | None
    brightness: float | None = None
    ending: str = ""
    make: str = ""


def seen(value: Any, bright: bool = False) -> Seen | None:
    """Look at a picture: at its header only, unless its brightness is asked for.

    Args:
        value: a `Picture`, the path of a file, or the bytes of one.
        bright: whether to decode it, a large JPEG in a fraction of its size.

    Returns:
        None where it cannot be read any more; the audit named what it could not read.
    """
    if isinstance(value, Picture):
        height, width = value.pixels.shape[:2]
        brightness = float(value.pixels[::2, ::2].mean()) if bright else None
        return Seen(width, height, brightness) if value.square is None else Seen(None, None, brightness)
    require("PIL", "pictures")
    from PIL import Image

    ending = Path(value).suffix.lower() if isinstance(value, str) else ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged EXIF data, and of sizes that the audit has judged
            with Image.open(io.BytesIO(value) if isinstance(value, bytes) else value) as picture:
                width, height = picture.size
                make = str(picture.getexif().get(MAKE) or "").strip("\0 ")
                brightness = None
                if bright:
                    picture.draft("L", (64, 64))
                    picture.thumbnail((64, 64))
                    brightness = float(np.asarray(picture.convert("L")).mean())
    except (OSError, SyntaxError, ValueError, EOFError):
        return None
    return Seen(width, height, brightness, ending, make)
