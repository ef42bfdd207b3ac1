"""Reading pictures: any that Pillow knows, from a path or from bytes, turned upright and to RGB, damage named."""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.contracts import Picture
from tunesmith.core.errors import RowError, require

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
