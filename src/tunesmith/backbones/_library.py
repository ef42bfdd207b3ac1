"""What the libraries of vision networks share: the small interface they are used through, and their error messages."""

from __future__ import annotations

import difflib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.backbones import _checkpoints
from tunesmith.core.contracts import Features
from tunesmith.core.errors import BackboneError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Preprocessing:
    """What the pretrained weights expect of a picture."""

    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop: float = 1.0


class Library(ABC):
    """One library's way with networks."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The network without its classifier, with random weights."""

    @abstractmethod
    def pretrained(self) -> tuple[nn.Module, _checkpoints.Loaded]:
        """The network with its pretrained weights.

        Raises:
            BackboneError: they are nowhere.
        """

    def filled(self, path: str) -> tuple[nn.Module, _checkpoints.Loaded]:
        """The network with the weights of a single file.

        Raises:
            BackboneError: no such file, or it belongs to another architecture.
        """
        network = self.build()
        return network, _checkpoints.fill(network, _checkpoints.read_weights(Path(path).expanduser()), path)

    @abstractmethod
    def preprocessing(self) -> Preprocessing:
        """What the weights expect."""

    @abstractmethod
    def features(self, network: nn.Module, pixels: torch.Tensor, pooling: str | None) -> Features:
        """Features of (batch, 3, size, size) pixels.

        Raises:
            BackboneError: the network cannot be pooled so.
        """

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        """Write the network in the library's own hub format."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: t.contiguous() for n, t in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(self.config(), indent=2), encoding="utf-8")

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What `save` writes as config.json, so that `library_of(folder)` gives this library again."""


def offline(what: str) -> BackboneError:
    """The error for pretrained weights that are nowhere."""
    return BackboneError(
        f"the pretrained weights of {what} are not on this machine and could not be fetched (no connection to the hub, or the hub "
        "does not have them). What can be done: "
        "give a file of weights for this architecture with --weights FILE; give the folder of a downloaded checkpoint as --backbone; or "
        "start from random weights, which needs much more data, with --scratch"
    )


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a folder's model.safetensors.

    Raises:
        BackboneError: there is none.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise BackboneError(f"{folder} holds no model.safetensors; other formats are read only when named with --weights FILE")
    return _checkpoints.read_weights(path)


def nearest(name: str, known: list[str]) -> list[str]:
    """The five nearest names: libraries know too many to list them all."""
    return difflib.get_close_matches(name, known, n=5, cutoff=0.3)
