"""The head of a forecast, in torch: what comes, by step, column and quantile, on the standardised scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tunesmith.core.contracts import Features
from tunesmith.core.errors import BackboneError


class PooledForecastHead(nn.Module):
    """One linear layer from the pooled features to all steps, columns and quantiles.

    Args:
        width: of the pooled features.
        shape: horizon, columns, levels.
        dropout: share of features dropped in training.
    """

    def __init__(self, width: int, shape: tuple[int, int, int], dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, math.prod(shape))
        nn.init.trunc_normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Features) -> torch.Tensor:
        """(batch, horizon, columns, levels)."""
        pooled = _pooled(features).to(self.out.weight.dtype)
        outputs: torch.Tensor = self.out(self.dropout(pooled)).unflatten(-1, self.shape)
        return outputs


class WindowHead(nn.Module):
    """The same layer for every column, on what the backbone gives of it, put back to the window's own level and spread.

    Args:
        width: of a column's features, without its level and spread.
        shape: horizon, columns, levels.
        dropout: share of features dropped in training.
        to: (2, columns) factor and shift from the backbone's standardised scale to the task's.
        start: (horizon, levels, width) weights to begin with, where the backbone's features are forecasts themselves; None for random ones.
    """

    scale: torch.Tensor

    def __init__(self, width: int, shape: tuple[int, int, int], dropout: float, to: Any, start: Any = None) -> None:
        super().__init__()
        self.shape, self.width = shape, width
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, shape[0] * shape[2])
        nn.init.zeros_(self.out.bias)
        if start is None:
            nn.init.trunc_normal_(self.out.weight, std=0.02)
        else:
            with torch.no_grad():
                self.out.weight.copy_(torch.as_tensor(start, dtype=torch.float32).flatten(0, 1))
        self.register_buffer("scale", torch.as_tensor(to, dtype=torch.float32), persistent=False)  # the settings hold it

    def forward(self, features: Features) -> torch.Tensor:
        """(batch, horizon, columns, levels)."""
        horizon, columns, levels = self.shape
        each = _pooled(features).to(self.out.weight.dtype).unflatten(-1, (columns, self.width + 2))  # (batch, columns, width + 2)
        level, spread = each[..., -2, None, None], each[..., -1, None, None]
        ahead = self.out(self.dropout(each[..., :-2])).unflatten(-1, (horizon, levels))  # (batch, columns, horizon, levels)
        factor, shift = self.scale[:, :, None, None]
        outputs: torch.Tensor = ((ahead * spread + level) * factor + shift).transpose(1, 2)
        return outputs


def _pooled(features: Features) -> torch.Tensor:
    if features.pooled is None:
        raise BackboneError("a forecast needs pooled features, which the backbone does not give")
    return features.pooled


def passing(horizon: int, levels: Sequence[float], steps: int, own: Sequence[float | None]) -> torch.Tensor:
    """(horizon, levels, steps * own) weights that give a checkpoint's own forecast at first.

    Args:
        horizon: steps that are wanted.
        levels: of the quantiles that are wanted; none for one number.
        steps: that the checkpoint forecasts.
        own: what it gives for each step: None for a mean, else a quantile's level.
    """
    weights = torch.zeros(horizon, max(1, len(levels)), steps, len(own))
    for at, level in enumerate(levels or (0.5,)):
        nearest = min(range(len(own)), key=lambda place: abs((0.5 if own[place] is None else float(own[place] or 0.0)) - level))
        weights[:, at, torch.arange(min(horizon, steps)), nearest] = torch.eye(horizon, steps)[:, : min(horizon, steps)]
    return weights.flatten(2)
