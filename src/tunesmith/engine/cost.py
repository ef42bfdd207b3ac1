"""What a pass costs: operations and memory counted, time measured, on a few rows; what all rows cost follows from that.

Operations and kept bytes of n rows padded to length L are n * L * (a + b * L): all layers are linear in the length but for attention. So
two counts, on short rows and on long ones, give a and b exactly. Seconds are `overhead + operations / rate`: two timings give both.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tunesmith.core.contracts import Batch, Task
from tunesmith.core.model import Model, to_device
from tunesmith.engine.batches import Loader
from tunesmith.engine.frozen import callables

SECONDS = 0.4
"""What a pass that is timed should take, about: long enough to be told from noise."""

Piece = tuple[int, int]
"""Rows of a piece, and the size of the longest of them."""


@dataclass(frozen=True)
class Curve:
    """n * L * (base + slope * L) of n rows padded to length L."""

    base: float
    slope: float

    def at(self, piece: Piece) -> float:
        """The value for a piece."""
        rows, longest = piece
        return rows * longest * (self.base + self.slope * longest)


def through(short: Piece, low: float, long: Piece, high: float) -> Curve:
    """The curve through two counts.

    Example:
        >>> through((2, 10), 2 * 10 * (3 + 0.5 * 10), (2, 40), 2 * 40 * (3 + 0.5 * 40))
        Curve(base=3.0, slope=0.5)
    """
    first, second = low / (short[0] * short[1]), high / (long[0] * long[1])
    slope = (second - first) / (long[1] - short[1]) if long[1] != short[1] else 0.0
    return Curve(second - slope * long[1], slope)


@dataclass(frozen=True)
class Speed:
    """Seconds of a pass are `overhead + operations / rate`."""

    overhead: float
    rate: float

    def seconds(self, operations: float) -> float:
        """Seconds of a pass of so many operations."""
        return self.overhead + operations / self.rate


@dataclass(frozen=True)
class Cost:
    """What passes of a model cost on this machine.

    Attributes:
        forward: floating-point operations of a forward pass.
        step: of a forward and a backward pass.
        kept: bytes that a forward pass keeps for the backward pass.
        frozen: share of the forward pass's operations in blocks that never change.
        predicting: speed of predictions, in operations of a forward pass.
        training: speed of forward and backward passes.
        reading: seconds of reading and encoding a row.
        update: seconds of a step of the optimizer.
        solving: seconds of a pass of the solver over remembered features of all training rows, where the head is fitted in one go.
    """

    forward: Curve
    step: Curve
    kept: Curve
    frozen: float
    predicting: Speed
    training: Speed
    reading: float = 0.0
    update: float = 0.0
    solving: float = 0.0

    def faster(self, gain: float) -> Cost:
        """The same where training passes run so many times faster."""
        speed = Speed(self.training.overhead / gain, self.training.rate * gain)
        return replace(self, training=speed)


def measure(
    model: Model,
    task: Task,
    loader: Loader,
    device: torch.device,
    precision: Callable[[], AbstractContextManager[Any]],
    memory: float = math.inf,
) -> Cost:
    """Count and time a few rows; weights, buffers and random states are as before afterwards.

    Args:
        model: on its device.
        loader: gives rows; its plan knows their sizes.
        precision: a context of the forward pass's number format.
        memory: bytes that a pass may keep.
    """
    order = np.argsort(loader.plan.sizes, kind="stable")
    short, long = order[len(order) // 4], order[(len(order) * 9) // 10]
    with as_before(model):
        model.train()
        few = [batch_of(loader, [place, place], device) for place in (short, long)]
        pieces = [(2, int(loader.plan.sizes[place])) for place in (short, long)]
        forward = through(pieces[0], _operations(lambda: _predict(model, few[0])), pieces[1], _operations(lambda: _predict(model, few[1])))
        counted = [_counted(model, task, batch, precision) for batch in few]
        step = through(pieces[0], counted[0][0], pieces[1], counted[1][0])
        kept = through(pieces[0], counted[0][1], pieces[1], counted[1][1])
        frozen = _frozen_share(model, few[1])
        once = timed(lambda: train_once(model, task, few[1], precision), device)
        rows = _rows(once / 2, kept.at((1, pieces[1][1])), loader.plan.batch_size, memory)
        started = time.perf_counter()
        many = batch_of(loader, [int(long)] * rows, device)
        reading = (time.perf_counter() - started) / rows
        steps = _speed(pieces[1], once, rows, timed(lambda: train_once(model, task, many, precision), device), step)
        alone = timed(lambda: _predict(model, few[1], task.predict), device)  # generating takes many passes
        passes = _speed(pieces[1], alone, rows, timed(lambda: _predict(model, many, task.predict), device), forward)
    return Cost(forward, step, kept, frozen, passes, steps, reading)


def rows_for(cost: Cost, size: int, most: int, memory: float) -> int:
    """How many rows of a size make a training pass long enough to be timed, if it may keep so many bytes."""
    return _rows(cost.training.seconds(cost.step.at((2, size))) / 2, cost.kept.at((1, size)), most, memory)


def _rows(seconds: float, kept: float, most: int, memory: float) -> int:
    """Rows of a pass that takes about SECONDS, where each takes so many seconds and keeps so many bytes; at least 2."""
    return max(2, int(min(SECONDS / max(seconds, 1e-6), memory / max(kept, 1.0), most)))


def _speed(piece: Piece, few: float, rows: int, many: float, curve: Curve) -> Speed:
    """Overhead and rate from the seconds of a pass of few rows and of one of many."""
    low, high = curve.at(piece), curve.at((rows, piece[1]))
    if high > low and many > few:
        rate = (high - low) / (many - few)
        return Speed(max(0.0, few - low / rate), rate) if low / rate <= few else Speed(0.0, high / many)
    return Speed(0.0, high / many)


def batch_of(loader: Loader, places: Sequence[int], device: torch.device) -> Batch:
    """A batch of rows, by their places in the plan, without augmentation."""
    batch: Batch = to_device(loader.collate([loader.examples[int(loader.plan.rows[place]), None] for place in places]), device)
    return batch


def _predict(model: Model, batch: Batch, of: Callable[[Model, Batch], Any] = Model.__call__) -> None:
    training = model.training
    model.eval()
    with torch.no_grad():  # under inference mode the counter fails on weights that are computed (weight norm, as in Wav2Vec2)
        of(model, batch)
    model.train(training)


def train_once(model: Model, task: Task, batch: Batch, precision: Callable[[], AbstractContextManager[Any]]) -> None:
    """A forward and a backward pass; nothing is left of its gradients."""
    phase = task.phases[0]
    with precision():
        loss = task.loss(model, batch, phase)
    (loss / task.weight(batch, phase)).backward()
    model.zero_grad(set_to_none=True)


def _operations(run: Callable[[], None]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def _counted(model: Model, task: Task, batch: Batch, precision: Callable[[], AbstractContextManager[Any]]) -> tuple[float, float]:
    """Operations of a forward and backward pass, and bytes it keeps in between besides the weights."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in itertools.chain(model.parameters(), model.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def run() -> None:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            train_once(model, task, batch, precision)

    return _operations(run), float(sum(kept.values()))


def _frozen_share(model: Model, batch: Batch) -> float:
    """Share of a forward pass's operations in the blocks before the first that changes."""
    from torch.utils.flop_counter import FlopCounterMode

    blocks = model.frozen_blocks()
    if blocks is None or blocks == 0:
        return float(blocks is None)
    names = {id(module): name for name, module in model.named_modules()}
    frozen = [names[id(inner)] for block in model.blocks()[:blocks] for inner in callables(block) if id(inner) in names]
    with FlopCounterMode(display=False) as counter:
        _predict(model, batch)
    counts = counter.get_flop_counts()
    found = sum(sum(counts.get(f"Model.{name}", {}).values()) for name in frozen)
    return float(found / max(1, counter.get_total_flops()))


def timed(run: Callable[[], None], device: torch.device) -> float:
    """Seconds of a run: the faster of two, after one that is not counted."""
    found = []
    for _ in range(3):
        _wait(device)
        started = time.perf_counter()
        run()
        _wait(device)
        found.append(time.perf_counter() - started)
    return min(found[1:])


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@contextmanager
def as_before(model: Model) -> Iterator[None]:
    """Buffers, mode and random states are put back afterwards."""
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    training = model.training
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)
            model.train(training)
