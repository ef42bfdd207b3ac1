"""Of several networks those that never change are run once per row, whatever the others do (a fusion's frozen pictures, say).

    row --Frozen--> remembered picture vectors ┐
        --backbone that trains--> text vector  ┴--> the fusion, as always

Such rows are then read as they are, without random changes, while the fusion itself goes on leaving modalities out.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tunesmith.core.cache import GB, cache_folder
from tunesmith.core.contracts import Backbone, Batch, Row
from tunesmith.core.errors import OutputError
from tunesmith.core.feature_store import FeatureStore
from tunesmith.core.kinds import is_empty
from tunesmith.core.model import Bare, Model, to_device
from tunesmith.data.prepare import Divided
from tunesmith.data.ready import AnyRows
from tunesmith.data.split import NAMES
from tunesmith.engine.frozen import Frozen, computation
from tunesmith.launch import console
from tunesmith.launch.remembering import SAMPLE, told
from tunesmith.launch.resolve import Parts

SHARE = 0.6
"""Share of the time that is left which computing may take."""


@dataclass
class Kept:
    """What is remembered.

    Attributes:
        names: of the vectors.
        seconds: that computing took.
        spared: that it would have taken for what an earlier run had computed.
    """

    names: Sequence[str] = ()
    seconds: float = 0.0
    spared: float = 0.0


@contextlib.contextmanager
def remembering_parts(
    parts: Parts, model: Model, rows: AnyRows, divided: Divided, processes: Any, deadline: float | None
) -> Iterator[Kept]:
    """Where several epochs would compute the same vectors, compute them once and put what remembers them in their place within the context.

    Args:
        parts: with a recipe without gaps.
        model: with its adapter.
        rows: the rows.
        divided: which of them.
        processes: this process among those that train, each of which would remember for itself.
        deadline: when the run must have ended, by `time.monotonic`; None for whenever it has.
    """
    if not _pays(parts, model, processes.num_processes):
        yield Kept()
        return
    model.to(processes.device)
    with in_place(parts, model, rows, divided, processes.device, deadline) as kept:
        if kept.names:
            still = (
                "; their pictures and sounds do not change at random" if parts.recipe.training.augment and model.backbone.augments else ""
            )
            console.say(f"feature cache: {', '.join(kept.names)}: computed once, as their networks do not change{still}")
        yield kept


@contextlib.contextmanager
def in_place(
    parts: Parts, model: Model, rows: AnyRows, divided: Divided, device: torch.device, deadline: float | None = None
) -> Iterator[Kept]:
    """Put what remembers the vectors of pretrained networks that do not change in their place within the context; arguments as above."""
    kept, own, training = Kept(), model.backbone, model.training
    model.eval()
    found = {key: part for key in _frozen(model) if (part := _part(parts, model, key, rows, divided, device, deadline, kept))}
    model.train(training)
    if found:
        kept.names = list(found)
        model.backbone = own.with_parts(found)
    try:
        yield kept
    finally:
        model.backbone = own


def _pays(parts: Parts, model: Model, processes: int) -> bool:
    """Whether several epochs would compute the same, and nothing remembers the whole anyway."""
    training = parts.recipe.training
    whole = model.frozen_blocks() is None and (not training.augment or bool(training.views))
    return (
        training.feature_cache == "auto"
        and (training.epochs or 1) > 1
        and processes == 1
        and parts.adapter.penalties() is None
        and not whole
    )


def _frozen(model: Model) -> list[str]:
    """Vectors whose network is pretrained and never changes."""
    every, new = model.backbone.parts_of(model._bare[0]), {id(part) for part in model.fresh()}
    return [key for key, (_, network) in every.items() if id(network) not in new and not any(p.requires_grad for p in network.parameters())]


def _part(
    parts: Parts, model: Model, key: str, rows: AnyRows, divided: Divided, device: torch.device, deadline: float | None, kept: Kept
) -> Backbone | None:
    """What remembers a vector, of all rows that have it; None where that is not exact, has no room or no time."""
    part, network = model.backbone.parts_of(model._bare[0])[key]
    training = parts.recipe.training
    alone = Model(part, network, Bare())
    store = FeatureStore(cache_folder() / "features", computation(alone, None), int(training.cache_gb * GB))
    frozen = Frozen(part, network, None, store, still=True)
    some = list(_having(part, (rows[int(number)] for number in divided.splits["train"][:SAMPLE])))
    if not some or not frozen.agrees(some, device):
        return None
    count = sum(len(divided.splits[name]) for name in NAMES)
    began = time.perf_counter()
    values = [value for row in some for value in frozen.compute(_inputs(part, row, device))]
    each = (time.perf_counter() - began) / len(some)
    if deadline is not None and each * count > SHARE * (deadline - time.monotonic()):
        return None
    if lacking := store.room.lacking(values[0].numel() * 4 * count, store.folder):
        console.say(f"feature cache: {key}: off: its vectors {lacking}")
        return None
    began = time.perf_counter()
    try:
        numbers = (number for name in NAMES for number in divided.splits[name])
        held = _having(part, (rows[int(number)] for number in numbers))
        computed = frozen.remember(told(((row, None) for row in held), count), device)
    except OutputError as error:
        console.say(f"feature cache: {key}: off: {error}")
        return None
    kept.seconds += time.perf_counter() - began
    kept.spared += each * (count - computed)
    return frozen


def _inputs(part: Backbone, row: Row, device: torch.device) -> Batch:
    inputs: Batch = to_device(part.collate([part.encode(row)]), device)
    return inputs


def _having(part: Backbone, rows: Iterator[Row]) -> Iterator[Row]:
    """Those rows that have what a part reads."""
    specs = part.input_spec()
    return (row for row in rows if any(not is_empty(row.get(spec.column), spec.kind) for spec in specs))
