"""Decides what of a frozen network is remembered in a run, and tells it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from random import Random
from typing import Any

import torch

from tunesmith.core.cache import GB, cache_folder
from tunesmith.core.contracts import Row
from tunesmith.core.errors import OutputError, TrainingError
from tunesmith.core.feature_store import FeatureStore
from tunesmith.core.model import Model, to_device
from tunesmith.core.run import Run
from tunesmith.data.prepare import Divided
from tunesmith.data.ready import AnyRows
from tunesmith.engine.batches import augmentation
from tunesmith.engine.frozen import Frozen, computation
from tunesmith.launch import console
from tunesmith.launch.resolve import Parts

SAMPLE = 8
SCORED = ("validation", "test")
WORTH = 0.1
"""Share of the forward pass below which reading what was remembered costs about what computing it does."""


@contextlib.contextmanager
def remembering(
    run: Run, parts: Parts, model: Model, table: AnyRows, divided: Divided, device: torch.device, wanted: bool
) -> Iterator[None]:
    """Put a backbone that remembers in place of the model's own within the context, where that pays and is exact."""
    own = model.backbone
    stand_in = _stand_in(run, parts, model, table, divided, device) if wanted else None
    if model.frozen_blocks() is None and _augmented(parts, model) and not parts.recipe.training.views:
        console.say("feature cache: off: training rows change at random in each epoch (--views 4: in 4 ways only; --no-augment: not)")
    if stand_in is not None:
        model.backbone = stand_in
    try:
        yield
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
    if _augmented(parts, model) and not training.views:
        return False
    return blocks is None or (training.epochs > 1 and frozen >= WORTH)


def _augmented(parts: Parts, model: Model) -> bool:
    """Whether a training row differs from epoch to epoch."""
    return parts.recipe.training.augment and model.backbone.augments and parts.adapter.penalties() is None


def _stand_in(run: Run, parts: Parts, model: Model, table: AnyRows, divided: Divided, device: torch.device) -> Frozen | None:
    training = parts.recipe.training
    needed = parts.adapter.penalties() is not None
    blocks = model.frozen_blocks()
    augmented = _augmented(parts, model)
    root = run.work / "features" if training.feature_cache == "off" else cache_folder() / "features"
    store = FeatureStore(root, computation(model, blocks), int(training.cache_gb * GB))
    found = Frozen(model.backbone, model._bare[0], blocks, store)
    model.eval()
    rows: list[Row] = [table[int(number)] for number in divided.splits["train"][:SAMPLE]]
    what = "features of the frozen backbone" if blocks is None else f"what the {blocks} frozen blocks give"
    if not found.agrees(rows, device):
        if needed:
            raise TrainingError(f"adapter '{parts.adapter.name}': the backbone gives other features for the same rows each time")
        console.say(f"feature cache: off: {what} cannot be put back exactly in this network")
        return None
    count = (training.views if augmented else 1) * len(divided.splits["train"]) + sum(len(divided.splits[name]) for name in SCORED)
    values = found.compute(_inputs(found, rows, device))
    size = sum(value.numel() for value in values) * 4 / len(rows) * count
    if (lacking := store.room.lacking(size, store.folder)) and not needed:
        console.say(f"feature cache: off: {what} {lacking}")
        return None
    try:
        computed = found.remember(_all(parts, table, divided, augmented), device)
    except OutputError as error:
        if needed:
            raise
        console.say(f"feature cache: off: {error}")
        return None
    console.say(f"feature cache: {what}: {computed:,} of {count:,} computed, the others known ({size / GB:.2g} GB in {store.folder})")
    if excess := store.room.excess():
        console.say(f"feature cache: {excess}")
    return found


def _inputs(found: Frozen, rows: list[Row], device: torch.device) -> dict[str, Any]:
    inputs: dict[str, Any] = to_device(found.inner.collate([found.inner.encode(row) for row in rows]), device)
    return inputs


def _all(parts: Parts, table: AnyRows, divided: Divided, augmented: bool) -> Iterator[tuple[Row, Random | None]]:
    """Rows of training (in each of their views), of validation and of test."""
    recipe = parts.recipe
    train = divided.splits["train"]
    for number, row in zip(train, table.rows(train), strict=True):
        if not augmented:
            yield row, None
            continue
        for view in range(recipe.training.views):
            yield row, Random(augmentation(recipe.seed, view, int(number)))
    for name in SCORED:
        for row in table.rows(divided.splits[name]):
            yield row, None
