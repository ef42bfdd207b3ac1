"""The training series that is nearest decides: the yardstick of the UCR archive (Dau et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._kinds import drawn, picked
from tunesmith.baselines._series import MOST_STEPS, columns_of, gridded, read
from tunesmith.core.arrays import Floats
from tunesmith.core.errors import DataError
from tunesmith.core.outcomes import Baseline, Given, Said
from tunesmith.core.threads import one_thread

MOST_ROWS = 5_000
PART = 256
"""Rows that are compared at once."""


@final
@dataclass(frozen=True)
class NearestSeries(Baseline):
    """The class, labels or number of the nearest training series (Euclidean distance of the values as they stand)."""

    name: ClassVar[str] = "nearest_series"

    def fits(self, given: Given) -> str | None:
        return None if columns_of(given.inputs)[0] else "there are no series"

    def said(self, given: Given) -> Said:
        places, note = drawn(given, MOST_ROWS)
        series = list(read(picked(given.rows("train"), places), given.inputs))
        channels = len(series[0])
        if any(len(one) != channels for one in series):
            raise DataError("series differ in their channels")
        steps = min(MOST_STEPS, max(2, int(np.median([one.shape[1] for one in series]))))
        known = np.stack([gridded(one, steps) for one in series])
        truth = given.truth["train"][places]
        if given.answers == "classes":
            prior = np.bincount(truth, minlength=given.classes) / len(truth)
            answers = (np.eye(given.classes)[truth] + prior) / 2  # the shares of the training rows have the other vote
        else:
            answers = truth.reshape(len(truth), -1)
        test, validation = (answers[self._nearest(given, split, known, steps)].astype(np.float32) for split in ("test", "validation"))
        unequal = "" if len({one.shape[1] for one in series}) == 1 else f"series of unequal length stretched to {steps} steps"
        remark = "; ".join(part for part in (unequal, note) if part)
        return Said(test, validation, known.size, remark)

    def _nearest(self, given: Given, split: str, known: Floats, steps: int) -> npt.NDArray[np.int64]:
        """(rows,) places of the nearest training series."""
        found = [np.empty(0, np.int64)]
        center = known.mean(axis=0)  # distances stay as they are, and squares keep their digits
        about = (known - center).astype(np.float64)
        squares = np.square(about).sum(axis=1)
        part: list[Floats] = []

        def compare() -> None:
            x = (np.stack(part) - center).astype(np.float64)
            with one_thread():
                found.append(np.argmin(squares - 2 * x @ about.T, axis=1))
            part.clear()

        for values in read(given.rows(split), given.inputs):
            part.append(gridded(values, steps))
            if len(part) == PART:
                compare()
        if part:
            compare()
        return np.concatenate(found)
