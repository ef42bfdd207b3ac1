"""Long tables, whose rows are steps of series: their rows put together to rows that are a series each, or a window of one.

    machine,stamp,vibration,label                      series                label
    a,10:00,0.1,worn                                   [0.1, 0.4, ...]       worn
    a,10:01,0.4,worn            --series-id machine    ...
    b,10:00,...                 --order stamp

With `window` each series becomes windows of so many steps, whose label is that of their last step. With `direction` the series are the
changes of prices (logarithmic returns), and a window's label is whether the price is `up` or `down` `horizon` steps after it; `until` is
the moment at which that is known, by which a split can keep labels of the past out of the future (`data/purge.py`).

Rows may come in any order: they are written to a file of their own first, sorted by a few bytes each, and read back a series at a time.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.cells import is_number
from tunesmith.core.errors import DataError, RowError, UnknownNameError, UsageError
from tunesmith.core.series import evenly, to_cell
from tunesmith.data import table as tables
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.column_kinds import kind_of
from tunesmith.data.decisions import Decision
from tunesmith.data.label_task import LABEL_NAMES
from tunesmith.data.readers import Reader
from tunesmith.data.sources import Part, Source
from tunesmith.data.split import moment
from tunesmith.data.values import Located, Value
from tunesmith.recipe import DataRecipe

INPUT, STAMPS, UNTIL, DIRECTION = "series", "stamps", "until", "direction"
"""Columns that are made: the series, whether its moments are even, when a direction is known, and which it is."""

SAMPLE = 1000
DIGITS = 7
"""Significant digits of what is computed, as single precision has them."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """How rows become series.

    Attributes:
        series: column that tells series apart; None where there is one.
        order: column of moments, by which steps are put in order; None for the order of the file.
        values: columns of measured numbers, each a channel.
        label: label column; None where there is none.
        window: steps of a window; None for whole series.
        stride: steps from one window to the next.
        direction: column of prices whose direction is the label; None for labels that are there.
        horizon: steps from the end of a window to the price that it is compared with.
    """

    series: str | None
    order: str | None
    values: tuple[str, ...]
    label: str | None
    window: int | None
    stride: int = 1
    direction: str | None = None
    horizon: int = 1

    @staticmethod
    def stored(values: dict[str, Any] | None) -> Shape | None:
        """From what `dataclasses.asdict` gave, after a journey through JSON."""
        return None if values is None else Shape(**{**values, "values": tuple(values["values"])})


def filled(recipe: DataRecipe, answers: str) -> tuple[DataRecipe, list[Decision]]:
    """The recipe with what follows from rows that are windows: what is input and label, and how the split keeps windows apart.

    Args:
        recipe: what the user said.
        answers: of the task that was asked for, as `Task.answers`: forecasts read long tables as they are.

    Raises:
        UsageError: windows without a way to keep overlapping ones on one side of the split.
    """
    if not is_long(recipe, answers):
        return recipe, []
    found: dict[str, Any] = {"inputs": recipe.inputs or [INPUT]}
    told: list[Decision] = []
    if recipe.direction:
        if not recipe.time:
            raise UsageError("--direction needs --time COLUMN: the past is to train and the future to test")
        found["window"] = recipe.window or 30
        found["label"] = [DIRECTION]
        if recipe.purge is None:
            found["purge"] = UNTIL
            told.append(Decision("purge", f"column '{UNTIL}'", "no training label is known only after the next split begins", "--purge"))
        if recipe.embargo is None:
            found["embargo"] = str(math.ceil(recipe.horizon / recipe.stride))
            told.append(Decision("embargo", f"{found['embargo']} windows", "as far as a label looks ahead", "--embargo"))
    elif recipe.window and recipe.time:
        if recipe.embargo is None:
            found["embargo"] = str(math.ceil(recipe.window / recipe.stride))
            told.append(Decision("embargo", f"{found['embargo']} windows", "so that no step is in windows of two splits", "--embargo"))
    elif recipe.window and not recipe.group and recipe.split != "given":
        if recipe.series_id is None:
            raise UsageError("windows of one series overlap, so rows drawn at random would be in training and test: name --time COLUMN")
        found["group"] = recipe.series_id
        told.append(Decision("group", recipe.series_id, "windows of one series overlap, so they stay together", "--group, --time"))
    return dataclasses.replace(recipe, **found), told


def is_long(recipe: DataRecipe, answers: str) -> bool:
    """Whether rows are to be put together."""
    return answers != "series" and bool(recipe.series_id or recipe.window or recipe.direction)


def shape_of(source: Source, recipe: DataRecipe) -> tuple[Shape, Decision]:
    """How rows of this source are put together; which columns are values is told by their first rows.

    Raises:
        DataError: there is no column of numbers.
        UnknownNameError: a named column does not exist.
    """
    rows = [row for _, row in itertools.islice(source.parts[0].reader.rows(BadRows()), SAMPLE)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    order = recipe.order or recipe.time
    given = None if recipe.direction else next(iter(recipe.label or []), None)
    for name in filter(None, [recipe.series_id, order, recipe.direction, given, recipe.group, *(recipe.values or [])]):
        if name not in columns:
            raise UnknownNameError("column", name, columns)
    label = given or next((name for wanted in LABEL_NAMES for name in columns if name.lower() == wanted), None)
    label = None if recipe.direction else label
    taken = {recipe.series_id, order, label, recipe.group}
    values = list(recipe.values or ([recipe.direction] if recipe.direction else []))
    why = "as given" if recipe.values else f"the price itself, as changes from step to step; of {', '.join(columns)}"
    if not values:
        values = [name for name in columns if name not in taken and kind_of([row.get(name) for row in rows]) == "number"]
        why = "the columns of numbers"
    if not values:
        raise DataError(f"no column of numbers is left for the series (columns: {', '.join(columns)}); name some with --values")
    shape = Shape(recipe.series_id, order, tuple(values), label, recipe.window, recipe.stride, recipe.direction, recipe.horizon)
    return shape, Decision("values", ", ".join(values), why, "--values")


def shaped(source: Source, shape: Shape, labelled: bool = True) -> Source:
    """The source with rows put together."""
    parts = [Part(LongReader(part.reader, shape, labelled), part.split) for part in source.parts]
    what = f"windows of {shape.window} steps" if shape.window else "series"
    return dataclasses.replace(source, parts=parts, described=f"{source.described}, as {what}")


@dataclass(frozen=True)
class LongReader:
    """Series, or windows of them, of a long table that another reader gives.

    Attributes:
        inner: gives the rows.
        shape: how they are put together.
        labelled: whether windows whose direction is not known yet are left out.
    """

    inner: Reader
    shape: Shape
    labelled: bool = True

    @property
    def label(self) -> str:
        return self.inner.label

    @property
    def root(self) -> Path:
        return self.inner.root

    def rows(self, bad: BadRows) -> Iterator[Located]:
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
            table, _ = tables.build(Source([Part(self.inner)], "", ""), Path(folder) / "steps.arrow", bad)
            for name in filter(None, [self.shape.series, self.shape.order, *self.shape.values]):
                if name not in table.columns:
                    raise UnknownNameError(f"column in {self.label} called", name, table.columns)
            numbers, times = self._moments(table, bad)
            codes = table.ranks(self.shape.series)[numbers] if self.shape.series else np.zeros(len(numbers), np.int32)
            order = np.lexsort((times, codes))
            for group in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
                if len(group):
                    yield from self._series(list(table.rows(numbers[group])), times[group], bad)

    def _moments(self, table: tables.Table, bad: BadRows) -> tuple[npt.NDArray[np.int64], Numbers]:
        """Numbers of the rows that say their series and moment, and their moments."""
        shape = self.shape
        times, keep = np.arange(len(table), dtype=np.float64), np.ones(len(table), np.bool_)
        columns = [name for name in (shape.series, shape.order) if name]
        for number, row in enumerate(table.rows(range(len(table)), columns) if columns else ()):
            try:
                if shape.series and row[shape.series] is None:
                    raise RowError("it does not say which series it is of", shape.series)
                if shape.order:
                    times[number] = moment(row[shape.order], shape.order)
            except RowError as error:
                tables.note_bad(table, number, error, bad)
                keep[number] = False
        numbers = np.flatnonzero(keep)
        return numbers, times[numbers]

    def _series(self, steps: list[dict[str, Any]], times: Numbers, bad: BadRows) -> Iterator[Located]:
        shape = self.shape
        name = str(steps[0][shape.series]) if shape.series else ""
        values = np.empty((len(shape.values), len(steps)))
        for channel, column in enumerate(shape.values):
            for place, step in enumerate(steps):
                cell = step[column]
                if cell is not None and not is_number(cell):
                    bad.add(
                        self.label, _place(name, step, shape, place), f"column '{column}': {cell[:40]!r} is no number; taken as missing"
                    )
                    cell = None
                values[channel, place] = np.nan if cell is None else float(cell)
        if shape.window is None:
            try:
                yield name or "the whole table", self._whole(steps, values, times)
            except RowError as error:
                bad.add(self.label, name or "the whole table", str(error))
            return
        if shape.order and shape.series is None and (np.diff(times) == 0).any():
            same = steps[int(np.argmax(np.diff(times) == 0))][shape.order]
            raise DataError(
                f"{self.label}: several rows have the same '{shape.order}' ({same}); name what tells series apart with --series-id"
            )
        yield from self._windows(name, steps, values, times, bad)

    def _whole(self, steps: Sequence[dict[str, Any]], values: Numbers, times: Numbers) -> dict[str, Value]:
        """A series as a row; of other columns what is the same in all its steps."""
        shape = self.shape
        row: dict[str, Value] = {}
        for column in steps[0]:
            if column in shape.values or column == shape.order:
                continue
            held = {step[column] for step in steps if step[column] is not None}
            if column == shape.label and len(held) > 1:
                raise RowError(f"{len(held)} different labels in one series; windows of it are made with --window", column)
            row[column] = held.pop() if len(held) == 1 else None
        grid, uneven = evenly(times, values) if shape.order else (values, False)
        row[INPUT] = to_cell(grid)
        if shape.order:
            row[shape.order] = steps[-1][shape.order]
            row[STAMPS] = "uneven" if uneven else "even"
        return row

    def _windows(self, name: str, steps: Sequence[dict[str, Any]], values: Numbers, times: Numbers, bad: BadRows) -> Iterator[Located]:
        shape = self.shape
        assert shape.window is not None
        prices = values[shape.values.index(shape.direction)] if shape.direction in shape.values else None
        if shape.direction:
            if prices is None:
                prices = np.asarray([float(step[shape.direction]) if is_number(step[shape.direction] or "") else np.nan for step in steps])
            values = np.diff(np.log(np.where(values > 0, values, np.nan)), axis=1, prepend=np.nan)
        first = shape.window - 1 + (1 if shape.direction else 0)
        if first >= len(steps):
            bad.add(self.label, name or "the whole table", f"a series of {len(steps)} steps is shorter than a window of {first + 1}")
        for end in range(first, len(steps), shape.stride):
            part = values[:, end - shape.window + 1 : end + 1]
            where = _place(name, steps[end], shape, end)
            row: dict[str, Value] = {column: value for column, value in steps[end].items() if column not in shape.values}
            row[INPUT] = to_cell(part, DIGITS)
            if shape.order and not shape.direction:  # of prices the steps are days of trade, whatever the calendar says
                row[STAMPS] = "uneven" if _uneven(times[end - shape.window + 1 : end + 1]) else "even"
            if prices is not None:
                try:
                    row[DIRECTION], row[UNTIL] = self._ahead(prices, end, steps)
                except RowError as error:
                    bad.add(self.label, where, str(error))
                    continue
                if row[DIRECTION] is None and self.labelled:
                    continue
            yield where, row

    def _ahead(self, prices: Numbers, end: int, steps: Sequence[dict[str, Any]]) -> tuple[Value, Value]:
        """Direction after a window, and the moment at which it is known; None where the series ends before."""
        shape = self.shape
        later = end + shape.horizon
        if later >= len(prices):
            return None, None
        assert shape.order is not None
        if not (prices[end] > 0 and prices[later] > 0):
            raise RowError("a price that is missing or not above 0 has no direction", shape.direction)
        return "up" if prices[later] > prices[end] else "down", steps[later][shape.order]


def _uneven(times: Numbers) -> bool:
    gaps = np.diff(times)
    return bool((np.abs(gaps - np.median(gaps)) > 0.1 * np.median(gaps)).any())


def _place(name: str, step: dict[str, Any], shape: Shape, number: int) -> str:
    """Where a window stands, for its owner."""
    moment_ = str(step[shape.order]) if shape.order else f"step {number + 1}"
    return f"{name} until {moment_}" if name else f"until {moment_}"
