"""A head fitted in one go: L-BFGS on features that never change, its penalty chosen on validation.

The linear probe of Radford et al. 2021 (CLIP, section 3.2). With a linear head and the loss of its task the problem is convex:

    minimise over W, b:  loss(W x + b) / weight + penalty / 2 * scale * |W|^2,    scale = mean |x|^2 / width

`scale` makes a penalty mean the same for features of any size. Penalties go from strong to weak, each starting at the solution before.
The features lie in a memory-mapped file and are gone through part by part, so that their number does not matter to memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import nn

from tunesmith.core.contracts import Batch, Features, Task
from tunesmith.core.errors import TrainingError, require
from tunesmith.core.files import atomic
from tunesmith.core.fitting import Callback, Progress
from tunesmith.core.model import Model, to_device
from tunesmith.engine import checkpoints
from tunesmith.engine.batches import Loader
from tunesmith.engine.clock import Clock
from tunesmith.engine.cost import timed
from tunesmith.engine.frozen import Frozen

ITERATIONS = 500
PASSES = 60
"""Passes over the features that a penalty takes, about: 41 on AG News and 81 on SST-2, the mean of the nine default penalties."""

PART = 8192
"""Rows that are in memory at once."""

STOPPED = 99
"""The solver's status where it was told to stop."""


@dataclass
class Gathered:
    """Remembered features of all training rows, in a file of their own, in order, and their targets.

    Args:
        values: (rows, width) float32, memory-mapped.
        targets: of PART rows each, as the task collated them.
        device: where the head is.
    """

    values: npt.NDArray[np.float32]
    targets: list[Any]
    device: torch.device

    @property
    def scale(self) -> float:
        """Mean square of a feature."""
        parts = [float(np.square(self.values[i : i + PART], dtype=np.float64).sum()) for i in range(0, len(self.values), PART)]
        return sum(parts) / self.values.size

    def batches(self) -> Iterator[Batch]:
        """All rows, part by part."""
        for number, target in enumerate(self.targets):
            pooled = torch.from_numpy(np.array(self.values[number * PART : (number + 1) * PART]))
            batch: Batch = to_device({"inputs": {"pooled": pooled}, "target": target}, self.device)
            yield batch


def gathered(loader: Loader, path: Path, device: torch.device) -> Gathered:
    """Put the remembered features of a loader's rows into one file.

    Raises:
        OutputError: the disk is full.
    """
    rows, examples = loader.plan.rows, loader.examples
    assert isinstance(examples.backbone, Frozen)
    values = examples.backbone.pooled(examples.rows.rows(rows), path)
    parts = (rows[start : start + PART] for start in range(0, len(rows), PART))
    targets = [loader.task.collate([examples.targets[int(row)] for row in part]) for part in parts]
    return Gathered(values, targets, device)


@dataclass
class Search:
    """What is tried, what decides, and within what time.

    Args:
        penalties: those that validation chooses from.
        monitor: validation metric that decides, and `max` or `min`.
        clock: of which a step is a penalty, and so is an epoch.
    """

    penalties: Sequence[float]
    monitor: tuple[str, str]
    clock: Clock


class _OnFeatures(nn.Module):
    """A head that reads features out of the batch."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, batch: Batch) -> torch.Tensor:
        outputs: torch.Tensor = self.head(Features(pooled=batch["inputs"]["pooled"]))
        return outputs


class _Objective:
    """Loss and gradient of a head over all training rows, as the solver asks for them: one pass over the features each time.

    Attributes:
        seen: loss (without penalty) and norm of the gradient, of each pass.
    """

    def __init__(self, head: nn.Module, task: Task, found: Gathered) -> None:
        self.module, self.task, self.found = _OnFeatures(head), task, found
        self.phase = task.phases[0]
        self.weight = sum(task.weight(batch, self.phase) for batch in found.batches())
        self.parameters = [parameter for parameter in head.parameters() if parameter.requires_grad]
        self.seen: list[tuple[float, float]] = []

    def at(self, vector: npt.NDArray[np.float64], penalty: float) -> tuple[float, npt.NDArray[np.float64]]:
        """Penalised loss and its gradient, where the head's weights are `vector`."""
        _fill(self.parameters, vector)
        self.module.zero_grad(set_to_none=True)
        loss = 0.0
        for batch in self.found.batches():
            part = self.task.loss(self.module, batch, self.phase) / self.weight
            part.backward()
            loss += float(part.detach())
        charge = penalty / 2 * sum((p.square().sum() for p in self.parameters if p.ndim > 1), torch.zeros((), device=self.found.device))
        charge.backward()
        gradient = _flat([p.grad for p in self.parameters if p.grad is not None])
        self.seen.append((loss, float(np.linalg.norm(gradient))))
        return loss + float(charge.detach()), gradient


def pass_seconds(head: nn.Module, task: Task, width: int, targets: Sequence[Any], rows: int, device: torch.device) -> float:
    """Seconds of a pass of the solver over the features of so many rows, judged by made-up features of some of them.

    Args:
        head: what is fitted; its weights stay as they are.
        task: gives the loss.
        width: of the features.
        targets: of some rows, at most PART.
        rows: how many there are.
        device: where the head is.
    """
    values = np.random.default_rng(0).standard_normal((len(targets), width), np.float32)
    training = head.training
    head.eval()
    objective = _Objective(head, task, Gathered(values, [task.collate(targets)], device))
    where = _flat(objective.parameters)

    def once() -> None:
        objective.at(where, 1.0)

    seconds = timed(once, device)
    objective.module.zero_grad(set_to_none=True)
    head.train(training)
    return seconds * rows / len(targets)


def fit(
    model: Model,
    task: Task,
    found: Gathered,
    search: Search,
    evaluate: Callable[[], dict[str, Any]],
    folder: Path,
    callbacks: Sequence[Callback],
) -> tuple[Progress, dict[str, int]]:
    """Fit the head of a model whose network is frozen; the best one is then in the model.

    Where the time ends while a penalty is fitted, the best one before it is kept; the first is kept as far as it came.

    Args:
        model: its backbone gives remembered features.
        task: gives the loss.
        found: the training rows.
        search: what validation chooses from.
        evaluate: validation scores of the model as it stands.
        folder: where the best weights are kept.
        callbacks: told of each penalty as of a step.

    Returns:
        What happened, and the checksums of the parameters after the last fit.

    Raises:
        TrainingError: the loss is not finite.
    """
    model.eval()
    objective, scale, clock = _Objective(model.head, task, found), found.scale, search.clock
    progress = Progress(total_steps=len(search.penalties), epochs=len(search.penalties))
    for callback in callbacks:
        callback.train_start(progress)
    for penalty in sorted(search.penalties, reverse=True):
        if progress.stop is not None or not clock.begins(progress):
            break
        started = time.perf_counter()
        loss, norm, whole = _solve(objective, penalty * scale, clock)
        progress.seconds += time.perf_counter() - started
        if not whole and progress.best is not None:
            clock.stop(progress, 1)
            break
        progress.step += 1
        clock.stepped(progress, 0)
        if not whole:
            clock.stop(progress, 0)
            progress.stop = f"{progress.stop}, before it had converged"
        progress.epoch += 1
        if progress.first_loss is None:
            progress.first_loss, progress.largest_norm = loss, norm
        scores = {"penalty": penalty, **evaluate()}
        _judge(model, progress, scores, search.monitor, folder)
        for callback in callbacks:
            callback.step_end(progress, {"loss": loss, "gradient_norm": norm, "lr": 0.0})
            callback.evaluated(progress, scores)
        clock.evaluated()
    for callback in callbacks:
        callback.closed(progress)
    ended = model.fingerprints()
    checkpoints.put(model, load_file(folder / "best.safetensors"))
    return progress, ended


def _solve(objective: _Objective, penalty: float, clock: Clock) -> tuple[float, float, bool]:
    """Minimise from where the head stands; gives loss and gradient norm there, and whether the time sufficed."""
    optimize = require("scipy.optimize", "the adapter 'probe'")
    objective.seen.clear()
    last = clock.now()

    def iterated(intermediate_result: Any) -> None:
        nonlocal last
        before, last = last, clock.now()
        if clock.left() < last - before:
            raise StopIteration  # as the solver wants to be told that it is to stop

    options = {"maxiter": ITERATIONS, "maxcor": 20, "gtol": 1e-6, "ftol": 1e-12}
    result = optimize.minimize(
        lambda vector: objective.at(vector, penalty),
        _flat(objective.parameters),
        jac=True,
        method="L-BFGS-B",
        options=options,
        callback=iterated,
    )
    _fill(objective.parameters, result.x)
    objective.module.zero_grad(set_to_none=True)
    last_loss, last_norm = objective.seen[-1]
    if not (math.isfinite(last_loss) and math.isfinite(last_norm)):
        raise TrainingError(f"the loss of the probe is not finite ({last_loss}) with penalty {penalty:g}; are the features finite?")
    return *objective.seen[0], result.status != STOPPED


def _flat(tensors: Sequence[torch.Tensor]) -> npt.NDArray[np.float64]:
    flat: npt.NDArray[np.float64] = torch.cat([tensor.detach().flatten() for tensor in tensors]).double().cpu().numpy()
    return flat


def _fill(parameters: Sequence[torch.Tensor], vector: npt.NDArray[np.float64]) -> None:
    """The inverse of `_flat`."""
    start = 0
    with torch.no_grad():
        for parameter in parameters:
            values = vector[start : start + parameter.numel()]
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)).view_as(parameter))
            start += parameter.numel()


def _judge(model: Model, progress: Progress, scores: dict[str, Any], monitor: tuple[str, str], folder: Path) -> None:
    name, direction = monitor
    if name not in scores:
        raise TrainingError(f"there is no validation metric '{name}' to monitor; there are {', '.join(sorted(scores))}")
    value = float(scores[name])
    if not np.isfinite(value):
        raise TrainingError(f"the validation metric '{name}' is {value}, so it cannot decide which penalty is taken; monitor another")
    progress.history.append({"step": progress.step, "epoch": progress.epoch, **scores})
    if progress.best is None or (value > progress.best if direction == "max" else value < progress.best):
        progress.best, progress.best_step = value, progress.step
        with atomic(folder / "best.safetensors") as part:
            checkpoints.save_tensors(checkpoints.moving(model, set(model.trainable())), part)
