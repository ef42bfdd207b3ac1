"""The future in training: rows that are later than what the model is tested on.

The column that `--time` names has to order the splits. Other columns of dates are a warning where the splits overlap in time though the
label depends on it: then a random split shows how the model fills gaps, and not how it will do next month.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np

from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.gate._columns import Numbers, cramer, date, moment, spearman
from tunesmith.gate._rows import drawn, line, percent, rows_said

LOOK = 200


@final
@dataclass(frozen=True)
class TimeOrder(Inspection):
    """Test rows that are earlier than training rows."""

    name: ClassVar[str] = "time_order"
    tolerated: float = field(default=0.01, metadata={"help": "share of test rows before the end of training above which that is an error"})
    dependence: float = field(default=0.3, metadata={"help": "Cramer's V or rank correlation of time and label from which they depend"})
    most: int = field(default=5000, metadata={"help": "rows of a split that are read of a column that was not named"})

    def applies(self, view: View) -> str | None:
        return None if view.time or _date_columns(view) else "no --time was named, and no column holds dates"

    def inspect(self, view: View) -> list[Finding]:
        found = [self._named(view, view.time)] if view.time else [self._guessed(view, column) for column in _date_columns(view)]
        return [finding for finding in found if finding is not None]

    def _named(self, view: View, column: str) -> Finding | None:
        train, test = (_times(view, split, column, len(view.splits[split]), moment) for split in ("train", "test"))
        latest = int(np.nanargmax(train)) if np.isfinite(train).any() else None
        earlier = np.flatnonzero(test < train[latest]) if latest is not None else np.empty(0, np.int64)
        if latest is None or not len(earlier):
            return None
        count, size = len(earlier), len(test)
        beside = int(view.splits["train"][latest])
        rows = view.splits["test"][earlier[:MOST_EXAMPLES]]
        end = line(next(view.read([beside], [column])), [column])
        return Finding(
            "test_before_training",
            "error" if count > self.tolerated * size else "warning",
            count,
            size,
            f"{rows_said(count, 'test')} ({percent(count, size)}) are earlier than the last training row ({column} = {end}), so that the "
            "model is tested on what it has seen the future of",
            f"let --time {column} divide the rows (--split 0.8,0.1,0.1), or mend the given split",
            [
                Example(int(row), f"{column} = {line(cells, [column])}", beside)
                for row, cells in zip(rows, view.read(rows, [column]), strict=True)
            ],
        )

    def _guessed(self, view: View, column: str) -> Finding | None:
        train, test = (_times(view, split, column, self.most, date) for split in ("train", "test"))
        places = drawn(view, "train", self.most)
        targets, known = view.targets["train"][places], np.isfinite(train)
        if known.sum() < 30 or not np.isfinite(test).any():
            return None
        early = test < np.nanmax(train)
        if view.answers not in ("classes", "labels", "numbers"):
            return None
        strength = _dependence(train[known], targets[known])
        if not early.any() or strength < self.dependence or early.sum() <= self.tolerated * len(test):
            return None
        return Finding(
            "split_ignores_time",
            "warning",
            int(early.sum()),
            len(test),
            f"the label depends on '{column}' ({strength:.2f} on a scale from 0 to 1), and {percent(early.sum(), len(test))} of the test "
            "rows are earlier than the last training row, so that scores do not show how the model does on what comes later",
            f"if the model is for what comes later, train on the past with --time {column}",
            [Example(None, column)],
        )


def _times(view: View, split: str, column: str, most: int, read: Callable[[Any], float]) -> Numbers:
    """(rows,) moments of all rows of a split, or of those that were drawn; nan where there is none."""
    numbers = view.splits[split][drawn(view, split, most)]
    return np.fromiter((read(row[column]) for row in view.read(numbers, [column])), np.float64, len(numbers))


def _date_columns(view: View) -> list[str]:
    """Columns whose first cells are dates, though nothing was said about them."""
    free = [column for column in view.columns if column not in {*view.inputs, *view.label, view.group, view.time}]
    if not free:
        return []
    rows = list(view.read(view.splits["train"][:LOOK], free))
    result = []
    for column in free:
        cells = [row[column] for row in rows if isinstance(row[column], str) and row[column]]
        if cells and sum("-" in cell and not math.isnan(date(cell)) for cell in cells) >= 0.95 * len(cells):
            result.append(column)
    return result


def _dependence(times: Numbers, targets: Any) -> float:
    """How much a label depends on time, from 0 to 1: of several labels, that which does most."""
    if targets.dtype.kind == "f" and targets.ndim == 1:
        return abs(spearman(times, targets))
    bins = np.searchsorted(np.unique(np.quantile(times, np.linspace(0, 1, 11)[1:-1])), times)
    columns = targets.reshape(len(targets), -1).T
    return max((cramer(bins, column) for column in columns), default=0.0)
