"""Networks behind the forecaster: windows that are put to one level and spread go in, features of each column come out.

    z (batch, context, columns), known (batch, context + horizon, k)  ->  (batch, targets, width)

A `Source` knows one kind of network: tunesmith's own small one, or one of transformers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from torch import nn

from tunesmith.backbones import _checkpoints
from tunesmith.backbones._checkpoints import Loaded
from tunesmith.core.errors import BackboneError, require
from tunesmith.core.files import read_json, write_json


@dataclass(frozen=True)
class Shape:
    """What a network is given.

    Attributes:
        context: steps.
        horizon: steps ahead, of which `known` columns hold numbers.
        columns: how many numbers there are a step; the targets stand first.
        targets: how many of them are forecast.
        known: how many columns are known in advance.
        gaps: whether numbers are missing in the training windows.
    """

    context: int
    horizon: int
    columns: int
    targets: int
    known: int
    gaps: bool


class Source(ABC):
    """One kind of network."""

    traits: ClassVar[frozenset[str]]

    @abstractmethod
    def build(self, shape: Shape) -> nn.Module:
        """The network with random weights."""

    @abstractmethod
    def features(self, network: nn.Module, z: torch.Tensor, known: torch.Tensor, shape: Shape) -> torch.Tensor:
        """(batch, targets, width) of what is put to one level and spread; NaN where a number is missing."""

    def opened(self, shape: Shape) -> tuple[nn.Module, Loaded]:
        """The network with its weights."""
        return self.build(shape), Loaded("random weights", 0, [], [])

    def context(self) -> int | None:
        """Steps that it must be given; None where any number will do."""
        return None

    def refuse(self, shape: Shape) -> str | None:
        """Why it cannot read such windows, or None."""
        return None

    def forecasts(self, network: nn.Module) -> tuple[int, Sequence[float | None]] | None:
        """As `Backbone.forecasts`."""
        return None

    @abstractmethod
    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        """Write it so that `Saved` or `Hub` reads it."""


class _Mixing(nn.Module):
    """A hidden layer beside what passes by (a residual block)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = x + self.drop(self.narrow(nn.functional.gelu(self.wide(self.norm(x)))))
        return mixed


class SmallNetwork(nn.Module):
    """A linear map of each column's context, with residual blocks on it; what other columns and known ones say is added.

    Linear maps of the normalised context are hard to beat where history is short (Zeng et al. 2023, DLinear; Li et al. 2023, RLinear), and
    residual blocks on them cost little (Das et al. 2023, TiDE). Columns share all weights, as in PatchTST (Nie et al. 2023).

    Args:
        shape: of the windows.
        width: of the features.
        depth: residual blocks.
        dropout: in them.
    """

    def __init__(self, shape: Shape, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.read = nn.Linear(shape.context, width)
        self.missing = nn.Linear(shape.context, width, bias=False) if shape.gaps else None  # where numbers are missing
        beside = shape.columns - shape.targets
        self.past = nn.Linear(beside * width, width, bias=False) if beside else None
        self.known = nn.Linear(shape.known * (shape.context + shape.horizon), width, bias=False) if shape.known else None
        self.mixing = nn.Sequential(*[_Mixing(width, dropout) for _ in range(depth)])

    def forward(self, z: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """(batch, targets, width)."""
        there = torch.isfinite(z)
        each = torch.where(there, z, 0.0).transpose(1, 2)  # (batch, columns, context)
        x = self.read(each)
        if self.missing is not None:
            x = x + self.missing((~there).to(each.dtype).transpose(1, 2))
        own, beside = x[:, : self.shape.targets], x[:, self.shape.targets :]
        if self.past is not None:
            own = own + self.past(beside.flatten(1))[:, None]
        if self.known is not None:
            own = own + self.known(torch.nan_to_num(known).flatten(1))[:, None]
        mixed: torch.Tensor = self.mixing(own)
        return mixed


@final
@dataclass(frozen=True)
class Small(Source):
    """tunesmith's own small network, from random weights or from the folder of a bundle."""

    width: int
    depth: int
    dropout: float
    folder: Path | None = None
    traits: ClassVar[frozenset[str]] = frozenset({"convolution", "linear", "layer_norm"})

    def build(self, shape: Shape) -> nn.Module:
        return SmallNetwork(shape, self.width, self.depth, self.dropout)

    def opened(self, shape: Shape) -> tuple[nn.Module, Loaded]:
        network = self.build(shape)
        if self.folder is None:
            return network, Loaded("random weights", len(network.state_dict()), [], [])
        return network, _checkpoints.fill(network, _checkpoints.read_weights(self.folder / "model.safetensors"), str(self.folder))

    def features(self, network: nn.Module, z: torch.Tensor, known: torch.Tensor, shape: Shape) -> torch.Tensor:
        found: torch.Tensor = network(z, known)
        return found

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", {"model_type": "tunesmith_small_forecaster"})
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors")


FROM_SCRATCH: Mapping[str, Mapping[str, Any]] = {
    "patchtst": {"d_model": 64, "num_attention_heads": 4, "num_hidden_layers": 3, "ffn_dim": 128, "dropout": 0.2},
    "patchtsmixer": {"d_model": 48, "num_layers": 3, "expansion_factor": 2, "dropout": 0.2, "head_dropout": 0.0},
}
"""Architectures of transformers that can be named instead of a folder, with the sizes that small data sets want."""

PATCH, LEAST = 16, 8
"""Steps of a patch, which begin at every half of one, and of the shortest context that patches of fewer are cut from."""

HUB = ("patchtst", "patchtsmixer", "timesfm", "timesfm2_5")


@final
@dataclass(frozen=True)
class Hub(Source):
    """A network of transformers: PatchTST, PatchTSMixer or TimesFM, from a folder or from random weights.

    Attributes:
        name: `patchtst` or `patchtsmixer`, or a folder.
        scratch: random weights for the folder's architecture.
    """

    name: str
    scratch: bool = False
    traits: ClassVar[frozenset[str]] = frozenset({"transformer", "linear"})

    @property
    def folder(self) -> Path | None:
        """Where the checkpoint is; None where an architecture is named."""
        return None if self.name in FROM_SCRATCH else _checkpoints.locate(self.name)

    @property
    def _kept(self) -> dict[str, Any]:
        """The folder's config.json.

        Raises:
            BackboneError: it is of no kind that is read here.
        """
        assert self.folder is not None
        if not (self.folder / "config.json").is_file():
            raise BackboneError(f"{self.folder} holds no config.json; give the folder of a checkpoint in hub format")
        kept: dict[str, Any] = read_json(self.folder / "config.json")
        if kept.get("model_type") not in HUB:
            raise BackboneError(
                f"{self.folder} holds a network of type {kept.get('model_type')!r}; forecasters that are read are {', '.join(HUB)} (those "
                "that need lagged inputs, such as autoformer and informer, are not)"
            )
        return kept

    def context(self) -> int | None:
        if self.folder is None:
            return None
        kept = self._kept
        return int(kept.get("context_length", 512)) if kept["model_type"].startswith("patch") else None

    def refuse(self, shape: Shape) -> str | None:
        if shape.known:
            return "it reads no columns that are known in advance; use --backbone small"
        if self.folder is None and shape.context < LEAST:
            return f"it reads patches, and a context of {shape.context} steps is too short for several; give it {LEAST} or more"
        return None

    def _config(self, shape: Shape) -> Any:
        transformers = require("transformers", "forecasters in hub format")
        if self.folder is not None:
            return transformers.AutoConfig.from_pretrained(str(self.folder))
        patch = min(PATCH, shape.context // 4)
        options = {"context_length": shape.context, "patch_length": patch, "patch_stride": patch // 2, "num_input_channels": 1}
        if self.name == "patchtst":
            return transformers.PatchTSTConfig(**options, **FROM_SCRATCH[self.name], norm_type="layernorm")
        return transformers.PatchTSMixerConfig(**options, **FROM_SCRATCH[self.name])

    def _family(self, config: Any) -> Any:
        """The library's class: that with the checkpoint's own forecast where it has one."""
        transformers = require("transformers", "forecasters in hub format")
        kind = {"patchtst": "PatchTST", "patchtsmixer": "PatchTSMixer", "timesfm": "TimesFm", "timesfm2_5": "TimesFm2_5"}[config.model_type]
        own = any(str(item).endswith("ForPrediction") for item in config.architectures or [])
        if kind.startswith("TimesFm"):
            return getattr(transformers, f"{kind}ModelForPrediction")
        return getattr(transformers, f"{kind}ForPrediction" if own else f"{kind}Model")

    def build(self, shape: Shape) -> nn.Module:
        config = self._config(shape)
        network: nn.Module = self._family(config)(config)
        return network

    def opened(self, shape: Shape) -> tuple[nn.Module, Loaded]:
        if self.folder is None or self.scratch:
            network = self.build(shape)
            return network, Loaded("random weights", len(network.state_dict()), [], [])
        self._kept  # noqa: B018 (says what is wrong with the folder)
        found: tuple[nn.Module, Loaded] = _checkpoints.hub_network(self.folder, self._family(self._config(shape)), self.name)
        return found

    def features(self, network: nn.Module, z: torch.Tensor, known: torch.Tensor, shape: Shape) -> torch.Tensor:
        model: Any = network
        kind = model.config.model_type
        mixes = (kind == "patchtsmixer" and model.config.mode == "mix_channel") or getattr(model.config, "channel_attention", False)
        there = torch.isfinite(z)
        values = torch.where(there, z, 0.0)
        if not mixes:  # one column at a time, and those alone that are forecast
            values, there = values[..., : shape.targets], there[..., : shape.targets]
            values, there = (part.transpose(1, 2).reshape(-1, shape.context, 1) for part in (values, there))
            _as_one(model)
        found = _of_timesfm(model, values[..., 0]) if kind.startswith("timesfm") else _of_patches(model, values, there)
        return found.reshape(len(z), -1, found.shape[-1])[:, : shape.targets]

    def forecasts(self, network: nn.Module) -> tuple[int, Sequence[float | None]] | None:
        model: Any = network
        config = model.config
        if config.model_type.startswith("timesfm"):
            return int(config.horizon_length), (None, *config.quantiles)
        return (int(config.prediction_length), (None,)) if hasattr(model, "head") else None

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        _checkpoints.save_hub(network, weights, folder)


def _as_one(model: Any) -> None:
    """Tell a network that shares its weights among columns that it is given one at a time."""
    for module in model.modules():
        if hasattr(module, "num_input_channels"):
            module.num_input_channels = 1


def _of_patches(model: Any, values: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """(batch, columns, width): what PatchTST or PatchTSMixer forecasts, or else the hidden values of all patches."""
    mask = {"past_observed_mask" if model.config.model_type == "patchtst" else "observed_mask": there.to(values.dtype)}
    if not hasattr(model, "head"):
        hidden: torch.Tensor = model(past_values=values, **mask).last_hidden_state  # (batch, columns, patches, width)
        return hidden.flatten(2)
    said = model(past_values=values, **mask)
    ahead = said.prediction_outputs
    if model.distribution_output is not None:
        ahead = model.distribution_output.distribution(ahead, loc=said.loc, scale=said.scale).mean
    forecast: torch.Tensor = ahead.transpose(1, 2)
    return forecast


def _of_timesfm(model: Any, values: torch.Tensor) -> torch.Tensor:
    """(batch, 1, horizon * (mean and quantiles))."""
    found: torch.Tensor = model(past_values=list(values.unbind(0))).full_predictions
    return found.flatten(1)[:, None]
