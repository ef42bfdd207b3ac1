"""A forecast from the table to the bundle, through the real launcher."""

from __future__ import annotations

import csv
import datetime
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import tunesmith
from tunesmith import cli
from tunesmith.core.errors import DataError, UnknownNameError
from tunesmith.core.files import read_json
from tunesmith.core.run import Run
from tunesmith.engine import checkpoints

OPTIONS = ["--task", "forecasting", "--label", "load", "--known", "day", "--series-id", "site", "--set", "task.horizon=6"]
SMALL = ["--set", "backbone.context=24", "--set", "backbone.hidden=16", "--epochs", "3", "--tuning", "off", "--lr", "0.01"]
ORIGIN = datetime.datetime(2024, 1, 1)


def rows_of(count: int = 240, start: int = 0) -> list[dict[str, Any]]:
    """Two series with a day of 12 steps and a jump wherever `day` is 1; some numbers are missing."""
    rng = random.Random(start)
    rows = []
    for site, level in (("north", 20.0), ("south", 400.0)):
        for step in range(start, start + count):
            day = int(step // 12 % 3 == 2)
            load = level * (1 + 0.3 * math.sin(2 * math.pi * step / 12) + 0.4 * day) + level * 0.02 * rng.random()
            stamp = (ORIGIN + datetime.timedelta(hours=step)).isoformat(sep=" ")
            rows.append({"when": stamp, "site": site, "load": "" if step % 50 == 7 else f"{load:.4f}", "day": day})
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecast")
    table = write(folder / "load.csv", rows_of())
    assert cli.main(["tune", str(table), *OPTIONS, *SMALL, "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_the_run_proves_itself_and_beats_cheap_ways(run: Path) -> None:
    found = read_json(run / "metrics.json")
    assert {check["name"] for check in found["checks"] if check["status"] == "failed"} == set()
    assert {check["name"]: check["status"] for check in found["checks"]}["reloaded_predicts_same"] == "passed"
    board = {item["name"]: item for item in found["scoreboard"]}
    for name in ("naive", "seasonal_naive", "exponential_smoothing"):
        assert board["full"]["scores"]["scaled_crps"] < board[name]["scores"]["scaled_crps"]
    assert "series" in board["constant"]["skipped"]
    assert found["intervals"]["grouped"]  # windows overlap, so stretches of time are drawn
    assert {item["column"] for item in found["forecasts"]} == {"load"}
    assert {finding["name"] for finding in found["gate"]["findings"]} >= {"missing_numbers"}
    assert "duplicates" in found["gate"]["skipped"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "than that of seasonal naive" in page
    assert 'class="band"' in page
    assert "forecasting" in (run / "bundle" / "README.md").read_text(encoding="utf-8")


def test_predictions_stand_beside_what_came(run: Path) -> None:
    rows = pyarrow.parquet.read_table(run / "predictions.parquet").to_pylist()
    assert len(rows) == read_json(run / "metrics.json")["data"]["test"]
    for row in rows[:5]:
        assert len(row["forecast"]["load"]) == len(row["target"]["load"]) == 6
        low, high = row["interval"]["low"]["load"], row["interval"]["high"]["load"]
        assert all(a <= b <= c for a, b, c in zip(low, row["forecast"]["load"], high, strict=True))
        levels = [row["quantiles"][level]["load"] for level in ("0.1", "0.5", "0.9")]
        assert all(a <= b <= c for a, b, c in zip(*levels, strict=True))


def test_new_history_is_continued(run: Path, tmp_path: Path) -> None:
    """The stamps follow the last number, the level that of each series, and what is known in advance is heeded."""
    history = rows_of(36, 300)
    ahead = [row for row in rows_of(42, 300) if row["when"] > history[35]["when"]]
    table = write(tmp_path / "new.csv", [*history, *({**row, "load": ""} for row in ahead)])
    said = tunesmith.load(run / "bundle").predict(str(table))
    truth = {(row["site"], row["when"]): float(row["load"] or "nan") for row in ahead}
    assert [item["series"] for item in said] == ["north", "south"]
    for item in said:
        assert item["stamps"] == sorted({row["when"] for row in ahead})
        for stamp, value in zip(item["stamps"], item["forecast"]["load"], strict=True):
            true = truth[item["series"], stamp]
            assert math.isnan(true) or value == pytest.approx(true, rel=0.25)
    target = tmp_path / "said.csv"
    assert cli.main(["predict", str(run / "bundle"), str(table), "--out", str(target)]) == 0
    with target.open() as handle:
        lines = list(csv.DictReader(handle))
    assert len(lines) == 2 * 6
    assert lines[0]["stamp"] == said[0]["stamps"][0]
    assert float(lines[0]["forecast"]) == pytest.approx(said[0]["forecast"]["load"][0], rel=1e-4)
    assert float(lines[0]["low"]) <= float(lines[0]["quantile 0.5"]) <= float(lines[0]["high"])


def test_what_new_history_lacks_is_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned = tunesmith.load(run / "bundle")
    with pytest.raises(DataError, match="holds 10 steps; the model reads 24"):
        tuned.predict(str(write(tmp_path / "short.csv", rows_of(10))))
    with pytest.raises(DataError, match="'day' must be told for 6"):
        tuned.predict(str(write(tmp_path / "blind.csv", rows_of(36))))
    with pytest.raises(UnknownNameError, match="'when'"):
        tuned.predict(str(write(tmp_path / "timeless.csv", [{k: v for k, v in row.items() if k != "when"} for row in rows_of(36)])))
    scores = tuned.evaluate(str(write(tmp_path / "later.csv", rows_of(100, 240))))
    assert scores["rows"] > 100
    assert scores["smape"] < 10
    capsys.readouterr()


def test_windows_may_be_given_as_lists(run: Path) -> None:
    tuned = tunesmith.load(run / "bundle")
    load = [20 * (1 + 0.3 * math.sin(2 * math.pi * step / 12)) for step in range(24)]
    item = tuned.predict([{"load": [None, *load[1:]], "day": [0] * 30}])[0]
    assert len(item["forecast"]["load"]) == 6
    assert "stamps" not in item
    assert json.loads(json.dumps(item)) == item


def test_data_is_refused_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(rows: list[dict[str, Any]], *more: str) -> str:
        table = write(tmp_path / "bad.csv", rows)
        assert cli.main(["tune", str(table), *OPTIONS, *SMALL, *more, "--out", str(tmp_path / "run")]) in (1, 2)
        assert not (tmp_path / "run").exists()
        return capsys.readouterr().err

    assert "2 of 2 series too short for a window" in said(rows_of(25))
    assert "hold the same number" in said([{**row, "load": "5"} for row in rows_of()])
    crooked = [{**row, "when": row["when"].replace(":00:00", f":{(7 * at) % 60:02d}:00")} for at, row in enumerate(rows_of())]
    assert "the stamps are irregular" in said(crooked)
    assert "holds no window of horizon 6" in said(rows_of(45))
    assert "occurs twice" in said([*rows_of(), *rows_of()])


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(run: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "load.csv", rows_of())
    out = tmp_path / "run"
    command = [sys.executable, "-m", "tunesmith", "tune", str(table), *OPTIONS, *SMALL, "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=dict(os.environ))
    _until(lambda: checkpoints.latest(Run(out).checkpoints) is not None or process.poll() is not None)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    table.write_text("gone")  # the rows that the run began with are kept
    assert cli.main(["tune", "--resume", str(out)]) == 0
    one, two = (read_json(folder / "metrics.json")["test"] for folder in (run, out))
    assert one == pytest.approx(two, rel=1e-5)


def _until(done: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)
