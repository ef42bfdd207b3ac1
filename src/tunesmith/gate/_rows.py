"""Rows as several inspections read them: drawn, known by checksums, shown in a line, counted in words.

A checksum has 64 bits: two different values among a million share one with a chance of 3 in 100 million.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Picture, Row
from tunesmith.core.findings import View
from tunesmith.core.kinds import ENDINGS, PATHS

Rows = npt.NDArray[np.int64]
Marks = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]
KEY_BYTES = 16
"""Length of `Picture.key`: a picture that is read from its file and one that was kept decoded are then known by the same bytes."""

_FILE = re.compile(rf"(?i)({'|'.join(re.escape(ending) for endings in ENDINGS.values() for ending in endings)})$")


def drawn(view: View, split: str, most: int) -> Places:
    """Places in a split of all its rows, or of `most` of them drawn at random; ascending.

    Args:
        view: the divided data; its seed decides what is drawn.
        split: a key of `view.splits`.
        most: how many at most.
    """
    count = len(view.splits[split])
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng([view.seed, count]).choice(count, most, replace=False))


def mark(value: Any) -> bytes:
    """What tells a cell apart from others: of a picture the checksum of its file's bytes, or of its pixels where no file is known."""
    if isinstance(value, Picture):
        return value.key or hashlib.blake2b(np.ascontiguousarray(value.pixels).tobytes(), digest_size=KEY_BYTES).digest()
    if isinstance(value, bytes):
        return hashlib.blake2b(value, digest_size=KEY_BYTES).digest()
    return str(value).encode() if value is not None else b"\0"


def file_mark(value: Any) -> bytes:
    """As `mark`, for a cell that holds a file or the path of one."""
    if not isinstance(value, str):
        return mark(value)
    try:
        with Path(value).open("rb") as handle:
            return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=KEY_BYTES)).digest()
    except OSError:  # it was there when the rows were audited; its path still tells it apart
        return value.encode()


def marks(view: View, split: str, columns: Sequence[str]) -> Marks:
    """(rows,) checksums of the rows' cells in `columns`: 8 bytes a row."""
    files = {column for column in columns if view.inputs.get(column) in PATHS}

    def of(row: Row) -> int:
        parts = [file_mark(row[column]) if column in files else mark(row[column]) for column in columns]
        whole = parts[0] if len(parts) == 1 else b"".join(len(part).to_bytes(8, "little") + part for part in parts)
        return int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest(), "little")

    numbers = view.splits[split]
    return np.fromiter((of(row) for row in view.read(numbers, columns)), np.uint64, len(numbers))


def line(row: Row, columns: Sequence[str], width: int = 90) -> str:
    """The cells of a row in one line, shortened.

    Example:
        >>> line({"a": "some\\ntext", "b": None, "c": b"123"}, ["a", "b", "c"])
        'some text | <3 bytes>'
    """
    text = " | ".join(_cell(row[column]) for column in columns if row.get(column) is not None)
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."


def _cell(value: Any) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Picture):
        height, width = value.pixels.shape[:2]
        return f"<picture of {width} x {height}>"
    return Path(str(value)).name if _FILE.search(str(value)) else str(value)


def lines(view: View, numbers: Sequence[int] | Rows) -> list[str]:
    """The inputs of a few rows, each in one line; of pictures and sounds the names of their files."""
    columns = list(view.inputs)
    order = np.argsort(np.asarray(numbers, np.int64), kind="stable")
    shown = [""] * len(order)
    for place, row in zip(order, view.raw(np.asarray(numbers, np.int64)[order], columns), strict=True):
        shown[place] = line(row, columns)
    return shown


def percent(count: float, of: float) -> str:
    """A share in words.

    Example:
        >>> percent(1, 3), percent(1, 5000), percent(20, 20)
        ('33.3%', '0.02%', '100%')
    """
    share = 100 * count / max(1, of)
    return f"{share:.2g}%" if share < 1 else f"{share:.3g}%"


def rows_said(count: int, kind: str = "") -> str:
    """A number of rows in words.

    Example:
        >>> rows_said(1), rows_said(2000, "test")
        ('1 row', '2,000 test rows')
    """
    return f"{count:,} {kind + ' ' if kind else ''}row{'s' * (count != 1)}"


def label_said(view: View, target: Any) -> str:
    """A target in words: the name of the class, the names of the labels, the number, a text."""
    if isinstance(target, str):
        return target
    if np.ndim(target):
        return "[" + ", ".join(name for name, held in zip(view.classes, target, strict=True) if held) + "]"
    return str(view.classes[int(target)]) if view.classes else f"{float(target):.6g}"
