"""tunesmith's own encoder of series: convolutions of three lengths side by side, with residuals (InceptionTime, Fawaz et al. 2020).

Series of a batch may differ in length: what is padding is 0 after every layer, so that a row's features do not depend on its batch.
Convolutions along time are written as two-dimensional ones of height 1, which is what every adapter for convolutions knows.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tunesmith.core.errors import BackboneError

if TYPE_CHECKING:
    from tunesmith.core.contracts import Features

TYPE = "tunesmith_series"
KERNELS = (9, 19, 39)


class Inception(nn.Module):
    """A narrow layer, convolutions of several lengths on it beside a pooled path, batch norm, and the input added back."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        part = outputs // (len(KERNELS) + 1)
        self.narrow = nn.Conv2d(inputs, part, 1, bias=False) if inputs > part else nn.Identity()
        narrow = part if inputs > part else inputs
        self.along = nn.ModuleList(nn.Conv2d(narrow, part, (1, k), padding=(0, k // 2), bias=False) for k in KERNELS)
        self.pooled = nn.Conv2d(inputs, outputs - part * len(KERNELS), 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.beside = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, inputs, 1, steps) -> (batch, outputs, 1, steps), 0 where `mask` (batch, 1, 1, steps) is."""
        narrow = self.narrow(x)
        greatest = nn.functional.max_pool2d(nn.functional.pad(x, (1, 1)), (1, 3), 1)  # the edge of a series as padding has it: 0
        seen = torch.cat([*(layer(narrow) for layer in self.along), self.pooled(greatest)], dim=1)
        mixed: torch.Tensor = torch.relu(self.norm(seen) + self.beside(x)) * mask
        return mixed


class Encoder(nn.Module):
    """Inception modules one after the other."""

    def __init__(self, channels: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.settings = {"model_type": TYPE, "channels": channels, "hidden": hidden, "depth": depth}
        widths = [channels + 1, *[hidden] * depth]
        self.layers = nn.ModuleList(Inception(one, other) for one, other in itertools.pairwise(widths))

    def forward(self, values: torch.Tensor, observed: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hidden values of every step, (batch, hidden, steps).

        Args:
            values: (batch, channels, steps).
            observed: (batch, channels, steps): 1 where a value was there, 0 where it was made up.
            mask: (batch, steps): 1 where there is a step, 0 where there is padding.
        """
        whole = mask[:, None, None, :].to(values.dtype)
        x = torch.cat([values, observed.mean(1, keepdim=True)], dim=1).unsqueeze(2) * whole  # (batch, channels + 1, 1, steps)
        for layer in self.layers:
            x = layer(x, whole)
        return x.squeeze(2)


def features(network: nn.Module, values: torch.Tensor, observed: torch.Tensor, mask: torch.Tensor) -> Features:
    """Mean and greatest value over the steps side by side, and the steps themselves."""
    from tunesmith.core.contracts import Features

    hidden = network(values, observed, mask)  # (batch, hidden, steps)
    whole = mask[:, None, :].to(hidden.dtype)
    mean = (hidden * whole).sum(2) / whole.sum(2).clamp(min=1)
    greatest = hidden.amax(2)  # hidden values are at least 0, and 0 where there is padding
    return Features(pooled=torch.cat([mean, greatest], dim=1), tokens=hidden.transpose(1, 2), mask=mask)


def width(network: nn.Module) -> int:
    """Width of the pooled features."""
    return 2 * int(_settings(network)["hidden"])


def _settings(network: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = next(module for module in network.modules() if isinstance(module, Encoder)).settings
    return found


def save(network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write config.json and model.safetensors."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_settings(network), indent=2), encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors")


def is_small(folder: Path) -> bool:
    """Whether a folder holds such an encoder.

    Raises:
        BackboneError: it holds no config.json in JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise BackboneError(f"{folder} holds no config.json, so it is no checkpoint in hub format")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BackboneError(f"{path} is not JSON: {error}") from error
    return isinstance(told, dict) and told.get("model_type") == TYPE


def opened(folder: Path, channels: int) -> Encoder:
    """The encoder that a folder describes, with random weights.

    Raises:
        BackboneError: it was made for another number of channels.
    """
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if told["channels"] != channels:
        raise BackboneError(f"{folder} was made for series of {told['channels']} channels, and these have {channels}")
    return Encoder(told["channels"], told["hidden"], told["depth"])
