"""Heads on pairs, in torch: both sides as unit vectors in one space, and what is made of two such vectors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from tunesmith.core.contracts import Features, Sides
from tunesmith.core.errors import BackboneError
from tunesmith.tasks._head import PooledHead

MOST_SCALE = 110.0
"""A cosine is multiplied by no more: CLIP keeps its own at 100 at the most (Radford et al. 2021, section 2.5)."""


class Space(nn.Module):
    """Vectors of both sides as unit vectors in one space: the checkpoint's own where it has one, else one that projections make.

    Args:
        sides: widths, and whether both lie in one space from the start.
        width: of the space, where projections make it.
    """

    def __init__(self, sides: Sides, width: int) -> None:
        super().__init__()
        self.widths, self.own = sides.widths, sides.scale is not None
        self.width = sides.widths[0] if self.own else width
        if not self.own:
            # Glorot's uniform start: random projections keep about the angles that the encoders' vectors had
            layers = [nn.Linear(side, width, bias=False) for side in sides.widths]
            for layer in layers:
                nn.init.xavier_uniform_(layer.weight)
            self.projections = nn.ModuleList(layers)

    def side(self, number: int, vectors: torch.Tensor) -> torch.Tensor:
        """(rows, width of the side) -> (rows, width) of length 1; side 0 is the picture, 1 the text."""
        if not self.own:
            layer: Any = self.projections[number]
            vectors = layer(F.layer_norm(vectors.to(layer.weight.dtype), vectors.shape[-1:]))
        return F.normalize(vectors, dim=-1)

    def forward(self, pooled: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Both sides of (rows, sum of both widths) pooled features."""
        if pooled is None or pooled.shape[-1] != sum(self.widths):
            raise BackboneError("this head reads pairs of a picture and a text; use --modality dual_encoder")
        picture, text = pooled.split(self.widths, dim=-1)
        return self.side(0, picture), self.side(1, text)


class ContrastiveHead(nn.Module):
    """Both vectors, made so that the inner product of a picture's and a text's is their logit: scale * cosine + bias.

    Args:
        sides: as the backbone gives them.
        width: of the common space, where projections make it.
        scale, bias: to start from where the checkpoint brings none; `bias` None for none, as a softmax does not see it.
    """

    def __init__(self, sides: Sides, width: int, scale: float, bias: float | None) -> None:
        super().__init__()
        self.space = Space(sides, width)
        own = sides.scale is not None
        self.log_scale = nn.Parameter(torch.tensor(math.log(sides.scale if sides.scale is not None else scale)))
        self.bias = None if bias is None else nn.Parameter(torch.tensor(sides.bias if own else bias))

    def forward(self, features: Features) -> torch.Tensor:
        """(rows, 2, width + 1): pictures [scale * u | bias], texts [v | 1]."""
        pictures, texts = self.space(features.pooled)
        scale = self.log_scale.clamp(max=math.log(MOST_SCALE)).exp()
        bias = pictures.new_zeros(()) if self.bias is None else self.bias
        first = torch.cat([scale * pictures, bias.expand(len(pictures), 1)], dim=-1)
        second = torch.cat([texts, texts.new_ones(len(texts), 1)], dim=-1)
        return torch.stack([first, second], dim=1)


class MatchHead(nn.Module):
    """What tasks on one vector read of a pair: where both sides agree, u * v, and how far they are apart, |u - v|.

    Args:
        sides: as the backbone gives them.
        outputs: number of outputs.
        dropout, hidden: as for `PooledHead`.
        width: of the common space, where projections make it.
    """

    def __init__(self, sides: Sides, outputs: int, dropout: float, hidden: int, width: int = 64) -> None:
        super().__init__()
        self.space = Space(sides, width)
        self.head = PooledHead(2 * self.space.width, outputs, dropout, hidden)

    def forward(self, features: Features) -> torch.Tensor:
        """(rows, outputs)."""
        u, v = self.space(features.pooled)
        width = self.space.width  # entries of unit vectors shrink with their number
        outputs: torch.Tensor = self.head(Features(pooled=torch.cat([u * v * width, (u - v).abs() * math.sqrt(width)], dim=-1)))
        return outputs
