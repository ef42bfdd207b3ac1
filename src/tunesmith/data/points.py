"""Time points of a table, ordered by series and time on an even grid of steps, as numbers that stay on disk.

date, load, zone                         series "north": places 0, 1, 2, 3   load [3.1, NaN, 2.9, 3.0]
2024-01-01T00, 3.1, north       ->       row 0 of the table at place 0, row 1 at place 4, row 2 at place 2, ...
2024-01-01T00, 7.0, south                place 1 has no row: the step is missing, and so are its numbers
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import DataError, RowError
from tunesmith.data import split as splitting
from tunesmith.data import stamps
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.stamps import Step
from tunesmith.data.table import Table, note_bad

Places = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
PIECE = 1 << 16
MANY = 0.05
"""Share of rows that repeat a stamp from which the table holds several series."""


@dataclass(frozen=True, eq=False)
class Points:
    """The points of all series, one series after the other.

    Attributes:
        values: (points, columns) float32, memory-mapped; NaN where a number is missing.
        moments: (points,) of each, in seconds.
        row_of: (points,) row of the table; -1 where the step is missing in it.
        place_of: (rows,) point of a row; -1 where the row cannot be used.
        starts: (series + 1,) where each series begins.
        names: of the series.
        step: what lies between two points.
        form: how a stamp is written.
    """

    values: Floats
    moments: npt.NDArray[np.float64]
    row_of: Places
    place_of: Places
    starts: Places
    names: list[str]
    step: Step
    form: str

    def __len__(self) -> int:
        return len(self.moments)

    def series_of(self, places: Places) -> Places:
        """(n,) number of the series of each point."""
        return np.searchsorted(self.starts, places, side="right") - 1

    @property
    def absent(self) -> int:
        """Steps that the table lacks."""
        return int((self.row_of < 0).sum())


def read(
    table: Table,
    columns: Sequence[str],
    time: str,
    series: str | None,
    path: Path,
    bad: BadRows,
    step: Step | None = None,
    order: bool = False,
) -> Points:
    """The points of a table; rows without a usable stamp are reported.

    Args:
        table: the rows.
        columns: of numbers.
        time: column of stamps.
        series: column that tells several series apart.
        path: file that the numbers are written to.
        bad: receives unusable rows.
        step: between two points; None to read it off the stamps.
        order: take rows in their order, whatever their stamps.

    Raises:
        DataError: the stamps are irregular, or repeat as those of several series do.
    """
    moments, named, names = _keys(table, time, series, bad)
    rows = np.flatnonzero(np.isfinite(moments))
    rows = rows[np.lexsort((rows, moments[rows], named[rows]))]
    again = np.zeros(len(rows), np.bool_)
    again[1:] = (np.diff(moments[rows]) == 0) & (np.diff(named[rows]) == 0)
    if again.any():
        _refuse_several(table, series, int(again.sum()), len(rows))
        for place in np.flatnonzero(again).tolist():
            error = RowError(f"the stamp {table.cell(int(rows[place]), time)!r} occurs twice" + _of(names, named[rows[place]]), time)
            note_bad(table, int(rows[place]), error, bad)
        rows = rows[~again]
    if not len(rows):
        raise DataError(f"no row has a usable stamp in the column '{time}'" + (f"; {bad.summary()}" if bad.total else ""))
    cuts = np.flatnonzero(np.diff(named[rows])) + 1
    parts = np.split(rows, cuts)
    step = step or stamps.step_of([moments[part] for part in parts], order)
    at = [step.places(moments[part]) for part in parts]
    starts = np.concatenate([[0], np.cumsum([int(places[-1]) + 1 for places in at])])
    place_of = np.full(len(table), -1, np.int64)
    place_of[rows] = np.concatenate([places + start for places, start in zip(at, starts, strict=False)])
    row_of = np.full(starts[-1], -1, np.int64)
    row_of[place_of[rows]] = rows
    place_of[rows] = np.where(row_of[place_of[rows]] == rows, place_of[rows], -1)  # of two rows within one step the later one counts
    values = _values(table, columns, place_of, len(row_of), path, bad)
    filled = np.empty(len(row_of))
    for part, start, stop in zip(parts, starts, starts[1:], strict=False):
        known = row_of[start:stop] >= 0
        filled[start:stop][known] = moments[row_of[start:stop][known]]
        first = float(moments[part[0]])
        filled[start:stop][~known] = [step.after(first, int(place)) for place in np.flatnonzero(~known)]
    form = stamps.form_of(str(table.cell(int(rows[0]), time)))
    return Points(values, filled, row_of, place_of, starts, [names[named[part[0]]] for part in parts], step, form)


def _keys(table: Table, time: str, series: str | None, bad: BadRows) -> tuple[npt.NDArray[np.float64], Places, list[str]]:
    """(rows,) moment of each row, NaN where it has none; (rows,) number of its series; names of the series, sorted."""
    moments = np.full(len(table), np.nan)
    for number, value in enumerate(table.column(time)):
        try:
            moments[number] = splitting.moment(value, time)
        except RowError as error:
            note_bad(table, number, error, bad)
    if series is None:
        return moments, np.zeros(len(table), np.int64), [""]
    codes = table.ranks(series).astype(np.int64)
    names = sorted({str(value) for value in table.whole(series).unique().to_pylist() if value is not None})
    for number in np.flatnonzero((codes == len(names)) & np.isfinite(moments)).tolist():
        note_bad(table, number, RowError("the name of the series is missing", series), bad)
        moments[number] = np.nan
    return moments, codes, names


def _refuse_several(table: Table, series: str | None, again: int, rows: int) -> None:
    if series is None and again > MANY * rows:
        raise DataError(
            f"{again:,} of {rows:,} rows repeat the stamp of another row: the table seems to hold several series. Name the column that "
            f"tells them apart with --series-id (columns: {', '.join(table.columns)})"
        )


def _of(names: list[str], code: int) -> str:
    return f" in the series '{names[code]}'" if names[code] else ""


def _values(table: Table, columns: Sequence[str], place_of: Places, points: int, path: Path, bad: BadRows) -> Floats:
    """Numbers of all points in a file; a row with a cell that is no number is reported, and that number is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.lib.format.open_memmap(path, "w+", np.float32, (points, len(columns)))
    for start in range(0, points, PIECE):
        values[start : start + PIECE] = np.nan
    for at, column in enumerate(columns):
        for number, cell in enumerate(table.column(column)):
            if place_of[number] < 0 or cell in (None, ""):
                continue
            try:
                value = float(cell.decode() if isinstance(cell, bytes) else cell)
            except ValueError:
                note_bad(table, number, RowError(f"{cell!r} is not a number", column), bad)
                continue
            values[place_of[number], at] = value if math.isfinite(value) else np.nan
    values.flush()
    found: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
    return found
