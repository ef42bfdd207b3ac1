"""What a column holds, read off its values, unless its owner says it."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable

from tunesmith.core.cells import is_missing, is_number
from tunesmith.core.errors import UnknownNameError, UsageError
from tunesmith.core.kinds import ENDINGS, MODALITY, bytes_kind
from tunesmith.data.values import Value
from tunesmith.recipe import DataRecipe

SAMPLE = 5000
"""Values of a column that are looked at."""

FEW_ROWS, MOSTLY = 50, 0.98
"""Of at least so many values, from this share of numbers on the others are slips of the pen, which are then named as unusable rows."""


def kind_of(values: Iterable[Value]) -> str:
    """What a column holds: a kind of `core.kinds`, or `empty`.

    Example:
        >>> kind_of(["a.png", "b.png"]), kind_of(["1", "2.5", None]), kind_of(["red", "red", "blue"]), kind_of(["2024-01-31"])
        ('image', 'number', 'category', 'date')
    """
    seen = [value for value in values if value not in (None, "")]
    there = [value for value in seen if not is_missing(value)]
    if not there:
        return "empty"
    starts = [value for value in seen if isinstance(value, bytes)]
    if starts:
        return Counter(map(bytes_kind, starts)).most_common(1)[0][0]
    texts = [str(value) for value in there]
    for kind, endings in ENDINGS.items():
        if sum(text.lower().endswith(endings) for text in texts) >= 0.9 * len(texts):
            return kind
    numbers = sum(map(is_number, texts))
    if numbers == len(texts) or (len(texts) >= FEW_ROWS and numbers >= MOSTLY * len(texts)):
        return "number"
    if all(_is_date(text) for text in texts):
        return "date"
    if all(_is_series(text) for text in texts):
        return "series"
    if sum(map(_is_dna, texts)) >= 0.9 * len(texts):
        return "dna"
    longest = max(len(text) for text in texts)
    distinct = len(set(texts))
    if distinct <= max(2, 0.2 * len(texts)) and longest <= 60:
        return "category"
    if distinct <= 0.5 * len(texts) and longest <= 30 and all(len(text.split()) <= 2 for text in texts):
        return "category"  # of high cardinality: a town, a code, an account
    return "text"


def _is_date(text: str) -> bool:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


SERIES = re.compile(r"\[\s*(\[.*\]|(-?[\d.eE+-]+|null|NaN)(\s*,\s*(-?[\d.eE+-]+|null|NaN)){3,})\s*\]", re.DOTALL)
"""A JSON list of at least four numbers, or of lists."""

DNA = re.compile(r"[ACGTUNacgtun]{12,}")


def _is_series(text: str) -> bool:
    return text.startswith("[") and SERIES.fullmatch(text) is not None


def _is_dna(text: str) -> bool:
    return DNA.fullmatch(text) is not None and len(set(text.upper())) > 1


def overruled(recipe: DataRecipe, columns: Iterable[str]) -> dict[str, str]:
    """What the user says that columns hold."""
    known, found = list(columns), {}
    for item in recipe.kinds or []:
        name, _, kind = (part.strip() for part in item.partition("="))
        if name not in known:
            raise UnknownNameError("column", name, known)
        if not kind:
            raise UsageError(f"--kinds says what a column holds as COLUMN=KIND, such as zip=category (got {item!r})")
        if kind not in MODALITY:
            raise UnknownNameError("kind of column", kind, MODALITY)
        found[name] = kind
    return found
