"""The most similar training rows, by features of the backbone as it came, decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._kinds import drawn, quality, validated
from tunesmith.core.arrays import Floats
from tunesmith.core.neighbours import nearest, votes
from tunesmith.core.outcomes import Baseline, Given, Said

if TYPE_CHECKING:
    from tunesmith.core.outcomes import Truth

MOST_ROWS = 20_000
"""Training rows that are searched."""
PRIOR = 1.0
"""So many votes are given by the shares of the training rows, which keeps probabilities from 0 and 1 and decides between equal votes."""


@final
@dataclass(frozen=True)
class Neighbours(Baseline):
    """Vote of the nearest training rows (cosine) on frozen features; their mean for numbers."""

    name: ClassVar[str] = "knn"
    neighbours: tuple[int, ...] = field(default=(1, 5, 10, 20), metadata={"help": "how many vote; validation chooses from these"})

    def __post_init__(self) -> None:
        if not self.neighbours or min(self.neighbours) < 1:
            raise ValueError("field 'neighbours' must hold numbers of at least 1")

    def fits(self, given: Given) -> str | None:
        return "the backbone's features were not computed" if given.features("train") is None else None

    def said(self, given: Given) -> Said:
        places, note = drawn(given, MOST_ROWS)
        features, truth = given.features("train"), given.truth["train"][places]
        assert features is not None
        known = np.asarray(features[places])
        ladder = sorted({min(k, len(places)) for k in self.neighbours})
        voters, remark = ladder[len(ladder) // 2], ""
        validation = np.empty((0, given.classes or 1), np.float32)
        if validated(given):
            near = _near(given, known, "validation", ladder[-1])
            offered = {k: _voted(truth, near[:, :k], given) for k in ladder}
            voters = max(ladder, key=lambda k: quality(offered[k], given.truth["validation"], given.answers))
            validation, remark = offered[voters], ", chosen on validation"
        test = _voted(truth, _near(given, known, "test", voters), given)
        return Said(test, validation, known.size, "; ".join(part for part in (f"k = {voters}{remark}", note) if part))


def _near(given: Given, known: Floats, split: str, k: int) -> npt.NDArray[np.int64]:
    x = given.features(split)
    assert x is not None
    return nearest(known, x, k)


def _voted(truth: Truth, near: npt.NDArray[np.int64], given: Given) -> Floats:
    """(rows, outputs) predictions from the places of each row's neighbours, (rows, k)."""
    k = near.shape[1]
    if given.answers == "classes":
        counts: npt.NDArray[Any] = votes(truth, near, given.classes)
        prior = np.bincount(truth, minlength=given.classes) / len(truth)
    else:
        values = truth.reshape(len(truth), -1).astype(np.float64)  # (n, labels), or (n, 1)
        counts = np.zeros((len(near), values.shape[1]))
        for column in near.T:
            counts += values[column]
        prior = values.mean(axis=0)
    smooth = 0.0 if given.answers == "numbers" else PRIOR
    said: Floats = ((counts + smooth * prior) / (k + smooth)).astype(np.float32)
    return said
