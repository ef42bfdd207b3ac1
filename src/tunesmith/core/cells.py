"""Reading the text of single cells."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Sequence
from typing import Any

from tunesmith.core.errors import RowError

MISSING = frozenset({"", "?", "-", "--", ".", "na", "n/a", "#n/a", "nan", "<na>", "nat", "null", "none", "missing"})
"""What people write into a cell that holds nothing, in lower case."""

EPOCH = datetime.date(1970, 1, 1).toordinal()


def is_missing(value: Any) -> bool:
    """Whether a cell of a table holds nothing, however that is written.

    Example:
        >>> [is_missing(cell) for cell in (None, " ", "?", "N/A", 0, "no")]
        [True, True, True, True, False, False]
    """
    return value is None or (isinstance(value, str) and value.strip().lower() in MISSING) or value != value


def is_number(text: str) -> bool:
    """Whether a text is a finite decimal number."""
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def number_in(value: Any, column: str) -> float:
    """The number in a cell that is not missing.

    Raises:
        RowError: it holds none, or one that is not finite.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise RowError(f"{_short(value)} is no number", column) from None
    if not math.isfinite(number):
        raise RowError(f"{_short(value)} is no finite number", column)
    return number


def moment_in(value: Any, column: str) -> datetime.datetime:
    """The date or moment in a cell that is not missing, in its own time zone.

    Raises:
        RowError: it holds none.
    """
    try:
        return datetime.datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise RowError(f"{_short(value)} is no date such as 2026-01-31", column) from None


def date_parts(moment: datetime.datetime) -> tuple[float, float, float, float]:
    """What a table's reader makes of a date: days since 1970 (with the part of the day), year, month, weekday (Monday is 0).

    Example:
        >>> date_parts(datetime.datetime(1970, 1, 2, 12))
        (1.5, 1970.0, 1.0, 4.0)
    """
    day = (moment.hour + moment.minute / 60 + moment.second / 3600) / 24
    return moment.toordinal() - EPOCH + day, float(moment.year), float(moment.month), float(moment.weekday())


DATE_PARTS = ("days", "year", "month", "weekday")
"""Names of what `date_parts` gives."""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def split_labels(value: str, separators: Sequence[str] = ("|", ";")) -> list[str]:
    """The labels in one cell of a multi-label column: a JSON list, or parts between `|` or `;`.

    Example:
        >>> split_labels('["a", "b"]'), split_labels("a | b"), split_labels("a")
        (['a', 'b'], ['a', 'b'], ['a'])
    """
    if value.startswith("["):
        try:
            return [str(item) for item in json.loads(value)]
        except json.JSONDecodeError:
            pass
    for mark in separators:
        if mark in value:
            return [part.strip() for part in value.split(mark) if part.strip()]
    return [value.strip()]
