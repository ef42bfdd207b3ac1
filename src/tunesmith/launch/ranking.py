"""Which backbone suits the data, judged by its frozen features: nothing is trained.

The features come from the same cache as a run's, so a run with the winner finds them computed.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.errors import UsageError
from tunesmith.core.run import Run
from tunesmith.data.ready import AnyRows
from tunesmith.engine.frozen import Frozen
from tunesmith.evaluate.transfer import logme, nearest_neighbours
from tunesmith.launch import local, pictures, planning
from tunesmith.launch.remembering import remembering, stand_in
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
    found = []
    for name in backbones:
        training = dataclasses.replace(recipe.training, augment=False)
        own = dataclasses.replace(recipe, backbone=Choice(name), adapter=Choice("head"), training=training)
        found.append(_judged(own, name, data if data is not None else recipe.data.path))
    return sorted(found, key=lambda item: -item.logme)


def _judged(recipe: Recipe, name: str, source: Any) -> Ranked:
    local.prepare_process(recipe.seed)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
        run = Run(Path(folder))
        ready = local.prepared(recipe, source, run)
        rows = pictures.rows_of(run, ready.parts, ready.was.table)
        device = planning.processes().device
        ready.model.to(device)
        began = time.perf_counter()
        found = stand_in(run.work, ready.parts, ready.model, rows, ready.divided, device)
        with remembering(ready.parts, ready.model, rows, ready.divided, device, found):
            backbone = ready.model.backbone
            if not isinstance(backbone, Frozen):
                raise UsageError(f"the features of {name} cannot be kept within --cache-gb; allow more, or use fewer rows with --limit")
            x = {split: _features(backbone, rows, ready.divided.splits[split]) for split in ("train", "validation")}
        seconds = time.perf_counter() - began
        y = {split: np.asarray([ready.divided.targets[int(n)] for n in ready.divided.splits[split]]) for split in x}
    if y["train"].ndim > 1:
        raise UsageError("rank judges classes and numbers; this task has several labels a row")
    classes = np.issubdtype(y["train"].dtype, np.integer)
    accuracy = (
        float((nearest_neighbours(x["train"], y["train"], x["validation"], NEIGHBOURS) == y["validation"]).mean()) if classes else None
    )
    return Ranked(name, logme(x["train"], y["train"]), accuracy, x["train"].shape[1], seconds)


def _features(backbone: Frozen, rows: AnyRows, numbers: Any) -> Any:
    return np.stack([backbone.encode(row)["value"].numpy() for row in rows.rows(numbers)])
