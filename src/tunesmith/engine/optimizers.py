"""Optimizers, by the field's names; each from torch or from the package pytorch-optimizer.

`rate` turns a learning rate that suits AdamW into one that suits the method, so that an adapter's default works with each of them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, final

from tunesmith.core.errors import require
from tunesmith.core.fitting import Average, OptimizerSpec

if TYPE_CHECKING:
    import torch


class _Plain(OptimizerSpec):
    """Fields as settings, AdamW's rate as the rate."""

    def rate(self, adamw_rate: float) -> float:
        return adamw_rate * self.factor

    factor: ClassVar[float] = 1.0

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]


@final
@dataclass(frozen=True)
class AdamW(_Plain):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    name: ClassVar[str] = "adamw"
    fusible: ClassVar[bool] = True
    weight_decay: float = field(default=0.01, metadata={"help": "decay of matrices; biases and norms have none"})
    beta1: float = field(default=0.9, metadata={"help": "memory of the mean"})
    beta2: float = field(default=0.999, metadata={"help": "memory of the square"})

    def build(self, groups: list[dict[str, Any]], fused: bool = False) -> torch.optim.Optimizer:
        import torch

        return torch.optim.AdamW(groups, betas=(self.beta1, self.beta2), fused=fused or None)


@final
@dataclass(frozen=True)
class Adam(_Plain):
    """Adam (Kingma and Ba 2015)."""

    name: ClassVar[str] = "adam"
    fusible: ClassVar[bool] = True
    weight_decay: float = field(default=0.0, metadata={"help": "L2 penalty on matrices"})

    def build(self, groups: list[dict[str, Any]], fused: bool = False) -> torch.optim.Optimizer:
        import torch

        return torch.optim.Adam(groups, fused=fused or None)


@final
@dataclass(frozen=True)
class Sgd(_Plain):
    """Stochastic gradient descent with momentum."""

    name: ClassVar[str] = "sgd"
    fusible: ClassVar[bool] = True
    factor: ClassVar[float] = 100.0
    weight_decay: float = field(default=1e-4, metadata={"help": "L2 penalty on matrices"})
    momentum: float = field(default=0.9, metadata={"help": "memory of the step"})
    nesterov: bool = field(default=True, metadata={"help": "look ahead"})

    def build(self, groups: list[dict[str, Any]], fused: bool = False) -> torch.optim.Optimizer:
        import torch

        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov and self.momentum > 0, fused=fused or None)


@final
@dataclass(frozen=True)
class Adafactor(_Plain):
    """Adam with the square kept by rows and columns: little memory (Shazeer and Stern 2018)."""

    name: ClassVar[str] = "adafactor"
    factor: ClassVar[float] = 10.0
    weight_decay: float = field(default=0.0, metadata={"help": "decay of matrices"})

    def build(self, groups: list[dict[str, Any]], fused: bool = False) -> torch.optim.Optimizer:
        import torch

        return torch.optim.Adafactor(groups)


@final
@dataclass(frozen=True)
class Lion(_Plain):
    """Steps of the sign of the momentum (Chen et al. 2023); its rate is a fifth of AdamW's."""

    name: ClassVar[str] = "lion"
    factor: ClassVar[float] = 0.2
    weight_decay: float = field(default=0.05, metadata={"help": "decay of matrices"})

    def build(self, groups: list[dict[str, Any]], fused: bool = False) -> torch.optim.Optimizer:
        package = require("pytorch_optimizer", "the optimizer 'lion'")
        built: torch.optim.Optimizer = package.Lion(groups)
        return built


@final
@dataclass(frozen=True)
class Prodigy(_Plain):
    """Finds the rate by itself (Mishchenko and Defazio 2023); the learning rate is a factor on what it finds, normally 1."""

    name: ClassVar[str] = "prodigy"
    finds_rate: ClassVar[bool] = True
    schedule: ClassVar[str | None] = "constant"
    weight_decay: float = field(default=0.01, metadata={"help": "decay of matrices"})

    def rate(self, adamw_rate: float) -> float:
        return 1.0

    def build(self, groups: list[dict[str, Any]], fused: bool = False) -> torch.optim.Optimizer:
        package = require("pytorch_optimizer", "the optimizer 'prodigy'")
        for group in groups:  # it knows one rate only, common to all groups
            group["lr"] = 1.0
        built: torch.optim.Optimizer = package.Prodigy(groups, lr=1.0, bias_correction=True)
        return built


@final
@dataclass(frozen=True)
class ScheduleFree(_Plain):
    """AdamW that averages its weights instead of lowering the rate (Defazio et al. 2024); use it with the schedule 'constant'."""

    name: ClassVar[str] = "schedule_free"
    schedule: ClassVar[str | None] = "constant"
    factor: ClassVar[float] = 2.0
    weight_decay: float = field(default=0.01, metadata={"help": "decay of matrices"})

    def build(self, groups: list[dict[str, Any]], fused: bool = False) -> torch.optim.Optimizer:
        package = require("pytorch_optimizer", "the optimizer 'schedule_free'")
        built: torch.optim.Optimizer = package.ScheduleFreeAdamW(groups)
        return built

    def average(self, optimizer: torch.optim.Optimizer) -> Average | None:
        from tunesmith.engine.averages import OptimizersOwn

        return OptimizersOwn(optimizer)
