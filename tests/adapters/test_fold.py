"""LoRA folded in numpy against PEFT, and the adapters that are not folded because they do more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tests.adapters.test_plain_peft import trained
from tests.contracts.table import Case, adapters

from tunesmith.core import bundle, registry
from tunesmith.core.bundle import Bundle
from tunesmith.core.contracts import Adapter

# PEFT asks transformers by an old name whether activations are recomputed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def bundled(made: Case, method: Adapter, folder: Path) -> Bundle:
    bundle.save(folder, model=made.model, task=made.task, adapter=method, about={}, card="", samples=[])
    return bundle.load(folder)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lora", {}),
        ("lora", {"rank": 3, "alpha": 7, "targets": "all", "dropout": 0.2}),
        ("rslora", {"rank": 4}),
        ("pissa", {"last": 1}),
        ("pissa", {"rank_stabilised": True}),
        ("full", {}),
        ("head", {}),
        ("bitfit", {}),
        ("last_k", {"k": 1}),
    ],
)
def test_folded_weights_give_the_features_under_peft(checkpoints: Path, tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    made, method = trained(checkpoints, "bert", name, options)
    loaded = bundled(made, method, tmp_path / "bundle")
    assert loaded.light is not None
    found = loaded.light(made.rows)
    expected = made.task.decode(made.outputs().numpy())
    for item, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(list(item["probabilities"].values()), list(wanted["probabilities"].values()), atol=1e-5)
    if name in ("lora", "rslora", "pissa"):  # what PEFT itself merges
        stem = {key: tensor.numpy().copy() for key, tensor in method.base_weights(made.model).items()}
        folded = method.fold(stem, tmp_path / "bundle" / "adapter")
        assert folded is not None
        assert method.merge(made.model)
        merged = {key: tensor.numpy() for key, tensor in made.model.network.state_dict().items()}
        assert set(folded) == set(merged)
        assert max(np.abs(folded[key] - merged[key]).max() for key in merged) < 1e-6
        assert max(np.abs(folded[key] - stem[key]).max() for key in stem) > 1e-3


@pytest.mark.parametrize("name", [name for name, tiny in adapters(fitting=True) if tiny == "bert"])
def test_every_adapter_is_right_or_not_folded(checkpoints: Path, tmp_path: Path, name: str) -> None:
    """Also one that is added to the registry later."""
    made, method = trained(checkpoints, "bert", name, {})
    loaded = bundled(made, method, tmp_path / "bundle")
    if loaded.light is None:
        assert registry.find("adapters", name).module.rsplit(".", 1)[-1] not in ("freezing",)
        return
    expected = made.task.decode(made.outputs().numpy())
    for item, wanted in zip(loaded.light(made.rows), expected, strict=True):
        np.testing.assert_allclose(list(item["probabilities"].values()), list(wanted["probabilities"].values()), atol=1e-5)


@pytest.mark.parametrize(
    "setting",
    [
        {"use_dora": True},
        {"bias": "all"},
        {"modules_to_save": ["pooler"]},
        {"fan_in_fan_out": True},
        {"rank_pattern": {"query": 4}},
        {"alpha_pattern": {"query": 4}},
        {"init_lora_weights": "pissa"},
        {"peft_type": "ADALORA"},
        {"lora_bias": True},
        {"a_setting_of_the_future": True},
        {"r": 4},
    ],
    ids=str,
)
def test_an_adapter_that_does_more_is_not_folded(checkpoints: Path, tmp_path: Path, setting: dict[str, Any]) -> None:
    made, method = trained(checkpoints, "bert", "lora", {})
    assert method.save(made.model, tmp_path / "a")
    weights = {key: tensor.numpy() for key, tensor in method.base_weights(made.model).items()}
    assert method.fold(weights, tmp_path / "a") is not None
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **setting}))
    assert method.fold(weights, tmp_path / "a") is None


def test_tensors_of_another_kind_are_not_folded(checkpoints: Path, tmp_path: Path) -> None:
    made, method = trained(checkpoints, "bert", "lora", {})
    assert method.save(made.model, tmp_path / "a")
    weights = {key: tensor.numpy() for key, tensor in method.base_weights(made.model).items()}
    path = tmp_path / "a" / "adapter_model.safetensors"
    added = load_file(path)
    first = next(key for key in added if "lora_A" in key)
    for other in (
        {**added, "base_model.model.pooler.dense.weight": added[first].clone()},
        {key: tensor for key, tensor in added.items() if key != first},
        {key.replace("layer.0", "layer.7"): tensor for key, tensor in added.items()},
    ):
        save_file(other, path)
        assert method.fold(weights, tmp_path / "a") is None
