"""What the adapters that add nothing share: the network's own weights are all there is to save."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.core.contracts import Adapter

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model


class Freezing(Adapter):
    """Decides which of the network's own weights may change."""

    @abstractmethod
    def fits(self, traits: set[str]) -> str | None: ...

    def save(self, model: Model, folder: Path) -> bool:
        return False

    def load(self, model: Model, folder: Path) -> None:
        return None

    def base_weights(self, model: Model) -> dict[str, torch.Tensor]:
        return dict(model.network.state_dict())

    def merge(self, model: Model) -> bool:
        return False

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]


def only(model: Model, parts: list[nn.Module]) -> None:
    """Make `parts` and what is new trainable, and nothing else."""
    for parameter in model.network.parameters():
        parameter.requires_grad = False
    for part in [*parts, *model.fresh()]:
        for parameter in part.parameters():
            parameter.requires_grad = True
