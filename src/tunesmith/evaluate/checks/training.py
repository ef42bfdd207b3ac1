"""Whether training did what it should: what moved, the loss, the gradient, and that accumulating changes neither."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from tunesmith.core.contracts import Batch, Check, Row, Task
from tunesmith.core.fitting import Progress
from tunesmith.core.model import Model, to_device
from tunesmith.evaluate.checks._made import TOLERANCE, check, not_applicable

MOST_BYTES = 1 << 30
"""Bytes of trainable weights up to which their gradient is compared: two copies of it are held."""

SMALLEST = 1e-2
"""Norm below which gradients are compared by their difference itself: where a model fits its rows, rounding is all that is left."""


def weights_moved(
    before: Mapping[str, int],
    after: Mapping[str, int],
    trainable: set[str],
    may_rest: Collection[str] = (),
    added: Collection[str] = (),
    buffers: Collection[str] = (),
) -> Check:
    """Trainable weights moved, frozen ones and their statistics did not, and what the adapter added is trainable.

    The statistics of a batch norm may move where one of its own parameters is trainable.

    Args:
        before, after: checksums of all parameters and buffers before the first and after the last step.
        trainable: names of the parameters that should move.
        may_rest: those of them that the method itself may leave as they were.
        added: parameters that the adapter put beside the network's own.
        buffers: which of the names are buffers.
    """
    owners = {name.rpartition(".")[0] for name in trainable}
    free = {name for name in buffers if name in before and name.rpartition(".")[0] in owners}
    still = sorted(name for name in trainable - set(may_rest) if before[name] == after[name])
    moved = sorted(name for name in before if name not in trainable | free and before[name] != after[name])
    deaf = bool(added) and not trainable & set(added)
    if still:
        detail = f"{len(still)} of {len(trainable)} trainable tensors did not move, for example {still[0]}"
    elif moved:
        detail = f"{len(moved)} frozen tensors moved, for example {moved[0]}"
    elif deaf:
        detail = f"the adapter added {len(added)} tensors and none of them may move, for example {min(added)}"
    else:
        detail = f"{len(trainable)} trainable tensors moved, {len(before) - len(trainable | free)} frozen ones did not"
    return check("weights_moved", bool(trainable) and not still and not moved and not deaf, detail)


def loss_and_gradient(progress: Progress) -> Check:
    """The loss was finite throughout, and gradients were not zero."""
    finite = progress.first_loss is not None and math.isfinite(progress.first_loss)
    first = math.nan if progress.first_loss is None else progress.first_loss
    detail = f"{progress.step} steps, first loss {first:.4g}, largest gradient norm {progress.largest_norm:.3g}"
    return check("loss_finite_gradient_nonzero", finite and progress.largest_norm > 0, detail)


def loss_independent_of_accumulation(model: Model, task: Task, rows: Sequence[tuple[Row, Any]]) -> Check:
    """A batch has the loss and the gradient of its pieces together, in evaluation mode.

    Args:
        model: the trained model.
        task: its loss is summed, and divided by the weight of all pieces.
        rows: training rows with their targets; they are one batch, cut into uneven pieces.
    """
    name = "loss_independent_of_accumulation"
    if not task.divides:
        return not_applicable(name, f"task '{task.name}' holds the rows of a batch against each other, so a batch has no pieces")
    if len(rows) < 2:
        return not_applicable(name, "a batch of one row has no pieces")
    device = next(model.parameters()).device
    encoded = [(model.backbone.encode(row), target, number) for number, (row, target) in enumerate(rows)]
    third = max(1, len(encoded) // 3)
    whole = [to_device(_batch(model, task, encoded), device)]
    pieces = [to_device(_batch(model, task, part), device) for part in (encoded[:third], encoded[third:])]
    wanted = list(model.trainable().values()) if _size(model) <= MOST_BYTES else []
    before = model.training
    model.eval()
    try:
        found = [(_added_up(model, task, whole, phase, wanted), _added_up(model, task, pieces, phase, wanted)) for phase in task.phases]
    finally:
        model.train(before)
    loss = max(abs(one[0] - two[0]) / max(1.0, abs(one[0])) for one, two in found)
    told = f"{len(rows)} rows whole and in {len(pieces)} pieces: losses differ by {loss:.2g}"
    if not wanted:
        return check(name, loss <= TOLERANCE, f"{told}; gradients of {_size(model) / 2**30:.1f} GB were not compared")
    gradient = max(_apart(one[1], two[1]) for one, two in found)
    told += f", gradients by {gradient:.2g} of their norm (at most {TOLERANCE:g} allowed)"
    return check(name, loss <= TOLERANCE and gradient <= TOLERANCE, told)


def _batch(model: Model, task: Task, encoded: Sequence[tuple[Any, Any, int]]) -> Batch:
    inputs, targets, numbers = zip(*encoded, strict=True)
    return {"inputs": model.backbone.collate(inputs), "target": task.collate(targets), "row": list(numbers)}


def _size(model: Model) -> int:
    """Bytes of the trainable weights."""
    return sum(p.numel() * p.element_size() for p in model.trainable().values())


def _added_up(
    model: Model, task: Task, pieces: Sequence[Batch], phase: str, wanted: Sequence[torch.nn.Parameter]
) -> tuple[float, list[torch.Tensor]]:
    """Loss of a batch, and its gradient, as the loop computes them; what the model keeps of gradients is not touched."""
    total = sum(task.weight(piece, phase) for piece in pieces)
    value = 0.0
    gradient: list[torch.Tensor | None] = [None for _ in wanted]
    for piece in pieces:
        with torch.set_grad_enabled(bool(wanted)):
            loss = task.loss(model, piece, phase) / total
        value += float(loss.detach())
        if wanted:
            given = torch.autograd.grad(loss, wanted, allow_unused=True)
            gradient = [_sum(*pair) for pair in zip(gradient, given, strict=True)]
    return value, [torch.zeros_like(p) if g is None else g for g, p in zip(gradient, wanted, strict=True)]


def _sum(first: torch.Tensor | None, second: torch.Tensor | None) -> torch.Tensor | None:
    """Of two parts of a gradient, where there are both; the first is overwritten."""
    if first is None or second is None:
        return second if first is None else first
    return first.add_(second)


def _apart(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> float:
    """Norm of the difference of two gradients, relative to that of the first."""
    norm = math.hypot(*(float(torch.linalg.vector_norm(g)) for g in first))
    off = math.hypot(*(float(torch.linalg.vector_norm(a - b)) for a, b in zip(first, second, strict=True)))
    return off / max(norm, SMALLEST)
