"""Columns of a table as baselines read them: numbers, numbers for categories, and the parts of dates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tunesmith.core.cells import DATE_PARTS, date_parts, is_missing, moment_in, number_in
from tunesmith.core.contracts import Row
from tunesmith.core.errors import RowError
from tunesmith.core.outcomes import Given

KINDS = ("number", "category", "date")
NO_TABLE = "there are no columns of numbers, categories or dates"


def cells(given: Given) -> dict[str, str]:
    """Columns of a table among the inputs, with their kinds."""
    return {column: kind for column, kind in given.inputs.items() if kind in KINDS}


def codes_of(rows: Sequence[Row], column: str, most: int) -> dict[str, int]:
    """Numbers of the most frequent categories; of equals those that come first in sorted order."""
    counts = Counter(str(row[column]).strip() for row in rows if not is_missing(row.get(column)))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {category: number for number, (category, _) in enumerate(ranked[:most])}


def numbers_of(rows: Sequence[Row], column: str, kind: str) -> npt.NDArray[np.float64]:
    """(rows, 1) numbers of a column, or (rows, parts) of one of dates; NaN where a cell is missing or holds none."""
    width = len(DATE_PARTS) if kind == "date" else 1
    return np.asarray([_parts(row.get(column), column, width) for row in rows], np.float64).reshape(len(rows), width)


def _parts(value: object, column: str, width: int) -> tuple[float, ...]:
    try:
        if not is_missing(value):
            return (number_in(value, column),) if width == 1 else date_parts(moment_in(value, column))
    except RowError:
        pass  # in a fusion, cells that are missing or unreadable do not make the row unusable
    return (math.nan,) * width
