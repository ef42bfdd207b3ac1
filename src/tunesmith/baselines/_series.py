"""Series of a data set as baselines read them: which columns they are, and rows as numbers of one length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Floats
from tunesmith.core.contracts import Row
from tunesmith.core.series import series_of, steps_of

MOST_STEPS = 512


def columns_of(inputs: Mapping[str, str]) -> tuple[list[str], bool]:
    """Columns that hold series, and whether each of them is one step; none where there are no series."""
    columns = [column for column, kind in inputs.items() if kind == "series"]
    if columns:
        return columns, False
    return steps_of([column for column, kind in inputs.items() if kind == "number"]), True


def read(rows: Iterator[Row], inputs: Mapping[str, str]) -> Iterator[Floats]:
    """Each row's series, (channels, steps)."""
    columns, wide = columns_of(inputs)
    for row in rows:
        yield series_of(row, columns, wide)


def gridded(values: Floats, steps: int) -> Floats:
    """A series as (channels * steps,) numbers: missing ones on the line between their neighbours, time stretched to `steps`."""
    places = np.linspace(0, values.shape[1] - 1, steps)
    result: npt.NDArray[np.float32] = np.zeros((len(values), steps), np.float32)
    for channel, found in zip(values, result, strict=True):
        there = np.flatnonzero(np.isfinite(channel))
        if len(there):
            found[:] = np.interp(places, there, channel[there])
    return result.ravel()
