"""Parameter groups: new and pretrained weights at their own rates, rates that fall from block to block, no decay on biases and norms."""

from __future__ import annotations

from typing import Any

from torch import nn

from tunesmith.core.model import Model


def parameter_groups(model: Model, *, lr: float, head_lr: float, layer_decay: float, weight_decay: float) -> list[dict[str, Any]]:
    """Groups of the trainable parameters, each with its `lr` and `weight_decay`.

    Args:
        model: after its adapter was applied.
        lr: rate of the last block, and of what an adapter put outside the blocks.
        head_lr: rate of the head and of what else no pretraining has touched.
        layer_decay: the rate of block i of n is lr * layer_decay ** (n - 1 - i).
        weight_decay: of matrices; vectors have none.
    """
    blocks = model.blocks()
    depth: dict[int, int] = {}
    for number, block in enumerate(blocks):
        for parameter in block.parameters():
            depth.setdefault(id(parameter), number)
    fresh = {id(p) for part in model.fresh() for p in part.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        rate = head_lr if id(parameter) in fresh else lr * layer_decay ** (len(blocks) - 1 - depth.get(id(parameter), len(blocks) - 1))
        groups.setdefault((rate, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [{"params": params, "lr": rate, "base_lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
