"""Areas under curves for many weightings of the same rows: the order of the scores is worked out once.

The bins are those of `evaluate/curves.py`, so that weights of 1 give what its histograms give.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require
from tunesmith.evaluate.counts import ratio
from tunesmith.evaluate.curves import bins_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
MOST_RANKED = 20_000_000
"""Rows times classes beyond which areas under curves are left out: their order alone would take more than half a gigabyte."""


def matrix(rows: Ints, columns: Ints, shape: tuple[int, int]) -> Any:
    """A sparse matrix of ones at these places."""
    sparse = require("scipy.sparse", "intervals of the scores")
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)


class Ranks:
    """Areas under curves of several sets of scores, each over the same rows, for many weightings at once.

    For each set the distinct scores of its positives, from the highest, cut the order into places: above the first, at it, between
    it and the next, and so on. How much weight stands in each place, of positives and of negatives, decides both areas.

    Args:
        scores: (entries,) bins of the scores.
        positive: (entries,) whether each belongs to a positive.
        row: (entries,) the row that weighs it.
        member: (entries,) the set it belongs to.
        sets: how many there are.
        rows: how many rows there are.
    """

    def __init__(self, scores: Ints, positive: Bools, row: Ints, member: Ints, sets: int, rows: int) -> None:
        place = np.zeros(len(scores), np.int64)
        self.ends = [0]
        for i in range(sets):
            mine = np.flatnonzero(member == i) if sets > 1 else np.arange(len(scores))
            own = scores[mine]
            marks = np.unique(own[positive[mine]])  # ascending
            below = np.searchsorted(marks, own)
            at = marks[np.minimum(below, max(0, len(marks) - 1))] == own if len(marks) else np.zeros(len(own), bool)
            place[mine] = 2 * self.ends[-1] + i + 2 * (len(marks) - below) - at  # 2 j + 1 at the j-th mark, 2 j above it, 2 T below all
            self.ends.append(self.ends[-1] + len(marks))
        marks_before = np.asarray(self.ends[:-1], np.int64)[member]
        hits = (place - 2 * marks_before - member - 1) // 2 + marks_before
        self.positives = matrix(hits[positive], row[positive], (self.ends[-1], rows))
        self.negatives = matrix(place[~positive], row[~positive], (2 * self.ends[-1] + sets, rows))

    def areas(self, weights: Floats) -> tuple[Floats, Floats]:
        """Area under the ROC curve and average precision, each (replicates, sets); NaN where a set lacks one kind.

        Args:
            weights: (rows, replicates).
        """
        positives, negatives = self.positives @ weights, self.negatives @ weights
        roc = np.full((weights.shape[1], len(self.ends) - 1), np.nan)
        precision = roc.copy()
        for i, (start, stop) in enumerate(zip(self.ends[:-1], self.ends[1:], strict=True)):
            held = positives[start:stop]  # (marks, replicates)
            above = np.cumsum(negatives[2 * start + i : 2 * stop + i + 1], axis=0)
            wrong, tied = above[1::2], above[1::2] - above[:-1:2]  # negatives at a mark or above it, and at it
            all_held, all_wrong = held.sum(axis=0), above[-1]
            both = (all_held > 0) & (all_wrong > 0)
            hits = np.cumsum(held, axis=0)
            pairs = (held * (all_wrong - wrong + tied / 2)).sum(axis=0)
            roc[both, i] = pairs[both] / (all_held * all_wrong)[both]
            precision[both, i] = (held * ratio(hits, hits + wrong)).sum(axis=0)[both] / all_held[both]
        return roc, precision


def of_sets(p: Floats, truth: Bools) -> Ranks:
    """Of (rows, sets) probabilities."""
    rows, sets = p.shape
    member, row = np.repeat(np.arange(sets), rows), np.tile(np.arange(rows), sets)
    return Ranks(bins_of(p).T.ravel(), truth.T.ravel(), row, member, sets, rows)
