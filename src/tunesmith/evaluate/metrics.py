"""Scores that are updated batch by batch and use memory that does not grow with the number of rows (but for the eight bytes a row from
which a median is taken).

Counting scores are made by `evaluate/counts.py`, areas under curves by `evaluate/curves.py`. A score that cannot be computed (an area
where the split holds one class only) is left out of `compute`, never NaN, and `notes` says why.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Prediction, ScoreTable
from tunesmith.evaluate.counts import PER_CLASS, of_classes, of_labels, ratio, report
from tunesmith.evaluate.curves import MOST_CLASSES, ScoreHistograms, macro

Floats = npt.NDArray[np.float64]
CLASSIFICATION = {
    "macro_f1": "max",
    "accuracy": "max",
    "balanced_accuracy": "max",
    "macro_precision": "max",
    "macro_recall": "max",
    "weighted_precision": "max",
    "weighted_f1": "max",
    "mcc": "max",
    "auroc": "max",
    "average_precision": "max",
    "log_loss": "min",
    "brier": "min",
}
MULTILABEL = {
    "micro_f1": "max",
    "macro_f1": "max",
    "subset_accuracy": "max",
    "micro_precision": "max",
    "micro_recall": "max",
    "macro_precision": "max",
    "macro_recall": "max",
    "weighted_f1": "max",
    "samples_f1": "max",
    "auroc": "max",
    "average_precision": "max",
    "micro_average_precision": "max",
    "hamming_loss": "min",
    "log_loss": "min",
    "brier": "min",
}
REGRESSION = {"rmse": "min", "mae": "min", "r2": "max", "median_absolute_error": "min"}
LOG_REGRESSION = {"rmse_log": "min", "r2_log": "max"}
"""Scores of logarithms, where a task learns those."""

ONE_KIND = "the rows hold no class of which there are both rows that have it and rows that have not"
TOO_MANY = f"there are more than {MOST_CLASSES} classes"
NO_PROBABILITIES = "the predictions are labels without probabilities"


def tops(classes: int) -> tuple[int, ...]:
    """The k for which it is worth counting how often the truth is among the k most probable classes.

    Example:
        >>> tops(2), tops(4), tops(77)
        ((), (2,), (3, 5))
    """
    return () if classes < 3 else (2,) if classes < 6 else (3, 5)


def class_parts(p: Floats, truth: npt.NDArray[np.int64]) -> dict[str, Floats]:
    """What each row adds to the scores of classes that are means over rows, each (rows,).

    `log_loss` takes a probability below 1e-15 for that; `brier` is (p - y)^2 of the positive class with two classes, and the sum over
    all classes with more, as scikit-learn's `brier_score_loss` has it. In `top_k_accuracy` a class that ties with the truth is behind it.

    Args:
        p: (rows, classes) probabilities.
        truth: (rows,) class numbers.
    """
    true = p[np.arange(len(p)), truth]
    squared = np.square(p).sum(axis=1) - 2 * true + 1
    parts = {"log_loss": -np.log(np.clip(true, 1e-15, 1)), "brier": squared / 2 if p.shape[1] == 2 else squared}
    above = (p > true[:, None]).sum(axis=1)
    return {**parts, **{f"top_{k}_accuracy": (above < k).astype(np.float64) for k in tops(p.shape[1])}}


def label_parts(said: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], p: Floats | None) -> dict[str, Floats]:
    """What each row adds to the scores of labels that are means over rows, each (rows,).

    `log_loss` and `brier` are means over the labels.

    Args:
        said, truth: (rows, labels).
        p: (rows, labels) probabilities, or None.
    """
    hits = (said & truth).sum(axis=1).astype(np.float64)
    parts = {
        "subset_accuracy": (said == truth).all(axis=1).astype(np.float64),
        "hamming_loss": (said != truth).mean(axis=1),
        "samples_f1": ratio(2 * hits, (said.sum(axis=1) + truth.sum(axis=1)).astype(np.float64)),
    }
    if p is not None:
        true = np.where(truth, p, 1 - p)
        parts |= {"log_loss": -np.log(np.clip(true, 1e-15, 1)).mean(axis=1), "brier": np.square(1 - true).mean(axis=1)}
    return parts


def interval_parts(truth: Floats, low: Floats, high: Floats) -> dict[str, Floats]:
    """Whether each (rows,) interval holds the truth, and how wide it is."""
    return {"interval_coverage": ((low <= truth) & (truth <= high)).astype(np.float64), "interval_width": high - low}


def around(values: Floats, margin: float, log: bool) -> tuple[Floats, Floats]:
    """Both ends of the intervals around (rows,) values: so much below and above, or with `log` so much of their logarithms.

    Example:
        >>> around(np.array([8.0]), 0.5, log=False)
        (array([7.5]), array([8.5]))
        >>> [float(end.round(6)[0]) for end in around(np.array([8.0]), float(np.log(2)), log=True)]
        [4.0, 16.0]
    """
    return (values * np.exp(-margin), values * np.exp(margin)) if log else (values - margin, values + margin)


def defined(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores that are numbers, as plain floats."""
    return {name: float(value) for name, value in scores.items() if np.isfinite(value)}


def _absent(names: Iterable[str], scores: Mapping[str, Any], probable: bool, histograms: ScoreHistograms | None) -> dict[str, str]:
    why = NO_PROBABILITIES if not probable else TOO_MANY if histograms is None else ONE_KIND
    return {name: why for name in names if name not in scores}


class Sums:
    """Sums over rows of what each adds to a score."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}

    def add(self, parts: Mapping[str, Floats]) -> None:
        """Add (rows,) values by name."""
        for name, values in parts.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(values.sum())

    def means(self, rows: int) -> dict[str, float]:
        return {name: total / rows for name, total in self.totals.items()}


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
        self.sums = Sums()
        self.probable = True

    def update(self, predictions: Sequence[Prediction], targets: Sequence[int]) -> None:
        """Add predictions (`label`, `probabilities`) and the true class numbers."""
        if not predictions:
            return
        truth = np.asarray(targets, np.int64)
        np.add.at(self.confusion, (truth, np.asarray([self.position[p["label"]] for p in predictions])), 1)
        self.probable &= "probabilities" in predictions[0]
        if not self.probable:
            return
        p = np.asarray([[item["probabilities"][label] for label in self.labels] for item in predictions])  # (rows, classes)
        self.sums.add(class_parts(p, truth))
        if self.histograms is not None:
            self.histograms.update(p, truth[:, None] == np.arange(p.shape[1]))

    def _counts(self) -> tuple[Floats, Floats, Floats]:
        m = self.confusion.astype(np.float64)
        return np.diag(m), m.sum(axis=1), m.sum(axis=0)

    def compute(self) -> dict[str, Any]:
        rows = int(self.confusion.sum())
        scores: dict[str, Any] = dict(of_classes(*self._counts()))
        if self.probable:
            scores |= self.sums.means(rows)
            if self.histograms is not None:
                counted = slice(1, None) if len(self.labels) == 2 else slice(None)
                roc, precision = self.histograms.areas()
                scores |= {"auroc": macro(roc[counted]), "average_precision": macro(precision[counted])}
        return {**defined(scores), "rows": rows}

    def notes(self) -> dict[str, str]:
        return _absent(CLASSIFICATION, self.compute(), self.probable, self.histograms)

    def tables(self) -> list[ScoreTable]:
        hits, true, said = self._counts()
        averages, values = report(hits, true, said, true + said > 0)
        return [
            ScoreTable("classification_report", self.labels + averages, list(PER_CLASS), values),
            ScoreTable("confusion_matrix", self.labels, self.labels, self.confusion.astype(np.float64).tolist(), matrix=True),
        ]


class MultilabelScores:
    """Scores of several labels at once.

    Args:
        labels: names of the labels; targets are lists of 0 and 1 in their order.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.counts = np.zeros((3, len(labels)), np.int64)  # hits, true, said
        self.sums = Sums()
        self.rows = 0
        self.probable = True
        self.histograms = ScoreHistograms(len(labels)) if len(labels) <= MOST_CLASSES else None

    def update(self, predictions: Sequence[Prediction], targets: Sequence[Sequence[int]]) -> None:
        """Add predictions (`labels`, `probabilities`) and the true 0/1 lists."""
        if not predictions:
            return
        truth = np.asarray(targets, bool)
        said = np.asarray([[label in item["labels"] for label in self.labels] for item in predictions], bool)
        self.counts += np.stack([(said & truth).sum(0), truth.sum(0), said.sum(0)])
        self.rows += len(truth)
        self.probable &= "probabilities" in predictions[0]
        p = np.asarray([[item["probabilities"][label] for label in self.labels] for item in predictions]) if self.probable else None
        self.sums.add(label_parts(said, truth, p))
        if p is not None and self.histograms is not None:
            self.histograms.update(p, truth)

    def compute(self) -> dict[str, Any]:
        scores: dict[str, Any] = dict(of_labels(*self.counts.astype(np.float64)))
        means = self.sums.means(self.rows)
        scores |= means if self.probable else {name: value for name, value in means.items() if name not in ("log_loss", "brier")}
        if self.probable and self.histograms is not None:
            roc, precision = self.histograms.areas()
            scores |= {"auroc": macro(roc), "average_precision": macro(precision)}
            scores["micro_average_precision"] = self.histograms.micro_average_precision()
        return {**defined(scores), "rows": self.rows}

    def notes(self) -> dict[str, str]:
        return _absent(MULTILABEL, self.compute(), self.probable, self.histograms)

    def tables(self) -> list[ScoreTable]:
        hits, true, said = self.counts.astype(np.float64)
        averages, values = report(hits, true, said, np.ones(len(self.labels), bool))
        return [ScoreTable("classification_report", self.labels + averages, list(PER_CLASS), values)]


@dataclass
class _Squares:
    """Sums of squared errors, and of targets around their mean, merged as Chan et al. (1979) do: so large numbers keep their digits."""

    rows: int = 0
    squared: float = 0.0
    mean: float = 0.0
    spread: float = 0.0

    def add(self, said: Floats, truth: Floats) -> None:
        """Add (rows,) numbers."""
        self.squared += float(np.square(said - truth).sum())
        mean, rows = float(truth.mean()), self.rows + len(truth)
        apart = mean - self.mean
        self.spread += float(np.square(truth - mean).sum()) + apart**2 * self.rows * len(truth) / rows
        self.mean += apart * len(truth) / rows
        self.rows = rows

    @property
    def root(self) -> float:
        """Root of the mean squared error."""
        return float(np.sqrt(self.squared / self.rows))

    @property
    def explained(self) -> float:
        """The share of the spread that is explained (R2); NaN where there is none."""
        return 1 - self.squared / self.spread if self.spread > 0 else float("nan")


class RegressionScores:
    """Scores of a number.

    Args:
        log: whether those of logarithms are wanted too.
    """

    def __init__(self, log: bool = False) -> None:
        self.plain, self.logs = _Squares(), _Squares() if log else None
        self.absolute = array("d")
        self.sums = Sums()

    @property
    def rows(self) -> int:
        """How many there were."""
        return self.plain.rows

    def update(self, predictions: Sequence[Prediction], targets: Sequence[float]) -> None:
        """Add predictions (`value`, perhaps `interval`) and the true numbers."""
        if not predictions:
            return
        truth = np.asarray(targets, np.float64)
        said = np.asarray([item["value"] for item in predictions])
        self.absolute.frombytes(np.abs(said - truth).tobytes())
        self.plain.add(said, truth)
        if self.logs is not None:
            self.logs.add(np.log(said), np.log(truth))
        if "interval" in predictions[0]:
            low, high = np.asarray([item["interval"] for item in predictions]).T
            self.sums.add(interval_parts(truth, low, high))

    def compute(self) -> dict[str, Any]:
        absolute = np.frombuffer(self.absolute)
        scores = {"rmse": self.plain.root, "mae": float(absolute.mean()), "r2": self.plain.explained}
        if self.logs is not None:
            scores |= {"rmse_log": self.logs.root, "r2_log": self.logs.explained}
        scores["median_absolute_error"] = float(np.median(absolute))
        return {**defined(scores | self.sums.means(self.rows)), "rows": self.rows}

    def notes(self) -> dict[str, str]:
        return {} if "r2" in self.compute() else {"r2": "all rows hold the same number, so there is no spread to explain"}

    def tables(self) -> list[ScoreTable]:
        return []
