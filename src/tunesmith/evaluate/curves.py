"""Areas under curves from counts of scores in bins, so that they can be streamed.

Probabilities are counted on the logit scale in bins of 7.3e-4: scores that differ by less are tied. Areas then differ from those of the
exact scores by what these ties make: for some hundred rows or more less than 1e-4 under the ROC curve, and less than 5e-4 in average
precision. The same bins serve `evaluate/ranks.py`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BINS = 1 << 16
SPAN = 24.0  # bins cover logits from -SPAN to SPAN
MOST_CLASSES = 200  # beyond it the histograms would take more than 200 MB


def bins_of(probabilities: Floats) -> npt.NDArray[np.int64]:
    """The bin of each probability, 0 to BINS - 1."""
    p = np.clip(probabilities, 1e-10, 1 - 1e-10)
    logits = np.log(p) - np.log1p(-p)
    return np.clip((logits + SPAN) / (2 * SPAN) * BINS, 0, BINS - 1).astype(np.int64)


def auroc_of_histograms(positive: Floats, negative: Floats) -> float:
    """Area under the ROC curve from counts per score bin, ties counted half; NaN without both kinds.

    Example:
        >>> auroc_of_histograms(np.array([0.0, 1, 1]), np.array([1.0, 1, 0]))
        0.875
    """
    pairs = positive.sum() * negative.sum()
    if pairs == 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs)


def average_precision_of_histograms(positive: Floats, negative: Floats) -> float:
    """Average precision (the area under the precision-recall curve by steps) from counts per score bin; NaN without both kinds.

    Example:
        >>> average_precision_of_histograms(np.array([0.0, 1, 1]), np.array([1.0, 1, 0]))
        0.8333333333333333
    """
    if positive.sum() * negative.sum() == 0:
        return float("nan")
    hits = np.cumsum(positive[::-1])[::-1]
    said = hits + np.cumsum(negative[::-1])[::-1]
    held = positive > 0
    return float((positive[held] * hits[held] / said[held]).sum() / positive.sum())


class ScoreHistograms:
    """Counts of scores for positives and negatives of several classes.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((2, classes, BINS), np.int64)

    def update(self, probabilities: Floats, truth: npt.NDArray[np.bool_]) -> None:
        """Add (rows, classes) probabilities and whether each is a positive."""
        bins = bins_of(probabilities)
        columns = np.broadcast_to(np.arange(bins.shape[1]), bins.shape)
        np.add.at(self.counts, (truth.astype(np.int64), columns, bins), 1)

    def areas(self) -> tuple[Floats, Floats]:
        """Area under the ROC curve and average precision of each class, NaN where one is not defined."""
        pairs = [(p.astype(np.float64), n.astype(np.float64)) for n, p in zip(*self.counts, strict=True)]
        roc = np.asarray([auroc_of_histograms(p, n) for p, n in pairs])
        return roc, np.asarray([average_precision_of_histograms(p, n) for p, n in pairs])

    def micro_average_precision(self) -> float:
        """Average precision of all classes' scores taken together."""
        negative, positive = self.counts.sum(axis=1).astype(np.float64)
        return average_precision_of_histograms(positive, negative)


def macro(areas: Floats) -> Floats:
    """Mean of (..., classes) areas over the classes that have one; NaN where none has.

    Example:
        >>> macro(np.array([0.5, np.nan, 0.75])).item()
        0.625
    """
    known = np.isfinite(areas)
    total, count = np.where(known, areas, 0.0).sum(-1), known.sum(-1)
    return np.asarray(np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0))
