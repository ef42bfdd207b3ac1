"""What passes cost: counts against sums by hand, and that measuring leaves no trace."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.contracts.table import TINY, adapter, backbone, case
from tests.engine.test_loop import bench, furthest, weights_of

from tunesmith.core.model import Model
from tunesmith.engine import cost as costs
from tunesmith.engine.batches import Examples, Loader, Plan
from tunesmith.engine.cost import Cost, Curve, Speed

CPU = torch.device("cpu")


def measured(checkpoints: Path, tiny: str, name: str, **options: object) -> tuple[Model, Loader, Cost]:
    made = case(backbone(checkpoints, tiny), "classification", {}, rows=24)
    adapter(name, **options).apply(made.model, 0)
    sizes = made.backbone.sizes(made.rows).astype(np.int32)
    loader = Loader(Plan(np.arange(len(made.rows)), sizes, 8, 1, 0), Examples(made.rows, made.targets, made.backbone), made.task, False)
    return made.model, loader, costs.measure(made.model, made.task, loader, CPU, nullcontext)


def test_operations_of_a_bert_are_those_added_up_by_hand(checkpoints: Path) -> None:
    _, _, found = measured(checkpoints, "bert", "full")
    rows, length, width, inner, layers, classes = 3, 20, 32, 64, 2, 3
    linear = 2 * rows * length * layers * (4 * width * width + 2 * width * inner)
    attention = 2 * rows * layers * 2 * length * length * width
    assert found.forward.at((rows, length)) == pytest.approx(linear + attention + 2 * rows * width * classes, rel=0.01)
    assert 2.5 < found.step.at((rows, length)) / found.forward.at((rows, length)) < 3.1, "a backward pass is about two forward passes"


@pytest.mark.parametrize("tiny", sorted(TINY))
def test_bytes_kept_are_those_that_autograd_saves(checkpoints: Path, tiny: str) -> None:
    model, loader, found = measured(checkpoints, tiny, "full")
    order = np.argsort(loader.plan.sizes)[-4:]
    batch = costs.batch_of(loader, order.tolist(), CPU)
    weights = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = model(batch)
    del outputs
    expected = found.kept.at((4, int(loader.plan.sizes[order[-1]])))
    assert sum(kept.values()) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize(("name", "options", "low", "high"), [("head", {}, 1, 1), ("last_k", {"k": 1}, 0.4, 0.6), ("full", {}, 0, 0)])
def test_the_frozen_share_is_that_of_the_frozen_layers(
    checkpoints: Path, name: str, options: dict[str, int], low: float, high: float
) -> None:
    _, _, found = measured(checkpoints, "bert", name, **options)
    assert low <= found.frozen <= high


def test_measuring_leaves_weights_buffers_mode_and_random_state(checkpoints: Path) -> None:
    made = case(backbone(checkpoints, "resnet"), "classification", {}, rows=24)
    adapter("full").apply(made.model, 0)
    loader = Loader(
        Plan(np.arange(24), np.ones(24, np.int32), 8, 1, 0), Examples(made.rows, made.targets, made.backbone), made.task, augment=False
    )
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    random, mode = torch.get_rng_state(), made.model.training
    costs.measure(made.model, made.task, loader, CPU, nullcontext)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert made.model.training == mode
    assert all(p.grad is None for p in made.model.parameters())


def test_speed_and_curve() -> None:
    assert Speed(0.5, 100.0).seconds(200.0) == 2.5
    assert Curve(3.0, 0.5).at((2, 10)) == 2 * 10 * (3 + 5)


def test_the_loop_is_that_of_before_when_pieces_have_a_budget(checkpoints: Path, tmp_path: Path) -> None:
    import dataclasses

    results = []
    for budget in (0, 40):
        made = bench(checkpoints)
        made.loader.plan = dataclasses.replace(made.loader.plan, budget=budget)
        made.loop(tmp_path / str(budget), epochs=1).run(len(made.loader.plan))
        results.append(weights_of(made.model))
    assert furthest(*results) < 1e-5
