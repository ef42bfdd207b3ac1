"""One account of a folder that several processes fill and empty: what is in use stays, what a killed process left goes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.cache import GB, PART, Room, _removed
from tunesmith.core.feature_store import FeatureStore

BYTES = 4000
ROUNDS = 40
FOREVER = 60.0


def written(root: Path, computation: str, number: int, limit: int = GB) -> FeatureStore:
    """One segment of one row; the store goes on with it alone."""
    store = FeatureStore(root, computation, limit)
    key = number.to_bytes(16, "big")
    with store.writer() as writer:
        writer.add(key, np.full(BYTES // 4, number, np.float32))
    store.uses(store.places(np.frombuffer(key, np.uint8).reshape(1, 16)))
    return store


def computations(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir() and any(path.iterdir())}


def writes_and_makes_room(root: Path, name: str, start: Any, answers: Any) -> None:
    start.wait(FOREVER)
    removed = 0
    for number in range(ROUNDS):
        store = written(root, f"{name}-{number}", number, limit=5 * BYTES)
        removed += store.room.make()
        np.testing.assert_array_equal(store[number.to_bytes(16, "big")], np.full(BYTES // 4, number, np.float32))
        assert len(FeatureStore(root, f"{name}-{number}", GB)) == 1, "its own segment was taken away while it used it"
    answers.put((name, removed))


def reads_and_writes(root: Path, ready: Any) -> None:
    store = FeatureStore(root, "read", GB)
    assert len(store) == 1
    with FeatureStore(root, "written", GB).writer() as writer:
        writer.add(bytes(16), np.ones(BYTES // 4, np.float32))
        writer.handle.flush()
        ready.set()
        signal.pause()


def test_two_processes_make_room_at_once(tmp_path: Path) -> None:
    """Each removes what it counted: nothing is removed twice, nothing in use, no more than needed, and nothing half-removed stays."""
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=writes_and_makes_room, args=(tmp_path, name, start, answers)) for name in "ab"]
    for process in processes:
        process.start()
    removed = dict(answers.get(timeout=FOREVER) for _ in processes)
    for process in processes:
        process.join(FOREVER)
        assert process.exitcode == 0
    left = list(tmp_path.glob("*/*"))
    assert sum(removed.values()) + len(left) == 2 * ROUNDS
    assert 3 <= len(left) <= 5  # a segment is BYTES of values and some hundred bytes of keys and places
    assert not [path for path in left if path.name.startswith(PART)]


def test_what_another_process_uses_stays_until_it_is_killed(tmp_path: Path) -> None:
    written(tmp_path, "read", 0)
    written(tmp_path, "idle", 0)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=reads_and_writes, args=(tmp_path, ready))
    process.start()
    assert ready.wait(FOREVER)
    room = Room(tmp_path, 0)
    before = room.taken()
    assert room.make() == 1
    assert computations(tmp_path) == {"read", "written"}
    assert 2 * BYTES < room.taken() < before - BYTES, "what is being written counts"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(FOREVER)
    assert Room(tmp_path, GB).make() == 1, "what it had half written, although there is room"
    assert computations(tmp_path) == {"read"}
    assert room.make() == 1
    assert room.taken() == 0


def test_stores_of_one_process_do_not_evict_each_other(tmp_path: Path) -> None:
    pictures = written(tmp_path, "pictures", 0)
    idle = written(tmp_path, "idle", 0)
    idle.uses(np.empty((0, 2), np.int32))
    features = written(tmp_path, "features", 0, limit=BYTES)
    room = features.room
    assert room.make() == 1
    assert computations(tmp_path) == {"pictures", "features"}
    assert "more than --cache-gb 4e-06" in room.excess()
    assert (
        room.lacking(1, features.folder)
        == "would take 0.0 GB (--cache-gb 4e-06 is allowed, of which 0.0 GB are in use by this run or others)"
    )
    assert not Room(tmp_path, 3 * BYTES).lacking(BYTES, features.folder)
    assert Room(tmp_path, 3 * BYTES).lacking(2 * BYTES, features.folder)
    assert not Room(tmp_path, 3 * BYTES).excess()
    assert len(pictures) == 1
    del pictures
    assert room.make() == 1
    assert computations(tmp_path) == {"features"}


def test_segments_of_the_same_computation_that_a_run_does_not_need_go(tmp_path: Path) -> None:
    for number in range(3):
        written(tmp_path, "minilm", number)
    store = FeatureStore(tmp_path, "minilm", BYTES + 1000)
    assert len(store) == 3
    key = (1).to_bytes(16, "big")
    store.uses(store.places(np.frombuffer(key, np.uint8).reshape(1, 16)))
    assert store.room.make() == 2
    assert len(store) == 1
    assert len(FeatureStore(tmp_path, "minilm", GB)) == 1
    np.testing.assert_array_equal(store[key], np.full(BYTES // 4, 1, np.float32))


def test_a_part_that_its_writer_completes_meanwhile_stays(tmp_path: Path) -> None:
    part = tmp_path / "some" / f"{PART}of-a-writer"
    part.mkdir(parents=True)
    part.rename(part.with_name("complete"))  # after it was listed, before it is looked at
    assert not _removed(part)
    assert (tmp_path / "some" / "complete").is_dir()
