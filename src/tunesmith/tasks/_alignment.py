"""The head of CTC, in torch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tunesmith.core.contracts import Features


class AlignmentHead(nn.Module):
    """Dropout and a linear layer on each frame.

    Args:
        width: width of `Features.tokens`.
        symbols: number of outputs, the blank included.
        dropout: share of a frame's features dropped in training.
    """

    def __init__(self, width: int, symbols: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, symbols)
        nn.init.trunc_normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Features) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities (batch, frames, symbols), and (batch,) how many frames of each row are no padding."""
        tokens = features.tokens
        assert tokens is not None, "`width_of` has seen them"
        logits: torch.Tensor = self.out(self.dropout(tokens.to(self.out.weight.dtype)))
        mask = features.mask if features.mask is not None else tokens.new_ones(tokens.shape[:2])
        return F.log_softmax(logits.float(), dim=-1), mask.sum(dim=1).long()
