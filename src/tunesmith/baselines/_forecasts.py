"""Windows of series as arrays, and quantiles around a forecast by what it was off in the training windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Row
from tunesmith.core.outcomes import Given, Said
from tunesmith.core.windows import SERIES

Doubles = npt.NDArray[np.float64]
PIECE = 256
MOST_TRAIN = 1000
"""Training windows by which errors are measured, evenly drawn."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Contexts of some rows.

    Attributes:
        context: (rows, steps, columns) of the targets, without gaps: what is missing is what was known last.
        series: (rows,) names.
    """

    context: Doubles
    series: Sequence[str]


Method = Callable[[Windows], Doubles]
"""Contexts -> (rows, horizon, columns) forecasts."""


def filled(context: Doubles) -> Doubles:
    """What is missing replaced by what was known last before it, or first after it; (rows, steps, columns).

    Example:
        >>> filled(np.array([[[np.nan], [1.0], [np.nan]]]))[0, :, 0].tolist()
        [1.0, 1.0, 1.0]
    """
    steps = np.arange(context.shape[1])[None, :, None]
    known = np.isfinite(context)
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=1)
    first = np.argmax(known, axis=1)[:, None, :]
    found: Doubles = np.take_along_axis(context, np.where(last >= 0, last, first), axis=1)
    return found


def pieces(rows: Iterator[Row], targets: Sequence[str]) -> Iterator[Windows]:
    """Rows as arrays, some at a time."""
    while part := list(islice(rows, PIECE)):
        stacked = np.asarray([[np.asarray(row[name], np.float64) for name in targets] for row in part])
        yield Windows(filled(stacked.transpose(0, 2, 1)), [str(row[SERIES]) for row in part])


def levels_of(given: Given) -> tuple[float, ...]:
    """Of the quantiles that are wanted; empty where none are."""
    return tuple(given.task["quantiles"]) if given.task["loss_name"] == "quantile" else ()


def said(given: Given, method: Method, learned: int, note: str) -> Said:
    """What a method says of test and validation windows, with quantiles of its errors in the training windows around it.

    Errors are measured in steps of each window's own size (the mean change from step to step in its context), by step and column.

    Args:
        given: the windows.
        method: makes forecasts of contexts.
        learned: how many numbers it learned.
        note: what a reader should know.
    """
    targets, levels = list(given.task["label"]), levels_of(given)
    around = _errors(given, method, targets, levels) if levels else np.zeros((1, 1, 1))

    def of(split: str) -> npt.NDArray[np.float32]:
        found = [
            method(part)[..., None] + (_size(part)[:, None, :, None] * around if levels else 0)
            for part in pieces(given.rows(split), targets)
        ]
        return (
            np.concatenate(found).astype(np.float32)
            if found
            else np.empty((0, given.task["horizon"], len(targets), len(levels)), np.float32)
        )

    return Said(of("test"), of("validation"), learned + around.size * bool(levels), note)


def _size(windows: Windows) -> Doubles:
    """(rows, columns) mean change from step to step; 1 where nothing changes."""
    change = np.abs(np.diff(windows.context, axis=1)).mean(axis=1) if windows.context.shape[1] > 1 else np.zeros((len(windows.context), 1))
    return np.where(change > 0, change, 1.0)


def _errors(given: Given, method: Method, targets: Sequence[str], levels: Sequence[float]) -> Doubles:
    """(horizon, columns, levels) quantiles of what came minus what was forecast, in sizes of the window; the middle one is 0."""
    truth: Any = given.truth["train"]
    stride = max(1, -(-len(truth) // MOST_TRAIN))
    rows = (row for place, row in enumerate(given.rows("train")) if place % stride == 0)
    true, found, start = truth[::stride, :-1], [], 0
    for part in pieces(rows, targets):
        stop = start + len(part.series)
        found.append((true[start:stop] - method(part)) / _size(part)[:, None])
        start = stop
    errors = np.concatenate(found)
    errors = np.where(np.isfinite(errors), errors, np.nan)
    empty = np.isnan(errors).all(axis=0)
    errors[:, empty] = 0.0
    quantiles: Doubles = np.moveaxis(np.nanquantile(errors, levels, axis=0), 0, -1)
    return quantiles - quantiles[..., [list(levels).index(0.5)]]
