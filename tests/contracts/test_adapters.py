"""Every registered adapter on every tiny backbone: those it says it fits, and those it refuses."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tests.contracts.table import Case, adapter, adapters, backbone, case, plain

from tunesmith.core import bundle, registry
from tunesmith.core.contracts import Adapter, Batch
from tunesmith.core.errors import AdapterError
from tunesmith.evaluate import checks

STEPS = 6


@dataclass
class Trained:
    """A model that some steps were taken with under an adapter."""

    case: Case
    adapter: Adapter
    own_names: list[str]
    at_start: set[str]
    later: set[str]
    before: dict[str, int]
    after: dict[str, int]


def named(params: list[tuple[str, str]]) -> list[str]:
    return ["-".join(pair) for pair in params]


def fresh_names(trained: Trained) -> set[str]:
    """Names of the network's parameters that no pretraining has touched."""
    bare = trained.case.model._bare[0]
    new = {id(p) for part in trained.case.backbone.fresh(bare) for p in part.parameters()}
    return {name.replace(".base_layer.", ".") for name, p in bare.named_parameters() if id(p) in new}


@pytest.fixture(scope="module", params=adapters(fitting=True), ids=named(adapters(fitting=True)))
def trained(request: pytest.FixtureRequest, checkpoints: Path) -> Trained:
    name, tiny = request.param
    made = case(backbone(checkpoints, tiny), "classification", {"dropout": 0.0}, rows=9)
    own_names, method = list(made.model.network.state_dict()), adapter(name)
    method.apply(made.model, 0)
    at_start, before = set(made.model.trainable()), made.model.fingerprints()
    method.begin(made.model, 0, STEPS)
    # no decay: what moves is moved by a gradient
    optimizer = torch.optim.AdamW(made.model.parameters(), 1e-2, weight_decay=0.0)
    made.model.train()
    batch: Batch = made.batch()
    for step in range(STEPS):
        made.task.loss(made.model, batch, "main").backward()
        optimizer.step()
        method.stepped(made.model, step + 1, STEPS)
        optimizer.zero_grad()
    made.model.eval()
    return Trained(made, method, own_names, at_start, set(made.model.trainable()), before, made.model.fingerprints())


def test_the_head_trains(trained: Trained) -> None:
    head = {name for name, _ in trained.case.model.named_parameters() if name.startswith("head.")}
    assert head
    assert head <= trained.at_start
    assert head <= trained.later


def test_what_is_added_trains_instead_of_what_was_there(trained: Trained) -> None:
    """An adapter that saves something of its own leaves the network's pretrained weights frozen; one that does not adds nothing."""
    new = {f"network.{name}" for name in fresh_names(trained)}
    own = {f"network.{name}" for name in trained.own_names} - new
    stems = {name.replace(".base_layer.", ".").replace("network.base_model.model.", "network.") for name in trained.at_start}
    assert new <= stems
    body = {name for name in stems if name.startswith("network.")} - new
    if trained.adapter.name in ("head", "probe"):
        assert body == set()
    elif registry.find("adapters", trained.adapter.name).module.endswith(".freezing"):
        assert body
        assert body <= own
    else:
        assert body
        assert not body & own


def test_trainable_weights_move_and_frozen_ones_do_not(trained: Trained) -> None:
    still = {name for name in trained.at_start if trained.before[name] == trained.after[name]}
    assert {name for name in still if not trained.adapter.may_rest(name)} == set()
    moved = {name for name in trained.before if trained.before[name] != trained.after[name]}
    buffers = {name for name, _ in trained.case.model.named_buffers()}
    assert moved - buffers <= trained.at_start
    found = checks.weights_moved(trained.before, trained.after, trained.at_start, still, trained.case.model.added(), buffers)
    assert found.status == "passed", found.detail


def test_base_weights_are_the_bare_networks(trained: Trained) -> None:
    found = trained.adapter.base_weights(trained.case.model)
    assert sorted(found) == sorted(trained.own_names)
    if trained.at_start & {f"network.{name}" for name in trained.own_names if name not in fresh_names(trained)}:
        return  # these may change
    bare = {name: tensor for name, tensor in trained.case.backbone.open().state_dict().items() if name not in fresh_names(trained)}
    if getattr(trained.adapter, "start", "zero") == "zero":
        assert all(torch.equal(found[name], bare[name]) for name in bare)


def test_a_reloaded_bundle_gives_the_same_outputs(trained: Trained, tmp_path: Path) -> None:
    folder, expected = tmp_path / "bundle", trained.case.outputs()
    bundle.save(folder, model=trained.case.model, task=trained.case.task, adapter=trained.adapter, about={}, card="", samples=[])
    loaded = bundle.load(folder)
    again = Case(loaded.task, loaded.backbone, loaded.model, trained.case.rows, trained.case.raws, trained.case.targets)
    torch.testing.assert_close(again.outputs(), expected, rtol=0, atol=1e-5)


def test_merged_gives_the_same_outputs(trained: Trained, tmp_path: Path) -> None:
    made, expected = copy.deepcopy(trained.case), trained.case.outputs()
    merged = trained.adapter.merge(made.model)
    torch.testing.assert_close(made.outputs(), expected, rtol=1e-4, atol=1e-4)
    if not merged:
        return
    assert sorted(made.model.network.state_dict()) == sorted(trained.own_names)
    assert sorted(trained.adapter.base_weights(made.model)) == sorted(trained.own_names)
    folder = tmp_path / "merged"
    bundle.save(folder, model=made.model, task=made.task, adapter=trained.adapter, about={}, card="", samples=[])
    assert not (folder / "adapter").exists()
    loaded = bundle.load(folder)
    again = Case(loaded.task, loaded.backbone, loaded.model, made.rows, made.raws, made.targets)
    torch.testing.assert_close(again.outputs(), made.outputs(), rtol=0, atol=1e-5)


def test_state_survives_a_checkpoint(trained: Trained) -> None:
    state = {name: tensor.clone() for name, tensor in trained.adapter.state(trained.case.model).items()}
    trained.adapter.restore(trained.case.model, state)
    again = trained.adapter.state(trained.case.model)
    assert set(again) == set(state)
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_settings_and_defaults(trained: Trained) -> None:
    again = registry.create("adapters", trained.adapter.name, plain(trained.adapter.settings()))
    assert again == trained.adapter
    rates = trained.adapter.defaults(trained.case.backbone.traits())
    assert 0 < rates.lr < 1
    assert 0 < rates.head_lr < 1
    registry.find("schedules", rates.schedule)


@pytest.mark.parametrize(("name", "tiny"), adapters(fitting=False), ids=named(adapters(fitting=False)))
def test_what_is_refused_cannot_be_applied(name: str, tiny: str, checkpoints: Path) -> None:
    made = case(backbone(checkpoints, tiny), "classification", {}, rows=3)
    with pytest.raises(AdapterError):
        adapter(name).apply(made.model, 0)
