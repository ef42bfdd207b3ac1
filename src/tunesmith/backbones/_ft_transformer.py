"""The FT-Transformer (Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data"): each cell is a token.

    cells -> tokens: a number's bins times a matrix of its column, a category's vector; a bias of the column on both
    [CLS], tokens -> layers of attention among the cells of a row (pre-norm, ReGLU) -> norm -> the vector of [CLS]

Columns have no order, so there are no positions: the column's own matrix, vectors and bias say which one a token is of.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class Tokenizer(nn.Module):
    """Cells of a row as vectors.

    Args:
        numbers: columns of numbers.
        channels: numbers by which each of them is encoded.
        codes: how many vectors each column of categories needs.
        special: codes at the beginning of each that begin as nothing, as training rows may hold none of them.
        width: of a vector.
    """

    starts: torch.Tensor

    def __init__(self, numbers: int, channels: int, codes: tuple[int, ...], special: int, width: int) -> None:
        super().__init__()
        bound = width**-0.5
        self.cls = nn.Parameter(torch.empty(1, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(numbers + len(codes), width).uniform_(-bound, bound))
        self.weight = nn.Parameter(torch.empty(numbers, channels, width).uniform_(-bound, bound)) if numbers else None
        self.vectors = nn.Embedding(sum(codes), width) if codes else None
        starts = torch.tensor([0, *codes]).cumsum(0)[:-1]
        self.register_buffer("starts", starts, persistent=False)
        with torch.no_grad():
            if self.weight is not None:
                self.weight[:, -2:] = 0  # missing, masked
            if self.vectors is not None:
                self.vectors.weight.uniform_(-bound, bound)
                self.vectors.weight[(starts[:, None] + torch.arange(special)).flatten()] = 0

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """(batch, numbers, channels) and (batch, categories) codes to (batch, 1 + numbers + categories, width)."""
        cells = []
        if self.weight is not None:
            cells.append(torch.einsum("bnk,nkd->bnd", numbers.to(self.weight.dtype), self.weight))
        if self.vectors is not None:
            cells.append(self.vectors(codes + self.starts))
        tokens = torch.cat(cells, dim=1) + self.bias
        return torch.cat([self.cls.expand(len(tokens), 1, -1), tokens], dim=1)


class Attention(nn.Module):
    """Attention among the cells of a row."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to the same."""
        batch, tokens, width = x.shape
        query, key, value = (layer(x).view(batch, tokens, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        found: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return found


class Layer(nn.Module):
    """Attention, then a gated layer on each token; both beside what came in."""

    def __init__(self, width: int, heads: int, attention_dropout: float, dropout: float) -> None:
        super().__init__()
        hidden = width * 4 // 3
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, attention_dropout)
        self.norm = nn.LayerNorm(width)
        self.gated = nn.Linear(width, 2 * hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) to the same."""
        x = x + self.attention(self.attention_norm(x))
        value, gate = self.gated(self.norm(x)).chunk(2, dim=-1)
        found: torch.Tensor = x + self.out(self.dropout(value * F.relu(gate)))
        return found


class FTTransformer(nn.Module):
    """The network; `gradient_checkpointing` computes the layers again in the backward pass."""

    def __init__(self, tokenizer: Tokenizer, layers: int, heads: int, attention_dropout: float, dropout: float) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        width = tokenizer.cls.shape[-1]
        self.layers = nn.ModuleList(Layer(width, heads, attention_dropout, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.gradient_checkpointing = False

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """(batch, 1 + cells, width) of the cells of rows, [CLS] first."""
        x = self.tokenizer(numbers, codes)
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if self.gradient_checkpointing and self.training else layer(x)
        found: torch.Tensor = self.norm(x)
        return found
