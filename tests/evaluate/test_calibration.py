"""Calibration errors by hand, shares against scipy, the curve of abstention against sorting."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve

from tunesmith.core.arrays import softmax
from tunesmith.evaluate.calibration import abstention, clopper_pearson, coverage, decision, ece, reliability, share_interval
from tunesmith.evaluate.statistics import ClassificationStatistic


@pytest.fixture(scope="module")
def said() -> tuple[np.ndarray, np.ndarray]:
    """Confidence and whether it is right, of overconfident predictions."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 4000)
    return confidence, (rng.random(4000) < confidence**2).astype(float)


@pytest.mark.parametrize("adaptive", [False, True])
def test_bins_are_scikit_learns(said: tuple[np.ndarray, np.ndarray], adaptive: bool) -> None:
    confidence, right = said
    found = reliability(confidence, right, adaptive=adaptive)
    accuracy, mean = calibration_curve(right, confidence, n_bins=15, strategy="quantile" if adaptive else "uniform")
    assert [item["accuracy"] for item in found] == pytest.approx(accuracy.tolist(), abs=0.01)
    assert [item["confidence"] for item in found] == pytest.approx(mean.tolist(), abs=0.01)
    assert sum(item["count"] for item in found) == 4000
    for item in found:
        inside = (confidence > item["low"]) & (confidence <= item["high"])
        assert inside.sum() == item["count"]
        assert item["accuracy"] == pytest.approx(right[inside].mean())
    gaps = [abs(item["accuracy"] - item["confidence"]) * item["count"] / 4000 for item in found]
    assert ece(confidence, right, adaptive=adaptive) == pytest.approx(sum(gaps))
    json.dumps(found)


def test_error_of_what_is_right_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 50_000)
    assert ece(confidence, (rng.random(50_000) < confidence).astype(float)) < 0.01
    assert ece(np.full(10, 1.0), np.zeros(10)) == 1
    assert ece(np.full(10, 0.7), np.full(10, 1.0), adaptive=True) == pytest.approx(0.3)
    assert reliability(np.array([0.0, 1.0]), np.array([0.0, 1.0]))[0]["low"] == 0


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (10, 10), (3, 10), (900, 1000)])
def test_shares_are_scipys(hits: int, rows: int) -> None:
    own = stats.binomtest(hits, rows).proportion_ci(0.95, method="exact")
    assert clopper_pearson(hits, rows) == pytest.approx((own.low, own.high), abs=1e-9)


def test_shares_of_grouped_rows_hold_the_truth_as_often_as_they_say() -> None:
    """Groups of 10 rows whose own share is drawn around 0.9; taken as independent rows the interval would hold it in four of five cases."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(25), 10)
    alone = together = 0
    for _ in range(400):
        held = rng.random(250) < rng.beta(2.7, 0.3, 25)[groups]
        low, high = share_interval(held, groups)
        together += low <= 0.9 <= high
        low, high = share_interval(held)
        alone += low <= 0.9 <= high
    assert together >= 376  # 94%
    assert alone < 350


def test_shares_of_grouped_rows_by_hand() -> None:
    whole = np.repeat(np.arange(40) < 30, 5)  # rows of a group are copies
    assert share_interval(whole, np.repeat(np.arange(40), 5)) == pytest.approx(clopper_pearson(30, 40), abs=0.01)
    single = np.arange(400) < 300
    assert share_interval(single, np.arange(400)) == pytest.approx(clopper_pearson(300, 400), abs=1e-3)
    low, high = share_interval(np.ones(50, bool), np.arange(50) // 10)
    assert high == 1
    assert low <= clopper_pearson(5, 5)[0]
    assert share_interval(single, np.zeros(400)) is None
    assert coverage("lac", 0.9, single, single, np.zeros(400))["interval"] is None


def test_coverage_and_decision_by_hand() -> None:
    found = coverage("lac", 0.9, np.array([True, True, True, False]), np.array([1, 2, 1, 2]))
    assert (found["measured"], found["size"], found["wanted"], found["kind"]) == (0.75, 1.5, 0.9, "lac")
    told = decision(0.3, np.array([True, True, False, False]), np.array([True, False, True, True]), {"recall": 0.9})
    assert (told["measured"]["recall"], told["missed"], told["false_alarms"]) == (pytest.approx(1 / 3), 2, 1)
    assert decision(0.3, np.array([True]), np.array([False]), {})["measured"] is None
    positives = np.repeat([True, False], 100)
    said = np.repeat(np.arange(20) % 4 > 0, 10)
    recalls = [decision(0.3, said, positives, {}, groups)["measured"] for groups in (None, np.arange(200) // 10)]
    assert recalls[0]["recall"] == recalls[1]["recall"]
    assert recalls[1]["interval"] == list(share_interval(said[:100], np.arange(100) // 10))
    assert recalls[1]["interval"][0] < recalls[0]["interval"][0]
    json.dumps([found, told])


def test_abstention_scores_the_surest_rows() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 500)
    p = softmax(rng.normal(size=(500, 3)) * 2 + 2 * np.eye(3)[truth])
    statistic = ClassificationStatistic(p, p.argmax(1), truth)
    sure, right = p.max(1), p.argmax(1) == truth
    found = abstention(sure, statistic)
    assert len(found) == 20
    order = np.argsort(-sure)
    for i, item in enumerate(found):
        assert item["coverage"] == pytest.approx((i + 1) / 20)
        assert item["confidence"] == sure[order[25 * (i + 1) - 1]]
        assert item["score"] == pytest.approx(right[order[: 25 * (i + 1)]].mean())
    assert found[0]["score"] > found[-1]["score"]
    assert abstention(sure, statistic, "macro_f1")[-1]["score"] == pytest.approx(statistic(np.ones(500))["macro_f1"])


def test_abstention_answers_equal_rows_together() -> None:
    truth = np.array([0, 1, 0, 1])
    p = np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6], [0.4, 0.6]])
    found = abstention(p.max(1), ClassificationStatistic(p, p.argmax(1), truth))
    assert [(item["coverage"], item["score"]) for item in found] == [(0.5, 1.0), (1.0, 0.75)]
