"""Under a time limit: which rows are trained on, and that a resumed run trains on the same."""

from __future__ import annotations

import csv
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tunesmith import recipe as recipes
from tunesmith.core import registry
from tunesmith.core.run import Run
from tunesmith.data.prepare import restored_division
from tunesmith.launch import local, planning, preparing, training
from tunesmith.launch.planning import Planned

BATCH = 8


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Path:
    backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    rows = registry.create("tasks", "classification", {}).synthetic(80, 5, backbone.sample)
    path = tmp_path_factory.mktemp("limit") / "rows.csv"
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "text": f"{row['text']} {number}"} for number, row in enumerate(rows))  # no two alike
    return path


def recipe_of(table: Path, checkpoints: Path, **settings: Any) -> recipes.Recipe:
    given = {"data": {"path": [str(table)]}, "backbone": {"name": str(checkpoints / "bert")}, "adapter": {"name": "head"}}
    proof = {"gate": False, "scoreboard": False}  # whose features would be known to what is tested here
    return recipes.from_plain({**given, "proof": proof, "training": {"batch_size": BATCH, "epochs": 2, **settings}})


def planned_of(recipe: recipes.Recipe, folder: Path) -> tuple[preparing.Ready, Planned]:
    """A plan that has a minute left, and is told that what is frozen takes years."""
    preparing.prepare_process(recipe.seed)
    run = Run(folder)
    ready = preparing.prepared(recipe, recipe.data.path, run)
    model = training.adapted(ready.parts, preparing.opened(ready))
    planned = planning.plan(ready.parts, model, ready.was.table, ready.divided, run.work)
    planned.deadline = time.monotonic() + 60
    if planned.stand_in:
        planned.expected = dataclasses.replace(planned.expected, features_seconds=1e9)
    return ready, planned


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rows_that_are_known_stay(
    table: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    ready, planned = planned_of(recipe_of(table, checkpoints), tmp_path)
    rows = ready.divided.splits["train"].copy()
    known = rows[: int(share * len(rows))]
    assert planned.stand_in is not None
    planned.stand_in.frozen.remember(((ready.was.table[int(row)], None) for row in known), torch.device("cpu"))
    planning.fewer_rows(planned, ready.parts, ready.was.table, ready.divided)
    kept = ready.divided.splits["train"]
    assert set(known) <= set(kept)
    assert len(kept) == max(BATCH, len(known)), "there is no time for others"
    np.testing.assert_array_equal(planned.loader.plan.rows, kept)
    assert len(planned.loader.plan.sizes) == len(kept)
    assert ("training rows are used" in capfd.readouterr().err) == (share < 1)


@pytest.mark.parametrize("why", ["room", "agreement"])
def test_where_nothing_is_remembered_all_rows_stay(
    table: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "agreement":
        monkeypatch.setattr("tunesmith.engine.frozen.Frozen.agrees", lambda *_: False)
    ready, planned = planned_of(recipe_of(table, checkpoints, cache_gb=1e-7 if why == "room" else 1.0), tmp_path)
    before = ready.divided.splits["train"].copy()
    assert planned.stand_in is None
    assert planned.expected.features_seconds == 0, "the estimate knows of it"
    planning.fewer_rows(planned, ready.parts, ready.was.table, ready.divided)
    np.testing.assert_array_equal(ready.divided.splits["train"], before)


def test_rows_are_kept_as_far_as_there_is_room() -> None:
    missing = np.array([0, 1] * 50)
    kept = planning.kept(missing, 20, 1, 0)
    assert len(kept) == 50 + 20
    assert set(np.flatnonzero(missing == 0)) <= set(kept)
    assert (np.diff(kept) > 0).all()
    assert len(planning.kept(missing, -5, 1, 0)) == 50
    assert len(planning.kept(np.full(100, 4), 83, 1, 0)) == 20, "a row counts with all its views"
    assert len(planning.kept(np.full(100, 4), 0, 16, 0)) == 16
    assert set(planning.kept(missing, 10, 1, 0)) < set(planning.kept(missing, 20, 1, 0)), "more time adds rows and takes none away"


class StopError(Exception):
    """Where the run is interrupted."""


@pytest.mark.parametrize("first", [0.0, 1e9], ids=["cut", "whole"])
def test_a_resumed_run_trains_on_the_same_rows(
    table: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: float
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    seen: list[Any] = []

    def interrupted(run: Any, parts: Any, model: Any, table: Any, divided: Any, planned: Planned, checkpoint: Any) -> Any:
        seen.append([planned.loader.plan, divided.splits["train"]])
        raise StopError

    monkeypatch.setattr(training, "train", interrupted)
    out = tmp_path / "run"
    monkeypatch.setattr(planning, "SHARE", first)
    with pytest.raises(StopError):
        local.launch(dataclasses.replace(recipe_of(table, checkpoints, time_limit="1h"), out=str(out)))
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "other"))  # where nothing is known, and
    monkeypatch.setattr(planning, "SHARE", 1e9 - first)  # another share is allowed: by itself it would decide otherwise
    with pytest.raises(StopError):
        local.resume(str(out))
    (plan, rows), (again, rows_again) = seen
    assert len(rows) == (BATCH if first == 0 else 64)
    np.testing.assert_array_equal(rows, rows_again)
    np.testing.assert_array_equal(plan.rows, again.rows)
    np.testing.assert_array_equal(plan.sizes, again.sizes)
    assert restored_division(out / "work", "classification", "text").settled
