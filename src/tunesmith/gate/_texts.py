"""Texts as words, in any script: runs of letters and digits, and single characters where words are written without spaces.

"Ünder 30 Euro!" -> ["ünder", "30", "euro"]        "不错的酒店" -> ["不", "错", "的", "酒", "店"]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tunesmith.core.contracts import Row
from tunesmith.core.findings import View
from tunesmith.gate._rows import Places, drawn

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, kana, Chinese characters."""

WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
TOKEN = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]+")
LOOK = 200
SENTENCE = 4
MOST_LETTERS = 5000
"""What is read of a text at most."""


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return WORD.findall(text[:MOST_LETTERS].lower())


def tokens(text: str) -> list[str]:
    """Words and runs of punctuation, in lower case."""
    return TOKEN.findall(text[:MOST_LETTERS].lower())


def joined(row: Row, columns: Sequence[str]) -> str:
    """The texts of a row, one a line."""
    return "\n".join(str(row[column]) for column in columns if row.get(column) is not None)


def prose(view: View) -> list[str]:
    """Text inputs that hold sentences, as a rule of `SENTENCE` words or more, and no names, codes or numbers."""
    columns = view.of_kind("text")
    rows = list(view.read(view.splits["train"][drawn(view, "train", LOOK)], columns)) if columns else []
    return [column for column in columns if rows and sum(len(words(joined(row, [column]))) for row in rows) >= SENTENCE * len(rows)]


def texts(view: View, split: str, places: Places, columns: Sequence[str]) -> Iterator[str]:
    """The texts of rows at some places of a split, those of several columns together."""
    return (joined(row, columns) for row in view.read(view.splits[split][places], columns))
