"""Weighted scores: of ones they are the streamed scores, of whole numbers those of so often repeated rows, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from tunesmith.core.arrays import sigmoid, softmax
from tunesmith.tasks.classification import Classification
from tunesmith.tasks.multilabel import Multilabel
from tunesmith.tasks.regression import Regression

ROWS = 300


def made(kind: str, seed: int = 0) -> tuple[Any, np.ndarray, np.ndarray]:
    """Task, outputs, truth."""
    rng = np.random.default_rng(seed)
    if kind == "regression":
        truth = rng.normal(1e4, 3, ROWS)
        outputs = ((truth + rng.normal(0, 1, ROWS) - 1e4) / 3)[:, None].astype(np.float32)
        return Regression(mean=1e4, spread=3.0, margin=1.5), outputs, truth
    if kind == "multilabel":
        truth = (rng.random((ROWS, 4)) < [0.2, 0.5, 0.7, 0.05]).astype(np.int64)
        outputs = (rng.normal(size=(ROWS, 4)) + 2 * truth - 1).round(1).astype(np.float32)  # with ties
        return Multilabel(classes=tuple("abcd"), temperature=1.3, thresholds=(0.5, 0.4, 0.6, 0.3)), outputs, truth
    count = {"two": 2, "six": 6, "absent": 6}[kind]
    truth = rng.integers(0, count - (kind == "absent"), ROWS)
    outputs = (rng.normal(size=(ROWS, count)) + 1.5 * np.eye(count)[truth]).round(1).astype(np.float32)
    task = Classification(classes=tuple("abcdef"[:count]), temperature=0.8, threshold=0.3 if count == 2 else None)
    return task, outputs, truth


def streamed(task: Any, outputs: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    scores = task.metrics()
    scores.update(task.decode(outputs), truth.tolist())
    return {name: value for name, value in scores.compute().items() if name != "rows"}


KINDS = ["two", "six", "absent", "multilabel", "regression"]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_one_give_the_streamed_scores(kind: str) -> None:
    task, outputs, truth = made(kind)
    statistic = task.statistic(outputs, truth)
    found = statistic(np.ones(ROWS))
    assert found == pytest.approx(streamed(task, outputs, truth), rel=1e-9, abs=1e-9)
    assert set(task.directions()) <= set(statistic.directions)
    assert statistic.by_row in found


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_how_often_a_row_stands_there(kind: str) -> None:
    task, outputs, truth = made(kind)
    statistic = task.statistic(outputs, truth)
    rng = np.random.default_rng(1)
    weights = np.stack([np.bincount(rng.integers(0, ROWS, ROWS), minlength=ROWS) for _ in range(5)] + [(np.arange(ROWS) < 60) * 1])
    many = statistic.many(weights)
    for i, counts in enumerate(weights):
        repeated = np.repeat(np.arange(ROWS), counts)
        expected = streamed(task, outputs[repeated], truth[repeated])
        assert {name: values[i] for name, values in many.items() if np.isfinite(values[i])} == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert statistic.take(repeated)(np.ones(ROWS if i < 5 else 60)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_areas_of_weighted_rows_are_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    weights = rng.integers(0, 4, ROWS).astype(float)
    task, outputs, truth = made("six")
    p = softmax(outputs.astype(float) / 0.8)
    found = task.statistic(outputs, truth)(weights)
    assert found["auroc"] == pytest.approx(
        np.mean([sk.roc_auc_score(truth == c, p[:, c], sample_weight=weights) for c in range(6)]), abs=1e-4
    )
    own = [sk.average_precision_score(truth == c, p[:, c], sample_weight=weights) for c in range(6)]
    assert found["average_precision"] == pytest.approx(np.mean(own), abs=1e-4)
    task, outputs, truth = made("multilabel")
    p = sigmoid(outputs.astype(float) / 1.3)
    found = task.statistic(outputs, truth)(weights)
    expected = sk.average_precision_score(truth, p, average="micro", sample_weight=weights)
    assert found["micro_average_precision"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_only_wanted_scores_and_none_of_no_rows(kind: str) -> None:
    task, outputs, truth = made(kind)
    statistic = task.statistic(outputs, truth)
    everything, name = statistic.many(np.ones((2, ROWS))), statistic.by_row
    assert statistic.many(np.ones((2, ROWS)), [name]).keys() == {name}
    for asked in everything:
        np.testing.assert_array_equal(statistic.many(np.ones((2, ROWS)), [asked])[asked], everything[asked])
    assert name not in statistic(np.zeros(ROWS))


def test_one_class_only_has_no_areas() -> None:
    task, outputs, _ = made("two")
    found = task.statistic(outputs, np.zeros(ROWS, int))(np.ones(ROWS))
    assert "auroc" not in found
    assert "average_precision" not in found
    assert all(np.isfinite(list(found.values())))
