"""Groups of people: rates and intervals against fairlearn and scipy, and small groups that are not compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, demographic_parity_difference, equalized_odds_difference, selection_rate, true_positive_rate
from scipy.stats import binomtest

from tunesmith.evaluate.fairness import fairness


def data(n: int = 900) -> tuple[Any, Any, list[str]]:
    rng = np.random.default_rng(0)
    sex = rng.choice(["f", "m", "x"], n, p=[0.45, 0.53, 0.02])
    truth = rng.integers(0, 2, n)
    said = np.where(rng.random(n) < np.where(sex == "m", 0.9, 0.7), truth, rng.integers(0, 2, n))
    return said, truth, sex.tolist()


def test_rates_are_those_of_fairlearn() -> None:
    said, truth, sex = data()
    [found] = fairness(said, truth, ["no", "yes"], {"sex": sex})
    assert (found["column"], found["answer"]) == ("sex", "yes")
    assert [group["compared"] for group in found["groups"]] == [True, True, False]
    frame = MetricFrame(
        metrics={"selection_rate": selection_rate, "true_positive_rate": true_positive_rate},
        y_true=truth,
        y_pred=said,
        sensitive_features=sex,
    )
    for group in found["groups"]:
        for name in ("selection_rate", "true_positive_rate"):
            assert group[name]["value"] == pytest.approx(frame.by_group[name][group["value"]])
        hits = round(group["selection_rate"]["value"] * group["rows"])
        interval = binomtest(hits, group["rows"]).proportion_ci(0.95, "exact")
        assert group["selection_rate"]["interval"] == pytest.approx([interval.low, interval.high], abs=1e-6)
    large = np.asarray(sex) != "x"
    given = {"y_true": truth[large], "y_pred": said[large], "sensitive_features": np.asarray(sex)[large]}
    assert found["demographic_parity"]["difference"] == pytest.approx(demographic_parity_difference(**given))
    assert found["equalised_odds"]["difference"] == pytest.approx(equalized_odds_difference(**given))
    assert "Too small to be compared: x." in found["sentence"]
    assert found["equalised_odds"]["interval"][0] > 0.02


def test_an_interval_covers_the_true_difference() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(60):
        sex = np.repeat(["f", "m"], 200)
        truth = np.tile([0, 1], 200)
        said = (rng.random(400) < np.where(sex == "f", 0.5, 0.7)).astype(int)
        low, high = fairness(said, truth, ["no", "yes"], {"sex": sex.tolist()})[0]["demographic_parity"]["interval"]
        inside += low <= 0.2 <= high
    assert inside >= 52  # 57 are expected; fewer than 52 come about in one of a hundred


def test_more_than_two_classes_are_looked_at_one_by_one() -> None:
    said = truth = np.arange(300) % 3
    found = fairness(said, truth, ["a", "b", "c"], {"site": ["x", "y"] * 150})
    assert [item["answer"] for item in found] == ["a", "b", "c"]
    assert all(item["equalised_odds"]["difference"] == 0 for item in found)


def test_what_cannot_be_compared_says_so() -> None:
    said = truth = np.arange(40) % 2
    [found] = fairness(said, truth, ["no", "yes"], {"sex": ["f"] * 39 + ["m"]})
    assert found["demographic_parity"] is None
    assert found["sentence"].startswith("Groups of 'sex' cannot be compared: fewer than two have 30 test rows")
    assert found["ungrouped"] == 1
