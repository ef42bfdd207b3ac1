"""Features of all rows of a run as arrays: what is judged, compared or searched by features reads them here.

    network as it came, rows --launch/remembering.py: the shared cache--> {"train": Pooled, ...}

Features that another run has computed are read, those that are missing are computed and kept for later runs. The network is frozen as it
is, whatever the recipe's adapter would change, and no row is augmented.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tunesmith.core import registry
from tunesmith.core.errors import UsageError
from tunesmith.core.model import Model, to_device
from tunesmith.core.run import Run
from tunesmith.core.spending import Meter, Spent
from tunesmith.data.prepare import Divided
from tunesmith.data.ready import AnyRows
from tunesmith.data.split import NAMES
from tunesmith.engine.frozen import Frozen
from tunesmith.launch import planning, preparing
from tunesmith.launch.remembering import remembering, stand_in
from tunesmith.launch.remembering_parts import in_place
from tunesmith.launch.resolve import Parts
from tunesmith.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Pooled:
    """Features of the rows of one split, in its order.

    Attributes:
        rows: (n,) numbers of the rows in their table.
        values: (n, width) float32, memory-mapped from a file that only this process has.
        targets: (n,) class numbers (int64) or numbers to regress (float64); (n, labels) where a row has several.
    """

    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    targets: npt.NDArray[Any]


@dataclass(frozen=True)
class RunFeatures:
    """Features of the rows of a recipe.

    Attributes:
        splits: by the names train, validation and test.
        spent: what they cost, those that an earlier run has computed included.
    """

    splits: Mapping[str, Pooled]
    spent: Spent


def of(work: Path, parts: Parts, model: Model, rows: AnyRows, divided: Divided, device: torch.device) -> RunFeatures | None:
    """Features of the rows of a division, by a network that no adapter has changed.

    Args:
        work: folder of the run, where the arrays are put.
        parts: with a recipe without gaps.
        model: as `training.opened` gives it, on its device.
        rows: the rows.
        divided: which of them.
        device: where the model is.

    Returns:
        None where they have no room in the cache, or differ each time they are computed; why was told.
    """
    training = dataclasses.replace(parts.recipe.training, augment=False)
    recipe = dataclasses.replace(parts.recipe, training=training)
    parts = dataclasses.replace(parts, adapter=registry.create("adapters", "head", {}), recipe=recipe)
    with Meter() as meter, _nothing_trains(model), _as_it_came(model), in_place(parts, model, rows, divided, device) as kept:
        found = stand_in(work, parts, model, rows, divided, device)
        with remembering(parts, model, rows, divided, device, found) as spared:
            backbone = model.backbone
            if not isinstance(backbone, Frozen):
                return None
            splits = {
                name: Pooled(numbers, backbone.pooled(rows.rows(numbers), work / f"{name}.bin"), targets(divided, numbers))
                for name, numbers in divided.splits.items()
            }
    return RunFeatures(splits, meter.spent.longer(spared + kept.spared))


@contextmanager
def _as_it_came(model: Model) -> Iterator[None]:
    """Nothing new stands between the network's features and who reads them within the context."""
    own = model.backbone
    model.backbone = own.as_it_came()
    try:
        yield
    finally:
        model.backbone = own


@contextmanager
def _nothing_trains(model: Model) -> Iterator[None]:
    """The network's weights are frozen within the context."""
    before = [(parameter, parameter.requires_grad) for parameter in model.network.parameters()]
    for parameter, _ in before:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, trains in before:
            parameter.requires_grad_(trains)


@contextmanager
def pooled(recipe: Recipe, data: Any = None, splits: tuple[str, ...] = NAMES) -> Iterator[RunFeatures]:
    """Features and targets of the rows of a recipe, to be read within the context.

    Args:
        recipe: names data, backbone and task; gaps are filled.
        data: rows in memory; None reads `recipe.data.path`.
        splits: which of train, validation and test.

    Raises:
        UsageError: the features have no room in the cache, or differ each time they are computed.

    Example:
        >>> with pooled(recipe) as found:  # doctest: +SKIP
        ...     near = found.splits["train"].values @ found.splits["test"].values.T  # (train rows, test rows)
    """
    preparing.prepare_process(recipe.seed)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
        run = Run(Path(folder))
        ready = preparing.prepared(recipe, data if data is not None else recipe.data.path, run)
        device = planning.processes().device
        found = of(run.work, ready.parts, preparing.opened(ready).to(device), ready.rows, ready.divided, device)
        if found is None:
            raise UsageError(
                f"the features of {recipe.backbone.name} cannot be kept, for the reason above; allow more by --cache-gb, "
                "or use fewer rows with --limit"
            )
        yield dataclasses.replace(found, splits={name: found.splits[name] for name in splits})


def targets(divided: Divided, numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """(n, ...) targets of these rows, as `Outcome` holds them."""
    return divided.task.truth([divided.targets[int(number)] for number in numbers])


def seconds_a_row(model: Model, rows: AnyRows, numbers: npt.NDArray[np.int64], device: torch.device) -> float:
    """What the features of a row take, judged by these rows."""
    some = list(rows.rows(numbers))
    model.eval()
    began = time.perf_counter()
    with torch.inference_mode():
        model.features({"inputs": to_device(model.backbone.collate([model.backbone.encode(row) for row in some]), device)})
    return (time.perf_counter() - began) / len(some)
