"""Arrays on disk: they come back exactly, in another process, and never half-written."""

from __future__ import annotations

import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tunesmith.core import feature_store
from tunesmith.core.feature_store import FeatureStore


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def filled(root: Path, computation: str, rows: list[np.ndarray], limit: int = 10**9, first: int = 0) -> FeatureStore:
    store = FeatureStore(root, computation, limit)
    with store.writer() as writer:
        for number, row in enumerate(rows):
            writer.add(key(first + number), row)
    return store


@pytest.mark.parametrize("shapes", [[(4,), (4,)], [(3, 4), (1, 4), (7, 4)], [(2, 3, 5), (2, 3, 5)]])
def test_what_goes_in_comes_out(tmp_path: Path, shapes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    filled(tmp_path, "a", rows)
    again = FeatureStore(tmp_path, "a", 10**9)
    assert len(again) == len(rows)
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(again[key(number)], row)
    assert key(99) not in again
    assert len(FeatureStore(tmp_path, "b", 10**9)) == 0


def test_an_interrupted_writer_leaves_nothing(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "a", 10**9)

    def interrupted() -> None:
        with store.writer() as writer:
            writer.add(key(1), np.ones(3, np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(store) == 0
    assert list((tmp_path / "a").iterdir()) == []


def test_a_damaged_segment_is_computed_again(tmp_path: Path) -> None:
    filled(tmp_path, "a", [np.ones(3, np.float32)])
    values = next((tmp_path / "a").glob("*/values.bin"))
    values.write_bytes(values.read_bytes()[:-4])
    assert key(0) not in FeatureStore(tmp_path, "a", 10**9)
    assert list((tmp_path / "a").iterdir()) == []


def test_the_least_lately_used_go_first(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "older", "new")):
        filled(tmp_path, name, [np.ones(1000, np.float32)])
        for path in (tmp_path / name).iterdir():
            os.utime(path, (1000 + number, 1000 + number))
    os.utime(next((tmp_path / "older").iterdir()), (1, 1))
    store = filled(tmp_path, "mine", [np.ones(1000, np.float32)], limit=9_000)
    assert store.room.make() == 2
    left = {name for name in ("old", "older", "new", "mine") if any((tmp_path / name).iterdir())}
    assert left == {"new", "mine"}
    np.testing.assert_array_equal(store[key(0)], np.ones(1000, np.float32))


@pytest.mark.parametrize("other", [np.ones((2, 3, 1), np.float32), np.ones((2, 3), np.uint8)], ids=["axes", "type"])
def test_rows_of_another_kind_are_refused(tmp_path: Path, other: np.ndarray) -> None:
    with FeatureStore(tmp_path, "a", 10**9).writer() as writer:
        writer.add(key(0), np.ones((2, 3), np.float32))
        with pytest.raises(ValueError, match="shape"):
            writer.add(key(1), other)


def test_bytes_of_several_shapes_in_several_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys come in no order, and some share their first half."""
    monkeypatch.setattr(feature_store, "SEGMENT_ROWS", 7)
    monkeypatch.setattr(feature_store, "RECENT", 3)
    rng = np.random.default_rng(0)
    rows = {rng.bytes(8) + rng.bytes(8): rng.integers(0, 256, rng.integers(1, 9, 3), dtype=np.uint8) for _ in range(30)}
    shared = b"\x80" + bytes(7)
    rows |= {shared + bytes([n]) * 8: np.full((1, 2, 3), n, np.uint8) for n in (9, 1, 200)}
    store = FeatureStore(tmp_path, "a", 10**9)
    with store.writer() as writer:
        for one, values in rows.items():
            assert one not in writer
            writer.add(one, values)
            assert one in writer
    assert len(list((tmp_path / "a").iterdir())) == 5
    asked = np.frombuffer(b"".join([*rows, shared + bytes(8), bytes(16), b"\xff" * 16]), np.uint8).reshape(-1, 16)
    for found in (store, FeatureStore(tmp_path, "a", 10**9), pickle.loads(pickle.dumps(store))):
        assert len(found) == len(rows)
        for one, values in rows.items():
            assert found[one].dtype == np.uint8
            np.testing.assert_array_equal(found[one], values)
        assert [tuple(place) for place in found.places(asked)] == [found.place(one) or (-1, -1) for one in map(bytes, asked)]
        assert (found.places(asked)[-3:] == -1).all()


def test_a_store_takes_no_memory_that_grows_with_its_rows(tmp_path: Path) -> None:
    filled(tmp_path, "a", [np.ones(2, np.float32)] * 40_000)
    tracemalloc.start()
    store = FeatureStore(tmp_path, "a", 10**9)
    assert key(39_999) in store
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken < 40_000


def test_the_folder_is_its_owners_only(tmp_path: Path) -> None:
    filled(tmp_path / "features", "a", [np.ones(3, np.float32)])
    assert (tmp_path / "features").stat().st_mode & 0o077 == 0
