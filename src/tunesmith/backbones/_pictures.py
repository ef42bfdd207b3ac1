"""Reading pictures: any that Pillow knows, from a path or from bytes, turned upright and to RGB, damage named."""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tunesmith.core.contracts import Picture
from tunesmith.core.errors import RowError, require

SHRUNK = 4 / 3
"""How much longer than the square's side the shorter side of a picture is kept for random crops."""

_FILTERS = threading.Lock()


def read_picture(value: Any, column: str) -> Any:
    """A PIL picture in RGB, turned as its EXIF orientation says.

    Args:
        value: path of a file, the bytes of one, or a `Picture`.
        column: where the value stands, for the message.

    Raises:
        RowError: missing, unreadable, truncated or too large.
    """
    require("PIL", "pictures")
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(value, Picture):
        return Image.fromarray(np.asarray(value.pixels))
    if value is None:
        raise RowError("the picture is missing", column)
    shown = f"<{len(value)} bytes>" if isinstance(value, bytes) else value if len(value) <= 200 else f"{value[:200]}..."
    try:
        if isinstance(value, str) and not Path(value).is_file():
            raise RowError(f"the picture {shown} does not exist", column)
        with _opened(io.BytesIO(value) if isinstance(value, bytes) else value) as opened:
            opened.load()
            picture = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError:
        raise RowError(f"{shown} is no picture that can be read", column) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise RowError(f"the picture {shown} is too large: {error}", column) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise RowError(f"the picture {shown} is damaged: {error}", column) from error
    return _rgb(picture)


def _opened(source: Any) -> Any:
    """The picture with its header read, unless it is too large. Filters of warnings belong to all threads: hence the lock."""
    from PIL import Image

    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(source)


def _rgb(picture: Any) -> Any:
    """RGB; 16-bit and 32-bit grey is scaled to 8 bits instead of clipped, fractions of 1 likewise, transparency is laid on white."""
    if picture.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        from PIL import Image

        values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
        top = 65535.0 if values.max() > 255 else 1.0 if picture.mode == "F" and values.max() <= 1 else 255.0
        return Image.fromarray((values.clip(0, top) / top * 255).astype("uint8")).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        from PIL import Image

        clear = picture.convert("RGBA")
        ground = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(ground, clear).convert("RGB")
    return picture.convert("RGB")


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
