"""Decides whether the pictures of a run are kept decoded, and tells it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tunesmith.core.cache import GB, cache_folder
from tunesmith.core.contracts import Backbone, Picture
from tunesmith.core.errors import RowError
from tunesmith.core.feature_store import KEY_BYTES, FeatureStore
from tunesmith.core.run import Run
from tunesmith.data import ready
from tunesmith.data.ready import ReadyRows, key_of, packed, unpacked
from tunesmith.data.table import Table
from tunesmith.launch import console
from tunesmith.launch.resolve import Parts

SAMPLE = 16


def kept(parts: Parts, table: Table) -> ReadyRows | None:
    """Rows that keep their pictures decoded while they are audited, where that pays and fits."""
    training = parts.recipe.training
    columns = _columns(parts.backbone)
    if training.feature_cache == "off" or not columns:
        return None
    store = _store(parts)
    if store is None:
        return None
    found = _sample(table, columns, parts.backbone, store)
    if not found:
        return None  # the audit tells what is wrong
    if all(picture.square is None for picture in found):
        console.say("picture cache: off: the pictures are about as small as the network reads them, so decoding them again costs little")
        return None
    size = sum(packed(picture).nbytes for picture in found) / len(found) * len(table) * len(columns)
    if lacking := store.room.lacking(size, store.folder):
        console.say(f"picture cache: off: decoded pictures {lacking}")
        return None
    return ReadyRows.empty(table, store, columns)


def stored(run: Run, pictures: ReadyRows | None) -> None:
    """Note in the run folder which pictures are kept, and tell how many were decoded."""
    if pictures is None:
        return
    if pictures.stopped:
        console.say(f"picture cache: not all pictures are kept: {pictures.stopped}")
    count = int(pictures.keys.any(axis=2).sum())
    console.say(f"picture cache: {pictures.decoded:,} of {count:,} pictures decoded, the others known ({pictures.store.folder})")
    pictures.save(_path(run))
    if excess := pictures.store.room.excess():
        console.say(f"picture cache: {excess}")


def restored(run: Run, parts: Parts, table: Table) -> ReadyRows | None:
    """The rows of a run that keep their pictures, where it has some."""
    store = _store(parts) if _path(run).is_file() else None
    return ready.restored(_path(run), table, store, _columns(parts.backbone)) if store else None


def _path(run: Run) -> Path:
    return run.work / "pictures.npy"


def _store(parts: Parts) -> FeatureStore | None:
    told = parts.backbone.readiness()
    if told is None:
        return None
    name = hashlib.blake2b(told.encode(), digest_size=KEY_BYTES).hexdigest()
    return FeatureStore(cache_folder() / "features", name, int(parts.recipe.training.cache_gb * GB))


def _columns(backbone: Backbone) -> list[str]:
    return [spec.column for spec in backbone.input_spec() if spec.kind == "image"]


def _sample(table: Table, columns: list[str], backbone: Backbone, store: FeatureStore) -> list[Picture]:
    """Some of the pictures, those that are known without decoding them."""
    numbers = np.unique(np.linspace(0, len(table) - 1, SAMPLE).astype(np.int64))
    found: list[Picture] = []
    for row in table.rows(numbers):
        for column in columns:
            key = key_of(row[column])
            if key is not None and key in store:
                row[column] = unpacked(store[key])
        try:
            row = dict(backbone.ready(row))
        except RowError:
            continue
        found.extend(row[column] for column in columns if isinstance(row.get(column), Picture))
    return found
