"""Weights to evaluate and to keep instead of those of the last step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tunesmith.core.fitting import Average


class Ema(Average):
    """Exponential moving average of the trainable weights (Polyak averaging), with the usual correction of its first steps.

    Args:
        parameters: what is averaged, by name.
        decay: memory; after n steps min(decay, (1 + n) / (10 + n)) is used.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.parameters = dict(parameters)
        self.decay = decay
        self.steps = 0
        self.shadow = {name: p.detach().clone() for name, p in parameters.items()}
        self.kept: dict[str, torch.Tensor] = {}

    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.shadow[name].lerp_(parameter, 1 - decay)

    def enter(self) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.kept[name] = parameter.detach().clone()
                parameter.copy_(self.shadow[name])

    def leave(self) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self.kept.pop(name))

    def state(self) -> dict[str, torch.Tensor]:
        return {"steps": torch.tensor(self.steps), **{f"ema/{name}": tensor for name, tensor in self.shadow.items()}}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        self.steps = int(state["steps"])
        for name, tensor in self.shadow.items():
            tensor.copy_(state[f"ema/{name}"])


class OptimizersOwn(Average):
    """An optimizer that holds the average itself and has `train` and `eval` modes."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        optimizer.train()

    def update(self) -> None:
        return None

    def enter(self) -> None:
        self.optimizer.eval()

    def leave(self) -> None:
        self.optimizer.train()


@contextmanager
def averaged(averages: list[Average]) -> Iterator[None]:
    """The model with its averaged weights in it."""
    for average in averages:
        average.enter()
    try:
        yield
    finally:
        for average in reversed(averages):
            average.leave()
