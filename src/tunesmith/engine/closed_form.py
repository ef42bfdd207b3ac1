"""A head fitted in one go: L-BFGS on features that never change, its penalty chosen on validation.

The linear probe of Radford et al. 2021 (CLIP, section 3.2). With a linear head and the loss of its task the problem is convex:

    minimise over W, b:  loss(W x + b) / weight + penalty / 2 * scale * |W|^2,    scale = mean |x|^2 / width

`scale` makes a penalty mean the same for features of any size. Penalties go from strong to weak, each starting at the solution before.
The features lie in a memory-mapped file and are gone through part by part, so that their number does not matter to memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from tunesmith.core.contracts import Batch, Task
from tunesmith.core.errors import TrainingError, require
from tunesmith.core.files import atomic, disk_errors
from tunesmith.core.fitting import Callback, Progress
from tunesmith.core.model import Model, to_device
from tunesmith.engine import checkpoints
from tunesmith.engine.batches import Loader

ITERATIONS = 500
PART = 8192
"""Rows that are in memory at once."""


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
    rows, targets = loader.plan.rows, []
    with disk_errors(path), path.open("wb") as handle:
        for start in range(0, len(rows), PART):
            batch = loader.collate([loader.examples[int(row), None] for row in rows[start : start + PART]])
            handle.write(batch["inputs"]["pooled"].numpy().tobytes())
            targets.append(batch["target"])
            width = batch["inputs"]["pooled"].shape[1]
    return Gathered(np.memmap(path, np.float32, mode="r").reshape(-1, width), targets, device)


def fit(
    model: Model,
    task: Task,
    found: Gathered,
    penalties: Sequence[float],
    evaluate: Callable[[], dict[str, Any]],
    monitor: tuple[str, str],
    folder: Path,
    callbacks: Sequence[Callback],
) -> tuple[Progress, dict[str, int]]:
    """Fit the head of a model whose network is frozen; the best one is then in the model.

    Args:
        model: its backbone gives remembered features.
        task: gives the loss.
        found: the training rows.
        penalties: what validation chooses from.
        evaluate: validation scores of the model as it stands.
        monitor: validation metric that decides, and `max` or `min`.
        folder: where the best weights are kept.
        callbacks: told of each penalty as of a step.

    Returns:
        What happened, and the checksums of the parameters after the last fit.

    Raises:
        TrainingError: the loss is not finite.
    """
    model.eval()
    phase = task.phases[0]
    weight = sum(task.weight(batch, phase) for batch in found.batches())
    scale = found.scale
    parameters = list(model.trainable().values())
    progress = Progress(total_steps=len(penalties), epochs=len(penalties))
    for callback in callbacks:
        callback.train_start(progress)
    for penalty in sorted(penalties, reverse=True):
        started = time.perf_counter()
        loss, norm = _solve(model, task, found, phase, weight, penalty * scale, parameters)
        progress.seconds += time.perf_counter() - started
        progress.step += 1
        progress.epoch += 1
        if progress.first_loss is None:
            progress.first_loss, progress.largest_norm = loss, norm
        scores = {"penalty": penalty, **evaluate()}
        _judge(model, progress, scores, monitor, folder)
        for callback in callbacks:
            callback.step_end(progress, {"loss": loss, "gradient_norm": norm, "lr": 0.0})
            callback.evaluated(progress, scores)
    for callback in callbacks:
        callback.closed(progress)
    ended = model.fingerprints()
    checkpoints.put(model, load_file(folder / "best.safetensors"))
    return progress, ended


def _solve(
    model: Model, task: Task, found: Gathered, phase: str, weight: float, penalty: float, parameters: list[torch.nn.Parameter]
) -> tuple[float, float]:
    """Minimise from where the head stands; gives loss and gradient norm there."""
    optimize = require("scipy.optimize", "the adapter 'probe'")
    seen: list[tuple[float, float]] = []

    def objective(vector: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        _fill(parameters, vector)
        model.zero_grad(set_to_none=True)
        loss = 0.0
        for batch in found.batches():
            part = task.loss(model, batch, phase) / weight
            part.backward()
            loss += float(part.detach())
        charge = penalty / 2 * sum((p.square().sum() for p in parameters if p.ndim > 1), torch.zeros((), device=found.device))
        charge.backward()
        gradient = _flat([p.grad for p in parameters if p.grad is not None])
        seen.append((loss, float(np.linalg.norm(gradient))))
        return loss + float(charge.detach()), gradient

    options = {"maxiter": ITERATIONS, "maxcor": 20, "gtol": 1e-6, "ftol": 1e-12}
    result = optimize.minimize(objective, _flat(parameters), jac=True, method="L-BFGS-B", options=options)
    _fill(parameters, result.x)
    model.zero_grad(set_to_none=True)
    if not all(map(torch.isfinite, map(torch.tensor, seen[-1]))):
        raise TrainingError(f"the loss of the probe is not finite ({seen[-1][0]}) with penalty {penalty:g}; are the features finite?")
    return seen[0]


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
