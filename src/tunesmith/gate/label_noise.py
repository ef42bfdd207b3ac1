"""Labels that may be wrong: what a plain linear model, which did not see the row, firmly contradicts.

Classes: confident learning (Northcutt, Jiang and Chuang 2021, by cleanlab) on out-of-fold probabilities, of which only those candidates are
kept whose given label is nearly ruled out: of 4,000 rows of AG News with 3% of labels changed, that names 77% of them, and 48% of what it
names was changed; without the second condition 86% and 29%. Numbers: residuals far beyond the usual ones, by their median and median
absolute deviation. A model that does not understand the data contradicts at random, so nothing is said below an accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require
from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.core.threads import one_thread
from tunesmith.gate._pairs import drawn, remark
from tunesmith.gate._vectors import FOLDS, Vectors, has_vectors, numbers_out_of_fold, said_out_of_fold, vectors

ROWS_TIMES_CLASSES = 100_000
"""What a fit in all folds may cost: with more than 20 classes fewer rows are drawn."""
FEWEST = 50


@dataclass(frozen=True, eq=False)
class _Looked:
    """Rows of all splits, one split after another."""

    numbers: npt.NDArray[np.int64]
    targets: npt.NDArray[Any]
    split: npt.NDArray[np.str_]
    rows: Vectors
    note: str


@final
@dataclass(frozen=True)
class LabelNoise(Inspection):
    """Labels that a linear model on features or words firmly contradicts."""

    name: ClassVar[str] = "label_noise"
    answers: ClassVar[tuple[str, ...]] = ("classes", "labels", "numbers")
    ruled_out: float = field(default=0.1, metadata={"help": "probability of the given label below which it is a candidate"})
    accuracy: float = field(default=0.6, metadata={"help": "least accuracy of the linear model for its word to count"})
    share: float = field(default=0.03, metadata={"help": "share of candidates from which it is a warning"})
    spreads: float = field(default=6.0, metadata={"help": "how many robust spreads from its prediction a number is an outlier"})
    rows: int = field(default=5000, metadata={"help": "rows of all splits together that are looked at; beyond it they are drawn"})

    def applies(self, view: View) -> str | None:
        if view.targets["train"].ndim > 1:
            return "rows have several labels"
        if len(view.classes) > ROWS_TIMES_CLASSES // (2 * FEWEST):
            return f"there are {len(view.classes):,} classes"
        return None if has_vectors(view) else "there are neither features of the backbone nor texts"

    def inspect(self, view: View) -> list[Finding]:
        looked = self._looked(view)
        if len(looked.numbers) < FEWEST:
            return []
        return self._classes(view, looked) if len(view.classes) else self._numbers(view, looked)

    def _looked(self, view: View) -> _Looked:
        places = drawn(view, self.rows, min(self.rows, ROWS_TIMES_CLASSES // max(1, len(view.classes))))
        return _Looked(
            np.concatenate([view.splits[split][chosen] for split, chosen in places.items()]),
            np.concatenate([view.targets[split][chosen] for split, chosen in places.items()]),
            np.concatenate([np.full(len(chosen), split) for split, chosen in places.items()]),
            vectors(view, places),
            remark(view, places),
        )

    def _classes(self, view: View, looked: _Looked) -> list[Finding]:
        counts = np.bincount(looked.targets, minlength=len(view.classes))
        kept = np.flatnonzero(counts >= FOLDS)  # each fold needs one of each
        use = np.flatnonzero(np.isin(looked.targets, kept))
        if len(kept) < 2:
            return []
        given = np.searchsorted(kept, looked.targets[use])
        rows = Vectors(looked.rows.matrix[use], looked.rows.of, looked.rows.strength)
        said, _ = said_out_of_fold(rows, given, view.seed)
        right = float((said.argmax(axis=1) == given).mean())
        if right < self.accuracy:
            return []
        filters, ranks = require("cleanlab.filter", "looking for wrong labels"), require("cleanlab.rank", "looking for wrong labels")
        with one_thread():
            candidates = filters.find_label_issues(given, said, n_jobs=1) & (said[np.arange(len(given)), given] < self.ruled_out)
        quality = ranks.get_label_quality_scores(given, said, method="self_confidence")
        worst = np.flatnonzero(candidates)[np.argsort(quality[candidates], kind="stable")]
        worst = worst[said[worst].max(axis=1) > 0.5]  # sure of another label, not merely of none
        if not len(worst):
            return []
        tests = int((looked.split[use][worst] == "test").sum())
        share = len(worst) / len(use)
        return [
            Finding(
                name="label_noise",
                severity="warning" if share >= self.share else "info",
                count=len(worst),
                of=len(use),
                what=f"{len(worst):,} of {len(use):,} labels ({share:.1%}; {tests} of them in test) may be wrong: a linear model on "
                f"{looked.rows.of}, right for {right:.0%} of the rows it did not see, nearly rules them out{looked.note}.",
                advice="Look at these rows; where labels are wrong, mend the file. Nothing is left out by itself: hard rows look alike.",
                examples=[
                    Example(
                        int(looked.numbers[use[i]]),
                        f"labelled '{view.classes[kept[given[i]]]}', more likely '{view.classes[kept[said[i].argmax()]]}' "
                        f"({said[i].max():.0%})",
                    )
                    for i in worst[:MOST_EXAMPLES]
                ],
            )
        ]

    def _numbers(self, view: View, looked: _Looked) -> list[Finding]:
        truth = looked.targets.astype(np.float64)
        said = numbers_out_of_fold(looked.rows, truth, view.seed)
        residuals = truth - said
        residuals -= np.median(residuals)
        spread = 1.4826 * float(np.median(np.abs(residuals)))  # of a normal distribution
        if spread <= 1e-9 * float(np.abs(truth).max()):
            return []
        size = np.abs(residuals) / spread
        worst = np.argsort(-size, kind="stable")[: int((size > self.spreads).sum())]
        if not len(worst):
            return []
        tests = int((looked.split[worst] == "test").sum())
        share = len(worst) / len(truth)
        return [
            Finding(
                name="target_outliers",
                severity="warning" if share >= self.share else "info",
                count=len(worst),
                of=len(truth),
                what=f"{len(worst):,} of {len(truth):,} numbers ({share:.1%}; {tests} of them in test) lie more than {self.spreads:g} "
                f"robust spreads from what a linear model on {looked.rows.of} says{looked.note}.",
                advice="Look at these rows: slips of units or decimal points look so. If such values are right, a robust loss suits them.",
                examples=[Example(int(looked.numbers[i]), f"{truth[i]:g}, expected about {said[i]:.4g}") for i in worst[:MOST_EXAMPLES]],
            )
        ]
