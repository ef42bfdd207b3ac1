"""Ways to make a step faster that do not change what is learned, each tried on the machine at hand before it is taken.

A lever is on within its `on` context. A trial times passes as training makes them (its random layers act), with and without the lever
in turn (A B A B), because machines are shared. What a lever means to the rest of a run are attributes of its class: nobody asks its name.
"""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import nn

from tunesmith.core.contracts import Batch, Task
from tunesmith.core.errors import UnknownNameError
from tunesmith.core.fitting import OptimizerSpec
from tunesmith.core.model import Model
from tunesmith.engine.cost import as_before, timed, train_once

GAIN = 1.05
"""How much faster a pass must become for a lever to be taken: less cannot be told from noise."""

COPIED = 8_000_000
"""Weights that are enough to time an optimizer."""

LOSS = 0.02
"""By what share a lever may change the loss of a pass."""

Precision = Callable[[], AbstractContextManager[Any]]


def precision_of(name: str | None, device: torch.device) -> Precision:
    """The context in which a forward pass runs in a number format."""
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return (lambda: torch.autocast(device.type, kinds[name])) if name in kinds else nullcontext


@dataclass
class Bench:
    """What a lever is tried on.

    Attributes:
        model, task, batch, device: a pass over the batch is what is timed.
        optimizer, groups: as in training.
        precision: number format of the forward pass.
        format: the one that the recipe names; None where a lever may choose.
        remembers: whether training puts remembered values in place of frozen blocks.
    """

    model: Model
    task: Task
    batch: Batch
    device: torch.device
    optimizer: OptimizerSpec
    groups: list[dict[str, Any]]
    precision: Precision = nullcontext
    format: str | None = None
    remembers: bool = False

    @contextmanager
    def training(self) -> Iterator[None]:
        """The model as the loop trains it; mode, buffers (statistics of batch norms) and random states are as before afterwards."""
        with as_before(self.model):
            self.model.train()
            yield

    def seconds(self) -> float:
        """Of a forward and backward pass in training."""
        with self.training():
            return timed(lambda: train_once(self.model, self.task, self.batch, self.precision), self.device)

    def update(self, fused: bool = False) -> float:
        """Seconds of a step of the optimizer, judged by copies of some of the weights."""
        groups, copied, count = [], 0, sum(p.numel() for group in self.groups for p in group["params"])
        for group in self.groups:
            params = []
            for parameter in group["params"]:
                if copied < COPIED:
                    params.append(parameter.detach().clone().requires_grad_())
                    params[-1].grad = torch.ones_like(parameter)
                    copied += parameter.numel()
            groups.append({**group, "params": params})
        optimizer = self.optimizer.build([group for group in groups if group["params"]], fused=fused)

        def step() -> None:
            optimizer.step()

        seconds = timed(step, self.device)
        scaled: float = seconds * count / max(1, copied)
        return scaled

    def loss(self) -> float:
        """Of the batch, without random layers."""
        training = self.model.training
        self.model.eval()
        with torch.no_grad(), self.precision():
            value = float(self.task.loss(self.model, self.batch, self.task.phases[0]))
        self.model.train(training)
        return value


class Lever(ABC):
    """A way to make a step faster.

    Attributes:
        passes: about how many passes a trial takes.
        least: seconds that it takes however short a pass is.
        costly: whether each run pays about as much as a trial before it gains anything.
        precision: number format of the forward pass that it chooses; None where it leaves that alone.
        fuses: whether the optimizer is to be built with its step as one operation.
    """

    name: ClassVar[str]
    passes: ClassVar[int] = 12
    least: ClassVar[float] = 0.0
    costly: ClassVar[bool] = False
    precision: ClassVar[str | None] = None
    fuses: ClassVar[bool] = False

    @abstractmethod
    def fits(self, bench: Bench) -> bool:
        """Whether it applies here."""

    @abstractmethod
    def on(self, bench: Bench) -> AbstractContextManager[None]:
        """On within the context, as before after it."""

    def gain(self, bench: Bench) -> float:
        """How many times faster a step is with it; 0 where it changes the loss."""
        plain = bench.loss()
        ratios = []
        for _ in range(2):
            without = bench.seconds()
            with self.on(bench):
                if abs(bench.loss() - plain) > LOSS * abs(plain):
                    return 0.0
                ratios.append(without / bench.seconds())
        return statistics.fmean(ratios)


@final
@dataclass(frozen=True)
class Threads(Lever):
    """Another number of threads within an operation."""

    name: ClassVar[str] = "threads"
    count: int

    def fits(self, bench: Bench) -> bool:
        return bench.device.type == "cpu"

    @contextmanager
    def on(self, bench: Bench) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@final
@dataclass(frozen=True)
class ChannelsLast(Lever):
    """Pictures and filters with their channels side by side in memory."""

    name: ClassVar[str] = "channels_last"

    def fits(self, bench: Bench) -> bool:
        return any(isinstance(module, nn.Conv2d) for module in bench.model.network.modules())

    @contextmanager
    def on(self, bench: Bench) -> Iterator[None]:
        _lay_out(bench.model, torch.channels_last)
        try:
            yield
        finally:
            _lay_out(bench.model, torch.contiguous_format)


def _lay_out(model: Model, form: torch.memory_format) -> None:
    for parameter in model.network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=form)


@final
@dataclass(frozen=True)
class Bf16(Lever):
    """Forward passes in bfloat16 where that is as good (autocast)."""

    name: ClassVar[str] = "bf16"
    precision: ClassVar[str | None] = "bf16"

    def fits(self, bench: Bench) -> bool:
        return bench.format is None

    @contextmanager
    def on(self, bench: Bench) -> Iterator[None]:
        before, bench.precision = bench.precision, precision_of(self.precision, bench.device)
        try:
            yield
        finally:
            bench.precision = before


@final
@dataclass(frozen=True)
class Compiled(Lever):
    """The network compiled by torch.compile, for batches of any shape."""

    name: ClassVar[str] = "compile"
    passes: ClassVar[int] = 150
    least: ClassVar[float] = 30.0
    costly: ClassVar[bool] = True

    def fits(self, bench: Bench) -> bool:
        return not bench.remembers  # what was compiled would run the frozen blocks, whatever stands in their place

    @contextmanager
    def on(self, bench: Bench) -> Iterator[None]:
        bench.model.network.compile(dynamic=True)
        try:
            yield
        finally:
            bench.model.network._compiled_call_impl = None


@final
@dataclass(frozen=True)
class Fused(Lever):
    """The optimizer's step as one operation."""

    name: ClassVar[str] = "fused"
    passes: ClassVar[int] = 3
    fuses: ClassVar[bool] = True

    def fits(self, bench: Bench) -> bool:
        return bench.optimizer.fusible

    def on(self, bench: Bench) -> AbstractContextManager[None]:
        return nullcontext()

    def gain(self, bench: Bench) -> float:
        step = bench.seconds()
        plain, fused = (bench.update(how) for how in (False, True))
        return (step + plain) / (step + fused)


def called(lever: Lever) -> str:
    """What a lever is called in a recipe.

    Example:
        >>> called(Threads(2)), called(Compiled())
        ('threads 2', 'compile')
    """
    return f"{lever.name} {lever.count}" if isinstance(lever, Threads) else lever.name


def named(name: str) -> Lever:
    """The lever of a name that `called` gives.

    Raises:
        UnknownNameError: there is none.
    """
    word, _, count = name.partition(" ")
    if word == Threads.name and count.isdigit() and int(count) > 0:
        return Threads(int(count))
    known = {lever.name: lever for lever in (Fused(), ChannelsLast(), Bf16(), Compiled())}
    if name not in known:
        raise UnknownNameError("lever", name, [*known, "threads 1", "threads 2"])
    return known[name]


def candidates(device: torch.device, cores: int) -> list[Lever]:
    """The levers that would change something, cheap ones first."""
    counts = sorted({1, max(1, cores // 2), cores} - {torch.get_num_threads()}) if device.type == "cpu" else []
    return [*(Threads(count) for count in counts), Fused(), ChannelsLast(), Bf16(), Compiled()]


@contextmanager
def pulled(levers: list[Lever], bench: Bench) -> Iterator[None]:
    """All these levers at once."""
    with ExitStack() as stack:
        for lever in levers:
            stack.enter_context(lever.on(bench))
        yield
