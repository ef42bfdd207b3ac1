"""Presets and targets of the adapters of PEFT, and networks that have no use for one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.contracts.table import backbone, case
from torch import nn

from tunesmith.adapters import _targets
from tunesmith.backbones.image import Image
from tunesmith.backbones.text import Text
from tunesmith.core import registry
from tunesmith.core.contracts import Adapter
from tunesmith.core.errors import AdapterError, RecipeError
from tunesmith.core.model import Model


def applied(checkpoints: Path, tiny: str, name: str, **options: Any) -> Model:
    model = case(backbone(checkpoints, tiny), "classification", {}, rows=3).model
    registry.create("adapters", name, options).apply(model, 0)
    return model


def targets(model: Model) -> set[str]:
    """Names of the layers that were wrapped."""
    network: Any = model.network
    return {name for name, module in network.get_base_model().named_modules() if hasattr(module, "base_layer")}


def test_presets_set_what_they_say(checkpoints: Path) -> None:
    rslora, dora, pissa = (registry.create("adapters", name, {}) for name in ("rslora", "dora", "pissa"))
    assert (rslora.rank_stabilised, dora.decomposed, pissa.start) == (True, True, "pissa")
    assert registry.create("adapters", "dora", {"rank": 2}).rank == 2
    with_magnitude = applied(checkpoints, "bert", "dora")
    assert any("lora_magnitude_vector" in name for name in with_magnitude.trainable())
    network: Any = applied(checkpoints, "bert", "rslora", rank=4, alpha=8).network
    scalings = {s for m in network.modules() if isinstance(getattr(m, "scaling", None), dict) for s in m.scaling.values()}
    assert scalings == {8 / 4**0.5}


def test_default_targets_are_the_attention_of_a_transformer(checkpoints: Path) -> None:
    own = {"query", "key", "value", "output.dense"}
    found = targets(applied(checkpoints, "bert", "lora"))
    assert found == {
        f"encoder.layer.{i}.attention.{part}" for i in range(2) for part in ("self.query", "self.key", "self.value", "output.dense")
    }
    assert {name.split("self.")[-1].split("attention.")[-1] for name in found} == own


def test_targets_by_name_and_all(checkpoints: Path) -> None:
    assert targets(applied(checkpoints, "bert", "lora", targets=["query"])) == {f"encoder.layer.{i}.attention.self.query" for i in (0, 1)}
    assert len(targets(applied(checkpoints, "bert", "lora", targets="all"))) == 12
    with pytest.raises(AdapterError, match="no layer ends in nothing; layers that can be adapted end in dense, key, query, value"):
        applied(checkpoints, "bert", "lora", targets=["nothing"])


@pytest.mark.parametrize("name", ["lora", "adalora", "oft", "vera"])
def test_last_restricts_to_the_last_blocks(checkpoints: Path, name: str) -> None:
    found = targets(applied(checkpoints, "bert", name, last=1))
    assert found
    assert all(layer.startswith("encoder.layer.1.") for layer in found)
    with pytest.raises(AdapterError, match="has 3 blocks, fewer than the 4"):
        applied(checkpoints, "bert", name, last=4)


def test_names_that_end_in_anothers_name_are_told_apart() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.proj = nn.Linear(2, 2)
            self.inner = nn.ModuleDict({"proj": nn.Linear(2, 2)})

    class Holder:
        network = Network()

    pattern = _targets.exactly(Holder(), ["proj"])  # type: ignore[arg-type]
    assert isinstance(pattern, str)
    assert re.fullmatch(pattern, "proj")
    assert not re.fullmatch(pattern, "inner.proj")
    assert _targets.exactly(Holder(), ["inner.proj"]) == ["inner.proj"]  # type: ignore[arg-type]


def test_convolutions_that_pad_in_their_own_way_are_left_alone() -> None:
    task = registry.create("tasks", "classification", {"classes": ["a", "b"]})
    model = task.build(Image(source="torchvision:mobilenet_v2", scratch=True, same_padding=True, size=64))
    registry.create("adapters", "lora", {}).apply(model, 0)
    assert "features.0.0" not in targets(model)
    assert "features.2.conv.0.0" in targets(model)


def test_torchs_own_attention_is_not_wrapped_where_it_would_not_be_called() -> None:
    """Its output projection is read as a tensor: an adapter on it would never train."""
    task = registry.create("tasks", "classification", {"classes": ["a", "b"]})
    model = task.build(Image(source="torchvision:vit_b_16", scratch=True))
    registry.create("adapters", "lora", {"last": 1}).apply(model, 0)
    assert targets(model) == {f"encoder.layers.encoder_layer_11.mlp.{i}" for i in (0, 3)}


def test_learned_tokens_need_room(checkpoints: Path) -> None:
    task = registry.create("tasks", "classification", {"classes": ["a", "b"]})
    for name in ("prompt", "prefix"):
        method: Adapter = registry.create("adapters", name, {"tokens": 20})
        method.apply(task.build(Text(source=str(checkpoints / "bert"), max_length=44)), 0)
        with pytest.raises(AdapterError, match=r"lower backbone\.max_length or the adapter's field 'tokens'"):
            method.apply(task.build(Text(source=str(checkpoints / "bert"), max_length=45)), 0)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (transformers.DebertaV2Config, "fails with it"),
        (transformers.DistilBertConfig, None),
    ],
)
def test_prefix_is_proved_on_the_network(kind: Any, told: str | None, checkpoints: Path, tmp_path: Path) -> None:
    """Not every text network takes keys and values from outside; one that does not is refused before training."""
    folder = tmp_path / "net"
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints / "bert")
    tokenizer.save_pretrained(folder)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    transformers.AutoModel.from_config(kind(vocab_size=len(tokenizer), **shape)).save_pretrained(folder)
    task = registry.create("tasks", "classification", {"classes": ["a", "b"]})
    model = task.build(Text(source=str(folder), max_length=20))
    method: Adapter = registry.create("adapters", "prefix", {})
    with pytest.raises(AdapterError, match=told or "does not fit"):
        method.apply(model, 0)
    model = task.build(Text(source=str(folder), max_length=20))
    registry.create("adapters", "prompt", {}).apply(model, 0)
    assert any("prompt_encoder" in name for name in model.trainable())


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("lora", {"rank": 0}, "'rank' must be at least 1"),
        ("adalora", {"rank": 9, "start_rank": 8}, "'rank' .* 'start_rank'"),
        ("gradual", {"share": 0}, "'share'"),
    ],
)
def test_impossible_settings_are_refused(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        registry.create("adapters", name, options)


def stepped(method: Adapter, model: Model, step: int, total: int) -> None:
    """A step of training, with a gradient on everything that changes."""
    for p in model.trainable().values():
        p.grad = torch.ones_like(p)
        p.data += 0.01
    method.stepped(model, step, total)


def ranks(model: Model) -> int:
    """Ranks that are left in all layers together."""
    return sum(int((p != 0).sum()) for name, p in model.named_parameters() if ".lora_E." in name)


@pytest.mark.parametrize("totals", [[40] * 40, [100_000, 400, 30, 30, 29, 31, 45, *[40] * 33], [30] * 25 + [100_000] * 15])
def test_adalora_deals_out_its_ranks_once_however_the_number_of_steps_changes(checkpoints: Path, totals: list[int]) -> None:
    """Under a time limit it is planned anew after each step."""
    model = applied(checkpoints, "bert", "adalora", rank=2, start_rank=4)
    layers = len(targets(model))
    method = registry.create("adapters", "adalora", {"rank": 2, "start_rank": 4})
    method.begin(model, 0, totals[0])
    final = None
    for step, total in enumerate(totals, 1):
        stepped(method, model, step, total)
        if step >= total - total // 4 and final is None:
            final = {name: p != 0 for name, p in model.named_parameters() if ".lora_E." in name}
        if final is not None:
            assert all(torch.equal(kept, p != 0) for name, p in model.named_parameters() if name in final for kept in [final[name]])
    assert final is not None
    assert ranks(model) <= 2 * layers


def test_adalora_ends_where_the_end_comes_all_at_once_and_goes_on_after_a_resume(checkpoints: Path) -> None:
    method = registry.create("adapters", "adalora", {"rank": 2, "start_rank": 4})
    model = applied(checkpoints, "bert", "adalora", rank=2, start_rank=4)
    layers = len(targets(model))
    method.begin(model, 0, 100_000)
    for step in range(1, 9):
        stepped(method, model, step, 100_000)
    assert ranks(model) == 4 * layers
    stepped(method, model, 9, 10)  # the step in which PEFT would have dealt them out, 8, is over
    assert ranks(model) <= 2 * layers
    state = {name: tensor.clone() for name, tensor in method.state(model).items()}
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    again = applied(checkpoints, "bert", "adalora", rank=2, start_rank=4)
    again.load_state_dict(weights, strict=False)
    method.restore(again, state)
    method.begin(again, 9, 10)
    for made in (model, again):
        stepped(method, made, 10, 100_000)
    assert ranks(again) == ranks(model) <= 2 * layers
