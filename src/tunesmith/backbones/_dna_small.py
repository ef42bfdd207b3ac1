"""A small encoder of DNA that starts from random weights: convolutions that find motifs, attention that relates them.

    tokens (batch, length) -> embedding -> residual convolutions -> + places -> attention layers -> norm -> pooled by `heads` queries

Which choices were measured on splice junctions (2,551 sequences of 60 letters, of which a fifth was held out): pooling by learned queries,
each looking where it needs to, instead of a token of its own or the mean; hiding a tenth of the letters in training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from tunesmith.backbones import _checkpoints
from tunesmith.core.files import write_json

if TYPE_CHECKING:
    from tunesmith.backbones._dna_families import Reading
    from tunesmith.backbones._dna_tokens import Tokens

MODEL_TYPE = "tunesmith_dna"


class Encoded(NamedTuple):
    """What the network gives: (batch, length, width) of its last layer, and (batch, width)."""

    last_hidden_state: torch.Tensor
    pooled: torch.Tensor


@dataclass(frozen=True)
class Shape:
    """Sizes of the network.

    Attributes:
        vocabulary: numbers of tokens; 0 fills up.
        length: tokens it has places for.
        width: of all layers.
        convolutions: how many.
        kernel: tokens that a convolution sees; odd.
        layers: of attention.
        heads: of attention, and queries that pool.
        dropout: in training.
    """

    vocabulary: int
    length: int
    width: int = 64
    convolutions: int = 2
    kernel: int = 9
    layers: int = 1
    heads: int = 8
    dropout: float = 0.2


class Network(nn.Module):
    """Convolutions, attention, and pooling by queries.

    Args:
        shape: its sizes.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width, padding_idx=0)
        self.convolutions = nn.ModuleList(Convolution(shape) for _ in range(shape.convolutions))
        self.positions = nn.Embedding(shape.length, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.pool = Pool(shape)
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Encoded:
        """Tokens (batch, length) and where there are some (batch, length)."""
        there = attention_mask[..., None].to(self.embedding.weight.dtype)  # (batch, length, 1)
        hidden = self.embedding(input_ids)
        for convolution in self.convolutions:
            hidden = convolution(hidden, there)
        hidden = hidden + self.positions.weight[: hidden.shape[1]]
        seen = attention_mask[:, None, None, :].bool()  # (batch, head, from, to)
        for layer in self.layers:
            hidden = layer(hidden, seen)
        return Encoded(*self.pool(hidden, attention_mask))


class Convolution(nn.Module):
    """A residual convolution; what fills up stays zero, so that a row does not depend on its batch."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.convolution = nn.Conv1d(shape.width, shape.width, shape.kernel, padding=shape.kernel // 2)
        self.out = nn.Linear(shape.width, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, hidden: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """(batch, length, width), and (batch, length, 1) with 1 where there is a token."""
        found = self.convolution((self.norm(hidden) * there).transpose(1, 2)).transpose(1, 2)
        summed: torch.Tensor = hidden + self.dropout(self.out(F.gelu(found)))
        return summed


class Layer(nn.Module):
    """Attention and a feed-forward layer, both residual, with the norm in front."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.attention = Attention(shape)
        self.norm_out = nn.LayerNorm(shape.width)
        self.up = nn.Linear(shape.width, 2 * shape.width)
        self.down = nn.Linear(2 * shape.width, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """(batch, length, width), and (batch, 1, 1, length) where attention may look."""
        hidden = hidden + self.dropout(self.attention(self.norm(hidden), seen))
        summed: torch.Tensor = hidden + self.dropout(self.down(F.gelu(self.up(self.norm_out(hidden)))))
        return summed


class Attention(nn.Module):
    """Attention of several heads (Vaswani et al. 2017)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key = nn.Linear(shape.width, shape.width)
        self.value = nn.Linear(shape.width, shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """(batch, length, width), and (batch, 1, 1, length)."""
        query, key, value = (layer(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)  # (batch, head, length, width of a head)
        projected: torch.Tensor = self.out(found.transpose(1, 2).flatten(2))
        return projected


class Pool(nn.Module):
    """Learned queries that look at the tokens, each taking a share of the width (Lin et al. 2017)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.look = nn.Linear(shape.width, shape.heads)
        self.value = nn.Linear(shape.width, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens after the norm, (batch, length, width), and (batch, width)."""
        hidden = self.norm(hidden)
        scores = self.look(hidden).masked_fill(mask[..., None] == 0, float("-inf"))
        shares = scores.softmax(dim=1)  # (batch, length, heads)
        values = self.value(hidden).unflatten(-1, (shares.shape[-1], -1))  # (batch, length, heads, share)
        return hidden, self.dropout((shares[..., None] * values).sum(dim=1).flatten(1))


@dataclass(frozen=True)
class Small:
    """The small encoder as a family of networks; see `_dna_families`.

    Attributes:
        shape: its sizes.
        reading: how letters become tokens.
        tokens: what follows from it.
        folder: where weights are; None for random ones.
        source: what the user called it.
    """

    shape: Shape
    reading: Reading
    tokens: Tokens
    folder: Path | None
    source: str

    @property
    def traits(self) -> frozenset[str]:
        # most of its weights are those of convolutions
        return frozenset({"dna", "convolution", "linear", "layer_norm"} | (set() if self.folder else {"untrained"}))

    @property
    def length(self) -> int:
        return self.shape.length

    @property
    def width(self) -> int:
        return self.shape.width

    def opened(self, weights: str | None, scratch: bool) -> tuple[nn.Module, _checkpoints.Loaded]:
        network = Network(self.shape)
        path = Path(weights).expanduser() if weights else None if scratch or not self.folder else self.folder / "model.safetensors"
        if path is None:
            return network, _checkpoints.Loaded("random weights", 0, [], [])
        return network, _checkpoints.fill(network, _checkpoints.read_weights(path), weights or self.source)

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        told = {"model_type": MODEL_TYPE, "shape": dataclasses.asdict(self.shape), "reading": dataclasses.asdict(self.reading)}
        write_json(folder / "config.json", told)
        save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, folder / "model.safetensors")
