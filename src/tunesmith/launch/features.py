"""Features of all rows of a run as arrays: what is judged, compared or searched by features reads them here.

    recipe, rows --launch/local.py--> Ready --remembering: the shared cache--> {"train": Pooled, ...}

Features that another run has computed are read, those that are missing are computed and kept for later runs. The network is frozen as it
is, whatever the recipe's adapter would change, and no row is augmented.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import UsageError
from tunesmith.core.run import Run
from tunesmith.data.prepare import Divided
from tunesmith.data.split import NAMES
from tunesmith.engine.frozen import Frozen
from tunesmith.launch import local, pictures, planning
from tunesmith.launch.remembering import remembering, stand_in
from tunesmith.recipe import Choice, Recipe


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
        seconds: that the features took; few where an earlier run has computed them.
    """

    splits: dict[str, Pooled]
    seconds: float


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
    training = dataclasses.replace(recipe.training, augment=False)
    recipe = dataclasses.replace(recipe, adapter=Choice("head"), training=training)
    local.prepare_process(recipe.seed)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
        run = Run(Path(folder))
        ready = local.prepared(recipe, data if data is not None else recipe.data.path, run)
        rows = pictures.rows_of(run, ready.parts, ready.was.table)
        device = planning.processes().device
        ready.model.to(device)
        began = time.perf_counter()
        remembers = stand_in(run.work, ready.parts, ready.model, rows, ready.divided, device)
        with remembering(ready.parts, ready.model, rows, ready.divided, device, remembers):
            backbone = ready.model.backbone
            if not isinstance(backbone, Frozen):
                raise UsageError(
                    f"the features of {recipe.backbone.name} cannot be kept, for the reason above; allow more by --cache-gb, "
                    "or use fewer rows with --limit"
                )
            found = {
                name: Pooled(numbers, backbone.pooled(rows.rows(numbers), run.work / f"{name}.bin"), _targets(ready.divided, numbers))
                for name, numbers in ready.divided.splits.items()
                if name in splits
            }
        yield RunFeatures(found, time.perf_counter() - began)


def _targets(divided: Divided, numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    return np.asarray([divided.targets[int(number)] for number in numbers])
