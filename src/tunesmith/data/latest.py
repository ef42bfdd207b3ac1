"""Windows of new tables of time points: the latest of each series, which is forecast, or all whose future is known, which are scored.

The rows are put into an Arrow file that is gone afterwards, so that a table may be as large as one that trains; stamps, steps and
gaps are read as they were in training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tunesmith.core.contracts import Row, Task
from tunesmith.core.errors import UnknownNameError
from tunesmith.core.windows import FUTURE, Windows
from tunesmith.data import points, stamps
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.sources import Part, Source
from tunesmith.data.table import build
from tunesmith.data.windows import WindowRows


def of_time(parts: Sequence[Part], spec: Windows) -> bool:
    """Whether rows are time points, and not windows whose cells are lists.

    Raises:
        UnknownNameError: the column of stamps, or one of numbers, is not there.
    """
    first = next((row for part in parts for _, row in part.reader.rows(BadRows())), None)
    if first is None:
        return False
    for name in (*spec.columns, *filter(None, [spec.series])):
        if name not in first and not (spec.time not in first and name == spec.series):
            raise UnknownNameError("column", name, first)
    listed = any(str(first[name] or "").lstrip().startswith("[") for name in spec.columns)
    if not listed and spec.time not in first:
        raise UnknownNameError("column of stamps", spec.time, first)
    return not listed


def rows(parts: Sequence[Part], spec: Windows, task: Task, bad: BadRows, scored: bool) -> Iterator[tuple[tuple[str, str], Row]]:
    """Windows of tables of time points, each with the file and place of the row at which its context ends.

    Args:
        parts: the tables; together they hold the series.
        spec: what windows are.
        task: says how many steps lie between two windows that are scored.
        bad: receives rows that cannot be used, and series that are too short.
        scored: give all windows whose future is known instead of the latest.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
        table, _ = build(Source(list(parts), "", ""), Path(folder) / "rows.arrow", bad)
        step = stamps.step(spec.step)
        found = points.read(table, spec.columns, spec.time, spec.series, Path(folder) / "points.npy", bad, step=step)
        windows = WindowRows(table, found, spec)
        if scored:
            numbers, short = windows.usable()
            for name, reason in short.items():
                bad.add(table.files[0][0], name, reason)
            numbers = numbers[:: task.stride()]
        else:
            found_rows, none = windows.latest()
            for row, reason in none.items():
                bad.add(*table.origin(row), reason)
            numbers = np.asarray(found_rows, np.int64)
        for number in numbers:
            yield table.origin(int(number)), windows[int(number)] if scored else _without_future(windows, int(number))


def _without_future(windows: WindowRows, number: int) -> Row:
    """The latest window as it is: what came after it, if rows go on, is not looked at."""
    return {name: value for name, value in windows[number].items() if name != FUTURE}
