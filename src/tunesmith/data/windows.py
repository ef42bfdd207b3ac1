"""Rows that are windows of a table of time points: they stand before the table, and row t is the window whose context ends there.

    rows[8639] -> {"OT": (512,), "HUFL": (512,), "#future": (96, 1), "#series": "", "#start": 1498348800.0}

Windows overlap, so their numbers stay where they are: a row is a view of the points, on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Task
from tunesmith.core.windows import FUTURE, SERIES, START, Windows
from tunesmith.data import stamps
from tunesmith.data.points import Points
from tunesmith.data.table import Table

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class WindowRows:
    """Windows by the row of the table at which their context ends.

    Attributes:
        table: rows of time points.
        points: its points on a grid; their columns are those of `spec`.
        spec: what windows are.
    """

    table: Table
    points: Points
    spec: Windows

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """The window whose context ends at this row, which must have room for it."""
        points, spec = self.points, self.spec
        end = int(points.place_of[number]) + 1
        shown = {
            name: points.values[end - spec.context : end + (spec.horizon if name in spec.known else 0), at]
            for at, name in enumerate(spec.columns)
        }
        series = int(points.series_of(np.asarray([end - 1]))[0])
        start = float(points.moments[end]) if end < points.starts[series + 1] else points.step.after(float(points.moments[end - 1]), 1)
        own: dict[str, Any] = {SERIES: points.names[series], START: start}
        return {**shown, **({FUTURE: self.future(number)} if spec.horizon else {}), **own}

    def future(self, number: int) -> Floats:
        """(horizon, targets) what follows the row."""
        end, spec = int(self.points.place_of[number]) + 1, self.spec
        ahead: Floats = self.points.values[end : end + spec.horizon][:, self.target_places]
        return ahead

    @property
    def target_places(self) -> list[int]:
        """Of the targets among the columns."""
        return [self.spec.columns.index(name) for name in self.spec.targets]

    def stamp(self, moment: float) -> Any:
        """A moment as the table writes stamps."""
        return stamps.written(self.points.form, moment)

    def rows(self, numbers: Iterable[int], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """As `Table.rows`; columns that windows do not show come from the row itself."""
        listed = [int(number) for number in numbers]
        other = [name for name in columns or () if name not in self.spec.columns and name in self.table.columns]
        cells: Iterable[dict[str, Any]] = self.table.rows(listed, other) if other else ({} for _ in listed)
        for number, row in zip(listed, cells, strict=True):
            window = self[number]
            yield {**window, **row} if columns is None else {name: row[name] if name in row else window[name] for name in columns}

    def given(self, number: int) -> dict[str, Any]:
        """The window as plain JSON."""
        return plain(self[number])

    def latest(self) -> tuple[list[int], dict[int, str]]:
        """Of each series the row at which its numbers end, and why others have no window: last row of a series -> reason."""
        points, spec = self.points, self.spec
        ends = np.flatnonzero(self._observed().sum(axis=1) * (points.row_of >= 0))  # a number of a target, and a row
        found: list[int] = []
        short: dict[int, str] = {}
        for name, (start, stop) in zip(points.names, spans(points), strict=True):
            held = ends[(ends >= start) & (ends < stop)]
            end = int(held[-1]) if len(held) else start - 1
            row = int(points.row_of[end if len(held) else stop - 1])
            whose = f"the series '{name}'" if name else "the series"
            if end + 1 - start < spec.context:
                short[row] = f"{whose} holds {end + 1 - start} steps; the model reads {spec.context}"
            elif spec.known and stop - end - 1 < spec.horizon:
                what = " and ".join(f"'{column}'" for column in spec.known)
                short[row] = f"{whose} goes on for {stop - end - 1} rows after its last number; {what} must be told for {spec.horizon}"
            else:
                found.append(row)
        return found, short

    def usable(self) -> tuple[Rows, dict[str, str]]:
        """Rows at which a window ends, ascending, and why others are none: series -> reason.

        A window needs the points of its context and of its horizon, a number of each target in the context, and one ahead.
        """
        points, spec = self.points, self.spec
        lengths = np.diff(points.starts)
        need = spec.context + spec.horizon
        short = {
            points.names[at]
            or "the series": f"it holds {int(lengths[at]):,} points, fewer than context {spec.context} + horizon {spec.horizon}"
            for at in np.flatnonzero(lengths < need).tolist()
        }
        ends = np.concatenate(
            [np.arange(start + spec.context - 1, max(start + spec.context - 1, stop - spec.horizon)) for start, stop in spans(points)]
        )
        if not len(ends):
            return np.empty(0, np.int64), short
        seen = np.concatenate([np.zeros((1, len(spec.targets)), np.int32), np.cumsum(self._observed(), axis=0, dtype=np.int32)])
        context = (seen[ends + 1] - seen[ends + 1 - spec.context]).min(axis=1)
        ahead = (seen[ends + 1 + spec.horizon] - seen[ends + 1]).max(axis=1) if spec.horizon else np.ones(len(ends), np.int32)
        good = ends[(context > 0) & (ahead > 0) & (points.row_of[ends] >= 0)]
        return np.sort(points.row_of[good]), short

    def _observed(self) -> npt.NDArray[np.bool_]:
        """(points, targets) whether there is a number."""
        return np.isfinite(self.points.values[:, self.target_places])


@dataclass(frozen=True, eq=False)
class WindowTargets(Mapping[int, Any]):
    """Row number -> target, read off the points when it is asked for.

    Attributes:
        task: fitted on the training part.
        numbers: (n,) rows at which the contexts end, ascending.
        rows: the windows.
    """

    task: Task
    numbers: npt.NDArray[np.int32]
    rows: WindowRows

    def __getitem__(self, number: int) -> Any:
        return self.task.target(self.task.raw(self.rows[number]))

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers.tolist())

    def __len__(self) -> int:
        return len(self.numbers)

    def stored(self) -> tuple[dict[str, npt.NDArray[Any]], list[Any]]:
        """Arrays and names that a resumed run needs: none, as the table has them."""
        return {"numbers": self.numbers}, []


def told(spec: Windows, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a prediction for a window's row is about: the series, where there are several, and the stamps of the steps ahead."""
    if START not in row:
        return {}
    step = stamps.step(spec.step)
    series = {"series": row[SERIES]} if spec.series else {}
    ahead = [stamps.written(spec.form, step.after(row[START], at)) for at in range(spec.horizon)]
    return {**series, **({"stamps": ahead} if ahead and ahead[0] is not None else {})}


def spans(points: Points) -> Iterator[tuple[int, int]]:
    """Where each series begins and ends."""
    yield from zip(points.starts[:-1].tolist(), points.starts[1:].tolist(), strict=True)


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A window's row with lists in place of arrays, and None in place of NaN."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        listed = value.astype(object)
        listed[~np.isfinite(value)] = None
        return listed.tolist()
    return value
