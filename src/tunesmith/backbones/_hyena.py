"""HyenaDNA (Nguyen et al. 2023): long convolutions whose filters are computed by a small network, in place of attention.

    y = x0 * (filter_1 conv (x1 * v))       x0, x1, v: projections of the input, each smoothed by a short convolution (Poli et al. 2023)

transformers does not know this architecture, and its checkpoints bring code of their own, which is never executed. So the network
stands here, with the names and the reading of config.json that the published checkpoints have. It reads from left to right: what fills
a row up stands on the right and changes nothing on its left.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from tunesmith.backbones import _checkpoints
from tunesmith.backbones._dna_tokens import Tokens
from tunesmith.core.errors import BackboneError
from tunesmith.core.files import write_json

MODEL_TYPE = "hyenadna"
PREFIXES = ("hyena.backbone.", "backbone.")
"""What the names of the network's weights begin with, in a checkpoint with a head and in one without."""
NUMBERS = {letter: place for place, letter in enumerate("ACGTN", 7)}
SEPARATOR, PAD = 1, 4
"""Of the vocabulary that all its checkpoints share: seven special tokens, then the letters."""
TOKENS = Tokens("character", lambda letters: [NUMBERS[letter] for letter in letters], 12, PAD, (), (SEPARATOR,))
MOST = 1024
"""Letters that are read at most where nobody says."""
DECAY = (0.3, 1.5, 0.01)
"""The fastest and the slowest channel of a filter have fallen to the last of these after such a share of the longest sequence."""
SHIFT = 0.05


class Hidden(NamedTuple):
    """What the network gives: (batch, length, width)."""

    last_hidden_state: torch.Tensor


class Sine(nn.Module):
    """sin(frequency * x), with a learned frequency for each channel."""

    def __init__(self, width: int, frequency: float) -> None:
        super().__init__()
        self.freq = nn.Parameter(frequency * torch.ones(1, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(self.freq * x)


class Places(nn.Module):
    """Time from 0 to 1 and its sines and cosines, (1, length, bands); learned from there on."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        bands = (width - 1) // 2
        time = torch.linspace(0, 1, length)[None, :, None]
        angle = 2 * math.pi * torch.arange(length)[None, :, None] / length
        frequencies = torch.linspace(1e-4, bands - 1, bands)[None, None]
        self.z = nn.Parameter(torch.cat([time, torch.cos(frequencies * angle), -torch.sin(frequencies * angle)], dim=-1))
        self.register_buffer("t", time)


class Decay(nn.Module):
    """A window over a filter: each channel falls off at its own speed."""

    deltas: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        fast, slow, target = DECAY
        self.register_buffer("deltas", torch.linspace(math.log(target) / slow, math.log(target) / fast, width)[None, None])

    def forward(self, time: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = x * (torch.exp(-time * self.deltas.abs()) + SHIFT)
        return found


class Filter(nn.Module):
    """Filters of any length, computed from places."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, inner = int(config["d_model"]), int(config["filter_order"])
        self.bias = nn.Parameter(torch.randn(width * (int(config["hyena_order"]) - 1)))
        self.pos_emb = Places(int(config["max_seq_len"]), int(config["emb_dim"]))
        sine = Sine(inner, float(config["activation_freq"]))  # one for all layers
        layers: list[nn.Module] = [nn.Linear(int(config["emb_dim"]), inner), sine]
        for _ in range(int(config["num_inner_mlps"])):
            layers += [nn.Linear(inner, inner), sine]
        self.implicit_filter = nn.Sequential(*layers, nn.Linear(inner, width * (int(config["hyena_order"]) - 1), bias=False))
        self.modulation = Decay(width * (int(config["hyena_order"]) - 1))

    def forward(self, length: int) -> torch.Tensor:
        """(width, length)."""
        time: torch.Tensor = self.pos_emb.get_buffer("t")[:, :length]
        places = self.pos_emb.z[
            :, :length
        ].clone()  # under inference_mode a view of a parameter claims to need a gradient that it cannot get
        found: torch.Tensor = self.modulation(time, self.implicit_filter(places))
        return found[0].transpose(0, 1)


class Operator(nn.Module):
    """The Hyena operator."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.width, self.order = int(config["d_model"]), int(config["hyena_order"])
        inner = self.width * (self.order + 1)
        self.in_proj = nn.Linear(self.width, inner)
        self.out_proj = nn.Linear(self.width, self.width)
        short = int(config["short_filter_order"])
        self.short_filter = nn.Conv1d(inner, inner, short, padding=short - 1, groups=inner)
        self.filter_fn = Filter(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[1]
        smooth = self.short_filter(self.in_proj(x).transpose(1, 2))[..., :length]
        *gates, value = smooth.split(self.width, dim=1)  # each (batch, width, length)
        filters = self.filter_fn(length).unflatten(0, (self.order - 1, self.width))
        biases = self.filter_fn.bias.unflatten(0, (self.order - 1, self.width))
        for gate, kernel, bias in zip(reversed(gates[1:]), filters, biases, strict=True):
            value = value * gate
            value = long_convolution(value, kernel) + value * bias[:, None]
        found: torch.Tensor = self.out_proj((value * gates[0]).transpose(1, 2))
        return found


def long_convolution(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Causal convolution by way of the Fourier transform.

    Args:
        x: (batch, width, length).
        kernel: (width, length).
    """
    length = x.shape[-1]
    spectrum = torch.fft.rfft(x.float(), n=2 * length) * torch.fft.rfft(kernel.float(), n=2 * length)
    found: torch.Tensor = torch.fft.irfft(spectrum, n=2 * length)[..., :length].to(x.dtype)
    return found


class Mlp(nn.Module):
    """Two linear layers."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
        return found


class Block(nn.Module):
    """Operator and linear layers, both residual, with the norm in front."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = int(config["d_model"])
        self.mixer = Operator(config)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = Mlp(width, int(config["d_inner"]))
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.mixer(self.norm1(x))
        found: torch.Tensor = x + self.mlp(self.norm2(x))
        return found


class Embeddings(nn.Module):
    """Letters as vectors; the vocabulary is filled up to a multiple."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        multiple = int(config["pad_vocab_size_multiple"])
        self.word_embeddings = nn.Embedding(math.ceil(int(config["vocab_size"]) / multiple) * multiple, int(config["d_model"]))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.word_embeddings(ids)
        return found


class Network(nn.Module):
    """HyenaDNA without a head.

    Args:
        config: a checkpoint's config.json.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Block(config) for _ in range(int(config["n_layer"])))
        self.ln_f = nn.LayerNorm(int(config["d_model"]), eps=float(config["layer_norm_epsilon"]))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Hidden:
        """Tokens (batch, length); what fills up stands on the right, where nothing on its left sees it."""
        hidden = self.embeddings(input_ids)
        for layer in self.layers:
            hidden = layer(hidden)
        return Hidden(self.ln_f(hidden))


@dataclass(frozen=True)
class HyenaDna:
    """HyenaDNA as a family of networks; see `_dna_families`.

    Attributes:
        folder: of the checkpoint.
        source: what the user called it.
    """

    folder: Path
    source: str

    @property
    def traits(self) -> frozenset[str]:
        return frozenset({"dna", "convolution", "linear", "layer_norm"})

    @property
    def tokens(self) -> Tokens:
        return TOKENS

    @property
    def config(self) -> dict[str, Any]:
        """config.json.

        Raises:
            BackboneError: a size is missing.
        """
        found: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        known = {"pad_vocab_size_multiple": 8, "short_filter_order": 3, "layer_norm_epsilon": 1e-5, "activation_freq": 10, **found}
        needed = ("d_model", "d_inner", "n_layer", "vocab_size", "max_seq_len", "emb_dim", "filter_order", "num_inner_mlps", "hyena_order")
        if lacking := [name for name in needed if name not in known]:
            raise BackboneError(f"{self.folder}/config.json says {MODEL_TYPE}, but lacks {', '.join(lacking)}")
        return known

    @property
    def length(self) -> int:
        return min(MOST, int(self.config["max_seq_len"]) - 1)

    @property
    def width(self) -> int:
        return int(self.config["d_model"])

    def opened(self, weights: str | None, scratch: bool) -> tuple[nn.Module, _checkpoints.Loaded]:
        network = Network(self.config)
        if scratch:
            return network, _checkpoints.Loaded("random weights", 0, [], [])
        path = Path(weights).expanduser() if weights else self.folder / "model.safetensors"
        return network, _checkpoints.fill(network, self._named(network, _checkpoints.read_weights(path)), weights or self.source)

    def _named(self, network: nn.Module, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The weights under the network's names; a tensor that several layers share stands in a safetensors file once."""
        found = {}
        for name, tensor in weights.items():
            prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
            found[name.removeprefix(prefix)] = tensor
        for name in network.state_dict():
            shared, dot, rest = name.partition(".implicit_filter.")
            if dot and rest.endswith(".freq") and name not in found:
                same = next((other for other in found if other.startswith(f"{shared}.implicit_filter.") and other.endswith(".freq")), None)
                if same:
                    found[name] = found[same]
        return found

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", self.config)
        named = {f"backbone.{name}": tensor.detach().clone().contiguous() for name, tensor in weights.items()}
        save_file(named, folder / "model.safetensors")
