"""Intervals against scipy's bootstrap, coverage in simulations, and the cases in which nothing varies."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tunesmith.core.arrays import softmax
from tunesmith.evaluate import intervals as module
from tunesmith.evaluate.intervals import intervals
from tunesmith.evaluate.statistics import ClassificationStatistic, RegressionStatistic


@dataclass
class Skewed:
    """Mean and variance of values that are not symmetric, and their ratio to their mean."""

    values: np.ndarray
    by_row: str = "mean"

    def __post_init__(self) -> None:
        self.ranges: dict[str, tuple[float, float]] = {}
        self.directions = {"mean": "max", "spread": "min"}

    @property
    def rows(self) -> int:
        return len(self.values)

    work = rows

    def many(self, weights: np.ndarray, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
        mean = weights @ self.values / weights.sum(1)
        spread = np.sqrt(weights @ self.values**2 / weights.sum(1) - mean**2)
        return {"mean": mean, "spread": spread}

    def __call__(self, weights: np.ndarray) -> dict[str, float]:
        return {name: float(value[0]) for name, value in self.many(weights[None]).items()}

    def take(self, places: Any) -> Skewed:
        return Skewed(self.values[places])


@pytest.mark.parametrize("rows", [30, 90])
def test_intervals_are_those_of_scipy(rows: int) -> None:
    values = np.random.default_rng(rows).exponential(2, rows)
    found = intervals(Skewed(values), rows, replicates=20_000)
    assert (found.method, found.replicates, found.grouped) == ("bca", 20_000, False)
    for name, function in (("mean", np.mean), ("spread", np.std)):
        own = stats.bootstrap((values,), function, n_resamples=20_000, method="BCa", random_state=1).confidence_interval
        width = own.high - own.low
        assert found.scores[name] == pytest.approx((own.low, own.high), abs=0.04 * width)


def test_the_same_draws_give_exactly_scipys_interval() -> None:
    values = np.random.default_rng(3).exponential(2, 40)
    found = stats.bootstrap((values,), np.mean, n_resamples=999, method="BCa", random_state=5)
    without = np.asarray([np.delete(values, i).mean() for i in range(40)])
    low, high = module.bca(values.mean(), found.bootstrap_distribution, without, 0.95)
    assert (low, high) == pytest.approx((found.confidence_interval.low, found.confidence_interval.high), rel=1e-9)


def accuracy_of(right: np.ndarray) -> ClassificationStatistic:
    """Two classes by turns, so that as many are right as these say."""
    truth = np.arange(len(right)) % 2
    said = np.where(right, truth, 1 - truth)
    return ClassificationStatistic(np.where(np.eye(2)[said] == 1, 0.8, 0.2), said, truth)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = []
    for i in range(300):
        found = intervals(accuracy_of(rng.random(80) < 0.85), 80, seed=i, replicates=300, names=["accuracy"]).scores["accuracy"]
        held.append(found[0] <= 0.85 <= found[1])
    assert 0.915 <= np.mean(held) <= 0.985  # 0.95 +- 2.8 standard errors of 300 draws


def test_groups_that_err_together_widen_the_interval_and_rows_alone_would_not_cover() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 10)
    grouped, alone = [], []
    for i in range(120):
        right = rng.random(600) < rng.choice([0.5, 1.0], 60)[groups]
        statistic = accuracy_of(right)
        options = {"seed": i, "replicates": 200, "names": ["accuracy"]}
        for kept, given in ((grouped, groups), (alone, None)):
            low, high = intervals(statistic, 600, given, **options).scores["accuracy"]
            kept.append(low <= 0.75 <= high)
    assert np.mean(grouped) >= 0.89
    assert np.mean(alone) < 0.85


def test_names_of_groups_may_be_texts() -> None:
    statistic = accuracy_of(np.arange(40) % 5 > 0)
    first = intervals(statistic, 40, [f"patient {i // 4}" for i in range(40)], replicates=100)
    second = intervals(statistic, 40, np.arange(40) // 4, replicates=100)
    assert first.scores["accuracy"] == pytest.approx(second.scores["accuracy"], abs=0.15)  # the order of names differs, not their number
    assert first.grouped
    with pytest.raises(ValueError, match="3 groups for 40 rows"):
        intervals(statistic, 40, ["a", "b", "c"])


def test_seeds_decide() -> None:
    statistic = accuracy_of(np.arange(50) % 7 > 0)
    assert intervals(statistic, 50, seed=1) == intervals(statistic, 50, seed=1)
    assert intervals(statistic, 50, seed=1) != intervals(statistic, 50, seed=2)


@pytest.mark.parametrize("rows", [5, 40])
def test_all_right_is_not_certain(rows: int) -> None:
    found = intervals(accuracy_of(np.ones(rows, bool)), rows)
    exact = stats.binomtest(rows, rows).proportion_ci(method="exact")
    assert found.scores["accuracy"] == pytest.approx((exact.low, 1.0))
    assert "Clopper-Pearson" in found.notes["accuracy"]
    if rows == 40:  # of five rows a draw may hold one class only, whose mcc is 0
        assert found.scores["mcc"][0] == pytest.approx(1 - 2 * (1 - exact.low))
    wrong = intervals(accuracy_of(np.zeros(rows, bool)), rows)
    assert wrong.scores["accuracy"] == pytest.approx((0.0, 1 - exact.low))
    grouped = intervals(accuracy_of(np.ones(rows, bool)), rows, np.arange(rows) // 5 if rows > 5 else None)
    assert grouped.scores["accuracy"][0] <= found.scores["accuracy"][0]


def test_what_does_not_vary_elsewhere_stays() -> None:
    truth = np.arange(30) % 2
    constant = ClassificationStatistic(np.full((30, 2), 0.5), np.zeros(30, int), truth)
    found = intervals(constant, 30)
    assert found.scores["auroc"] == (0.5, 0.5)
    assert found.scores["mcc"] == (0.0, 0.0)
    low, high = found.scores["accuracy"]
    assert low < 0.5 < high


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
@pytest.mark.parametrize("right", [0, 1])
def test_few_rows_and_one_class_give_no_nonsense(rows: int, right: int) -> None:
    p = softmax(np.random.default_rng(rows).normal(size=(rows, 3)))
    truth = p.argmax(1) if right else np.zeros(rows, int)
    found = intervals(ClassificationStatistic(p, p.argmax(1), truth), rows)
    for low, high in found.scores.values():
        assert np.isfinite([low, high]).all()
        assert low <= high
    for statistic in (RegressionStatistic(np.ones(rows), np.ones(rows)), RegressionStatistic(p[:, 0], np.ones(rows))):
        assert all(np.isfinite(pair).all() for pair in intervals(statistic, rows).scores.values())
    if rows == 1:
        assert found.scores == {}
        assert "single row" in found.notes["accuracy"]


def test_one_class_in_truth_has_no_interval_of_an_area() -> None:
    p = softmax(np.random.default_rng(0).normal(size=(50, 2)))
    found = intervals(ClassificationStatistic(p, p.argmax(1), np.zeros(50, int)), 50)
    assert "auroc" not in found.scores
    assert "not defined" in found.notes["auroc"]
    assert "accuracy" in found.scores


def test_the_jackknife_of_many_rows_agrees_with_the_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 20_000)
    p = softmax(rng.normal(size=(20_000, 3)) + np.eye(3)[truth])
    statistic = ClassificationStatistic(p, p.argmax(1), truth)
    names = ["accuracy", "macro_f1", "auroc", "log_loss"]
    boot = intervals(statistic, 20_000, replicates=400, names=names)
    monkeypatch.setattr(module, "MOST_WORK", 1)
    knife = intervals(statistic, 20_000, replicates=400, names=names)
    assert (boot.method, knife.method, knife.replicates) == ("bca", "jackknife", module.BLOCKS)
    for name in names:
        width = boot.scores[name][1] - boot.scores[name][0]
        assert knife.scores[name] == pytest.approx(boot.scores[name], abs=0.25 * width)


def test_a_thousand_replicates_of_a_thousand_rows_take_little_time() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 1000)
    p = softmax(rng.normal(size=(1000, 4)) + np.eye(4)[truth])
    intervals(ClassificationStatistic(p, p.argmax(1), truth), 1000, replicates=10)
    began = time.process_time()
    intervals(ClassificationStatistic(p, p.argmax(1), truth), 1000)
    assert time.process_time() - began < 0.5
