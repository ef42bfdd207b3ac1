"""The course of the learning rate: a factor on the base rate, a pure function of the step (and of how often validation stalled)."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

from tunesmith.core.fitting import Schedule


class _Warm(Schedule):
    """Rises linearly from 0 in the warmup, then follows `course` of the share of the remaining steps."""

    def factor(self, step: int, total: int, warmup: float, drops: int) -> float:
        rising = int(warmup * total)
        if step < rising:
            return (step + 1) / (rising + 1)
        return self.course((step - rising) / max(1, total - rising), drops)

    @abstractmethod
    def course(self, share: float, drops: int) -> float:
        """Factor after the warmup; `share` goes from 0 to almost 1."""

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]


@final
@dataclass(frozen=True)
class Constant(_Warm):
    """The same rate throughout."""

    name: ClassVar[str] = "constant"

    def course(self, share: float, drops: int) -> float:
        return 1.0


@final
@dataclass(frozen=True)
class Linear(_Warm):
    """Falls in a straight line to 0."""

    name: ClassVar[str] = "linear"

    def course(self, share: float, drops: int) -> float:
        return 1.0 - share


@final
@dataclass(frozen=True)
class Cosine(_Warm):
    """Falls along half a cosine to a share of the rate (Loshchilov and Hutter 2017)."""

    name: ClassVar[str] = "cosine"
    floor: float = field(default=0.0, metadata={"help": "share of the rate at the end"})

    def course(self, share: float, drops: int) -> float:
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * share)) / 2


@final
@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rises along a cosine from 1/25 of the rate, then falls to almost 0 (Smith and Topin 2018); has its own warmup."""

    name: ClassVar[str] = "one_cycle"
    rise: float = field(default=0.3, metadata={"help": "share of the steps in which the rate rises"})

    def factor(self, step: int, total: int, warmup: float, drops: int) -> float:
        if total < 2:
            return 1.0
        top = max(1.0, self.rise * total)
        low, end = 1 / 25, 1e-4
        if step < top:
            return low + (1 - low) * (1 - math.cos(math.pi * step / top)) / 2
        return end + (1 - end) * (1 + math.cos(math.pi * (step - top) / max(1.0, total - top))) / 2

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@final
@dataclass(frozen=True)
class Plateau(_Warm):
    """Falls by a factor each time validation has not improved for a while."""

    name: ClassVar[str] = "plateau"
    drop: float = field(default=0.3, metadata={"help": "factor of each fall"})
    wait: int = field(default=2, metadata={"help": "evaluations without improvement before a fall"})

    def course(self, share: float, drops: int) -> float:
        return float(self.drop**drops)

    def patience(self) -> int | None:
        return self.wait
