"""The contracts of fitting: what the loop runs on, and who is told of it.

A `Setup` is all the loop knows; a `Transform` may replace any part of it, so that the loop never names what changed it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.contracts import Batch


@dataclass
class Setup:
    """What the loop runs on; a Transform may replace any of it (per-sample gradients, a teacher, fake quantization).

    Attributes:
        model: the module that is trained.
        optimizers: one for each phase of the task.
        loss: the summed loss of a batch in a phase.
        weight: what the summed loss is divided by.
        batches: (epoch, first batch, halvings) -> the epoch's batches from there on, each in pieces, which are halved so often.
        averages: what stands in for the trained weights in evaluation.
        divides: whether the loss of a batch is that of its pieces together.
    """

    model: nn.Module
    optimizers: dict[str, torch.optim.Optimizer]
    loss: Callable[[nn.Module, Batch, str], torch.Tensor]
    weight: Callable[[Batch, str], float]
    batches: Callable[[int, int, int], Iterable[list[Batch]]]
    averages: list[Average]
    divides: bool = True


class Average(ABC):
    """Weights that are better to evaluate and to keep than those of the last step (EMA, schedule-free)."""

    @abstractmethod
    def update(self) -> None:
        """After each step."""

    @abstractmethod
    def enter(self) -> None:
        """Put the averaged weights into the model."""

    @abstractmethod
    def leave(self) -> None:
        """Put the trained weights back."""

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint must keep."""
        return {}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:  # noqa: B027 (a hook: some have nothing to keep)
        """Put back what `state` gave."""


class OptimizerSpec(ABC):
    """An optimizer and its hyperparameters.

    Attributes:
        finds_rate: whether it finds the learning rate by itself.
        fusible: whether its step can be one operation.
        schedule: the schedule it needs where the recipe names none; None leaves it to the adapter.
    """

    name: ClassVar[str]
    finds_rate: ClassVar[bool] = False
    fusible: ClassVar[bool] = False
    schedule: ClassVar[str | None] = None

    @abstractmethod
    def build(self, groups: list[dict[str, Any]], fused: bool = False) -> torch.optim.Optimizer:
        """The optimizer of parameter groups that carry their own `lr` and `weight_decay`.

        Args:
            fused: its step as one operation, where it is `fusible`.
        """

    @abstractmethod
    def rate(self, adamw_rate: float) -> float:
        """The learning rate that goes with a rate that suits AdamW."""

    def average(self, optimizer: torch.optim.Optimizer) -> Average | None:
        """How evaluation should see the weights, where the method has its own way."""
        return None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The fields, as plain JSON."""


class Schedule(ABC):
    """The course of the learning rate."""

    name: ClassVar[str]

    @abstractmethod
    def factor(self, step: int, total: int, warmup: float, drops: int) -> float:
        """What the base rate is multiplied by in a step.

        Args:
            step: from 0 to total - 1.
            total: number of steps.
            warmup: share of the steps in which the rate rises from 0.
            drops: how often validation has stalled so far.
        """

    def patience(self) -> int | None:
        """Evaluations without improvement after which `drops` grows; None where stalling does not matter."""
        return None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The fields, as plain JSON."""


class Transform(ABC):
    """Changes a setup before the loop sees it, so that the loop never names what changed it."""

    name: ClassVar[str]

    @abstractmethod
    def apply(self, setup: Setup) -> Setup:
        """The changed setup."""


@dataclass
class Progress:
    """Where the loop stands; what callbacks see and a checkpoint keeps.

    Attributes:
        step, epoch, batch: counted from 0; `batch` is the next one of the epoch.
        total_steps: steps in all; fewer where the time limit allows fewer.
        epochs: passes over the rows.
        history: validation scores, with step and epoch.
        best, best_step: best monitored score, and where it was.
        stale: evaluations since then.
        drops: how often the schedule has lowered the rate because of that.
        first_loss, largest_norm: of the training so far.
        seconds: spent in steps.
        spent: seconds in all, evaluations included.
        halvings: how often the pieces of a batch were halved because memory ran out.
        stop: why training ended early.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    total_steps: int = 0
    epochs: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    drops: int = 0
    first_loss: float | None = None
    largest_norm: float = 0.0
    seconds: float = 0.0
    spent: float = 0.0
    halvings: int = 0
    stop: str | None = None


class Callback:
    """Hooks of the loop; each does nothing unless overridden. A registered tracker is one that is made with `in_run(folder)`."""

    name: ClassVar[str] = ""

    def in_run(self, folder: Path) -> Callback:
        """The callback, writing into this run's folder."""
        return self

    def train_start(self, progress: Progress) -> None:
        """Before the first step (or the first after a resume)."""

    def step_end(self, progress: Progress, values: Mapping[str, float]) -> None:
        """After each step; `values` holds loss, lr and gradient norm."""

    def evaluated(self, progress: Progress, scores: Mapping[str, Any]) -> None:
        """After each evaluation on validation."""

    def saved(self, progress: Progress, folder: Path) -> None:
        """After each checkpoint."""

    def noticed(self, progress: Progress, text: str) -> None:
        """Something happened that the person who waits should know."""

    def failed(self, progress: Progress, error: BaseException) -> None:
        """The loop ends by an error."""

    def closed(self, progress: Progress) -> None:
        """The loop has ended, well or not."""
