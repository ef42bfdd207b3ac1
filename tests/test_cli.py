"""The command line as its user meets it: one run, and everything that can be done with it."""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, f1_score, log_loss

import tunesmith
from tunesmith.cli import main
from tunesmith.core import bundle as bundles
from tunesmith.core import registry
from tunesmith.core.errors import BundleError
from tunesmith.core.files import sha256
from tunesmith.evaluate.checks import differences


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Path:
    backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    rows = registry.create("tasks", "classification", {}).synthetic(150, 0, backbone.sample)
    return write_table(tmp_path_factory.mktemp("cli") / "messages.csv", rows)


@pytest.fixture(scope="module")
def run(table: Path, checkpoints: Path) -> Path:
    """A finished run of the tiny BERT with LoRA."""
    out = table.parent / "run"
    arguments = ["tune", str(table), "--backbone", str(checkpoints / "bert"), "--epochs", "4", "--batch-size", "8", "--lr", "0.01"]
    assert main([*arguments, "--trackers", "jsonl,tensorboard,progress", "--out", str(out)]) == 0
    return out


def test_a_run_holds_all_it_promises(run: Path) -> None:
    names = {p.name for p in run.iterdir()}
    assert names == {"recipe.yaml", "environment.json", "metrics.json", "predictions.parquet", "logs", "report", "report.html", "bundle"}
    assert {p.name for p in (run / "report").iterdir()} >= {"classification_report.txt", "confusion_matrix.png", "learning_curves.png"}
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) >= {"test", "validation", "checks", "cost"}
    assert [set(check) for check in metrics["checks"]] == [{"name", "status", "detail"}] * 12
    assert {check["status"] for check in metrics["checks"]} == {"passed"}
    assert list((run / "logs").glob("events.*"))
    weights = [p for p in (run / "bundle").rglob("*") if p.suffix in (".bin", ".pt", ".pth", ".pkl")]
    assert weights == []


def test_scores_and_tables_equal_scikit_learns_on_the_predictions_file(run: Path) -> None:
    rows = pyarrow.parquet.read_table(run / "predictions.parquet").to_pylist()
    metrics = json.loads((run / "metrics.json").read_text())["test"]
    truth, said = [r["target"] for r in rows], [r["label"] for r in rows]
    assert metrics["rows"] == len(rows) == 15
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, said, average="macro"))
    assert metrics["log_loss"] == pytest.approx(log_loss(truth, [list(r["probabilities"].values()) for r in rows]), abs=1e-6)
    classes = list(rows[0]["probabilities"])
    with (run / "report" / "confusion_matrix.csv").open() as handle:
        stored = [[float(v) for v in line[1:]] for line in list(csv.reader(handle))[1:]]
    assert stored == confusion_matrix(truth, said, labels=classes).tolist()
    theirs = classification_report(truth, said, output_dict=True, zero_division=0)
    theirs["micro avg"] = {"f1-score": theirs["accuracy"], "support": len(truth)}  # they call it accuracy
    with (run / "report" / "classification_report.csv").open() as handle:
        for line in csv.DictReader(handle):
            assert float(line["f1"]) == pytest.approx(theirs[line[""]]["f1-score"])
            assert float(line["support"]) == theirs[line[""]]["support"]


def test_the_predictions_file_names_the_line_of_each_row(run: Path, table: Path) -> None:
    with table.open() as handle:
        lines = list(csv.DictReader(handle))
    for row in pyarrow.parquet.read_table(run / "predictions.parquet").to_pylist():
        number = int(row["where"].removeprefix("line "))
        assert lines[number - 2]["label"] == row["target"]


def test_predict_writes_the_same_into_every_format(run: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for ending in ("parquet", "csv", "jsonl"):
        assert main(["predict", str(run / "bundle"), str(table), "--out", str(tmp_path / f"p.{ending}")]) == 0
    capsys.readouterr()
    assert main(["predict", str(run / "bundle"), str(table), "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    parquet = pyarrow.parquet.read_table(tmp_path / "p.parquet").to_pylist()
    jsonl = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    with (tmp_path / "p.csv").open() as handle:
        flat = list(csv.DictReader(handle))
    assert len(printed) == len(parquet) == len(jsonl) == len(flat) == 150
    assert max(differences(a, b) for a, b in zip(parquet, printed, strict=True)) < 1e-6
    assert [r["label"] for r in flat] == [r["label"] for r in jsonl] == [r["label"] for r in printed]


def test_evaluate_equals_the_predictions(run: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run / "bundle"), str(table), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    with table.open() as handle:
        rows = list(csv.DictReader(handle))
    said = [p["label"] for p in tunesmith.load(run / "bundle").predict([{"text": r["text"]} for r in rows])]
    assert scores["accuracy"] == pytest.approx(accuracy_score([r["label"] for r in rows], said))
    assert scores["rows"] == 150


def test_text_on_the_command_line_and_in_python_agree(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run / "bundle"), "--text", "market price bond", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = tunesmith.load(run / "bundle").predict(["market price bond"])[0]
    assert differences({key: printed[key] for key in found}, found) < 1e-6


def test_the_samples_of_the_bundle_give_their_outputs(run: Path) -> None:
    stored = bundles.stored_samples(run / "bundle")
    assert len(stored) == bundles.SAMPLES
    found = tunesmith.load(run / "bundle").predict([dict(row) for row, _ in stored])
    assert max(differences(a, b) for a, (_, b) in zip(found, stored, strict=True)) < 1e-5


@pytest.mark.slow
def test_the_resolved_recipe_reproduces_the_run(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["tune", "--recipe", str(run / "recipe.yaml"), "--trackers", "jsonl", "--out", str(again)]) == 0
    first, second = (json.loads((folder / "metrics.json").read_text()) for folder in (run, again))
    assert first["test"] == second["test"]
    assert first["validation"] == second["validation"]


@pytest.mark.parametrize("damage", ["altered", "cut", "missing", "added"])
def test_a_damaged_bundle_is_refused(run: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(run / "bundle", copy)
    head = copy / "head.safetensors"
    if damage == "altered":
        data = bytearray(head.read_bytes())
        data[-1] ^= 1
        head.write_bytes(bytes(data))
    elif damage == "cut":
        head.write_bytes(head.read_bytes()[:-20])
    elif damage == "missing":
        head.unlink()
    else:
        torch.save({}, copy / "extra.bin")
    words = {"altered": "was altered or cut short: head", "cut": "was altered or cut short: head", "missing": "head.safetensors is missing"}
    assert main(["predict", str(copy), "--text", "a"]) == 1
    assert words.get(damage, "does not belong to it: extra.bin") in capsys.readouterr().err
    with pytest.raises(BundleError):
        tunesmith.load(copy)


def test_a_bundle_that_names_a_file_outside_itself_is_refused(run: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(run / "bundle", copy)
    (tmp_path / "other.txt").write_text("x")
    sums = json.loads((copy / "checksums.json").read_text())
    (copy / "checksums.json").write_text(json.dumps({**sums, "../other.txt": sha256(tmp_path / "other.txt")}))
    with pytest.raises(BundleError, match="names a file outside itself"):
        tunesmith.load(copy)


@pytest.mark.slow
def test_a_failed_check_gives_exit_status_3(table: Path, checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels drawn by lot, and a rate too small to learn them: no better than the majority."""
    import random

    rng = random.Random(3)
    rows = [{"text": f"{rng.choice(['river', 'bond'])} {i}", "label": "often" if i % 4 else "rare"} for i in range(80)]
    path = write_table(tmp_path / "lot.csv", rows)
    given = ["tune", str(path), "--backbone", str(checkpoints / "bert"), "--adapter", "head", "--epochs", "1", "--lr", "1e-6"]
    assert main([*given, "--trackers", "jsonl", "--out", str(tmp_path / "a"), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [c["name"] for c in told["checks"] if c["status"] == "failed"] == ["better_than_constant"]
    assert main([*given, "--trackers", "jsonl", "--out", str(tmp_path / "b"), "--allow-failed-checks"]) == 0


def test_list_prints_names_and_the_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "adapters", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["adapters"]}
    assert rows["prefix"]["fits"]["image convolution"].startswith("needs a backbone of kind text")
    assert rows["lora"]["fits"]["image convolution"] is None
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "what fits what" in out
    assert "schedule_free" in out
    assert main(["list", "adaptors"]) == 1
    assert "did you mean 'adapters'" in capsys.readouterr().err


def test_help_and_import_are_quick() -> None:
    """Seconds of processor time of the fastest of several starts, as the machine may be busy; the floor is Python's own start."""

    def used() -> float:
        times = resource.getrusage(resource.RUSAGE_CHILDREN)
        return times.ru_utime + times.ru_stime

    def fastest(arguments: list[str]) -> float:
        times = []
        for _ in range(5):
            before = used()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            times.append(used() - before)
        return min(times)

    floor = fastest(["-c", "pass"])
    assert fastest(["-m", "tunesmith", "--help"]) < 0.3
    assert fastest(["-m", "tunesmith", "tune", "--help"]) < 0.3
    assert fastest(["-c", "import tunesmith"]) - floor < 0.1


def test_nothing_heavy_is_imported_for_help() -> None:
    heavy = "('torch', 'numpy', 'pydantic', 'rich')"
    code = f"import sys; from tunesmith.cli import _parser; _parser(); print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.slow
def test_memory_of_predict_does_not_grow_with_the_rows(run: Path, tmp_path: Path) -> None:
    """Peak memory of a fresh process that predicts 1,000 and 16,000 rows."""
    peaks = []
    for count in (1000, 16000):
        path = write_table(tmp_path / f"{count}.csv", [{"text": f"river stone {i} " + "market " * (i % 20)} for i in range(count)])
        code = (
            "import resource, sys; from tunesmith.cli import main; "
            f"assert main(['predict', {str(run / 'bundle')!r}, {str(path)!r}, '--out', {str(tmp_path / f'{count}.parquet')!r}]) == 0; "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout.split()[-1]) / 1024)
        assert pyarrow.parquet.read_metadata(tmp_path / f"{count}.parquet").num_rows == count
    assert peaks[1] - peaks[0] < 40, f"peak memory in MB for 1,000 and 16,000 rows: {peaks}"
