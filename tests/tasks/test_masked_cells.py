"""Masked cells: losses against scikit-learn, what is hidden stays hidden, and columns that tell each other are found out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from tunesmith.backbones.tabular import Tabular
from tunesmith.core import registry
from tunesmith.core.contracts import Batch
from tunesmith.core.model import Model
from tunesmith.tasks._cells_head import VARIANCE, hidden
from tunesmith.tasks.masked_cells import MaskedCells


def rows(n: int = 120) -> list[dict[str, Any]]:
    """The town tells the price, and the noise tells nothing."""
    rng = np.random.default_rng(0)
    return [{"price": str(10 * (i % 4) + 1), "town": "abcd"[i % 4], "noise": str(rng.integers(100))} for i in range(n)]


def made() -> tuple[MaskedCells, Tabular, Model]:
    torch.manual_seed(0)
    backbone = Tabular(columns=("price", "town", "noise"), kinds=("number", "category", "number"), hidden=16, heads=2, bins=6)
    backbone = backbone.fit(lambda: iter(rows()), 0)
    task, _ = MaskedCells().meet(backbone)
    assert isinstance(task, MaskedCells)
    return task, backbone, task.build(backbone)


def batch_of(task: MaskedCells, backbone: Tabular, some: list[dict[str, Any]]) -> Batch:
    return {"inputs": backbone.collate([backbone.encode(row) for row in some]), "target": task.collate([0] * len(some))}


def test_losses_are_those_of_scikit_learn() -> None:
    _, backbone, model = made()
    some = [*rows(20), {"price": "?", "town": "a", "noise": "1"}]
    inputs = backbone.collate([backbone.encode(row) for row in some])
    head: Any = model.head
    said = torch.randn(21, 2 + backbone.cells().sizes[0])
    losses, there = head.losses(said, inputs)
    p = torch.softmax(said[:, 2:], dim=1).numpy()
    codes = inputs["codes"][:, 0].numpy()
    assert float(losses[:, 2].mean()) == pytest.approx(log_loss(codes, p, labels=range(p.shape[1])), rel=1e-5)
    places = backbone.scale.placed(np.asarray([backbone.encode(row)["numbers"] for row in some]))
    numbers = losses[:20, :2].numpy()
    np.testing.assert_allclose(numbers, (said[:20, :2].numpy() - places[:20]) ** 2 / VARIANCE, rtol=1e-4, atol=1e-5)
    assert there[20].tolist() == [False, True, True]


def test_a_hidden_cell_cannot_be_seen() -> None:
    _, backbone, model = made()
    model.eval()
    first, second = rows(1)[0], {**rows(1)[0], "town": "d", "price": "31"}
    where = torch.tensor([[True, True, False]])
    outputs = []
    for row in (first, second):
        inputs = backbone.collate([backbone.encode(row)])
        outputs.append(model({"inputs": hidden(inputs, backbone.cells(), where)}))
    assert torch.equal(*outputs)
    seen = model({"inputs": backbone.collate([backbone.encode(first)])})
    assert not torch.equal(outputs[0], seen)


def test_what_others_tell_is_learned_and_noise_is_not() -> None:
    task, backbone, model = made()
    batch = batch_of(task, backbone, rows())
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    model.train()
    for _ in range(120):
        optimizer.zero_grad()
        (task.loss(model, batch, "main") / task.weight(batch, "main")).backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        outputs = task.predict(model, batch)
    told, alone = outputs.mean(axis=0)
    assert told[1] < 0.1 * alone[1]
    assert told[0] < 0.1 * alone[0]
    assert told[2] > 0.6 * alone[2]
    strange = {"price": "1", "town": "d", "noise": "50"}
    with torch.inference_mode():
        odd, usual = (task.decode(task.predict(model, batch_of(task, backbone, [row])))[0] for row in (strange, {**strange, "town": "a"}))
    assert odd["surprise"] > 5 * usual["surprise"]
    scores = task.metrics()
    scores.update(task.decode(outputs), [0] * len(outputs))
    found = scores.compute()
    statistic = task.statistic(outputs, np.zeros(len(outputs)))
    assert statistic(np.ones(len(outputs))) == pytest.approx({name: found[name] for name in ("explained", "surprise")})
    assert found["explained"] == pytest.approx(1 - outputs[:, 0].mean(axis=1).sum() / outputs[:, 1].mean(axis=1).sum(), rel=1e-5)


def test_a_loss_in_evaluation_is_a_sum_over_rows() -> None:
    task, backbone, model = made()
    model.eval()
    with torch.inference_mode():
        whole = float(task.loss(model, batch_of(task, backbone, rows(9)), "main"))
        parts = sum(float(task.loss(model, batch_of(task, backbone, [row]), "main")) for row in rows(9))
    assert whole == pytest.approx(parts, rel=1e-5)
    assert whole > 0


def test_settings_rebuild_the_task_and_a_row_with_gaps_is_scored() -> None:
    task, backbone, model = made()
    assert registry.create("tasks", "masked_cells", dataclasses.asdict(task)) == task
    model.eval()
    with torch.inference_mode():
        [found] = task.decode(task.predict(model, batch_of(task, backbone, [{"price": "?", "town": "a", "noise": "7"}])))
    assert found["cells"]["price"] is None
    assert np.isfinite(found["surprise"])
