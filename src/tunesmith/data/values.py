"""Values and rows as they come out of files and memory, made plain: text, bytes of a picture or sound, or None.

A number becomes its shortest exact decimal, a list or mapping its JSON, a picture the bytes of a PNG, a sound those of a wav file, so
that what follows need not know where a value came from.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError, RowError, require
from tunesmith.data.bad_rows import BadRows

Value = str | bytes | None

Located = tuple[str, dict[str, Value]]
"""Where a row stands in its file (`line 17`, `row 3`), and its values."""

MISSING = ("NaT", "<NA>", "nan")
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")


def plain(value: Any) -> Value:
    """A value as text, bytes or None.

    Raises:
        RowError: it has no such form (a damaged picture, half a character).

    Example:
        >>> plain(3.0), plain(float("nan")), plain(["a", "b"]), plain(True)
        ('3', None, '["a", "b"]', 'true')
    """
    if value is None or isinstance(value, bytes | bytearray):
        return bytes(value) if value else None
    if isinstance(value, str):
        return _whole(str(value)) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _decimal(float(value))
    if isinstance(value, dict) and set(value) == {"bytes", "path"}:  # a picture or sound as Hugging Face stores it
        return plain(value["bytes"] if value["bytes"] is not None else value["path"])
    if isinstance(value, dict) and {"array", "sampling_rate"} <= set(value):  # a sound that was decoded
        return _wav(value["array"], value["sampling_rate"])
    if isinstance(value, dict | list | tuple):
        return _whole(json.dumps(value, ensure_ascii=False, default=_in_json))
    if isinstance(value, datetime.date | datetime.time):
        return None if str(value) in MISSING else value.isoformat()
    if isinstance(value, Path):
        return _whole(str(value))
    if hasattr(value, "save") and hasattr(value, "mode"):  # a PIL picture
        return _png(value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # numpy
        return _array(value)
    text = str(value)
    return None if text in MISSING else _whole(text)


def plain_row(row: Iterable[tuple[Any, Any]]) -> dict[str, Value]:
    """Column names and values of a row, made plain.

    Raises:
        RowError: a value has no plain form; it names the column.
    """
    result: dict[str, Value] = {}
    for key, value in row:
        name = str(key)
        try:
            result[_whole(name)] = plain(value)
        except RowError as error:
            raise RowError(error.reason, name) from error
    return result


def located(label: str, where: str, row: Iterable[tuple[Any, Any]], bad: BadRows) -> Iterator[Located]:
    """The row with its values made plain, or nothing where one cannot be; then it is reported."""
    try:
        yield where, plain_row(row)
    except RowError as error:
        bad.add(label, where, str(error))


def distinct(names: list[str], label: str) -> list[str]:
    """The names of columns, each only once.

    Raises:
        DataError: one occurs twice.
    """
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{label}: two columns are called {name!r}; give every column a name of its own")
    return names


def _decimal(value: float) -> str | None:
    if math.isnan(value):
        return None
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _whole(text: str) -> str:
    """The text itself, if it can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError(f"half a character (a lone surrogate) at position {error.start + 1}") from error
    return text


def _in_json(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _array(value: Any) -> Value:
    if value.dtype.kind == "M":  # a moment, whose tolist is a bare number
        text = str(value)
        return None if text in MISSING else text
    if getattr(value, "ndim", 0) < 2:
        return plain(value.tolist())
    if value.dtype != "uint8":
        raise RowError(f"a picture given as an array must hold numbers of type uint8 between 0 and 255 (got {value.dtype})")
    if value.ndim == 3 and value.shape[2] == 1:
        value = value[:, :, 0]
    if value.ndim != 2 and not (value.ndim == 3 and value.shape[2] in (3, 4)):
        raise RowError(f"a picture given as an array has the shape (height, width), or that with 3 or 4 colours last (got {value.shape})")
    return _png(require("PIL.Image", "pictures as arrays").fromarray(value))


def _wav(samples: Any, rate: Any) -> bytes:
    """A sound as the bytes of a wav file of 32-bit numbers.

    Args:
        samples: (n,) or (channels, n) numbers between -1 and 1.
        rate: samples a second.
    """
    import io

    numpy, soundfile = require("numpy", "sounds as arrays"), require("soundfile", "sounds as arrays")
    found = numpy.asarray(samples, numpy.float32)
    if found.ndim not in (1, 2) or not found.size:
        raise RowError(f"a sound given as an array has the shape (samples,) or (channels, samples) (got {found.shape})")
    buffer = io.BytesIO()
    soundfile.write(buffer, found.T, int(rate), format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def _png(picture: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    try:
        if picture.mode == "F":
            picture.save(buffer, format="TIFF")  # PNG knows no fractions
        else:
            (picture if picture.mode in PNG_MODES else picture.convert("RGB")).save(buffer, format="PNG")
    except (OSError, SyntaxError, ValueError) as error:
        raise RowError(f"the picture is damaged: {error}") from error
    return buffer.getvalue()
