"""Every registered task on every tiny backbone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.contracts.table import TINY, Case, backbone, case, pairs, plain

from tunesmith.core import registry
from tunesmith.core.contracts import Task
from tunesmith.core.errors import BackboneError
from tunesmith.evaluate.checks import differences


@pytest.fixture(
    scope="module",
    params=pairs(suiting=True),
    ids=lambda p: "-".join([p[0], p[1], *p[2]]),
)
def made(request: pytest.FixtureRequest, checkpoints: Path) -> Case:
    tiny, name, options = request.param
    return case(backbone(checkpoints, tiny), name, options)


def test_loss_is_finite_and_a_sum_over_rows(made: Case) -> None:
    made.model.eval()
    for phase in made.task.phases:
        with torch.no_grad():
            whole = float(made.task.loss(made.model, made.batch(), phase))
            parts = [float(made.task.loss(made.model, made.batch(i, i + 1), phase)) for i in range(len(made.rows))]
        assert math.isfinite(whole)
        assert whole > 0
        if made.task.divides:
            assert math.fsum(parts) == pytest.approx(whole, rel=1e-4)
        else:  # a row alone is held against nothing
            assert math.fsum(parts) < whole


def test_weight_is_a_sum_over_rows(made: Case) -> None:
    for phase in made.task.phases:
        parts = [made.task.weight(made.batch(i, i + 1), phase) for i in range(len(made.rows))]
        assert math.fsum(parts) == pytest.approx(made.task.weight(made.batch(), phase), rel=1e-9)
        assert min(parts) > 0


def test_gradient_reaches_head_and_network(made: Case) -> None:
    made.model.train()
    made.task.loss(made.model, made.batch(), made.task.phases[0]).backward()
    without = [name for name, p in made.model.named_parameters() if p.grad is None or not bool(torch.isfinite(p.grad).all())]
    made.model.zero_grad(set_to_none=True)
    assert without == []


def test_predictions_are_plain_json(made: Case) -> None:
    found = made.task.decode(made.predicted())
    assert len(found) == len(made.rows)
    assert plain(found) == found


def test_outputs_of_what_a_baseline_says_decode_to_it(made: Case) -> None:
    raw = made.predicted()
    if made.task.answers not in ("classes", "labels", "numbers"):
        pytest.skip(f"no baseline says {made.task.answers}, but the constant one, which needs no outputs")
    found = made.task.decode(raw)
    said = np.asarray([numbers(item) for item in found])
    assert said.shape == raw.shape
    again = made.task.decode(made.task.outputs(said))
    assert max(map(differences, found, again)) < 1e-5


def numbers(prediction: dict[str, Any]) -> Any:
    """What a prediction says, as a baseline would say it."""
    if "forecast" in prediction:
        levels = prediction.get("quantiles", {"": prediction["forecast"]})
        return np.moveaxis(np.asarray([list(columns.values()) for columns in levels.values()]), (0, 1, 2), (2, 1, 0))
    return list(prediction["probabilities"].values()) if "probabilities" in prediction else [prediction["value"]]


def test_metrics_take_predictions_in_any_pieces(made: Case) -> None:
    found = made.task.decode(made.predicted())
    whole, pieces = made.task.metrics(), made.task.metrics()
    whole.update(found, made.targets)
    for i in range(0, len(found), 5):
        pieces.update(found[i : i + 5], made.targets[i : i + 5])
    scores = whole.compute()
    assert scores == pytest.approx(pieces.compute())
    assert scores["rows"] == len(found)
    assert all(math.isfinite(value) for value in scores.values())
    assert not set(whole.notes()) & set(scores)
    assert set(made.task.directions()) <= set(scores) | set(whole.notes())
    name, direction = next(iter(made.task.directions().items()))
    assert direction in ("max", "min")
    assert math.isfinite(scores[name])
    json.dumps(scores)
    for table in whole.tables():
        assert len(table.values) == len(table.index)
        assert all(len(row) == len(table.columns) for row in table.values)


def test_statistic_of_rows_that_count_once_gives_the_metrics(made: Case) -> None:
    outputs, truth = made.predicted(), made.task.truth(made.targets)
    statistic, scores = made.task.statistic(outputs, truth), made.task.metrics()
    scores.update(made.task.decode(outputs), made.targets)
    expected = {name: value for name, value in scores.compute().items() if name != "rows"}
    assert statistic(np.ones(len(truth))) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert statistic.rows == len(truth)


def test_a_calibrated_task_says_what_it_knows(made: Case) -> None:
    outputs, truth = made.predicted(), made.task.truth(made.targets)
    fitted = made.task.calibrated(outputs, truth)
    assert registry.create("tasks", fitted.name, plain(fitted.settings())) == fitted
    assert plain(fitted.decode(outputs)) == fitted.decode(outputs)
    told, sure = fitted.calibration(outputs, truth), fitted.confidence(outputs)
    assert plain(told) == told
    by_groups = fitted.calibration(outputs, truth, np.arange(len(truth)) // 2)
    assert plain(by_groups) == by_groups
    assert sure is None or (sure.shape == (len(truth),) and 0 <= sure.min() <= sure.max() <= 1)


def test_settings_rebuild_an_equal_task(made: Case) -> None:
    again: Task = registry.create("tasks", made.task.name, plain(made.task.settings()))
    assert again == made.task
    one, two = (task.collate(made.targets) for task in (again, made.task))
    pairs = zip(one.values(), two.values(), strict=True) if isinstance(one, dict) and isinstance(two, dict) else [(one, two)]
    assert all(torch.equal(a, b) for a, b in pairs)  # type: ignore[arg-type]


def test_baseline_is_scored(made: Case) -> None:
    scores = made.task.metrics()
    scores.update([made.task.baseline(made.raws)] * len(made.targets), made.targets)
    assert math.isfinite(scores.compute()[next(iter(made.task.directions()))])


def test_rows_are_shown_to_people(made: Case) -> None:
    found = made.task.decode(made.predicted())
    for row, prediction, target in zip(made.rows, found, made.targets, strict=True):
        line = made.task.render(row, prediction, target)
        assert line
        assert "\n" not in line
        assert plain(made.task.shown(target)) == made.task.shown(target)
        made.task.stratum(made.task.raw(row))
    assert all(isinstance(label, str) for label in made.task.labels())


def test_a_backbone_that_lacks_what_the_task_reads_is_refused(checkpoints: Path) -> None:
    lacking = [pair for pair in pairs(suiting=False) if set(registry.find("tasks", pair[1]).load().needs) <= TINY[pair[0]].traits]
    assert lacking
    for tiny, name, options in lacking:
        with pytest.raises(BackboneError, match=r"--task|--modality"):
            case(backbone(checkpoints, tiny), name, options)


LEARNERS = {
    "contrastive": (["clip"], 40),
    "ctc": (["sounds"], 120),
    "masked_cells": (["tabular"], 40),
    "transcription": (["whisper"], 60),
}
"""Tiny backbones that learn a task, and in how many steps, where they are not those of pictures and texts."""


@pytest.mark.parametrize(
    ("name", "tiny", "steps"),
    [
        (name, tiny, steps)
        for name in registry.entries("tasks")
        for tinies, steps in [LEARNERS.get(name, (["bert", "vit"], 40))]
        for tiny in tinies
    ],
)
def test_synthetic_rows_can_be_learned(name: str, tiny: str, steps: int, checkpoints: Path) -> None:
    made = case(backbone(checkpoints, tiny), name, {}, rows=24)
    monitor, direction = next(iter(made.task.directions().items()))
    optimizer = torch.optim.AdamW(made.model.parameters(), 3e-3)
    made.model.train()
    batch = made.batch()
    for _ in range(steps):
        (made.task.loss(made.model, batch, "main") / made.task.weight(batch, "main")).backward()
        optimizer.step()
        optimizer.zero_grad()
    learned, constant = made.task.metrics(), made.task.metrics()
    learned.update(made.task.decode(made.predicted()), made.targets)
    constant.update([made.task.baseline(made.raws)] * len(made.targets), made.targets)
    sign = 1 if direction == "max" else -1
    assert sign * learned.compute()[monitor] > sign * constant.compute()[monitor]
