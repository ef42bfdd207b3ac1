"""Modules that no pretraining has touched: every adapter trains them, at the head's rate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.contracts.table import adapter, backbone
from torch import nn

from tunesmith.core import registry
from tunesmith.core.errors import AdapterError
from tunesmith.core.model import Model
from tunesmith.engine.groups import parameter_groups


def added(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A text network one of whose layers counts as new."""
    made = backbone(checkpoints, "bert")
    monkeypatch.setattr(type(made), "fresh", lambda self, network: [network.encoder.layer[0].output])
    torch.manual_seed(0)
    task = registry.create("tasks", "classification", {}).fit(["a", "b"])
    model: Model = task.build(made)
    return model


@pytest.mark.parametrize("name", ["head", "lora", "bitfit", "last_k", "gradual"])
def test_every_adapter_trains_what_is_new_at_the_rate_of_the_head(checkpoints: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    model = added(checkpoints, monkeypatch)
    chosen = adapter(name)
    chosen.apply(model, 0)
    chosen.begin(model, 0, 10)
    new: nn.Module = model._bare[0].encoder.layer[0].output  # type: ignore[union-attr, assignment, index]
    assert all(p.requires_grad for p in new.parameters())
    groups = parameter_groups(model, lr=1e-4, head_lr=1e-2, layer_decay=1.0, weight_decay=0.0)
    fast = {id(p) for group in groups if group["lr"] == 1e-2 for p in group["params"]}
    assert fast == {id(p) for part in (new, model.head) for p in part.parameters()}


def test_a_head_fitted_in_one_go_is_refused(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AdapterError, match="holds new modules that must be trained"):
        adapter("probe").apply(added(checkpoints, monkeypatch), 0)
