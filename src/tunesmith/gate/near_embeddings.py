"""Rows of validation and test whose features are almost those of a training row: paraphrases, another cut of the same picture.

How similar strangers are depends on the backbone (for some, any two rows have a cosine of 0.9), so features are centred, and the threshold
comes from the data: a pair is near where its distance, on a logarithmic scale, lies far below the distances to the fifth neighbour, which
is rarely a copy. It is never less than a cosine of 0.98.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.core.neighbours import unit
from tunesmith.gate._pairs import drawn, nearest, remark

RANK = 5
SMALLEST = 1e-6
"""Distances below it are rounding."""


@final
@dataclass(frozen=True)
class NearEmbeddings(Inspection):
    """Validation and test rows whose features are almost those of a training row."""

    name: ClassVar[str] = "near_embeddings"
    similarity: float = field(default=0.98, metadata={"help": "least cosine of the centred features of two near rows"})
    spreads: float = field(default=4.0, metadata={"help": "how many spreads below the usual log distance to the fifth neighbour they lie"})
    share: float = field(default=0.01, metadata={"help": "share of near test rows from which the finding is a warning"})
    rows: int = field(default=5000, metadata={"help": "rows of a split that are looked at; beyond it they are drawn"})

    def applies(self, view: View) -> str | None:
        if view.features("train") is None:
            return "features of the backbone were not computed"
        return None if len(view.splits["train"]) >= 4 * RANK else f"there are fewer than {4 * RANK} training rows"

    def inspect(self, view: View) -> list[Finding]:
        places = drawn(view, self.rows)
        features = {}
        for split, chosen in places.items():
            if (values := view.features(split)) is not None:
                features[split] = np.asarray(values[chosen], np.float32)
        others = [split for split in ("test", "validation") if split in features]
        if not others:
            return []
        centre = features["train"].mean(axis=0)
        train = unit(features["train"] - centre)
        rows = np.concatenate([view.splits[split][places[split]] for split in others])
        split_of = np.concatenate([np.full(len(places[split]), split) for split in others])
        closest, similar, fifth = nearest(unit(np.concatenate([features[split] for split in others]) - centre), train, RANK)
        least = max(self.similarity, self._threshold(fifth))
        near = np.flatnonzero(similar >= least)
        if not len(near):
            return []
        near = near[np.argsort(-similar[near], kind="stable")]
        in_test = int((split_of[near] == "test").sum())
        return [
            Finding(
                name="near_embeddings",
                severity="warning" if in_test >= self.share * len(places.get("test", ())) else "info",
                count=len(near),
                of=len(rows),
                what=f"The backbone can hardly tell {in_test} test and {len(near) - in_test} validation row(s) from a training row "
                f"(cosine of centred features at least {least:.4f}, to the fifth neighbour usually {np.median(fifth):.2f})"
                f"{remark(view, places)}.",
                advice="Look at the pairs; what comes from one source belongs into one split (data.group).",
                examples=[
                    Example(
                        int(rows[i]), f"{split_of[i]} row, cosine {similar[i]:.4f}", int(view.splits["train"][places["train"][closest[i]]])
                    )
                    for i in near[:MOST_EXAMPLES]
                ],
            )
        ]

    def _threshold(self, fifth: np.ndarray) -> float:
        """Cosine from which a pair is far nearer than is usual."""
        distances = np.log(np.maximum(1 - fifth.astype(np.float64), SMALLEST))
        middle = np.median(distances)
        spread = 1.4826 * np.median(np.abs(distances - middle))  # of a normal distribution
        return float(1 - np.exp(middle - self.spreads * spread))
