"""Frames of one drive on both sides of the split, told by the names of files; numbers that count things are no frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.gate.views import divided, view_of

from tunesmith.core.findings import View
from tunesmith.gate.frames import Frames
from tunesmith.gate.groups import Groups, names_someone


def drive(folder: Path, name: str, count: int, moving: bool = True) -> list[dict[str, Any]]:
    """Pictures of a world that passes by slowly, or pictures that have nothing to do with each other."""
    rng = np.random.default_rng(len(name) + count)
    world = np.asarray(Image.fromarray(rng.integers(0, 256, (4, 60), np.uint8)).resize((24 * count, 48), Image.Resampling.BICUBIC))
    rows = []
    for i in range(count):
        pixels = world[:, 16 * i : 16 * i + 48] if moving else rng.integers(0, 256, (48, 48), np.uint8)
        path = folder / f"{name}_{30 * i:05d}.png"
        Image.fromarray(pixels).save(path)
        rows.append({"image": str(path), "drive": name, "label": i % 2})
    return rows


def view(rows: list[dict[str, Any]], splits: list[str]) -> View:
    return view_of(rows, {"image": "image"}, splits, [row["label"] for row in rows], ["a", "b"])


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    return [row for name in ("0016E5", "0006R0", "Seq05") for row in drive(tmp_path, name, 60)]


def test_frames_divided_at_random_are_an_error(rows: list[dict[str, Any]]) -> None:
    splits = divided(len(rows))
    (found,) = Frames().inspect(view(rows, splits))
    assert (found.name, found.severity) == ("frames_cross_split", "error")
    assert found.of == splits.count("test")
    assert 0.9 * found.of <= found.count <= found.of  # a run of test frames as long as twice the neighbourhood has none inside
    assert "of 3 recordings" in found.what
    for example in found.examples:
        assert splits[example.row or 0] == "test"
        assert splits[example.beside or 0] == "train"
        ours, theirs = (int(Path(rows[row or 0]["image"]).stem[-5:]) for row in (example.row, example.beside))
        assert abs(ours - theirs) <= 90
        assert rows[example.row or 0]["drive"] == rows[example.beside or 0]["drive"]


def test_whole_drives_on_one_side_are_none(rows: list[dict[str, Any]]) -> None:
    sides = {"0016E5": "train", "0006R0": "validation", "Seq05": "test"}
    assert Frames().inspect(view(rows, [sides[row["drive"]] for row in rows])) == []


def test_numbers_that_count_things_are_no_frames(tmp_path: Path) -> None:
    rows = [row for name in ("cat", "dog") for row in drive(tmp_path, name, 90, moving=False)]
    assert Frames().inspect(view(rows, divided(len(rows)))) == []


def test_few_frames_at_a_border_are_none(rows: list[dict[str, Any]]) -> None:
    """The last third of each drive tests: only its first frames have a neighbour that trains."""
    assert Frames().inspect(view(rows, ["test" if i % 60 >= 40 else "train" for i in range(len(rows))])) == []


def test_a_drive_column_on_both_sides_is_told_however_few_drives(rows: list[dict[str, Any]]) -> None:
    seen = view(rows, divided(len(rows)))
    told = View(**{**seen.__dict__, "columns": ("image", "drive", "label")})
    (found,) = Groups().inspect(told)
    assert found.severity == "warning"
    assert "neighbouring frames are near copies" in found.what
    assert [names_someone(name) for name in ("drive_id", "TripNumber", "driver", "video")] == [True, True, False, True]
