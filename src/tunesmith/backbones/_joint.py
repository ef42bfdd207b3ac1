"""How the vectors of several modalities become one, where some of them may be missing.

Each vector is projected to a common width. `Gated` weighs them by a softmax over gates that each vector sets for itself (after the gated
multimodal unit of Arevalo et al. 2017); `Attention` lets a learned query attend to them as tokens of a transformer layer (Vaswani et al.
2017). A missing one has no weight in either. Modules of this file are new wherever they are used: no pretraining has touched them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F

HEADS = 4


class _Projected(nn.Module):
    """Vectors of each modality, projected to a common width."""

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.project = nn.ModuleList([nn.Sequential(nn.Linear(size, width), nn.GELU()) for size in widths.values()])

    def forward(self, vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        """(batch, modalities, width)."""
        return torch.stack([project(vector) for project, vector in zip(self.project, vectors, strict=True)], dim=1)


class Gated(nn.Module):
    """A weighted mean of the vectors.

    Args:
        widths: modality -> width of its vector.
        width: of the result.
    """

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.projected = _Projected(widths, width)
        self.gates = nn.ModuleList([nn.Linear(width, 1) for _ in widths])

    def forward(self, vectors: Sequence[torch.Tensor], there: torch.Tensor) -> torch.Tensor:
        """(batch, width) of vectors, each (batch, its width), and (batch, modalities) which are there; at least one is in each row."""
        values = self.projected(vectors)
        logits = torch.cat([gate(values[:, place]) for place, gate in enumerate(self.gates)], dim=1)  # (batch, modalities)
        weights = F.softmax(logits.masked_fill(~there, float("-inf")), dim=1)
        found: torch.Tensor = (weights[..., None] * values).sum(dim=1)
        return found


class Attention(nn.Module):
    """What a learned query reads from the vectors.

    Args:
        widths: modality -> width of its vector.
        width: of the result, a multiple of 4.
    """

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.projected = _Projected(widths, width)
        self.names = nn.Parameter(torch.randn(len(widths), width) * 0.02)
        self.query = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.layer = nn.TransformerEncoderLayer(width, HEADS, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)

    def forward(self, vectors: Sequence[torch.Tensor], there: torch.Tensor) -> torch.Tensor:
        """As `Gated`."""
        values = self.projected(vectors) + self.names
        tokens = torch.cat([self.query.expand(len(values), 1, -1), values], dim=1)
        hidden = F.pad(~there, (1, 0), value=False)  # the query is always there
        found: torch.Tensor = self.layer(tokens, src_key_padding_mask=hidden)[:, 0]
        return found
