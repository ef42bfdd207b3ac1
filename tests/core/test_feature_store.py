"""Arrays on disk: they come back exactly, in another process, and never half-written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

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
    store = filled(tmp_path, "mine", [np.ones(1000, np.float32)], limit=13_000)
    left = {name for name in ("old", "older", "new", "mine") if any((tmp_path / name).iterdir())}
    assert left == {"new", "mine"}
    np.testing.assert_array_equal(store[key(0)], np.ones(1000, np.float32))


def test_rows_of_another_shape_are_refused(tmp_path: Path) -> None:
    with FeatureStore(tmp_path, "a", 10**9).writer() as writer:
        writer.add(key(0), np.ones((2, 3), np.float32))
        with pytest.raises(ValueError, match="shape"):
            writer.add(key(1), np.ones((2, 4), np.float32))


def test_the_folder_is_its_owners_only(tmp_path: Path) -> None:
    filled(tmp_path / "features", "a", [np.ones(3, np.float32)])
    assert (tmp_path / "features").stat().st_mode & 0o077 == 0
