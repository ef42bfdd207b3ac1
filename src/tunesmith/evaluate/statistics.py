"""The scores of `evaluate/metrics.py` as functions of row weights, many weightings at once.

What does not depend on the weights (what each row adds to a mean, where its scores rank) is worked out once. A weighting is then a few
products with matrices, sparse ones where rows belong to classes, and the formulas of `evaluate/counts.py`. Areas use the bins of
`evaluate/curves.py`, so weights of 1 give what the streamed metrics give.

    statistic = ClassificationStatistic(p, said, truth);  statistic(np.ones(rows))  ->  {"accuracy": 0.93, ...}
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.evaluate import metrics
from tunesmith.evaluate.counts import of_classes, of_labels, ratio
from tunesmith.evaluate.curves import MOST_CLASSES, bins_of, macro
from tunesmith.evaluate.ranks import MOST_RANKED, Ranks, matrix, of_sets

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
RANKED = ("auroc", "average_precision", "micro_average_precision")
SHARES = {
    name: (0.0, 1.0)
    for name in (*metrics.CLASSIFICATION, *metrics.MULTILABEL, *(f"top_{k}_accuracy" for k in (2, 3, 5)), "interval_coverage")
    if name not in ("log_loss", "brier", "mcc")
} | {"mcc": (-1.0, 1.0)}


def _asked(names: Collection[str] | None, some: Collection[str]) -> bool:
    return names is None or any(name in names for name in some)


def _within(names: Collection[str] | None, some: Collection[str]) -> bool:
    return names is not None and all(name in some for name in names)


def _chosen(scores: Mapping[str, Floats], names: Collection[str] | None) -> dict[str, Floats]:
    return {name: value for name, value in scores.items() if names is None or name in names}


def _means(parts: Mapping[str, Floats], weights: Floats) -> dict[str, Floats]:
    """Weighted means over rows of each part, (replicates,)."""
    if not parts:
        return {}
    values = weights @ np.stack(list(parts.values()), axis=1)  # (replicates, parts)
    means = ratio(values, weights.sum(axis=1)[:, None], np.nan)
    return dict(zip(parts, means.T, strict=True))


@final
@dataclass(frozen=True, eq=False)
class ClassificationStatistic:
    """Scores of one class out of several.

    Attributes:
        p: (rows, classes) probabilities.
        said, truth: (rows,) class numbers.
    """

    p: Floats
    said: Ints
    truth: Ints
    by_row: ClassVar[str] = "accuracy"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = SHARES
    directions: ClassVar[Mapping[str, str]] = metrics.CLASSIFICATION | {f"top_{k}_accuracy": "max" for k in (2, 3, 5)}

    @property
    def rows(self) -> int:
        return len(self.p)

    @property
    def work(self) -> int:
        return self.rows * (self.p.shape[1] if self._ranked else 4)

    @property
    def _ranked(self) -> bool:
        return self.p.shape[1] <= MOST_CLASSES and self.p.size <= MOST_RANKED

    @functools.cached_property
    def _parts(self) -> dict[str, Floats]:
        return metrics.class_parts(self.p, self.truth)

    @functools.cached_property
    def _classes(self) -> Any:
        """(3 classes, rows): where a row is a hit of a class, has it, is said to have it."""
        classes, row = self.p.shape[1], np.arange(self.rows)
        hit = self.said == self.truth
        columns = np.concatenate([self.truth[hit], classes + self.truth, 2 * classes + self.said])
        return matrix(columns, np.concatenate([row[hit], row, row]), (3 * classes, self.rows))

    @functools.cached_property
    def _order(self) -> Ranks:
        counted = [1] if self.p.shape[1] == 2 else range(self.p.shape[1])
        return of_sets(self.p[:, counted], self.truth[:, None] == np.asarray(counted))

    def many(self, weights: npt.NDArray[Any], names: Collection[str] | None = None) -> dict[str, Floats]:
        weights = np.asarray(weights, np.float64)
        columns = np.ascontiguousarray(weights.T)
        counts = (self._classes @ columns).T.reshape(len(weights), 3, -1)
        scores = of_classes(counts[:, 0], counts[:, 1], counts[:, 2])
        if not _within(names, scores):
            scores |= _means(self._parts, weights)
        if self._ranked and _asked(names, RANKED):
            roc, precision = self._order.areas(columns)
            scores |= {"auroc": macro(roc), "average_precision": macro(precision)}
        return _chosen(scores, names)

    def __call__(self, weights: npt.NDArray[Any]) -> dict[str, float]:
        return metrics.defined({name: value[0] for name, value in self.many(weights[None]).items()})

    def take(self, places: npt.NDArray[Any]) -> ClassificationStatistic:
        return ClassificationStatistic(self.p[places], self.said[places], self.truth[places])


@final
@dataclass(frozen=True, eq=False)
class MultilabelStatistic:
    """Scores of several labels at once.

    Attributes:
        p: (rows, labels) probabilities.
        said, truth: (rows, labels) of 0 and 1.
    """

    p: Floats
    said: Bools
    truth: Bools
    by_row: ClassVar[str] = "subset_accuracy"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = SHARES
    directions: ClassVar[Mapping[str, str]] = metrics.MULTILABEL

    @property
    def rows(self) -> int:
        return len(self.p)

    @property
    def work(self) -> int:
        return int(self.p.size * (2 if self._ranked else 1))

    @property
    def _ranked(self) -> bool:
        return self.p.shape[1] <= MOST_CLASSES and self.p.size <= MOST_RANKED

    @functools.cached_property
    def _parts(self) -> dict[str, Floats]:
        return metrics.label_parts(self.said, self.truth, self.p)

    @functools.cached_property
    def _labels(self) -> Any:
        """(3 labels, rows): where a row is a hit of a label, has it, is said to have it."""
        row, column = np.nonzero(np.concatenate([self.said & self.truth, self.truth, self.said], axis=1))
        return matrix(column, row, (3 * self.p.shape[1], self.rows))

    @functools.cached_property
    def _order(self) -> Ranks:
        return of_sets(self.p, self.truth)

    @functools.cached_property
    def _together(self) -> Ranks:
        rows, labels = self.p.shape
        row = np.repeat(np.arange(rows), labels)
        return Ranks(bins_of(self.p).ravel(), self.truth.ravel(), row, np.zeros(rows * labels, np.int64), 1, rows)

    def many(self, weights: npt.NDArray[Any], names: Collection[str] | None = None) -> dict[str, Floats]:
        weights = np.asarray(weights, np.float64)
        columns = np.ascontiguousarray(weights.T)
        counts = (self._labels @ columns).T.reshape(len(weights), 3, -1)
        scores = of_labels(counts[:, 0], counts[:, 1], counts[:, 2])
        if not _within(names, scores):
            scores |= _means(self._parts, weights)
        if self._ranked and _asked(names, RANKED):
            roc, precision = self._order.areas(columns)
            micro = self._together.areas(columns)[1][:, 0]
            scores |= {"auroc": macro(roc), "average_precision": macro(precision), "micro_average_precision": micro}
        return _chosen(scores, names)

    def __call__(self, weights: npt.NDArray[Any]) -> dict[str, float]:
        return metrics.defined({name: value[0] for name, value in self.many(weights[None]).items()})

    def take(self, places: npt.NDArray[Any]) -> MultilabelStatistic:
        return MultilabelStatistic(self.p[places], self.said[places], self.truth[places])


@final
@dataclass(frozen=True, eq=False)
class RegressionStatistic:
    """Scores of a number.

    Attributes:
        said, truth: (rows,) numbers.
        margin: half the width of the intervals around what is said (of its logarithm, with `log`); None where there are none.
        log: whether logarithms are learned, so that their scores are wanted too.
    """

    said: Floats
    truth: Floats
    margin: float | None = None
    log: bool = False
    by_row: ClassVar[str] = "mae"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = SHARES
    directions: ClassVar[Mapping[str, str]] = {**metrics.REGRESSION, **metrics.LOG_REGRESSION}

    @property
    def rows(self) -> int:
        return len(self.said)

    @property
    def work(self) -> int:
        return 4 * self.rows

    @functools.cached_property
    def _parts(self) -> dict[str, Floats]:
        parts = {"mae": np.abs(self.said - self.truth), **_squares(self.said, self.truth)}
        if self.log:
            parts |= {f"log_{name}": values for name, values in _squares(np.log(self.said), np.log(self.truth)).items()}
        if self.margin is not None:
            parts |= metrics.interval_parts(self.truth, *metrics.around(self.said, self.margin, self.log))
        return parts

    @functools.cached_property
    def _order(self) -> Ints:
        return np.argsort(self._parts["mae"], kind="stable")

    def many(self, weights: npt.NDArray[Any], names: Collection[str] | None = None) -> dict[str, Floats]:
        weights = np.asarray(weights, np.float64)
        means = _means(self._parts, weights)
        scores = {"mae": means.pop("mae")}
        scores["rmse"], scores["r2"] = self._explained(means, "")
        if self.log:
            scores["rmse_log"], scores["r2_log"] = self._explained(means, "log_")
        if _asked(names, ["median_absolute_error"]):
            scores["median_absolute_error"] = self._median(weights)
        return _chosen(scores | means, names)

    def _explained(self, means: dict[str, Floats], kind: str) -> tuple[Floats, Floats]:
        """Root of the mean squared error, and the share of the spread that is explained; their parts are taken out of `means`."""
        squared, around, spread = (means.pop(f"{kind}{name}") for name in ("squared", "around", "around_squared"))
        spread = spread - around**2
        varies = spread > 1e-12 * max(1e-300, float(self._parts[f"{kind}around_squared"].mean()))
        return np.sqrt(squared), np.where(varies, 1 - squared / np.where(varies, spread, 1.0), np.nan)

    def _median(self, weights: Floats) -> Floats:
        """Where half the weight lies below; the mean of two errors where it lies between them."""
        below = np.cumsum(weights[:, self._order], axis=1)
        half = below[:, -1:] / 2
        errors = self._parts["mae"][self._order]
        first, second = (below < half).sum(axis=1), (below <= half).sum(axis=1)
        middle = (errors[np.minimum(first, len(errors) - 1)] + errors[np.minimum(second, len(errors) - 1)]) / 2
        return np.where(half[:, 0] > 0, middle, np.nan)

    def __call__(self, weights: npt.NDArray[Any]) -> dict[str, float]:
        return metrics.defined({name: value[0] for name, value in self.many(weights[None]).items()})

    def take(self, places: npt.NDArray[Any]) -> RegressionStatistic:
        return RegressionStatistic(self.said[places], self.truth[places], self.margin, self.log)


def _squares(said: Floats, truth: Floats) -> dict[str, Floats]:
    """Of each row the squared error, and the target around the mean, so that large numbers keep their digits."""
    around = truth - truth.mean()
    return {"squared": (said - truth) ** 2, "around": around, "around_squared": around**2}
