"""The head of the tasks on one pooled vector, in torch; `HeadSettings.light` in _pooled.py is its form in numpy."""

from __future__ import annotations

import torch
from torch import nn

from tunesmith.core.contracts import Features
from tunesmith.core.errors import BackboneError


class PooledHead(nn.Module):
    """Dropout and a linear layer on the pooled features, with one hidden layer before it where asked for.

    Args:
        width: width of the pooled features.
        outputs: number of outputs.
        dropout: share of features dropped in training.
        hidden: width of the hidden layer; 0 for none.
    """

    def __init__(self, width: int, outputs: int, dropout: float = 0.1, hidden: int = 0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Sequential(nn.Linear(width, hidden), nn.GELU()) if hidden else nn.Identity()
        self.out = nn.Linear(hidden or width, outputs)
        nn.init.trunc_normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Features) -> torch.Tensor:
        """(batch, outputs)."""
        if features.pooled is None:
            raise BackboneError("this task needs pooled features, which the backbone does not give")
        outputs: torch.Tensor = self.out(self.dropout(self.hidden(features.pooled.to(self.out.weight.dtype))))
        return outputs
