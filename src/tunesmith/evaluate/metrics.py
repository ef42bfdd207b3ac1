"""Scores that are updated batch by batch and use memory that does not grow with the number of rows.

Counting scores come from a confusion matrix. The area under the ROC curve comes from a histogram of the scores on the logit scale
(bins of 5e-4), which equals the exact rank statistic but for ties made inside one bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Prediction, ScoreTable

Floats = npt.NDArray[np.float64]
BINS = 1 << 16
SPAN = 16.0  # the histogram covers logits from -SPAN to SPAN
CLASSIFICATION = {
    "macro_f1": "max",
    "accuracy": "max",
    "balanced_accuracy": "max",
    "weighted_f1": "max",
    "mcc": "max",
    "auroc": "max",
    "log_loss": "min",
}
MULTILABEL = {"micro_f1": "max", "macro_f1": "max", "subset_accuracy": "max", "auroc": "max", "hamming_loss": "min"}
REGRESSION = {"rmse": "min", "mae": "min", "r2": "max"}

MOST_CLASSES = 200  # beyond it the histograms would take more than 200 MB


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


class ScoreHistograms:
    """Counts of scores for positives and negatives of several classes.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((2, classes, BINS), np.int64)

    def update(self, probabilities: Floats, truth: npt.NDArray[np.bool_]) -> None:
        """Add (rows, classes) probabilities and whether each is a positive."""
        p = np.clip(probabilities, 1e-9, 1 - 1e-9)
        logits = np.log(p) - np.log1p(-p)
        bins = np.clip((logits + SPAN) / (2 * SPAN) * BINS, 0, BINS - 1).astype(np.int64)
        columns = np.broadcast_to(np.arange(p.shape[1]), p.shape)
        np.add.at(self.counts, (truth.astype(np.int64), columns, bins), 1)

    def auroc(self) -> list[float]:
        """Area under the ROC curve of each class."""
        negative, positive = self.counts.astype(np.float64)
        return [auroc_of_histograms(p, n) for p, n in zip(positive, negative, strict=True)]


def scores_of_confusion(matrix: npt.NDArray[Any]) -> dict[str, Any]:
    """Counting scores of a (truth, prediction) matrix; precision and recall of a class with nothing to divide by are 0.

    Returns:
        accuracy, balanced_accuracy (mean recall of the classes that occur), macro_f1 and weighted_f1 over the classes that occur
        in truth or prediction, as scikit-learn defines them, mcc (Gorodkin 2004).
    """
    m = matrix.astype(np.float64)
    hits, truth, predicted = np.diag(m), m.sum(axis=1), m.sum(axis=0)
    n = m.sum()
    f1 = np.divide(2 * hits, truth + predicted, out=np.zeros_like(hits), where=truth + predicted > 0)
    recall = np.divide(hits, truth, out=np.zeros_like(hits), where=truth > 0)
    occurs = truth + predicted > 0
    spread = np.sqrt((n**2 - (predicted**2).sum()) * (n**2 - (truth**2).sum()))
    return {
        "accuracy": float(hits.sum() / n),
        "balanced_accuracy": float(recall[truth > 0].mean()),
        "macro_f1": float(f1[occurs].mean()),
        "weighted_f1": float((f1 * truth).sum() / n),
        "mcc": float((hits.sum() * n - (truth * predicted).sum()) / spread) if spread > 0 else 0.0,
    }


PER_CLASS = ("precision", "recall", "f1", "support")


def per_class(hits: Floats, said: Floats, true: Floats) -> list[list[float]]:
    """Precision, recall, F1 and support of each class; 0 where there is nothing to divide by.

    Args:
        hits: (classes,) right predictions.
        said: (classes,) predictions.
        true: (classes,) occurrences.
    """

    def ratio(top: Floats, bottom: Floats) -> Floats:
        return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)

    return np.stack([ratio(hits, said), ratio(hits, true), ratio(2 * hits, said + true), true], axis=1).tolist()  # type: ignore[no-any-return]


class ClassificationScores:
    """Scores of one class out of several.

    Args:
        labels: names of the classes; targets are their positions. With two, the second is the positive one.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.position = {label: i for i, label in enumerate(labels)}
        self.confusion = np.zeros((len(labels), len(labels)), np.int64)
        self.histograms = ScoreHistograms(len(labels)) if len(labels) <= MOST_CLASSES else None
        self.log_loss: float | None = 0.0

    def update(self, predictions: Sequence[Prediction], targets: Sequence[int]) -> None:
        """Add predictions (`label`, `probabilities`) and the true class numbers."""
        if not predictions:
            return
        truth = np.asarray(targets, np.int64)
        np.add.at(self.confusion, (truth, np.asarray([self.position[p["label"]] for p in predictions])), 1)
        if "probabilities" not in predictions[0]:
            self.histograms = self.log_loss = None
            return
        p = np.asarray([[item["probabilities"][label] for label in self.labels] for item in predictions])  # (rows, classes)
        if self.log_loss is not None:
            self.log_loss -= float(np.log(np.clip(p[np.arange(len(truth)), truth], 1e-15, 1)).sum())
        if self.histograms is not None:
            self.histograms.update(p, truth[:, None] == np.arange(p.shape[1]))

    def compute(self) -> dict[str, Any]:
        rows = int(self.confusion.sum())
        scores = scores_of_confusion(self.confusion)
        if self.log_loss is not None:
            scores["log_loss"] = self.log_loss / rows
        if self.histograms is not None:
            areas = [area for area in self.histograms.auroc() if not np.isnan(area)]
            scores["auroc"] = areas[-1] if len(self.labels) == 2 and areas else float(np.mean(areas)) if areas else float("nan")
        return {**scores, "rows": rows}

    def tables(self) -> list[ScoreTable]:
        matrix = self.confusion.astype(np.float64)
        hits, truth, said = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
        return [
            ScoreTable("classification_report", self.labels, list(PER_CLASS), per_class(hits, said, truth)),
            ScoreTable("confusion_matrix", self.labels, self.labels, matrix.tolist(), matrix=True),
        ]


class MultilabelScores:
    """Scores of several labels at once.

    Args:
        labels: names of the labels; targets are lists of 0 and 1 in their order.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.hits = np.zeros((3, len(labels)), np.int64)  # true positives, predicted, true
        self.exact = 0
        self.wrong = 0
        self.rows = 0
        self.histograms = ScoreHistograms(len(labels)) if len(labels) <= MOST_CLASSES else None

    def update(self, predictions: Sequence[Prediction], targets: Sequence[Sequence[int]]) -> None:
        """Add predictions (`labels`, `probabilities`) and the true 0/1 lists."""
        if not predictions:
            return
        truth = np.asarray(targets, bool)
        said = np.asarray([[label in item["labels"] for label in self.labels] for item in predictions], bool)
        self.hits += np.stack([(said & truth).sum(0), said.sum(0), truth.sum(0)])
        self.exact += int((said == truth).all(axis=1).sum())
        self.wrong += int((said != truth).sum())
        self.rows += len(truth)
        if "probabilities" not in predictions[0]:
            self.histograms = None
        elif self.histograms is not None:
            self.histograms.update(np.asarray([[item["probabilities"][label] for label in self.labels] for item in predictions]), truth)

    def compute(self) -> dict[str, Any]:
        hits, said, true = self.hits.astype(np.float64)
        f1 = np.divide(2 * hits, said + true, out=np.zeros_like(hits), where=said + true > 0)
        scores: dict[str, Any] = {
            "micro_f1": float(2 * hits.sum() / max(1.0, said.sum() + true.sum())),
            "macro_f1": float(f1.mean()),
            "subset_accuracy": self.exact / self.rows,
            "hamming_loss": self.wrong / (self.rows * len(self.labels)),
        }
        if self.histograms is not None:
            areas = [area for area in self.histograms.auroc() if not np.isnan(area)]
            scores["auroc"] = float(np.mean(areas)) if areas else float("nan")
        return {**scores, "rows": self.rows}

    def tables(self) -> list[ScoreTable]:
        hits, said, true = self.hits.astype(np.float64)
        return [ScoreTable("classification_report", self.labels, list(PER_CLASS), per_class(hits, said, true))]


class RegressionScores:
    """Scores of a number; mean and spread of the targets are merged as Chan et al. (1979) do, so that large numbers keep their digits."""

    def __init__(self) -> None:
        self.rows = 0
        self.squared = 0.0
        self.absolute = 0.0
        self.mean = 0.0
        self.spread = 0.0  # sum of squares around the mean

    def update(self, predictions: Sequence[Prediction], targets: Sequence[float]) -> None:
        """Add predictions (`value`) and the true numbers."""
        if not predictions:
            return
        truth = np.asarray(targets, np.float64)
        error = np.asarray([item["value"] for item in predictions]) - truth
        self.squared += float(np.square(error).sum())
        self.absolute += float(np.abs(error).sum())
        mean, rows = float(truth.mean()), self.rows + len(truth)
        apart = mean - self.mean
        self.spread += float(np.square(truth - mean).sum()) + apart**2 * self.rows * len(truth) / rows
        self.mean += apart * len(truth) / rows
        self.rows = rows

    def compute(self) -> dict[str, Any]:
        return {
            "rmse": float(np.sqrt(self.squared / self.rows)),
            "mae": self.absolute / self.rows,
            "r2": 1 - self.squared / self.spread if self.spread > 0 else float("nan"),
            "rows": self.rows,
        }

    def tables(self) -> list[ScoreTable]:
        return []
