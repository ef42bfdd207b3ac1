"""Which backbone suits the data, judged by its frozen features: nothing is trained.

The features come from the same cache as a run's, so a run with the winner finds them computed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunesmith.core.errors import UsageError
from tunesmith.evaluate.transfer import logme, nearest_neighbours
from tunesmith.launch import features
from tunesmith.recipe import Choice, Recipe

NEIGHBOURS = 10


@dataclass(frozen=True)
class Ranked:
    """A backbone and how well its features suit the data.

    Attributes:
        backbone: its name.
        logme: evidence of a linear model on the training rows (You et al. 2021), a row; higher is better.
        knn_accuracy: share of validation rows whose nearest training rows are mostly of their class; None in regression.
        width: of its features.
        seconds: that they took.
    """

    backbone: str
    logme: float
    knn_accuracy: float | None
    width: int
    seconds: float


def rank(recipe: Recipe, backbones: Sequence[str], data: Any = None) -> list[Ranked]:
    """Judge backbones by their frozen features, the most suitable first.

    Args:
        recipe: names the data; its adapter does not matter.
        backbones: names as `--backbone` takes them.
        data: rows in memory; None reads `recipe.data.path`.

    Raises:
        UsageError: no backbone, or labels that are neither classes nor numbers.
    """
    if not backbones:
        raise UsageError("no backbone was named: tunesmith rank DATA --backbones minilm,FOLDER,...")
    return sorted(
        (_judged(dataclasses.replace(recipe, backbone=Choice(name)), name, data) for name in backbones), key=lambda item: -item.logme
    )


def _judged(recipe: Recipe, name: str, data: Any) -> Ranked:
    with features.pooled(recipe, data, ("train", "validation")) as found:
        train, validation = found.splits["train"], found.splits["validation"]
        if train.targets.ndim > 1:
            raise UsageError("rank judges classes and numbers; this task has several labels a row")
        if train.targets.dtype == np.object_:
            raise UsageError("rank judges classes and numbers; this task predicts texts, so compare short runs instead (tunesmith compare)")
        accuracy = None
        if np.issubdtype(train.targets.dtype, np.integer):
            voted = nearest_neighbours(train.values, train.targets, validation.values, NEIGHBOURS)
            accuracy = float((voted == validation.targets).mean())
        return Ranked(name, logme(train.values, train.targets), accuracy, train.values.shape[1], found.spent.seconds)
