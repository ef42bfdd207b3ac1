"""Scores made of counts: how often a class is hit, occurs and is predicted.

Every function takes (..., classes) counts, so one set of formulas serves the scores of a split, its table and a thousand replicates of a
bootstrap. Precision, recall and F1 are 0 where there is nothing to divide by, as scikit-learn's are with `zero_division=0`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
PER_CLASS = ("precision", "recall", "f1", "support")

AVERAGES = ("micro avg", "macro avg", "weighted avg")
"""Names of the last rows of a classification report, as scikit-learn has them."""


def ratio(top: Floats, bottom: Floats, nothing: float = 0.0) -> Floats:
    """`top / bottom`, and `nothing` where the bottom is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(top, np.float64), np.asarray(bottom, np.float64))
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, nothing), where=bottom > 0))


def mean_where(values: Floats, counted: npt.NDArray[np.bool_]) -> Floats:
    """Mean over the last axis of the values that count; NaN where none does."""
    return ratio(np.where(counted, values, 0.0).sum(-1), counted.sum(-1).astype(np.float64), np.nan)


def of_each(hits: Floats, true: Floats, said: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each class, each (..., classes)."""
    return ratio(hits, said), ratio(hits, true), ratio(2 * hits, said + true)


def of_classes(hits: Floats, true: Floats, said: Floats) -> dict[str, Floats]:
    """Scores of one class out of several, each (...,).

    Macro averages are over the classes that occur in truth or prediction, as scikit-learn defines them, balanced accuracy is the mean
    recall of those that occur in truth, mcc is that of Gorodkin (2004).

    Args:
        hits: (..., classes) right predictions.
        true: (..., classes) occurrences.
        said: (..., classes) predictions.

    Example:
        >>> round(of_classes(np.array([3.0, 4]), np.array([4.0, 6]), np.array([5.0, 5]))["accuracy"].item(), 2)
        0.7
    """
    precision, recall, f1 = of_each(hits, true, said)
    occurs, rows, right = true + said > 0, true.sum(-1), hits.sum(-1)
    spread = np.sqrt(np.maximum(0.0, (rows**2 - (said**2).sum(-1)) * (rows**2 - (true**2).sum(-1))))
    return {
        "accuracy": ratio(right, rows, np.nan),
        "balanced_accuracy": mean_where(recall, true > 0),
        "macro_precision": mean_where(precision, occurs),
        "macro_recall": mean_where(recall, occurs),
        "macro_f1": mean_where(f1, occurs),
        "weighted_precision": ratio((precision * true).sum(-1), rows, np.nan),
        "weighted_f1": ratio((f1 * true).sum(-1), rows, np.nan),
        "mcc": np.where(rows > 0, ratio(right * rows - (true * said).sum(-1), spread), np.nan),
    }


def of_labels(hits: Floats, true: Floats, said: Floats) -> dict[str, Floats]:
    """Scores of several labels at once, each (...,); macro averages are over all labels, as scikit-learn's are."""
    precision, recall, f1 = of_each(hits, true, said)
    right, held, given = hits.sum(-1), true.sum(-1), said.sum(-1)
    return {
        "micro_precision": ratio(right, given),
        "micro_recall": ratio(right, held),
        "micro_f1": ratio(2 * right, held + given),
        "macro_precision": precision.mean(-1),
        "macro_recall": recall.mean(-1),
        "macro_f1": f1.mean(-1),
        "weighted_f1": ratio((f1 * true).sum(-1), held),
    }


def report(hits: Floats, true: Floats, said: Floats, counted: npt.NDArray[np.bool_]) -> tuple[list[str], list[list[float]]]:
    """The rows of scikit-learn's `classification_report`: each class, then the averages.

    Args:
        hits, true, said: (classes,) counts.
        counted: (classes,) those that a macro average is taken over.

    Returns:
        Names of the averages, and precision, recall, F1 and support of each class and of each average.
    """
    each = np.stack(of_each(hits, true, said), axis=1)  # (classes, 3)
    together = np.stack(of_each(hits.sum(), true.sum(), said.sum()))
    macro = each[counted].mean(axis=0) if counted.any() else np.zeros(3)
    weighted = ratio((each * true[:, None]).sum(axis=0), true.sum())
    averages = dict(zip(AVERAGES, (together, macro, weighted), strict=True))
    rows = [[*values, float(count)] for values, count in zip(each.tolist(), true, strict=True)]
    return list(averages), rows + [[*values.tolist(), float(true.sum())] for values in averages.values()]
