"""What can be said without looking at a row: how often each class occurs, or the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from tunesmith.core.outcomes import Baseline, Given, Said


@final
@dataclass(frozen=True)
class Constant(Baseline):
    """The same for every row: shares of the classes or labels in the training rows, the mean of numbers."""

    name: ClassVar[str] = "constant"

    def fits(self, given: Given) -> str | None:
        return None

    def said(self, given: Given) -> Said:
        truth = given.truth["train"]
        if given.answers == "classes":
            shares = np.bincount(truth, minlength=given.classes) / len(truth)
        else:
            shares = np.atleast_1d(truth.mean(axis=0, dtype=np.float64))
        row = shares.astype(np.float32)[None]  # (1, outputs)
        return Said(
            row.repeat(sum(1 for _ in given.rows("test")), axis=0), row.repeat(len(given.truth.get("validation", ())), axis=0), shares.size
        )
