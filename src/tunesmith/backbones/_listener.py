"""What families of sound networks share: the small interface they are used through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.backbones import _checkpoints
from tunesmith.core.errors import BackboneError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.backbones._sound_changes import Masks
    from tunesmith.core.arrays import Floats
    from tunesmith.core.contracts import Brought


class Listener(ABC):
    """One family's way with sounds: what a stretch of samples becomes, and which features the network gives for it.

    A frame is one vector of the network's output; `units` frames are what a stretch is padded to.
    """

    @property
    @abstractmethod
    def rate(self) -> int:
        """Samples a second that the network reads."""

    @property
    @abstractmethod
    def stride(self) -> float:
        """Samples from one frame to the next."""

    @property
    def longest(self) -> int | None:
        """Samples of the longest stretch that the network can read; None where any length will do."""
        return None

    @property
    def least(self) -> int:
        """Samples of the shortest stretch that gives a frame; shorter ones are lengthened by silence."""
        return 1

    @abstractmethod
    def frames(self, samples: int) -> int:
        """Frames that a stretch of so many samples gives."""

    def units(self, samples: int) -> int:
        """Frames that it is padded to: the same number for all stretches where the network reads one length only."""
        return self.frames(samples) if self.longest is None else self.frames(self.longest)

    @abstractmethod
    def prepared(self, wave: Floats, masks: Masks | None) -> Floats:
        """What the network reads of a stretch: (samples,), or (frames of a spectrum, bands).

        Args:
            wave: (n,) samples at `rate`, at least `least` of them.
            masks: what is hidden in training; None in prediction.
        """

    @abstractmethod
    def features(self, network: nn.Module, values: torch.Tensor, samples: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        """One vector for each stretch where the network has its own way to make it, else None; and (stretches, units, width) frames.

        Args:
            network: as `opened` gave it; an adapter may wrap it.
            values: (stretches, ...) what `prepared` gave, padded by zeros.
            samples: (stretches,) how many samples each has.
        """

    @abstractmethod
    def opened(self, weights: str | None, scratch: bool) -> tuple[nn.Module, _checkpoints.Loaded]:
        """The network with its weights.

        Raises:
            BackboneError: they are nowhere, or of another architecture.
        """

    @abstractmethod
    def width(self, network: nn.Module) -> int:
        """Width of a frame."""

    @abstractmethod
    def traits(self) -> set[str]:
        """As `Backbone.traits`."""

    def brought(self) -> Brought | None:
        """As `Backbone.brought`."""
        return None

    def save_memory(self, network: nn.Module) -> None:
        """Compute activations again in the backward pass.

        Raises:
            BackboneError: the network has no such mode.
        """
        model: Any = network
        if not getattr(model, "supports_gradient_checkpointing", False):
            raise BackboneError("this sound network cannot compute activations again; leave --gradient-checkpointing out")
        model.activation_checkpointing_enable({"use_reentrant": False})

    @abstractmethod
    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        """Write architecture, preprocessing and `weights` into a folder."""
