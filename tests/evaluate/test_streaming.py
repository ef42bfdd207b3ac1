"""Predictions in a stream leave the model as it was."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from tunesmith.core import registry
from tunesmith.core.model import Model
from tunesmith.evaluate import streaming


def made(checkpoints: Path) -> tuple[Model, Any, list[tuple[int, dict[str, Any]]]]:
    """A model, its task, and enough rows for packed products."""
    torch.manual_seed(0)
    backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    task = registry.create("tasks", "classification", {"classes": ["a", "b"]})
    rows = [(i, backbone.sample(i, Random(i))) for i in range(streaming.PACKED_FROM)]
    return task.build(backbone), task, rows


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_the_mode_of_the_model_is_put_back(checkpoints: Path, training: bool, fails: bool) -> None:
    model, task, rows = made(checkpoints)
    model.train(training)
    modes = {name: module.training for name, module in model.named_modules()}
    seen: list[bool] = []

    def watch(module: torch.nn.Module, *_: Any) -> None:
        seen.append(module.training)
        if fails and len(seen) == 2:
            raise KeyError("in the midst of it")

    model.head.register_forward_pre_hook(watch)
    if fails:
        with pytest.raises(KeyError, match="in the midst"):
            list(streaming.predict(model, task, rows, batch_size=16))
    else:
        assert len(list(streaming.predict(model, task, rows, batch_size=16))) == len(rows)
    assert len(seen) >= 2
    assert not any(seen), "predictions are made in evaluation mode"
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert not any("forward" in module.__dict__ for module in model.modules())
