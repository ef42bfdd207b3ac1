"""Decides what of a frozen network is remembered in a run, and tells it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tunesmith.core.cache import GB, cache_folder
from tunesmith.core.contracts import Row
from tunesmith.core.errors import OutputError, TrainingError
from tunesmith.core.feature_store import FeatureStore
from tunesmith.core.model import Model, to_device
from tunesmith.data.prepare import Divided
from tunesmith.data.ready import AnyRows
from tunesmith.engine.batches import augmentation
from tunesmith.engine.frozen import Frozen, computation
from tunesmith.launch import console
from tunesmith.launch.resolve import Parts

SAMPLE = 8
TIMED = 32
"""Rows by which the time that known values spared is judged."""

TELL = 15.0
"""Seconds between two words of how far computing is."""

SCORED = ("validation", "test")
WORTH = 0.1
"""Share of the forward pass below which reading what was remembered costs about what computing it does."""


@dataclass(frozen=True)
class StandIn:
    """A backbone that remembers, which was found to be exact and to have the room it needs.

    Attributes:
        frozen: the backbone; nothing is computed yet.
        views: in how many ways at random a training row is remembered; 0 for as it is.
        row_bytes: what the values of a row take.
        what: is remembered, for people.
    """

    frozen: Frozen
    views: int
    row_bytes: float
    what: str

    def count(self, divided: Divided) -> int:
        """How many values there are: of training rows in each of their views, of validation and of test."""
        return max(1, self.views) * len(divided.splits["train"]) + sum(len(divided.splits[name]) for name in SCORED)

    def missing(self, parts: Parts, table: AnyRows, divided: Divided) -> tuple[npt.NDArray[np.int64], int]:
        """How many values must be computed of each training row (rows,), and of all the others together."""
        found = self.frozen.missing(_all(parts, table, divided, self.views))
        each = max(1, self.views)
        trained = each * len(divided.splits["train"])
        return found[:trained].reshape(-1, each).sum(axis=1), int(found[trained:].sum())


@contextlib.contextmanager
def remembering(
    parts: Parts, model: Model, table: AnyRows, divided: Divided, device: torch.device, found: StandIn | None
) -> Iterator[float]:
    """Compute what is not known yet, and put a backbone that remembers in place of the model's own within the context.

    Args:
        found: what `stand_in` gave; None leaves the model as it is.

    Returns:
        Seconds that were spared, as earlier runs had computed values: what is compared with others is charged for them.
    """
    own = model.backbone
    apart = any(isinstance(part, Frozen) for part, _ in own.parts_of(model._bare[0]).values())
    if model.frozen_blocks() is None and not apart and _augmented(parts, model) and not parts.recipe.training.views:
        console.say("feature cache: off: training rows change at random in each epoch (--views 4: in 4 ways only; --no-augment: not)")
    spared = 0.0
    if found is not None and (computed := _computed(found, parts, model, table, divided, device)) is not None:
        model.backbone = found.frozen
        spared = _spared(found, table, divided, computed, device)
    try:
        yield spared
    finally:
        model.backbone = own


def wanted(parts: Parts, model: Model, frozen: float, processes: int) -> bool:
    """Whether what is frozen is to be remembered: always for a head that is fitted in one go, else where it spares work.

    Args:
        frozen: share of a forward pass's operations that never change.
        processes: that train; each would remember for itself.
    """
    training = parts.recipe.training
    if parts.adapter.penalties() is not None:
        return True
    blocks = model.frozen_blocks()
    if training.feature_cache == "off" or blocks == 0 or processes > 1:
        return False
    if blocks is not None and model.backbone.parts_of(model._bare[0]):
        return False  # blocks of several networks do not follow one another; `remembering_parts` remembers whole ones
    if blocks is None and parts.task.reads != "pooled":
        console.say(f"feature cache: off: task '{parts.task.name}' reads the {parts.task.reads}, and only pooled features are remembered")
        return False
    if _augmented(parts, model) and not training.views:
        return False
    return blocks is None or (training.passes > 1 and frozen >= WORTH)


def _augmented(parts: Parts, model: Model) -> bool:
    """Whether a training row differs from epoch to epoch."""
    return parts.recipe.training.augment and model.backbone.augments and parts.adapter.penalties() is None


def stand_in(work: Path, parts: Parts, model: Model, table: AnyRows, divided: Divided, device: torch.device) -> StandIn | None:
    """A backbone that remembers, where what it gives is exact and has room; nothing is computed or written yet, and a refusal is told.

    Args:
        work: folder of the run, for values that are not to outlast it.
        parts: with a recipe without gaps.
        model: on its device.
        table: the rows.
        divided: which of them are remembered.
        device: where the model is.

    Raises:
        TrainingError: the adapter cannot do without it.
    """
    training = parts.recipe.training
    needed = parts.adapter.penalties() is not None
    blocks = model.frozen_blocks()
    root = work / "features" if training.feature_cache == "off" else cache_folder() / "features"
    store = FeatureStore(root, computation(model, blocks), int(training.cache_gb * GB))
    frozen = Frozen(model.backbone, model._bare[0], blocks, store)
    model.eval()
    rows: list[Row] = [table[int(number)] for number in divided.splits["train"][:SAMPLE]]
    what = "features of the frozen backbone" if blocks is None else f"what the {blocks} frozen blocks give"
    if not frozen.agrees(rows, device):
        if needed:
            raise TrainingError(f"adapter '{parts.adapter.name}': the backbone gives other features for the same rows each time")
        console.say(f"feature cache: off: {what} cannot be put back exactly in this network")
        return None
    values = frozen.compute(_inputs(frozen, rows, device))
    views = training.views if _augmented(parts, model) else 0
    found = StandIn(frozen, views, sum(value.numel() for value in values) * 4 / len(rows), what)
    size = found.row_bytes * found.count(divided)
    if (lacking := store.room.lacking(size, store.folder)) and not needed:
        console.say(f"feature cache: off: {what} {lacking}")
        return None
    return found


def _computed(found: StandIn, parts: Parts, model: Model, table: AnyRows, divided: Divided, device: torch.device) -> int | None:
    """Compute what is not known yet; gives for how many rows, None where it cannot be kept and the model can do without."""
    model.eval()
    try:
        computed = found.frozen.remember(told(_all(parts, table, divided, found.views), found.count(divided)), device)
    except OutputError as error:
        if parts.adapter.penalties() is not None:
            raise
        console.say(f"feature cache: off: {error}")
        return None
    count = found.count(divided)
    size = found.row_bytes * count / GB
    counted = f"{computed:,} of {count:,} computed, the others known ({size:.2g} GB in {found.frozen.store.folder})"
    console.say(f"feature cache: {found.what}: {counted}")
    if excess := found.frozen.store.room.excess():
        console.say(f"feature cache: {excess}")
    return computed


def told(rows: Iterator[tuple[Row, Random | None]], count: int) -> Iterator[tuple[Row, Random | None]]:
    """The rows as they are; how many were asked for is told from time to time, as nothing else is heard for minutes."""
    last = time.monotonic()
    for number, row in enumerate(rows):
        if time.monotonic() - last > TELL:
            console.say(f"feature cache: at row {number:,} of {count:,}")
            last = time.monotonic()
        yield row


def _spared(found: StandIn, table: AnyRows, divided: Divided, computed: int, device: torch.device) -> float:
    """About what the values of the other rows would have taken, judged by some of them."""
    known = found.count(divided) - computed
    if known <= 0:
        return 0.0
    rows: list[Row] = [table[int(number)] for number in divided.splits["train"][:TIMED]]
    found.frozen.compute(_inputs(found.frozen, rows[:1], device))  # what is done once is not timed
    began = time.perf_counter()
    for start in range(0, len(rows), SAMPLE):
        found.frozen.compute(_inputs(found.frozen, rows[start : start + SAMPLE], device))
    return known * (time.perf_counter() - began) / len(rows)


def _inputs(found: Frozen, rows: list[Row], device: torch.device) -> dict[str, Any]:
    inputs: dict[str, Any] = to_device(found.inner.collate([found.inner.encode(row) for row in rows]), device)
    return inputs


def _all(parts: Parts, table: AnyRows, divided: Divided, views: int) -> Iterator[tuple[Row, Random | None]]:
    """Rows of training (in each of their views), of validation and of test."""
    train = divided.splits["train"]
    for number, row in zip(train, table.rows(train), strict=True):
        if not views:
            yield row, None
        for view in range(views):
            yield row, Random(augmentation(parts.recipe.seed, view, int(number)))
    for name in SCORED:
        for row in table.rows(divided.splits[name]):
            yield row, None
