"""The scripts under examples/ on tiny data whose answers are known."""

from __future__ import annotations

import csv
import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DRIVING = Path(__file__).parents[1] / "examples" / "driving" / "frames.py"
HEIGHT, WIDTH = 100, 200
BUILDING, ROAD, CAR = 1, 3, 8


def frame(root: Path, name: str, mask: np.ndarray, grey: int) -> None:
    for part in ("images", "masks"):
        (root / "train" / part).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (grey, grey, grey)).save(root / "train" / "images" / f"{name}.jpg", quality=100)
    Image.fromarray(mask).save(root / "train" / "masks" / f"{name}.png")


def written(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    monkeypatch.setattr(sys, "argv", ["frames.py", str(root), str(root / "frames.csv")])
    runpy.run_path(str(DRIVING), run_name="__main__")
    with (root / "frames.csv").open(newline="") as handle:
        return {Path(row["image"]).stem: row for row in csv.DictReader(handle)}


def test_frames_are_labelled_by_what_the_masks_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = np.full((HEIGHT, WIDTH), BUILDING, np.uint8)
    right = nothing.copy()
    right[55:75, 140:160] = ROAD  # its middle is 50 pixels right of the middle and 35 above the lower edge
    car = right.copy()
    car[60:70, 80:120] = CAR  # 400 of the 35 x 60 pixels ahead
    small = right.copy()
    small[60:62, 80:120] = CAR  # 80 of them
    frame(tmp_path, "A_000100", nothing, 100)
    frame(tmp_path, "A_000115", right, 120)
    frame(tmp_path, "A_000130", car, 140)
    frame(tmp_path, "A_001000", small, 140)
    frame(tmp_path, "B_f00930", right, 10)
    rows = written(tmp_path, monkeypatch)
    assert [row["decision"] for row in rows.values()] == ["go", "go", "brake", "go", "go"]
    assert rows["A_000100"]["angle"] == ""
    assert float(rows["A_000115"]["angle"]) == pytest.approx(math.degrees(math.atan2(50, 35)), abs=0.01)
    assert [row["drive"] for row in rows.values()] == ["A-1", "A-1", "A-1", "A-2", "B-1"]
    assert [row["stretch"] for row in rows.values()] == ["A-1/0", "A-1/0", "A-1/0", "A-2/1", "B-1/1"]
    assert [row["motion"] for row in rows.values()] == ["", "", "40.00", "", ""]


def test_a_folder_without_frames_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="no frame"):
        written(tmp_path, monkeypatch)
