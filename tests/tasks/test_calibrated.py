"""What tasks learn from validation rows: against MAPIE on the same scores, coverage of new rows, and decisions that were asked for."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LinearRegression

from tunesmith.core import registry
from tunesmith.core.errors import DataError, RecipeError
from tunesmith.evaluate.checks import differences
from tunesmith.tasks.classification import Classification
from tunesmith.tasks.multilabel import Multilabel
from tunesmith.tasks.regression import Regression

CLASSES = ("a", "b", "c", "d")


def drawn(rows: int, seed: int, factor: float = 2.0, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits `factor` times too large, and truth."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (rows, classes))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return (factor * z).astype(np.float32), (p.cumsum(1) > rng.random((rows, 1))).argmax(1)


def rebuilt(task: Any) -> Any:
    return registry.create("tasks", task.name, json.loads(json.dumps(task.settings())))


class Calibrated(ClassifierMixin, BaseEstimator):
    """What a task says of outputs, as an estimator of scikit-learn whose features are the outputs."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.classes_ = np.arange(len(task.classes))

    def fit(self, x: np.ndarray, y: np.ndarray) -> Calibrated:
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.asarray([list(item["probabilities"].values()) for item in self.task.decode(x)])

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.predict_proba(x).argmax(1)


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.9])
def test_sets_are_those_of_mapie(wanted: float) -> None:
    """MAPIE gives an empty set where no class is probable enough; here the label that is said stands in it."""
    from mapie.classification import SplitConformalClassifier

    outputs, truth = drawn(900, 0, factor=1.5)
    fitted = Classification(classes=CLASSES, coverage=wanted).calibrated(outputs[:250], truth[:250])
    assert fitted.temperature == pytest.approx(1.5, rel=0.25)
    other = SplitConformalClassifier(Calibrated(fitted), confidence_level=wanted, conformity_score="lac", prefit=True)
    expected = other.conformalize(outputs[:250], truth[:250]).predict_set(outputs[250:])[1][:, :, 0]
    found = fitted.decode(outputs[250:])
    assert [set(item["set"]) for item in found] == [
        {CLASSES[i] for i in np.flatnonzero(inside)} or {item["label"]} for item, inside in zip(found, expected, strict=True)
    ]
    assert len({len(item["set"]) for item in found}) > 1
    assert dataclasses.replace(fitted, temperature=9.0, least=0.3).calibrated(outputs[:250], truth[:250]) == fitted


def test_intervals_are_those_of_mapie() -> None:
    from mapie.regression import SplitConformalRegressor

    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    y = x @ [1.0, 2.0, 3.0] + rng.standard_t(4, 500)
    model = LinearRegression().fit(x[:200], y[:200])
    other = SplitConformalRegressor(model, confidence_level=0.9, prefit=True).conformalize(x[200:400], y[200:400])
    expected = other.predict_interval(x[400:])[1][:, :, 0]
    task = Regression(mean=1.5, spread=4.0)
    outputs = task.outputs(model.predict(x)[:, None])
    fitted = task.calibrated(outputs[200:400], y[200:400])
    np.testing.assert_allclose([item["interval"] for item in fitted.decode(outputs[400:])], expected, atol=1e-5)
    told = fitted.calibration(outputs[400:], y[400:])
    inside = ((expected[:, 0] <= y[400:]) & (y[400:] <= expected[:, 1])).mean()
    assert told["conformal"]["measured"] == pytest.approx(inside)
    assert told["conformal"]["size"] == pytest.approx(expected[0, 1] - expected[0, 0], rel=1e-5)
    assert fitted.statistic(outputs[400:], y[400:])(np.ones(100))["interval_coverage"] == pytest.approx(inside)


def test_sets_hold_the_truth_as_often_as_wanted_and_temperature_mends_confidence() -> None:
    task = Classification(classes=CLASSES)
    held = []
    for seed in range(60):
        outputs, truth = drawn(260, seed)
        fitted = task.calibrated(outputs[:60], truth[:60])
        held += [CLASSES[t] in item["set"] for item, t in zip(fitted.decode(outputs[60:]), truth[60:].tolist(), strict=True)]
    assert 0.89 <= np.mean(held) <= 0.93  # 55 of 61 places = 0.902, and ties of the label that is always inside
    outputs, truth = drawn(6000, 99)
    fitted = task.calibrated(outputs[:2000], truth[:2000])
    assert fitted.temperature == pytest.approx(2, rel=0.1)
    told = fitted.calibration(outputs[2000:], truth[2000:])
    assert told["ece"]["after"] < 0.03 < 0.1 < told["ece"]["before"]
    assert told["conformal"]["interval"][0] < told["conformal"]["measured"] < told["conformal"]["interval"][1]
    assert told["notes"] == {}
    grouped = fitted.calibration(outputs[2000:], truth[2000:], truth[2000:])
    assert grouped["conformal"]["interval"] != told["conformal"]["interval"]
    assert "exchangeable" in grouped["notes"]["conformal"]
    assert json.loads(json.dumps(told)) == told
    before, after = task.statistic(outputs, truth)(np.ones(6000)), fitted.statistic(outputs, truth)(np.ones(6000))
    assert after["accuracy"] == before["accuracy"]
    assert after["log_loss"] < before["log_loss"]


def test_too_few_rows_are_said() -> None:
    outputs, truth = drawn(8, 0)
    fitted = Classification(classes=CLASSES).calibrated(outputs, truth)
    assert (fitted.temperature, fitted.least) == (1.0, None)
    assert "set" not in fitted.decode(outputs)[0]
    notes = fitted.calibration(outputs, truth)["notes"]
    assert "needs at least 9 validation rows" in notes["conformal"]
    assert "stayed at 1" in notes["temperature"]
    none = Classification(classes=CLASSES, coverage=0).calibrated(*drawn(100, 0))
    assert none.least is None
    assert "not asked for" in none.calibration(*drawn(100, 0))["notes"]["conformal"]
    few = Regression().calibrated(np.zeros((5, 1), np.float32), np.arange(5.0))
    assert few.margin is None
    assert few.decode(np.zeros((1, 1), np.float32)) == [{"value": 0.0}]
    assert "needs at least 9" in few.calibration(np.zeros((5, 1), np.float32), np.arange(5.0))["notes"]["conformal"]


@pytest.mark.parametrize("asked", [{"recall": 0.95}, {"cost": 10.0}])
def test_decisions_of_two_classes(asked: dict[str, float]) -> None:
    outputs, truth = drawn(3000, 1, classes=2)
    plain = Classification(classes=("no", "yes"))
    fitted = rebuilt(dataclasses.replace(plain, **asked).calibrated(outputs[:1000], truth[:1000]))
    assert fitted.threshold is not None
    assert fitted.threshold < 0.5
    told = fitted.calibration(outputs[1000:], truth[1000:])["threshold"]
    said = np.asarray([item["label"] == "yes" for item in fitted.decode(outputs[1000:])])
    p = np.asarray([item["probabilities"]["yes"] for item in fitted.decode(outputs[1000:])])
    np.testing.assert_array_equal(said, p >= fitted.threshold)
    positive = truth[1000:] == 1
    assert told["measured"]["recall"] == pytest.approx(said[positive].mean())
    assert (told["missed"], told["false_alarms"]) == ((positive & ~said).sum(), (~positive & said).sum())
    if "recall" in asked:
        assert told["measured"]["recall"] == pytest.approx(0.95, abs=0.03)
    else:
        before = np.asarray([item["label"] == "yes" for item in plain.decode(outputs[1000:])])
        assert 10 * (positive & ~said).sum() + (~positive & said).sum() < 10 * (positive & ~before).sum() + (~positive & before).sum()
    assert all(item["probability"] == item["probabilities"][item["label"]] for item in fitted.decode(outputs[:50]))
    one_sided = dataclasses.replace(plain, **asked).calibrated(outputs[:50], np.zeros(50, int))
    assert (one_sided.threshold is None) == ("recall" in asked)


def test_decisions_of_several_labels() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (2000, 3)) - [0, 1, 2]
    truth = (rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(int)
    outputs = (3 * z).astype(np.float32)
    task = Multilabel(classes=("x", "y", "z"), recall=0.9)
    fitted = rebuilt(task.calibrated(outputs[:1000], truth[:1000]))
    assert fitted.temperature == pytest.approx(3, rel=0.1)
    told = fitted.calibration(outputs[1000:], truth[1000:])
    assert json.loads(json.dumps(told)) == told
    assert told["ece"]["after"] < told["ece"]["before"]
    for place, label in enumerate(("x", "y", "z")):
        said = np.asarray([label in item["labels"] for item in fitted.decode(outputs[1000:])])
        assert told["threshold"][label]["measured"]["recall"] == pytest.approx(said[truth[1000:, place] == 1].mean())
        assert told["threshold"][label]["measured"]["recall"] == pytest.approx(0.9, abs=0.07)
    absent = task.calibrated(outputs[:100], truth[:100] * [1, 1, 0])
    assert absent.thresholds[2] == task.threshold
    cheap = dataclasses.replace(task, recall=None, cost=0.1).calibrated(outputs[:1000], truth[:1000])
    assert min(cheap.thresholds) > 0.5


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_what_a_baseline_says_survives_a_temperature(factor: float) -> None:
    said = np.array([[0.7, 0.3], [0.05, 0.95]], np.float32)
    for task in (Classification(classes=("a", "b"), temperature=factor), Multilabel(classes=("a", "b"), temperature=factor)):
        found = [list(item["probabilities"].values()) for item in task.decode(task.outputs(said))]
        np.testing.assert_allclose(found, said, atol=1e-6)


def test_confidence_is_of_what_is_said() -> None:
    outputs, _ = drawn(20, 0, classes=2)
    task = Classification(classes=("a", "b"), threshold=0.2)
    assert task.confidence(outputs).tolist() == pytest.approx([item["probability"] for item in task.decode(outputs)])
    both = Multilabel(classes=("a", "b")).confidence(np.array([[0.0, 0.0]], np.float32))
    assert both.tolist() == [0.25]
    assert Regression().confidence(outputs) is None


@pytest.mark.parametrize("name", ["classification", "multilabel", "regression"])
def test_calibrated_tasks_are_rebuilt_from_their_settings(name: str) -> None:
    outputs, truth = drawn(60, 0)
    task: Any = {"classification": Classification, "multilabel": Multilabel, "regression": Regression}[name]()
    if name == "regression":
        outputs, truth = outputs[:, :1], truth.astype(float)
    else:
        task = dataclasses.replace(task, classes=CLASSES)
        truth = np.eye(4, dtype=int)[truth] if name == "multilabel" else truth
    fitted = task.calibrated(outputs, truth)
    assert fitted != task
    assert rebuilt(fitted) == fitted
    assert max(map(differences, rebuilt(fitted).decode(outputs), fitted.decode(outputs))) == 0


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("classification", {"recall": 0.9, "cost": 2.0}, "'recall' and 'cost' both set"),
        ("multilabel", {"recall": 1.5}, "field 'recall' is a share"),
        ("classification", {"cost": 0}, "field 'cost' must be above 0"),
        ("classification", {"coverage": 1.0}, "field 'coverage' is a share"),
        ("regression", {"coverage": -0.1}, "field 'coverage' is a share"),
        ("multilabel", {"temperature": 0.0}, "field 'temperature' must be above 0"),
        ("classification", {"classes": ["a", "b", "c"], "recall": 0.9}, "field 'recall' is for two classes"),
        ("multilabel", {"classes": ["a", "b"], "thresholds": [0.1]}, "'thresholds' holds 1 values"),
        ("regression", {"margin": -1.0}, "field 'margin'"),
    ],
)
def test_wishes_without_sense_are_refused(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        registry.create("tasks", name, options)


def test_a_recall_of_three_classes_is_refused() -> None:
    with pytest.raises(DataError, match="'recall' is for two classes, and the training rows hold 3"):
        Classification(recall=0.9).fit(["a", "b", "c"])
