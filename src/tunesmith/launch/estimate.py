"""What a run will take, before it runs: from what a few rows cost, and how many there are."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

from tunesmith.core.memory import resident
from tunesmith.core.model import Model
from tunesmith.data.prepare import Divided
from tunesmith.engine.batches import Plan
from tunesmith.engine.closed_form import PASSES
from tunesmith.engine.cost import Cost
from tunesmith.launch.resolve import Parts
from tunesmith.report.words import duration

GB = 2**30
AFTER = 12.0
"""Seconds for what follows training besides predicting the test split: the bundle, a fresh process that reads it, the report."""

HEAD = 0.1
"""Share of the overhead of a pass that is left where only a head runs."""

WORKING = 1.4
"""Memory of a training pass over what its forward part keeps: gradients of activations, and what the allocator holds back (measured)."""

LATER = 1.5e8
"""Bytes of what is loaded after training, for the report."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        parameters, trainable: numbers of weights.
        epochs, steps: passes over the rows, and steps of each; where the head is fitted in one go each penalty counts as an epoch of one.
        operations: floating-point operations of all training.
        features_seconds: computing what is frozen, once; 0 where it is computed anew in each epoch.
        epoch_seconds: the steps of an epoch, or the solver's passes over the features for a penalty.
        evaluation_seconds: scoring validation, once an epoch.
        test_seconds: predicting the test split.
        memory_bytes: most memory at any time.
        in_one_go: whether the head is fitted in one go.
    """

    parameters: int
    trainable: int
    epochs: int
    steps: int
    operations: float
    features_seconds: float
    epoch_seconds: float
    evaluation_seconds: float
    test_seconds: float
    memory_bytes: float
    in_one_go: bool = False

    @property
    def after_seconds(self) -> float:
        """What follows training."""
        return self.test_seconds + AFTER

    @property
    def training_seconds(self) -> float:
        """Features, epochs and their evaluations."""
        return self.features_seconds + self.epochs * (self.epoch_seconds + self.evaluation_seconds)

    def line(self) -> str:
        """One line for people."""
        features = f"{duration(self.features_seconds)} for the frozen part, once; " if self.features_seconds else ""
        unit = f"for each of {self.epochs} penalties" if self.in_one_go else f"an epoch of {self.steps} steps"
        return (
            f"estimate: {self.trainable:,} of {self.parameters:,} parameters change; {self.operations:.2g} operations; {features}"
            f"{duration(self.epoch_seconds)} {unit} and {duration(self.evaluation_seconds)} to score it; "
            f"{duration(self.training_seconds + self.after_seconds)} in all; {self.memory_bytes / GB:.1f} GB of memory"
        )


def expected(parts: Parts, model: Model, cost: Cost, plan: Plan, divided: Divided, remembered: int, processes: int) -> Estimate:
    """What a run will take.

    Args:
        parts: with a recipe without gaps.
        model: with its adapter.
        cost: what `engine.cost.measure` found.
        plan: how the training rows are batched.
        divided: how many rows there are.
        remembered: values of what is frozen that are computed once; 0 where it is computed anew each time.
        processes: that share the work.
    """
    training = parts.recipe.training
    batches = list(plan.pieces_of(0))
    pieces = [piece for batch in batches for piece in batch]
    rows = {name: len(numbers) for name, numbers in divided.splits.items()}
    once = parts.adapter.penalties() is not None
    spared = cost.frozen if remembered else 0.0
    spared_operations = [spared * cost.forward.at(piece) for piece in pieces]
    operations = [cost.step.at(piece) - known for piece, known in zip(pieces, spared_operations, strict=True)]
    tail = max(0.0, 1 - spared)
    forward = sum(cost.predicting.seconds(cost.forward.at(piece)) for piece in pieces) / max(1, rows["train"])  # seconds a row
    once_a_row = sum(spared_operations) * remembered / max(1, rows["train"])
    epochs = len(parts.adapter.penalties() or ()) if once else training.passes
    return Estimate(
        parameters=sum(p.numel() for p in model.parameters()),
        trainable=sum(p.numel() for p in model.trainable().values()),
        epochs=epochs,
        steps=1 if once else len(batches),
        operations=once_a_row + epochs * (2 * PASSES if once else 1) * sum(operations),
        features_seconds=forward * remembered,
        epoch_seconds=PASSES * cost.solving
        if once
        else _epoch(cost, operations, len(batches), rows["train"], tail, training.workers or 0) / processes,
        evaluation_seconds=forward * tail * rows["validation"],
        test_seconds=forward * tail * rows["test"],
        memory_bytes=_memory(model, cost, pieces, tail),
        in_one_go=once,
    )


def _epoch(cost: Cost, operations: list[float], steps: int, rows: int, tail: float, workers: int) -> float:
    """Seconds of the passes of an epoch, of its updates, and of reading its rows unless other processes read them."""
    passes = sum(cost.training.overhead * (1 if tail else HEAD) + n / cost.training.rate for n in operations)
    return passes + steps * cost.update + (0 if workers or not tail else rows * cost.reading)


def _memory(model: Model, cost: Cost, pieces: list[tuple[int, int]], tail: float) -> float:
    """What this process holds now, gradients, the optimizer's two copies, what the largest piece keeps and works with, and what follows.

    In prediction the weights are there a second time, in the order that the processor likes.
    """
    trainable = sum(p.numel() * p.element_size() for p in model.trainable().values())
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    piece = WORKING * max(cost.kept.at(piece) for piece in pieces) * (1 if tail else 0)
    return resident() + 3 * trainable + max(piece, weights) + LATER


def peak_memory() -> float:
    """The most bytes that this process ever held."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
