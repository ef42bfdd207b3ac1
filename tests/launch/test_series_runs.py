"""Runs on series from end to end: the direction of a random walk, which nothing can tell, and a table whose columns are steps."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tunesmith.cli import main

TINY = ["--set", "backbone.hidden=8", "--set", "backbone.depth=1", "--epochs", "1", "--tuning", "off", "--trackers", "jsonl"]


def metrics_of(run: Path) -> dict:
    found: dict = json.loads((run / "metrics.json").read_text())
    return found


def test_the_direction_of_a_random_walk_is_called_chance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    days = pd.bdate_range("2020-01-01", periods=220).strftime("%Y-%m-%d")
    walks = {name: 50 * np.exp(np.cumsum(rng.normal(0, 0.02, 220))) for name in ("A", "B", "C")}
    frame = pd.concat(pd.DataFrame({"day": days, "price": walk, "ticker": name}) for name, walk in walks.items())
    frame.sort_values("day").to_csv(tmp_path / "prices.csv", index=False)
    table, run = str(tmp_path / "prices.csv"), tmp_path / "run"
    asked = ["--series-id", "ticker", "--time", "day", "--direction", "price", "--horizon", "3", "--window", "12", "--split", "0.6,0.2,0.2"]
    assert main(["tune", table, *asked, *TINY, "--allow-failed-checks", "--out", str(run)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    found = metrics_of(run)
    assert found["chance"].startswith("This does no better than chance: accuracy 0.")
    assert " ".join(found["chance"].split()) in printed
    assert found["intervals"]["grouped"]
    assert "no better than chance" in (run / "report.html").read_text()
    assert "no better than chance" in (run / "bundle" / "README.md").read_text()
    assert found["data"]["train"] + found["data"]["validation"] + found["data"]["test"] == (220 - 12 - 3) * 3 - 2 * (3 + 3) * 3
    division = next(check for check in found["checks"] if check["name"] == "no_test_row_in_training")
    assert division["status"] == "passed", division["detail"]

    assert main(["predict", str(run / "bundle"), table]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (220 - 12) * 3  # also of the last days, whose direction nobody knows yet
    assert lines[-1].startswith(f"prices.csv, C until {days[-1]}: ")
    assert main(["evaluate", str(run / "bundle"), table]) == 0


def test_columns_that_are_steps_are_read_as_a_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    with (tmp_path / "wide.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["kind", *(f"t{i}" for i in range(20))])
        for row in range(60):
            wave = np.sin(np.arange(20) * (0.3 if row % 2 else 1.5)) + rng.normal(0, 0.1, 20)
            writer.writerow(["slow" if row % 2 else "fast", *wave.round(4).tolist()[: 20 - row % 3], *[""] * (row % 3)])
    run = tmp_path / "run"
    assert main(["tune", str(tmp_path / "wide.csv"), *TINY, "--epochs", "15", "--allow-failed-checks", "--out", str(run)]) == 0
    assert "t0 to t19  (20 columns of numbers that are numbered: the steps of one series" in capsys.readouterr().err
    found = metrics_of(run)
    assert found["chance"] is None
    assert {item["name"] for item in found["scoreboard"] if "scores" in item} >= {"nearest_series", "series_statistics", "full"}
    assert main(["predict", str(run / "bundle"), str(tmp_path / "wide.csv")]) == 0
