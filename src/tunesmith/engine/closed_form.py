"""A head fitted in one go: L-BFGS on features that never change, its penalty chosen on validation.

The linear probe of Radford et al. 2021 (CLIP, section 3.2). With a linear head and the loss of its task the problem is convex:

    minimise over W, b:  loss(W x + b) / weight + penalty / 2 * scale * |W|^2,    scale = mean |x|^2 / width

`scale` makes a penalty mean the same for features of any size. Penalties go from strong to weak, each starting at the solution before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tunesmith.core.contracts import Batch, Task
from tunesmith.core.errors import TrainingError
from tunesmith.core.files import atomic
from tunesmith.core.fitting import Callback, Progress
from tunesmith.core.model import Model
from tunesmith.engine import checkpoints

ITERATIONS = 500


def fit(
    model: Model,
    task: Task,
    batch: Batch,
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
        batch: all training rows, with `pooled` (rows, width) and `target`.
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
    weight = task.weight(batch, phase)
    scale = float(batch["pooled"].float().square().mean())
    parameters = list(model.trainable().values())
    progress = Progress(total_steps=len(penalties), epochs=len(penalties))
    for callback in callbacks:
        callback.train_start(progress)
    for penalty in sorted(penalties, reverse=True):
        started = time.perf_counter()
        loss, norm = _solve(model, task, batch, phase, weight, penalty * scale, parameters)
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
    model: Model, task: Task, batch: Batch, phase: str, weight: float, penalty: float, parameters: list[torch.nn.Parameter]
) -> tuple[float, float]:
    """Minimise from where the head stands; gives loss and gradient norm there."""
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=ITERATIONS, history_size=20, tolerance_grad=1e-6, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )
    seen: list[tuple[float, float]] = []

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        loss = task.loss(model, batch, phase) / weight
        (loss + penalty / 2 * sum(p.square().sum() for p in parameters if p.ndim > 1)).backward()
        norm = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm()
        seen.append((float(loss.detach()), float(norm)))
        return loss.detach() + penalty / 2 * sum(p.detach().square().sum() for p in parameters if p.ndim > 1)

    optimizer.step(objective)
    optimizer.zero_grad()
    if not all(map(torch.isfinite, map(torch.tensor, seen[-1]))):
        raise TrainingError(f"the loss of the probe is not finite ({seen[-1][0]}) with penalty {penalty:g}; are the features finite?")
    return seen[0]


def _judge(model: Model, progress: Progress, scores: dict[str, Any], monitor: tuple[str, str], folder: Path) -> None:
    name, direction = monitor
    value = float(scores[name])
    progress.history.append({"step": progress.step, "epoch": progress.epoch, **scores})
    if progress.best is None or (value > progress.best if direction == "max" else value < progress.best):
        progress.best, progress.best_step = value, progress.step
        with atomic(folder / "best.safetensors") as part:
            checkpoints.save_tensors(checkpoints.moving(model, set(model.trainable())), part)
