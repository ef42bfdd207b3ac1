"""Divides windows by time: what validation windows must foretell lies after all that training ones did, and that of test after both.

    time   ------------------- train ------------------|-- validation --|---- test ----
    window        [context      ][horizon]
                                      [context      ][ .. crosses the cut: used by no split ]
                                           [context      ]  [horizon]              of validation: its context reaches back

So no window that is scored looks ahead, and neither does anything that is learned: level, spread, season and scale come from the points
before the first cut. Origins roll: each step begins a window in training, each `stride`th in the other splits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Backbone, Task
from tunesmith.core.errors import DataError
from tunesmith.core.windows import Span
from tunesmith.data.decisions import Decision
from tunesmith.data.prepare import DEFAULT_SHARES, Divided, Read, given_splits
from tunesmith.data.split import NAMES, Rows
from tunesmith.data.windows import WindowRows, WindowTargets, spans
from tunesmith.recipe import DataRecipe, shares

MOST_NUMBERS = 2_000_000
"""Numbers that the windows of validation must foretell at most: they are scored after every epoch."""

NAMED = 3
Codes = npt.NDArray[np.int8]


def divide(was: Read, split_column: str | None, recipe: DataRecipe, task: Task, backbone: Backbone, seed: int, rows: WindowRows) -> Divided:
    """Divide windows by time, and fit task and backbone on the training part.

    Args:
        was: what was read.
        split_column: column that names each row's split, where there is one.
        recipe: how to divide.
        task: what is asked of the windows.
        backbone: reads them.
        seed: decides what is drawn.
        rows: the windows.

    Raises:
        DataError: too many unusable rows, no window, or a split that would be empty.
    """
    decisions = _told(rows)
    was.bad.check(int((rows.points.place_of >= 0).sum()), recipe.max_bad_rows)
    numbers, short = rows.usable()
    if short:
        listed = "; ".join(f"{name}: {reason}" for name, reason in list(short.items())[:NAMED])
        more = f"; and {len(short) - NAMED} more" if len(short) > NAMED else ""
        told = f"{len(short)} of {len(rows.points.names)} series too short for a window ({listed}{more})"
        if not len(numbers):
            raise DataError(f"{told}; shorten the context with --set backbone.context=..., or the horizon with --set task.horizon=...")
        was.table.notes.append(f"{told}; left out")
    if not len(numbers):
        raise DataError("no window has numbers of every target in its context and one ahead; are the label columns empty?")
    codes, why = _codes(was, split_column, recipe, rows)
    splits, crossing = _splits(rows, numbers, codes)
    if crossing:
        was.table.notes.append(f"{crossing:,} windows whose horizon crosses from one split into the next are used by none")
    decisions.append(Decision("split", _shown(rows, codes), why, "--split"))
    strides = {"train": 1, "validation": 1, "test": task.stride()}
    strides["validation"] = max(1, -(-len(splits["validation"]) * _size(rows) // MOST_NUMBERS))
    splits = {name: _strided(rows, part, strides[name]) for name, part in splits.items()}
    for name, part in splits.items():
        if not len(part):
            raise DataError(
                f"the {name} split holds no window of horizon {rows.spec.horizon}: its part of the time is too short. Give it more with "
                "--split, or shorten the horizon with --set task.horizon=..."
            )
    if recipe.limit is not None and len(splits["train"]) > recipe.limit:
        splits["train"] = np.sort(np.random.default_rng(seed).choice(splits["train"], recipe.limit, replace=False))
    rolled = ", ".join(
        f"{len(part):,} {name}" + (f" (every {strides[name]}th)" if strides[name] > 1 else "") for name, part in splits.items()
    )
    decisions.append(Decision("windows", rolled, "one a step, but for what is said", "--limit, --set task.stride=..."))
    fitted = task.fit(training(rows, codes))
    network = backbone.fit(lambda: rows.rows(splits["train"]), seed)
    used = np.sort(np.concatenate(list(splits.values())))
    return Divided(splits, fitted, network, WindowTargets(fitted, used.astype(np.int32), rows), used, decisions)


def _told(rows: WindowRows) -> list[Decision]:
    """What was read off the stamps."""
    points = rows.points
    count = len(points.names)
    told = f"{points.step.shown()}; {count} series" if count > 1 else points.step.shown()
    absent = f"; {points.absent:,} of {len(points):,} steps are absent and count as missing" if points.absent else ""
    return [Decision("step", told, f"the stamps of '{rows.spec.time}'" + absent, "--time, --series-id, --stamps order")]


def _codes(was: Read, split_column: str | None, recipe: DataRecipe, rows: WindowRows) -> tuple[Codes, str]:
    """(points,) place in NAMES of each point's split, ascending with time, and why.

    Raises:
        DataError: the data came divided, and not by time.
    """
    points = rows.points
    there = points.row_of >= 0
    given = given_splits(was, np.sort(points.row_of[there]), split_column, recipe)
    if given is None:
        wanted = shares(recipe.split) if recipe.split else DEFAULT_SHARES
        ordered = np.sort(points.moments[there])
        cuts = [float(ordered[min(len(ordered) - 1, round(len(ordered) * share))]) for share in np.cumsum(wanted)[:-1]]
        return np.searchsorted(cuts, points.moments, side="right").astype(np.int8), "the past trains, the future tests"
    of_row = np.full(len(rows), -1, np.int8)
    of_row[np.sort(points.row_of[there])] = given
    codes = np.where(there, of_row[points.row_of], -1).astype(np.int8)
    last = -np.inf
    for code, name in enumerate(NAMES):
        held = points.moments[codes == code]
        if not len(held):
            raise DataError(f"the data came divided without {name} rows; leave it to be divided by time with --split 0.7,0.1,0.2")
        if held.min() <= last:
            raise DataError(
                f"the data came divided, and rows of {name} are no later than those of the split before it by '{rows.spec.time}'; "
                "a forecast must be tested on what comes later: divide it by time with --split 0.7,0.1,0.2"
            )
        last = float(held.max())
    for start, stop in spans(points):  # a step without a row belongs to what came before it
        part = codes[start:stop]
        known = np.maximum.accumulate(np.where(part >= 0, np.arange(len(part)), -1))
        codes[start:stop] = np.where(known >= 0, part[known], -1)
    return codes, "the data came divided"


def _splits(rows: WindowRows, numbers: Rows, codes: Codes) -> tuple[dict[str, Rows], int]:
    """Windows whose horizon lies in one split, by its name, and how many there are of which it does not."""
    ends = rows.points.place_of[numbers]
    first, last = codes[ends + 1], codes[ends + rows.spec.horizon]
    found = {name: numbers[(first == code) & (last == code)] for code, name in enumerate(NAMES)}
    return found, len(numbers) - sum(map(len, found.values()))


def _strided(rows: WindowRows, numbers: Rows, stride: int) -> Rows:
    """Each `stride`th step of the grid, in all series at the same moments."""
    if stride == 1 or not len(numbers):
        return numbers
    moments = rows.points.moments[rows.points.place_of[numbers]]
    places: Rows = np.unique(moments, return_inverse=True)[1]
    chosen: Rows = numbers[places % stride == 0]
    return chosen


def _size(rows: WindowRows) -> int:
    return rows.spec.horizon * len(rows.spec.targets)


def _shown(rows: WindowRows, codes: Codes) -> str:
    firsts = [float(rows.points.moments[codes == code].min()) for code in range(len(NAMES)) if (codes == code).any()]
    return ", ".join(f"{name} from {rows.stamp(moment)}" for name, moment in zip(NAMES, firsts, strict=False))


def training(rows: WindowRows, codes: Codes) -> Sequence[Span]:
    """The targets of each series before the first cut."""
    points = rows.points
    parts = (
        (name, points.values[start:stop][codes[start:stop] == 0]) for name, (start, stop) in zip(points.names, spans(points), strict=True)
    )
    return [Span(name, values[:, rows.target_places]) for name, values in parts if len(values)]


def blocks(rows: WindowRows, numbers: Rows) -> Rows:
    """(n,) equal for windows that begin within the same stretch of a horizon's length, in all series: those err together."""
    moments = rows.points.moments[rows.points.place_of[numbers]]
    order = np.unique(rows.points.moments)
    places: Rows = np.searchsorted(order, moments)
    stretch: Rows = places // max(1, rows.spec.horizon)
    return stretch
