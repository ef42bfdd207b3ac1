"""Finds a learning rate: raise it step by step, watch the loss, take the rate at the steepest fall (Smith 2017; the rule is fastai's)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from torch import nn

from tunesmith.core.contracts import Batch
from tunesmith.core.fitting import Setup
from tunesmith.core.model import to_device


def sweep(setup: Setup, device: torch.device, *, low: float = 1e-6, high: float = 1.0, steps: int = 60) -> list[tuple[float, float]]:
    """Losses at rising rates, on copies of the weights that are put back afterwards.

    Args:
        setup: with fresh optimizers; the first phase's is used, and its state is cleared afterwards.
        device: where the model is.
        low, high: first and last rate of the sweep.
        steps: number of rates.

    Returns:
        (rate, smoothed loss) pairs, ending early when the loss explodes.
    """
    phase, optimizer = next(iter(setup.optimizers.items()))
    parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]
    kept = [p.detach().clone() for p in parameters]
    buffers = [(buffer, buffer.detach().clone()) for buffer in setup.model.buffers()]
    fresh = copy.deepcopy(optimizer.state_dict())
    largest = max(group["base_lr"] for group in optimizer.param_groups)
    random = torch.get_rng_state()
    setup.model.train()
    seen: list[tuple[float, float]] = []
    smooth, best = 0.0, math.inf
    for number, pieces in enumerate(_endless(setup)):
        rate = low * (high / low) ** (number / (steps - 1))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["base_lr"] / largest
        total = sum(setup.weight(piece, phase) for piece in pieces)
        loss = 0.0
        for piece in pieces:
            part = setup.loss(setup.model, to_device(piece, device), phase) / total
            part.backward()
            loss += float(part.detach())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        smooth = 0.9 * smooth + 0.1 * loss
        corrected = smooth / (1 - 0.9 ** (number + 1))
        if not math.isfinite(corrected) or (number > 5 and corrected > 3 * best):
            break
        best = min(best, corrected)
        seen.append((rate, corrected))
        if number + 1 == steps:
            break
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
        for buffer, value in buffers:
            buffer.copy_(value)
    optimizer.load_state_dict(fresh)
    torch.set_rng_state(random)
    return seen


def _endless(setup: Setup) -> Iterable[list[Batch]]:
    epoch = 0
    while True:
        yield from setup.batches(epoch, 0, 0)
        epoch += 1


def suggested(seen: list[tuple[float, float]]) -> float:
    """The rate at which the loss falls most steeply against the logarithm of the rate.

    Example:
        >>> suggested([(1e-4, 2.0), (1e-3, 1.9), (1e-2, 1.2), (1e-1, 0.6), (1.0, 3.0)])
        0.01
    """
    falls = [(seen[i + 1][1] - seen[i - 1][1], seen[i][0]) for i in range(1, len(seen) - 1)]
    return min(falls)[1] if falls else seen[0][0]
