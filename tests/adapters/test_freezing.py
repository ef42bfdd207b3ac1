"""Which weights the freezing adapters free, by name; what frozen parts do while the rest trains."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import pytest
import torch
from tests.contracts.table import adapter, backbone, case
from torch import nn

from tunesmith.core import registry
from tunesmith.core.contracts import Adapter
from tunesmith.core.errors import AdapterError, RecipeError
from tunesmith.core.model import Model


@pytest.fixture(scope="module")
def fresh(checkpoints: Path) -> Model:
    return case(backbone(checkpoints, "bert"), "classification", {}, rows=3).model


@pytest.fixture
def model(fresh: Model) -> Model:
    made = copy.deepcopy(fresh)
    made._bare = [made.network]
    return made


HEAD = {"head.out.weight", "head.out.bias"}


def body(model: Model) -> set[str]:
    return {name.removeprefix("network.") for name in model.trainable() if name not in HEAD}


def test_full_frees_everything_and_head_only_itself(model: Model) -> None:
    adapter("full").apply(model, 0)
    assert set(model.trainable()) == {name for name, _ in model.named_parameters()}
    adapter("head").apply(model, 0)
    assert set(model.trainable()) == HEAD


@pytest.mark.parametrize(("k", "starts"), [(1, ("encoder.layer.1.",)), (2, ("encoder.layer.",)), (3, ("",))])
def test_last_k_frees_the_last_blocks(model: Model, k: int, starts: tuple[str, ...]) -> None:
    registry.create("adapters", "last_k", {"k": k}).apply(model, 0)
    assert body(model) == {name for name, _ in model.network.named_parameters() if name.startswith(starts)}
    assert set(model.trainable()) >= HEAD


def test_last_k_of_more_blocks_than_there_are(model: Model) -> None:
    with pytest.raises(AdapterError, match="has 3 blocks, fewer than k = 4"):
        registry.create("adapters", "last_k", {"k": 4}).apply(model, 0)
    with pytest.raises(RecipeError, match="at least 1"):
        registry.create("adapters", "last_k", {"k": 0})


def test_bitfit_frees_the_biases(model: Model) -> None:
    adapter("bitfit").apply(model, 0)
    assert body(model) == {name for name, _ in model.network.named_parameters() if name.endswith(".bias")}


def test_gradual_frees_block_after_block_from_the_output(model: Model) -> None:
    method: Adapter = registry.create("adapters", "gradual", {"share": 0.5})
    method.apply(model, 0)
    method.begin(model, 0, 80)
    seen = []
    for step in range(1, 81):
        if method.stepped(model, step, 80):
            seen.append((step, sorted({".".join(name.split(".")[:3]) for name in body(model)})))
    first, second = ["encoder.layer.1"], ["encoder.layer.0", "encoder.layer.1"]
    assert [step for step, _ in seen] == [10, 20, 30]  # 40 steps in which the head and three blocks take turns
    assert seen[0][1] == first
    assert seen[1][1] == second
    assert body(model) == {name for name, _ in model.network.named_parameters()}


def freed(model: Model) -> int:
    """How many blocks change, counted from the output; all of those before them are frozen."""
    free = [all(p.requires_grad for p in block.parameters()) for block in model.blocks()]
    count = sum(free)
    assert free == [False] * (len(free) - count) + [True] * count
    return count


@pytest.mark.parametrize("seed", range(8))
def test_gradual_neither_freezes_again_nor_skips_when_the_number_of_steps_changes(model: Model, seed: int) -> None:
    """As under a time limit, which plans anew after each step."""
    method: Adapter = registry.create("adapters", "gradual", {"share": 0.5})
    method.apply(model, 0)
    method.begin(model, 0, 100_000)
    rng, due = random.Random(seed), 0
    for step in range(1, 61):
        total = rng.choice([60, 75, 90, 120, 100_000])
        changed = method.stepped(model, step, total)
        now = max(due, min(3, int(step / (0.5 * total) * 4)))
        assert changed == (now > due)
        assert freed(model) == now
        due = now
    assert due == 3


def test_gradual_goes_on_where_it_was(model: Model) -> None:
    method: Adapter = registry.create("adapters", "gradual", {"share": 0.5})
    method.apply(model, 0)
    method.begin(model, 0, 80)
    method.stepped(model, 20, 80)
    assert freed(model) == 2
    state = method.state(model)
    method.apply(model, 0)  # as when the run is resumed
    method.restore(model, state)
    method.begin(model, 20, 80)
    assert freed(model) == 2
    method.begin(model, 20, 100_000)
    assert freed(model) == 2


@pytest.mark.parametrize("tiny", ["bert", "gpt2"])
def test_a_frozen_network_runs_without_dropout(tiny: str, checkpoints: Path) -> None:
    made = case(backbone(checkpoints, tiny), "classification", {"dropout": 0.0}, rows=6)
    adapter("head").apply(made.model, 0)
    made.model.train()
    assert not any(module.training for module in made.model.network.modules() if isinstance(module, nn.Dropout))
    batch = made.batch()
    with torch.no_grad():
        assert torch.equal(made.model(batch), made.model(batch))
    registry.create("adapters", "last_k", {"k": 1}).apply(made.model, 0)
    made.model.train()
    with torch.no_grad():
        assert not torch.equal(made.model(batch), made.model(batch))


def test_frozen_batch_norms_keep_their_statistics(checkpoints: Path) -> None:
    made = case(backbone(checkpoints, "resnet"), "classification", {}, rows=6)
    registry.create("adapters", "last_k", {"k": 1}).apply(made.model, 0)
    before = {name: buffer.clone() for name, buffer in made.model.network.named_buffers()}
    made.model.train()
    made.model(made.batch())
    moved = {name for name, buffer in made.model.network.named_buffers() if not torch.equal(buffer, before[name])}
    assert moved
    assert all(name.startswith("encoder.stages.1.") for name in moved)


@pytest.mark.parametrize(
    ("name", "own", "random"), [("lora", None, False), ("lora", True, True), ("full", None, True), ("full", False, False)]
)
def test_the_backbones_dropout_acts_where_its_own_weights_change(model: Model, name: str, own: bool | None, random: bool) -> None:
    adapter(name).apply(model, 0)
    model.dropout = own
    model.train()
    batch = {"inputs": model.backbone.collate([model.backbone.encode({"text": "river stone bright"})])}
    first, second = (model.features(batch).pooled for _ in range(2))
    assert first is not None
    assert second is not None
    assert torch.equal(first, second) != random


def test_layers_are_recomputed_although_dropout_rests(model: Model) -> None:
    model.backbone.save_memory(model._bare[0])
    adapter("lora").apply(model, 0)
    model.train()
    seen = []
    layer = model.blocks()[-1]
    layer.register_forward_hook(lambda *_: seen.append(1))
    batch = {"inputs": model.backbone.collate([model.backbone.encode({"text": "river stone bright"})])}
    model(batch).sum().backward()
    assert len(seen) == 1
    inner = [0]
    query = next(m for n, m in layer.named_modules() if n.endswith("query"))
    query.register_forward_hook(lambda *_: inner.__setitem__(0, inner[0] + 1))
    model(batch).sum().backward()
    assert inner == [2], "once forward, once more for the backward pass"
