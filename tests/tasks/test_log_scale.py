"""Numbers above 0 whose ratios matter: learned, scored and bounded by their logarithms, said on the user's scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import r2_score, root_mean_squared_error

import tunesmith
from tunesmith.core import registry
from tunesmith.core.errors import RowError
from tunesmith.tasks.regression import Regression


def fitted(truth: np.ndarray[Any, Any], **options: Any) -> Regression:
    task: Regression = registry.create("tasks", "regression", {"scale": "log", **options})
    return task.fit(truth.tolist())


@pytest.fixture
def pair() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Prices, and what is said of them."""
    rng = np.random.default_rng(0)
    truth = np.exp(rng.normal(12, 0.8, 400))
    return truth, truth * np.exp(rng.normal(0, 0.3, 400))


def test_scores_are_those_of_scikit_learn_on_logarithms(pair: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> None:
    truth, said = pair
    task = fitted(truth)
    outputs = task.outputs(said[:, None])
    np.testing.assert_allclose([item["value"] for item in task.decode(outputs)], said, rtol=1e-5)
    np.testing.assert_allclose(
        task.collate(truth.tolist()).numpy(), (np.log(truth) - np.log(truth).mean()) / np.log(truth).std(), atol=1e-5
    )
    metrics = task.metrics()
    for part in (slice(0, 150), slice(150, 400)):
        metrics.update(task.decode(outputs[part]), truth[part].tolist())
    for scores in (metrics.compute(), task.statistic(outputs, truth)(np.ones(len(truth)))):
        assert scores["r2_log"] == pytest.approx(r2_score(np.log(truth), np.log(said)), abs=1e-5)
        assert scores["rmse_log"] == pytest.approx(root_mean_squared_error(np.log(truth), np.log(said)), abs=1e-5)
        assert scores["r2"] == pytest.approx(r2_score(truth, said), abs=1e-4)
        assert scores["rmse"] == pytest.approx(root_mean_squared_error(truth, said), rel=1e-4)
    assert next(iter(task.directions().items())) == ("rmse_log", "min")
    assert task.baseline(truth.tolist())["value"] == pytest.approx(float(np.exp(np.log(truth).mean())))


def test_intervals_reach_as_many_times_up_as_down(pair: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> None:
    truth, said = pair
    task = fitted(truth, coverage=0.8)
    outputs = task.outputs(said[:, None])
    task = task.calibrated(outputs[:200], truth[:200])
    ratios = np.sort(np.abs(np.log(said[:200] / truth[:200])))
    assert task.margin == pytest.approx(ratios[int(np.ceil(201 * 0.8)) - 1], abs=1e-4)  # split conformal: that many of n + 1
    assert task.margin is not None
    low, high = np.asarray([item["interval"] for item in task.decode(outputs)]).T
    np.testing.assert_allclose(high / said, np.exp(task.margin), rtol=1e-4)
    np.testing.assert_allclose(said / low, np.exp(task.margin), rtol=1e-4)
    found = task.calibration(outputs[200:], truth[200:])["conformal"]
    held = (low[200:] <= truth[200:]) & (truth[200:] <= high[200:])
    assert found["measured"] == pytest.approx(held.mean())
    assert found["size"] == pytest.approx((high - low)[200:].mean(), rel=1e-4)
    assert task.statistic(outputs, truth)(np.ones(400))["interval_width"] == pytest.approx((high - low).mean(), rel=1e-4)


def test_what_has_no_logarithm_is_named() -> None:
    for value in ("0", "-3"):
        with pytest.raises(RowError, match=rf"'label': '{value}' has no logarithm, as it is not above 0 \(--set task.scale=linear"):
            Regression(scale="log").raw({"label": value})
        assert Regression().raw({"label": value}) == float(value)
    assert Regression(scale="log").decode(np.asarray([[1e9], [-1e9]], np.float32))[0]["value"] < np.inf


def test_cheap_ways_learn_logarithms_too(tmp_path: Path) -> None:
    """Prices that double with each room: a linear model of logarithms knows them, one of prices does not."""
    rng = np.random.default_rng(0)
    rooms = rng.integers(1, 9, 200)
    rows = [{"rooms": int(r), "year": int(rng.integers(1900, 2000)), "price": float(f"{2.0**r * 1000:.6g}")} for r in rooms]
    run = tunesmith.tune(
        rows, label="price", task={"name": "regression", "scale": "log"}, adapter="head", epochs=1, backbone={"hidden": 8, "heads": 2},
        out=str(tmp_path / "run"), trackers=["jsonl"], allow_failed_checks=True, allow_data_errors=True,
    )  # fmt: skip
    board = {line["name"]: line for line in json.loads((tmp_path / "run" / "metrics.json").read_text())["scoreboard"]}
    assert board["logistic"]["scores"]["r2_log"] > 0.999
    assert board["logistic"]["metric"] == "rmse_log"
    assert run.metrics["verdict"]["metric"] == "rmse_log"
