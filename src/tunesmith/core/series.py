"""Reading series of numbers: from cells of tables, from lists and arrays; and putting uneven moments onto an even grid.

A series is (channels, length) float32 with NaN where a value is missing. In a table it is JSON: [0.1, null, 0.3] or, of several channels,
[[0.1, 0.2], [5, 6]].
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Floats
from tunesmith.core.errors import RowError

LEAST_STEPS = 8
"""So many columns in a row of numbered names are a series and not a table."""

MOMENTS = ("", "t", "ts", "time", "step")
"""How names of columns begin that are moments; nothing is what a table has whose columns are numbered."""

LARGEST = 1e30
"""Greater numbers would overflow where they are squared in single precision."""

LONGEST_GAPS = 20
"""Times more steps that an even grid may have than there are values."""


def read_series(value: Any, column: str) -> Floats:
    """A cell as (channels, length) float32; NaN where a value is missing, and at the end of channels that are shorter than others.

    Args:
        value: JSON text, a list of numbers or of channels, or such an array.
        column: where it stands, for the message.

    Raises:
        RowError: missing, empty, no numbers, or too large ones.

    Example:
        >>> read_series("[[1, null], [3]]", "s").tolist()
        [[1.0, nan], [3.0, nan]]
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowError("the series is missing", column)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RowError(f"{value[:60]!r} is no JSON list of numbers: {error}", column) from error
    if isinstance(value, int | float | bool | dict | bytes):
        raise RowError(f"{str(value)[:60]!r} is no list of numbers", column)
    channels = list(value)
    nested = any(isinstance(item, list | tuple | np.ndarray) for item in channels)
    try:
        parts = [np.asarray(channel, np.float64) for channel in (channels if nested else [channels])]
    except (TypeError, ValueError) as error:
        raise RowError(f"the series holds something that is no number: {str(error)[:80]}", column) from error
    if any(part.ndim != 1 for part in parts):
        raise RowError("a series is a list of numbers, or a list of channels that each are one", column)
    return _checked(parts, column)


def _checked(parts: Sequence[npt.NDArray[np.float64]], column: str) -> Floats:
    length = max((len(part) for part in parts), default=0)
    found: Floats = np.full((len(parts), length), np.nan, np.float32)
    for place, part in enumerate(parts):
        wrong = np.flatnonzero(np.isinf(part) | (np.abs(part) > LARGEST))
        if len(wrong):
            raise RowError(f"the value {part[wrong[0]]:g} at step {wrong[0] + 1} is too large", column)
        found[place, : len(part)] = part
    if not np.isfinite(found).any():
        raise RowError("the series holds no value" if length else "the series is empty", column)
    return found


def series_of(row: Any, columns: Sequence[str], wide: bool) -> Floats:
    """A row's series, (channels, length): from columns of series, side by side, or from columns that each hold one step.

    Of columns with one step each the empty ones at the end are no steps: so a wide table holds series of unequal length.

    Raises:
        RowError: as `read_series`.
    """
    if not wide:
        found = [read_series(row.get(column), column) for column in columns]
        if len(found) == 1:
            return found[0]
        length = max(part.shape[1] for part in found)
        return np.concatenate([np.pad(part, ((0, 0), (0, length - part.shape[1])), constant_values=np.nan) for part in found])
    cells: list[float] = []
    for column in columns:
        cell = row.get(column)
        try:
            cells.append(np.nan if cell in (None, "") else float(cell))
        except (TypeError, ValueError) as error:
            raise RowError(f"{str(cell)[:60]!r} is no number", column) from error
    while cells and np.isnan(cells[-1]):
        cells.pop()
    if not cells:
        raise RowError(f"the series is missing: no value in {columns[0]} to {columns[-1]}", columns[0])
    return _checked([np.asarray(cells)], columns[0])


def steps_of(names: Sequence[str], beginnings: Collection[str] | None = None) -> list[str]:
    """Names of columns that are the steps of one series, in order: a common beginning and whole numbers that follow each other.

    Empty where there are fewer than LEAST_STEPS such columns.

    Args:
        names: of columns of numbers.
        beginnings: what names may begin with; None for anything. Columns such as V1 to V28 are as a rule features, not moments.

    Example:
        >>> steps_of(["id", "t2", "t1", *(f"t{i}" for i in range(3, 10))])[:3]
        ['t1', 't2', 't3']
    """
    found: dict[str, dict[int, str]] = {}
    for name in names:
        match = re.fullmatch(r"(\D*?)[ _.-]?(\d{1,9})", name.strip())
        if match and (beginnings is None or match[1].lower() in beginnings):
            found.setdefault(match[1].lower(), {})[int(match[2])] = name
    longest = max(found.values(), key=len, default={})
    numbers = sorted(longest)
    whole = len(numbers) >= LEAST_STEPS and numbers[-1] - numbers[0] == len(numbers) - 1
    return [longest[number] for number in numbers] if whole else []


def evenly(times: npt.NDArray[np.float64], values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], bool]:
    """Values at uneven moments on a grid of even steps, the median one: each at its nearest step, NaN where there is none.

    Nothing is made up between values; who reads the series decides what stands in for what is missing.

    Args:
        times: (n,) moments, ascending.
        values: (channels, n).

    Returns:
        (channels, steps), and whether the moments were uneven by more than a tenth of a step.

    Raises:
        RowError: the steps differ so much that the grid would have more than LONGEST_GAPS times as many.

    Example:
        >>> evenly(np.array([0.0, 1, 2, 5]), np.array([[1.0, 2, 3, 6]]))[0].tolist()
        [[1.0, 2.0, 3.0, nan, nan, 6.0]]
    """
    steps = np.diff(times)
    steps = steps[steps > 0]
    if not len(steps):
        return values, bool((np.diff(times) == 0).any())
    step = float(np.median(steps))
    if bool((np.abs(np.diff(times) - step) <= 0.1 * step).all()):
        return values, False
    place = np.rint((times - times[0]) / step)
    if place[-1] + 1 > LONGEST_GAPS * len(times):
        raise RowError(f"moments are too uneven: steps of {steps.min():g} to {steps.max():g}, of which the median is {step:g}")
    where = place.astype(np.int64)
    grid = np.full((len(values), where[-1] + 1), np.nan, np.float64)
    for channel, row in enumerate(values):  # several values at one step: their mean
        there = np.isfinite(row)
        count = np.bincount(where[there], minlength=grid.shape[1])
        total = np.bincount(where[there], row[there], minlength=grid.shape[1])
        grid[channel, count > 0] = total[count > 0] / count[count > 0]
    return grid.astype(values.dtype), True


def to_cell(values: npt.NDArray[np.floating], digits: int | None = None) -> str:
    """(channels, length) as the JSON that `read_series` reads; a plain list where there is one channel.

    Args:
        values: NaN where missing.
        digits: significant ones that are written; None for all that tell the number.

    Example:
        >>> to_cell(np.array([[1.0, np.nan, 0.25]])), to_cell(np.array([[1 / 3]]), 3)
        ('[1.0,null,0.25]', '[0.333]')
    """

    def shown(value: float) -> str:
        return "null" if math.isnan(value) else repr(value) if digits is None else f"{value:.{digits}g}"

    channels = [f"[{','.join(map(shown, row))}]" for row in values.tolist()]
    return channels[0] if len(channels) == 1 else f"[{','.join(channels)}]"
