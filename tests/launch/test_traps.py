"""Traps that a review sprang: each once gave a wrong result without a word."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.engine.test_loop import bench

from tunesmith import TunesmithClassifier
from tunesmith.cli import main
from tunesmith.core.errors import RecipeError, TrainingError
from tunesmith.engine.loop import Limits
from tunesmith.recipe import from_plain


@pytest.mark.slow
def test_a_picture_that_is_gone_moves_no_row_between_splits(checkpoints: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(90):
        folder = tmp_path / "pics" / f"c{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 80, (12, 12, 3), dtype=np.uint8)
        pixels[..., number % 3] += 150
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    out = tmp_path / "run"
    command = [sys.executable, "-m", "tunesmith", "tune", str(tmp_path / "pics"), "--backbone", str(checkpoints / "vit"), "--epochs", "40"]
    process = subprocess.Popen([*command, "--trackers", "jsonl", "--patience", "3", "--out", str(out)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((out / "work" / "checkpoints").glob("step-*")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    with np.load(out / "work" / "division.npz", allow_pickle=False) as division:
        expected = division["test"].tolist()
    (tmp_path / "pics" / "c0" / "notes.txt").write_text("a file that was not there before")
    assert main(["tune", "--resume", str(out)]) in (0, 3)
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(out / "predictions.parquet").to_pylist()
    assert [row["row"] for row in rows] == expected


@pytest.mark.slow
def test_a_class_the_run_left_out_keeps_its_place_in_the_estimator(checkpoints: Path) -> None:
    words = {"zebra": "market price bond", "market": "river stone bright", "apple": "doctor ward fever"}
    rng = random.Random(0)
    labels = ["zebra", "market"] * 40 + ["apple"] * 2
    texts = [" ".join(rng.choices(words[label].split(), k=6)) for label in labels]
    options: dict[str, Any] = {"rare_classes": "drop", "trackers": []}
    made = TunesmithClassifier(backbone=str(checkpoints / "bert"), adapter="full", epochs=6, batch_size=8, lr=3e-3, options=options)
    made.fit(texts, labels)
    assert made.predict_proba(texts).shape == (82, 3)
    assert made.score(texts, labels) > 0.8


@pytest.mark.parametrize(("flag", "column"), [("--group", "patient"), ("--time", "day")])
def test_given_splits_are_held_against_group_and_time(
    checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, column: str
) -> None:
    for name in ("train", "test"):
        lines = [f"text number {i},{'ab'[i % 2]},p{i % 7},{i}" for i in range(40)]
        (tmp_path / f"{name}.csv").write_text("text,label,patient,day\n" + "\n".join(lines) + "\n")
    files = [str(tmp_path / "train.csv"), str(tmp_path / "test.csv")]
    assert main(["tune", *files, flag, column, "--backbone", str(checkpoints / "bert"), "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert ("stand on both sides" if flag == "--group" else "training rows are later than test rows") in said
    assert not (tmp_path / "run").exists()


def test_a_metric_that_is_not_a_number_cannot_decide(checkpoints: Path, tmp_path: Path) -> None:
    made = bench(checkpoints)
    loop = made.loop(tmp_path, epochs=1)
    loop.limits = Limits(1, 1.0, 0.0, None, ("score", "max"))
    loop.evaluate = lambda: {"score": float("nan")}
    with pytest.raises(TrainingError, match="cannot decide which weights are kept"):
        loop.run(len(made.loader.plan))


@pytest.mark.parametrize("values", [{"clip": -1}, {"patience": 0}, {"workers": -1}, {"checkpoint_steps": 0}])
def test_numbers_without_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"field '{next(iter(values))}'"):
        from_plain({"training": values})
