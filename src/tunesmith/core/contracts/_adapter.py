"""How weights may change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch

    from tunesmith.core.arrays import Arrays
    from tunesmith.core.model import Model


@dataclass(frozen=True)
class Defaults:
    """What an adapter recommends where the recipe is silent.

    Attributes:
        lr, head_lr, schedule: learning rates, and their course.
        steps: that training takes at least, whatever the number of rows: of few rows more epochs are made.
    """

    lr: float
    head_lr: float = 1e-3
    schedule: str = "linear"
    steps: int = 0


class Adapter(ABC):
    """How the weights may change."""

    name: ClassVar[str]

    @abstractmethod
    def fits(self, traits: set[str]) -> str | None:
        """Why this adapter cannot be used on a backbone with these traits, or None. Asked before anything is loaded."""

    @abstractmethod
    def defaults(self, traits: set[str]) -> Defaults:
        """Learning rate and schedule that work well."""

    @abstractmethod
    def apply(self, model: Model, seed: int) -> None:
        """Set what may change: freeze, or wrap the network in place. What is new (`Model.fresh`: the head, modules that no pretraining has
        touched) always stays trainable.

        Raises:
            AdapterError: nothing in this network fits.
        """

    def penalties(self) -> Sequence[float] | None:
        """Penalties among which validation chooses where the head is fitted in one go; None where training goes step by step."""
        return None

    def begin(self, model: Model, step: int, total_steps: int) -> None:  # noqa: B027 (a hook: most adapters need nothing)
        """Called before the first step, and with the step reached (after `restore`) when a run is resumed.

        Args:
            total_steps: as planned; `stepped` is told how many there are by then.
        """

    def stepped(self, model: Model, step: int, total_steps: int) -> bool:
        """Called before the optimizer's gradients are cleared; True if the set of trainable weights changed.

        Args:
            step: number of steps taken.
            total_steps: as planned now; under a time limit that grows and shrinks from step to step, so what was done is not undone.
        """
        return False

    def may_rest(self, parameter: str) -> bool:
        """Whether the method itself may leave this trainable parameter as it was (AdaLoRA takes whole ranks away)."""
        return False

    def state(self, model: Model) -> dict[str, torch.Tensor]:
        """What a checkpoint must keep besides trainable weights, so that a resumed run is the same run."""
        return {}

    def restore(self, model: Model, state: Mapping[str, torch.Tensor]) -> None:  # noqa: B027 (a hook, as above)
        """Put back what `state` gave."""

    @abstractmethod
    def save(self, model: Model, folder: Path) -> bool:
        """Write what stands beside the backbone's own weights; False if there is nothing."""

    @abstractmethod
    def load(self, model: Model, folder: Path) -> None:
        """Put back what `save` wrote onto a network with the backbone's own weights."""

    def fold(self, weights: Arrays, folder: Path) -> Arrays | None:
        """The network's own `weights`, by name, with what `save` wrote folded in, in numpy alone; None where that cannot be done."""
        return None

    @abstractmethod
    def base_weights(self, model: Model) -> dict[str, torch.Tensor]:
        """The network's own weights under their original names, without what the adapter added."""

    @abstractmethod
    def merge(self, model: Model) -> bool:
        """Fold the adapter into the network's own weights in place; False if there is nothing to fold or it cannot be."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The fields, as plain JSON, that rebuild this adapter through the registry."""
