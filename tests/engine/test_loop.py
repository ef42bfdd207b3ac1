"""The loop against a loop written by hand, and what must not change its result."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import pytest
import torch

from tunesmith.core import registry
from tunesmith.core.errors import TrainingError
from tunesmith.core.fitting import Callback, Progress, Setup
from tunesmith.core.model import Model
from tunesmith.engine.averages import Ema, averaged
from tunesmith.engine.batches import Examples, Loader, Plan
from tunesmith.engine.groups import parameter_groups
from tunesmith.engine.loop import Limits, Loop

ROWS = 52


@dataclasses.dataclass
class Bench:
    """Everything a loop needs, on the tiny BERT."""

    model: Model
    setup: Setup
    loader: Loader
    task: Any
    adapter: Any
    rows: list[dict[str, Any]]
    targets: dict[int, Any]

    def loop(self, folder: Path, **limits: Any) -> Loop:
        scores = itertools.count(1.0)  # the last weights are the best
        given = {"epochs": 2, "clip": 1.0, "warmup": 0.0, "patience": None, "monitor": ("score", "max"), **limits}
        return Loop(
            setup=self.setup,
            model=self.model,
            accelerator=accelerate.Accelerator(cpu=True),
            adapter=self.adapter,
            schedule=registry.create("schedules", "constant", {}),
            limits=Limits(**given),
            evaluate=lambda: {"score": next(scores)},
            folder=folder,
            callbacks=[],
        )


def bench(checkpoints: Path, pieces: int = 1, weights: str = "none", lr: float = 0.05) -> Bench:
    torch.manual_seed(0)
    backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    task = registry.create("tasks", "classification", {"class_weights": weights, "dropout": 0.0})
    rows = task.synthetic(ROWS, 0, backbone.sample)
    rows = [row for i, row in enumerate(rows) if row["label"] != "class_2" or i % 2][:40]  # unbalanced
    task = task.fit([row["label"] for row in rows])
    targets = {i: task.target(row["label"]) for i, row in enumerate(rows)}
    model = task.build(backbone)
    adapter = registry.create("adapters", "full", {})
    adapter.apply(model, 0)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    sizes = backbone.sizes(rows)
    loader = Loader(Plan(np.arange(len(rows)), sizes, 8, pieces, 3), Examples(rows, targets, backbone), task, augment=False)
    # plain descent: Adam would blow rounding errors of gradients that are zero but for them up to whole steps
    optimizer = torch.optim.SGD(parameter_groups(model, lr=lr, head_lr=lr, layer_decay=1.0, weight_decay=0.01))
    setup = Setup(model, {"main": optimizer}, task.loss, task.weight, loader.batches, [])
    return Bench(model, setup, loader, task, adapter, rows, targets)


def weights_of(model: Model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def furthest(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return max(float((first[name] - second[name]).abs().max()) for name in first)


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_the_loop_equals_one_written_by_hand(checkpoints: Path, tmp_path: Path, weights: str) -> None:
    ours = bench(checkpoints, weights=weights)
    ours.loop(tmp_path).run(len(ours.loader.plan))

    hand = bench(checkpoints, weights=weights)
    hand.model.train()
    matrices = [p for p in hand.model.parameters() if p.ndim > 1]
    vectors = [p for p in hand.model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD([{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}], lr=0.05)
    class_weights = torch.tensor(hand.task.weights) if weights == "balanced" else None
    for epoch in range(2):
        for (batch,) in hand.loader.batches(epoch):
            logits = hand.model(batch)
            loss = torch.nn.functional.cross_entropy(logits, batch["target"], class_weights)  # the mean, as torch defines it
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(hand.model.parameters(), 1.0)
            optimizer.step()
    assert furthest(weights_of(ours.model), weights_of(hand.model)) < 1e-5


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_a_step_does_not_depend_on_the_pieces_it_is_computed_in(checkpoints: Path, tmp_path: Path, weights: str) -> None:
    results = []
    for pieces in (1, 3, 8):
        made = bench(checkpoints, pieces=pieces, weights=weights)
        loop = made.loop(tmp_path / str(pieces), epochs=1)
        loop.run(len(made.loader.plan))
        results.append((weights_of(made.model), loop.progress.first_loss))
    for other, loss in results[1:]:
        assert furthest(results[0][0], other) < 1e-5
        assert loss == pytest.approx(results[0][1], abs=1e-6)


def test_every_row_is_met_once_an_epoch_whatever_the_pieces() -> None:
    for rows, batch, pieces in ((52, 8, 1), (53, 8, 3), (7, 8, 4), (17, 16, 4)):
        plan = Plan(np.arange(100, 100 + rows), np.arange(rows) % 5, batch, pieces, 0)
        for epoch in (0, 1):
            batches = list(plan.epoch(epoch))
            met = np.concatenate([piece for batch_ in batches for piece in batch_])
            assert sorted(met) == list(range(100, 100 + rows))
            assert len(batches) == len(plan)
        assert not np.array_equal(
            np.concatenate([p for b in plan.epoch(0) for p in b]), np.concatenate([p for b in plan.epoch(1) for p in b])
        )


def test_rows_of_alike_size_share_a_batch() -> None:
    sizes = np.random.default_rng(0).integers(1, 400, 4000)
    plan = Plan(np.arange(4000), sizes, 32, 1, 0)
    padded = sum(sizes[b].max() * len(b) for (b,) in plan.epoch(0))
    assert padded / sizes.sum() < 1.1  # a random order pads to about twice the sum


def test_a_loss_that_is_not_finite_stops_the_run_at_once(checkpoints: Path, tmp_path: Path) -> None:
    made = bench(checkpoints)
    made.setup.loss = lambda model, batch, phase: made.task.loss(model, batch, phase) * float("nan")
    with pytest.raises(TrainingError, match=r"not finite in step 1 .*--lr"):
        made.loop(tmp_path).run(len(made.loader.plan))
    assert not list(tmp_path.glob("step-*"))


def test_a_gradient_that_does_not_arrive_stops_the_run_at_once(checkpoints: Path, tmp_path: Path) -> None:
    made = bench(checkpoints)
    made.setup.loss = lambda model, batch, phase: made.task.loss(model, batch, phase) * 0.0
    with pytest.raises(TrainingError, match="no gradient arrives in step 1"):
        made.loop(tmp_path).run(len(made.loader.plan))


def test_two_phases_need_no_change_in_the_loop(checkpoints: Path, tmp_path: Path) -> None:
    """As a GAN has: each phase has its own optimizer, parameters and loss."""
    made = bench(checkpoints)
    head, body = list(made.model.head.parameters()), list(made.model.network.parameters())
    seen: list[str] = []

    def loss(model: Any, batch: Any, phase: str) -> torch.Tensor:
        seen.append(phase)
        value = made.task.loss(model, batch, phase)
        return value if phase == "head" else -0.1 * value

    made.setup.loss = loss
    made.setup.optimizers = {
        phase: torch.optim.SGD([{"params": part, "lr": 0.01, "base_lr": 0.01}]) for phase, part in (("head", head), ("body", body))
    }
    before = weights_of(made.model)
    made.loop(tmp_path, epochs=1).run(len(made.loader.plan))
    assert seen[:4] == ["head", "body", "head", "body"]
    assert all(not torch.equal(p, before[name]) for name, p in made.model.named_parameters() if "head.out" in name)
    assert {p.name for p in tmp_path.glob("step-*/optimizer-*.pt")} == {"optimizer-head.pt", "optimizer-body.pt"}


def test_the_best_weights_are_kept_and_patience_stops(checkpoints: Path, tmp_path: Path) -> None:
    made = bench(checkpoints)
    scores = iter([0.5, 0.7, 0.6, 0.65, 0.9])
    kept: list[dict[str, torch.Tensor]] = []

    def evaluate() -> dict[str, float]:
        kept.append(weights_of(made.model))
        return {"score": next(scores)}

    loop = made.loop(tmp_path, epochs=5, patience=2)
    loop.evaluate = evaluate
    progress = loop.run(len(made.loader.plan))
    assert progress.stop == "score has not improved in 2 evaluations"
    assert progress.epoch == 4
    assert progress.best == 0.7
    assert furthest(weights_of(made.model), kept[1]) == 0.0
    assert furthest(kept[3], kept[1]) > 0.0


def test_an_unknown_monitor_names_the_metrics(checkpoints: Path, tmp_path: Path) -> None:
    made = bench(checkpoints)
    with pytest.raises(TrainingError, match="no validation metric 'f2' to monitor; there are score"):
        made.loop(tmp_path, monitor=("f2", "max")).run(len(made.loader.plan))


def test_callbacks_are_told_of_everything(checkpoints: Path, tmp_path: Path) -> None:
    told: list[str] = []

    class Listener(Callback):
        def __getattribute__(self, name: str) -> Any:
            if name in ("train_start", "step_end", "evaluated", "saved", "failed", "closed"):
                told.append(name)
            return super().__getattribute__(name)

    made = bench(checkpoints)
    loop = made.loop(tmp_path, epochs=1)
    loop.callbacks = [Listener()]
    loop.run(len(made.loader.plan))
    steps = len(made.loader.plan)
    assert told == ["train_start", *["step_end"] * steps, "evaluated", "saved", "closed"]


def test_ema_equals_its_definition() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    ema = Ema({"w": parameter}, 0.5)
    shadow = 1.0
    for step, value in enumerate((2.0, 3.0, -1.0), start=1):
        parameter.data.fill_(value)
        ema.update()
        decay = min(0.5, (1 + step) / (10 + step))
        shadow = decay * shadow + (1 - decay) * value
    with averaged([ema]):
        assert parameter.item() == pytest.approx(shadow)
    assert parameter.item() == -1.0


def test_layer_wise_rates_fall_from_the_last_block(checkpoints: Path) -> None:
    made = bench(checkpoints)
    groups = parameter_groups(made.model, lr=1.0, head_lr=5.0, layer_decay=0.5, weight_decay=0.1)
    rate = {id(p): g["lr"] for g in groups for p in g["params"]}
    decay = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    named = dict(made.model.named_parameters())
    assert rate[id(named["head.out.weight"])] == 5.0
    assert rate[id(named["network.encoder.layer.1.output.dense.weight"])] == 1.0
    assert rate[id(named["network.encoder.layer.0.output.dense.weight"])] == 0.5
    assert rate[id(named["network.embeddings.word_embeddings.weight"])] == 0.25
    assert decay[id(named["network.encoder.layer.0.output.dense.bias"])] == 0.0
    assert decay[id(named["network.encoder.layer.0.output.dense.weight"])] == 0.1
    assert math.isclose(sum(len(g["params"]) for g in groups), len(named))


def test_progress_is_plain() -> None:
    assert dataclasses.asdict(Progress())["history"] == []
