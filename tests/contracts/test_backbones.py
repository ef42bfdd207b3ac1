"""Every registered backbone through a tiny checkpoint of each kind it reads."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from tests.contracts.table import TINY, backbone, plain
from torch import nn

from tunesmith.core import registry
from tunesmith.core.contracts import Backbone
from tunesmith.core.errors import BackboneError, RowError


@pytest.fixture(scope="module", params=TINY)
def tiny(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def made(tiny: str, checkpoints: Path) -> Backbone:
    return backbone(checkpoints, tiny)


@pytest.fixture(scope="module")
def network(made: Backbone) -> nn.Module:
    return made.open().eval()


def batch_of(made: Backbone, rows: int = 5) -> dict[str, Any]:
    rng = Random(0)
    return made.collate([made.encode(made.sample(i, rng)) for i in range(rows)])


def counted(origin: dict[str, Any], kind: str) -> int:
    """A count of an origin, over its parts where it has several."""
    parts = origin.get("parts")
    return sum(counted(part, kind) for part in parts.values()) if parts else int(origin[kind])


def test_every_modality_is_in_the_table() -> None:
    assert {tiny.modality for tiny in TINY.values()} == set(registry.entries("backbones"))


def test_traits_are_those_of_the_table(made: Backbone, tiny: str) -> None:
    assert made.traits() == TINY[tiny].traits


def test_pooled_features_have_the_width_that_is_told(made: Backbone, network: nn.Module) -> None:
    found = made.features(network, batch_of(made))
    assert found.pooled is not None
    assert found.pooled.shape == (5, made.width(network))
    assert bool(torch.isfinite(found.pooled).all())


def test_features_of_a_row_do_not_depend_on_its_batch(made: Backbone, network: nn.Module) -> None:
    rng = Random(3)
    items = [made.encode(made.sample(i, rng)) for i in range(6)]
    with torch.no_grad():
        whole = made.features(network, made.collate(items)).pooled
        single = [made.features(network, made.collate([item])).pooled for item in items]
    torch.testing.assert_close(whole, torch.cat(single), rtol=1e-4, atol=1e-5)  # type: ignore[arg-type]


def test_blocks_hold_every_parameter_once(made: Backbone, network: nn.Module) -> None:
    blocks = made.blocks(network)
    assert len(blocks) >= 3
    held = [id(p) for block in blocks for p in block.parameters()]
    assert sorted(held) == sorted(id(p) for p in network.parameters())


def test_settings_rebuild_the_backbone(made: Backbone, network: nn.Module) -> None:
    again: Backbone = registry.create("backbones", made.name, plain(made.settings()))
    assert plain(again.settings()) == plain(made.settings())
    with torch.no_grad():
        assert torch.equal(again.features(again.open().eval(), batch_of(again)).pooled, made.features(network, batch_of(made)).pooled)  # type: ignore[arg-type]


def test_saved_and_moved_gives_the_same_features(made: Backbone, network: nn.Module, tmp_path: Path) -> None:
    made.save(network, network.state_dict(), tmp_path / "copy")
    assert {p.suffix for p in (tmp_path / "copy").rglob("*") if p.stat().st_size > 10_000} <= {".safetensors", ".json"}
    again = made.moved(tmp_path / "copy")
    reloaded = again.open().eval()
    assert counted(again.origin(), "missing") == 0
    assert list(reloaded.state_dict()) == list(network.state_dict())
    with torch.no_grad():
        assert torch.equal(again.features(reloaded, batch_of(again)).pooled, made.features(network, batch_of(made)).pooled)  # type: ignore[arg-type]


def test_origin_counts_every_tensor(made: Backbone, network: nn.Module) -> None:
    origin = plain(made.origin())
    assert origin["source"]
    assert counted(origin, "missing") == 0
    assert counted(origin, "unexpected") == 0
    assert counted(origin, "matched") >= sum(not name.endswith("num_batches_tracked") for name in network.state_dict())


def test_samples_are_usable_rows(made: Backbone) -> None:
    rng = Random(0)
    for code in range(4):
        row = made.sample(code, rng)
        assert set(row) == set(made.columns) == {spec.column for spec in made.input_spec()}
        assert made.check(row) is None


def test_a_size_is_what_a_row_is_padded_to(made: Backbone) -> None:
    rng = Random(0)
    rows = [made.sample(code, rng) for code in range(6)]
    sizes = made.sizes(rows)
    assert made.sizes([]).shape == (0,)
    for size, row in zip(sizes, rows, strict=True):
        batch = made.collate([made.encode(row)])
        padded = [value for name, value in named_tensors(batch) if name.endswith("attention_mask")]
        pictures = sum(name.endswith(("pixels", "past")) for name, _ in named_tensors(batch))
        cells = [value.shape[1] for name, value in named_tensors(batch) if name.endswith(("numbers", "codes"))]
        assert size == sum(mask.shape[1] for mask in padded) + pictures + (sum(cells) + 1 if cells else 0)  # [CLS] and a token a cell


def named_tensors(batch: dict[str, Any], prefix: str = "") -> list[tuple[str, torch.Tensor]]:
    found = []
    for key, value in batch.items():
        found.extend(named_tensors(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)])
    return found


def test_a_row_without_input_is_refused(made: Backbone) -> None:
    for row in ({}, dict.fromkeys(made.columns, ""), dict.fromkeys(made.columns)):
        with pytest.raises(RowError):
            made.check(row)
        with pytest.raises(RowError):
            made.encode(row)


def test_memory_is_saved_without_changing_gradients(made: Backbone) -> None:
    def gradients(network: nn.Module) -> dict[str, torch.Tensor]:
        pooled = made.features(network.train(), batch_of(made)).pooled
        assert pooled is not None
        pooled.square().sum().backward()
        return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}

    torch.manual_seed(0)
    plainly, saving = made.open(), made.open()
    for module in [*plainly.modules(), *saving.modules()]:
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for config in (getattr(plainly, "config", None), getattr(saving, "config", None)):
        for field in ("attention_probs_dropout_prob", "hidden_dropout_prob"):
            if hasattr(config, field):
                setattr(config, field, 0.0)
    try:
        made.save_memory(saving)
    except BackboneError as error:
        assert "--gradient-checkpointing" in str(error)  # noqa: PT017
        return
    expected, found = gradients(plainly), gradients(saving)
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_ready_row_is_read_as_the_row_itself(made: Backbone) -> None:
    row = made.sample(1, Random(0))
    ready = made.ready(row)
    assert (made.readiness() is None) == (ready == row)
    again = made.ready(ready)
    for given in (ready, again):
        assert torch.equal(*(flat(made.collate([made.encode(one)])) for one in (row, given)))
        assert made.check(given) == made.check(row)


def flat(value: Any) -> torch.Tensor:
    """All numbers of a nested batch."""
    return torch.cat([flat(item) for item in value.values()]) if isinstance(value, dict) else value.double().reshape(-1)
