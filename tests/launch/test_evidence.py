"""A run that proves itself, as a whole: gate, cheap ways, calibration, verdict; on tiny networks."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from sklearn.metrics import f1_score

from tunesmith.cli import main
from tunesmith.core import bundle as bundles
from tunesmith.core import registry
from tunesmith.core.run import Run
from tunesmith.core.spending import Spent
from tunesmith.launch import evidence
from tunesmith.launch.evidence import Evidence


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def tune(data: Path, checkpoints: Path, out: Path, *more: str) -> int:
    arguments = ["tune", str(data), "--backbone", str(checkpoints / "bert"), "--epochs", "2", "--tuning", "off", "--trackers", "jsonl"]
    return main([*arguments, "--out", str(out), *more])


def metrics_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return found


@pytest.fixture(scope="module")
def sited(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table with a column of sites and one of customers, of five rows each."""
    rows = [{**row, "site": "north" if i % 3 else "south", "customer": f"c{i // 5}"} for i, row in enumerate(read(table))]
    return write(tmp_path_factory.mktemp("sited") / "sited.csv", rows)


@pytest.fixture(scope="module")
def run(sited: Path, checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evidence") / "run"
    arguments = ["--inputs", "text", "--adapter", "lora", "--lr", "0.01", "--group", "customer", "--split", "0.5,0.25,0.25"]
    assert tune(sited, checkpoints, out, *arguments, "--allow-failed-checks") == 0
    return out


def test_a_run_says_what_its_scores_are_worth(run: Path) -> None:
    found = metrics_of(run)
    for name, score in found["test"].items():
        if name in found["intervals"]["scores"]:
            low, high = found["intervals"]["scores"][name]
            assert low <= score <= high, name
    assert found["intervals"]["grouped"], "customers are drawn as a whole"
    assert {"accuracy", "macro_f1", "auroc"} <= set(found["intervals"]["scores"])
    assert found["calibration"]["temperature"] > 0
    assert found["abstention"][-1]["coverage"] == 1.0
    assert found["slice_metric"] == "accuracy"
    assert {"site"} <= {item["column"] for item in found["slices"]}
    assert found["gate"]["rows"] == sum(found["data"][name] for name in ("train", "validation", "test"))
    assert found["cost"]["energy_wh"] > 0
    assert {"gate_seconds", "baselines_seconds", "judging_seconds", "features_seconds"} <= set(found["cost"]["proof"])


def test_the_scoreboard_is_of_the_same_rows_and_the_verdict_of_its_lines(run: Path) -> None:
    found = metrics_of(run)
    lines = {item["name"]: item for item in found["scoreboard"]}
    assert {"lora", "constant", "tfidf", "knn", "linear_probe"} <= set(lines)
    assert {item["rows"] for item in lines.values() if "scores" in item} == {found["data"]["test"]}
    assert "pixels" in lines
    assert lines["pixels"]["skipped"], "there are no pictures, and the line says so"
    assert lines["lora"]["scores"]["macro_f1"] == pytest.approx(found["test"]["macro_f1"])
    assert lines["constant"]["scores"]["accuracy"] == pytest.approx(found["constant"]["accuracy"])
    assert lines["lora"]["drift"]["drift"] > 0
    verdict = found["verdict"]
    apart = lines["lora"]["scores"]["macro_f1"] - lines[verdict["against"]]["scores"]["macro_f1"]
    assert verdict["difference"] == pytest.approx(apart)
    assert verdict["sentence"].startswith("lora scored ")
    scored = [item["scores"]["macro_f1"] for item in found["scoreboard"] if "scores" in item]
    assert scored == sorted(scored, reverse=True)


def test_scores_stand_against_what_was_predicted(run: Path) -> None:
    import pyarrow.parquet as parquet

    rows = parquet.read_table(run / "predictions.parquet").to_pylist()
    expected = f1_score([row["target"] for row in rows], [row["label"] for row in rows], average="macro")
    assert metrics_of(run)["test"]["macro_f1"] == pytest.approx(expected)


def test_the_bundle_is_as_sure_as_the_test_split_was_measured(run: Path) -> None:
    task = bundles.load(run / "bundle").task
    assert task.settings()["temperature"] == metrics_of(run)["calibration"]["temperature"]


def test_proving_changes_no_weight(sited: Path, checkpoints: Path, tmp_path: Path) -> None:
    given = ["--inputs", "text", "--adapter", "full", "--allow-failed-checks"]
    assert tune(sited, checkpoints, tmp_path / "with", *given) == 0
    assert tune(sited, checkpoints, tmp_path / "without", *given, "--no-gate", "--no-scoreboard") == 0
    first, second = (load_file(tmp_path / name / "bundle" / "head.safetensors") for name in ("with", "without"))
    assert all(bool((first[name] == second[name]).all()) for name in first)
    without = metrics_of(tmp_path / "without")
    assert without["gate"] is None
    assert without["verdict"] is None
    assert [item["name"] for item in without["scoreboard"]] == ["full"]


@pytest.fixture(scope="module")
def leaking(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of train.csv, validation.csv and test.csv in which two test rows stand in training too."""
    rows, folder = read(table), tmp_path_factory.mktemp("leaking") / "data"
    folder.mkdir()
    write(folder / "train.csv", [*rows[:60], *rows[90:92]])
    write(folder / "validation.csv", rows[60:90])
    write(folder / "test.csv", rows[90:])
    return folder


def test_test_rows_in_training_stop_a_run(leaking: Path, checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(leaking, checkpoints, tmp_path / "run", "--adapter", "head") == 1
    told = capsys.readouterr().err
    assert "so scores would not mean what they say" in told
    assert "--allow-data-errors" in told
    assert not (tmp_path / "run").exists(), "the same command can be given again"


def test_a_run_with_data_errors_is_allowed_by_name_and_says_so(leaking: Path, checkpoints: Path, tmp_path: Path) -> None:
    assert tune(leaking, checkpoints, tmp_path / "run", "--adapter", "head", "--allow-data-errors") == 3
    found = metrics_of(tmp_path / "run")
    failed = [item["name"] for item in found["checks"] if item["status"] == "failed"]
    assert "no_test_row_in_training" in failed
    assert "error" in {item["severity"] for item in found["gate"]["findings"]}


def test_check_names_the_rows_and_writes_a_copy_without_them(
    leaking: Path, checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in leaking.iterdir()}
    given = ["check", str(leaking), "--backbone", str(checkpoints / "bert"), "--json"]
    assert main([*given, "--fix", "--out", str(tmp_path / "copy")]) == 0
    found = json.loads(capsys.readouterr().out)
    leaked = next(item for item in found["findings"] if item["severity"] == "error" and item["rows_to_leave_out"])
    assert {item["where"] for item in leaked["examples"]} <= {f"line {number}" for number in range(2, 70)}
    assert found["copy"]["left_out"] >= 2
    assert {path.name: path.read_bytes() for path in leaking.iterdir()} == before, "the data stays as it is"
    kept = read(tmp_path / "copy" / "train.csv")
    tested = {row["text"] for row in read(tmp_path / "copy" / "test.csv")}
    assert not tested & {row["text"] for row in kept}
    assert main(["check", str(tmp_path / "copy"), "--backbone", str(checkpoints / "bert"), "--json"]) == 0


def test_a_copy_needs_a_folder(leaking: Path, checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(leaking), "--backbone", str(checkpoints / "bert"), "--fix"]) == 2
    assert "--out FOLDER" in capsys.readouterr().err


@pytest.mark.slow
def test_other_adapters_are_runs_of_their_own(table: Path, checkpoints: Path, tmp_path: Path) -> None:
    given = ["--adapter", "head", "--compare", "bitfit,ia3", "--allow-failed-checks"]
    assert tune(table, checkpoints, tmp_path / "run", *given) == 0
    lines = {item["name"]: item for item in metrics_of(tmp_path / "run")["scoreboard"]}
    assert {lines[name]["kind"] for name in ("head", "bitfit", "ia3")} == {"adapter"}
    own = metrics_of(tmp_path / "run" / "compare" / "bitfit")
    assert lines["bitfit"]["scores"]["accuracy"] == pytest.approx(own["test"]["accuracy"])
    assert lines["bitfit"]["rows"] == lines["head"]["rows"]
    assert lines["bitfit"]["learned"] > lines["head"]["learned"]


def test_an_adapter_that_is_not_there_is_refused_before_anything_is_read(
    table: Path, checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(table, checkpoints, tmp_path / "run", "--compare", "bitfitt") == 1
    assert "bitfit" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["regression", "multilabel"])
def test_numbers_and_several_labels_are_judged_likewise(checkpoints: Path, tmp_path: Path, name: str) -> None:
    text = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    rows = registry.create("tasks", name, {}).synthetic(120, 0, text.sample)
    random = Random(0)
    data = write(tmp_path / "rows.csv", [{**row, "text": f"{row['text']} {random.random()}"} for row in rows])
    assert tune(data, checkpoints, tmp_path / "run", "--task", name, "--adapter", "head", "--allow-failed-checks") == 0
    found = metrics_of(tmp_path / "run")
    lines = {item["name"] for item in found["scoreboard"] if "scores" in item}
    assert {"head", "constant", "tfidf", "knn", "linear_probe"} <= lines
    assert found["verdict"]["metric"] == next(iter(registry.create("tasks", name, {}).directions()))
    assert found["mistakes"]


def test_evidence_is_read_as_it_was_written(tmp_path: Path) -> None:
    from tunesmith.baselines import Tried
    from tunesmith.core.outcomes import Said

    spent = Spent(1.5, 10, 0.25, "estimate")
    said = Said(np.ones((3, 2), np.float32), np.zeros((2, 2), np.float32), 7, "k = 5")
    whole = Evidence(
        {"rows": 5}, [Tried("knn", said, "", spent), Tried("pixels", None, "no pictures", None)], {"test": np.arange(3)},
        {"test": np.array([0, 1, 0])}, np.ones((3, 4), np.float32), {"gate": 0.5},
    )  # fmt: skip
    whole.save(tmp_path)
    found = evidence.restored(tmp_path)
    assert (found.gate, found.seconds) == (whole.gate, {"gate": 0.5})
    assert [(item.name, item.skipped, item.spent) for item in found.tried] == [("knn", "", spent), ("pixels", "no pictures", None)]
    kept = found.tried[0].said
    assert kept is not None
    assert (kept.learned, kept.note) == (7, "k = 5")
    assert np.array_equal(kept.test, said.test)
    assert np.array_equal(kept.validation, said.validation)
    assert np.array_equal(found.rows["test"], np.arange(3))
    assert found.before is not None
    assert found.before.shape == (3, 4)


def test_an_interrupted_run_has_its_evidence_when_it_goes_on(
    table: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.launch import training

    class StopError(Exception):
        pass

    def interrupted(*_: Any) -> None:
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(training, "train", interrupted)
        assert tune(table, checkpoints, tmp_path / "run", "--adapter", "lora") == 1
    kept = evidence.restored(Run(tmp_path / "run").work)
    assert main(["tune", "--resume", str(tmp_path / "run")]) in (0, 3)
    found = metrics_of(tmp_path / "run")
    assert found["gate"] == kept.gate
    assert {item.name for item in kept.tried} < {item["name"] for item in found["scoreboard"]}


def test_comparing_needs_rows_that_other_processes_can_read(checkpoints: Path, table: Path, tmp_path: Path) -> None:
    import tunesmith
    from tunesmith.core.errors import UsageError

    with pytest.raises(UsageError, match="in memory"):
        tunesmith.tune(read(table), backbone=str(checkpoints / "bert"), compare=["bitfit"], out=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_was_interrupted(table: Path, checkpoints: Path, tmp_path: Path) -> None:
    """A comparison that was killed once it trained, and one that was killed before it did."""
    given = ["--adapter", "head", "--compare", "bitfit,ia3", "--allow-failed-checks"]
    out = tmp_path / "run"
    for name in ("bitfit", "ia3"):
        assert tune(table, checkpoints, out / "compare" / name, "--adapter", name, "--allow-failed-checks") == 0
    shutil.rmtree(out / "compare" / "ia3")
    (out / "compare" / "ia3" / "work").mkdir(parents=True)
    (out / "compare" / "bitfit" / "metrics.json").unlink()
    kept = tmp_path / "kept"
    shutil.move(out / "compare", kept)
    out.rmdir()
    from tunesmith.launch import scoreboard

    before = scoreboard.compared

    def with_remains(run: Any, parts: Any) -> Any:
        shutil.move(kept, run.folder / "compare")
        return before(run, parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoreboard, "compared", with_remains)
        assert tune(table, checkpoints, out, *given) == 0
    lines = {item["name"]: item for item in metrics_of(out)["scoreboard"]}
    assert "scores" in lines["ia3"], lines["ia3"]
    assert "skipped" in lines["bitfit"], "its rows were gone with work/, and the line says so"


def test_a_wanted_recall_is_asked_of_every_contender(table: Path, checkpoints: Path, tmp_path: Path) -> None:
    rows = [{**row, "label": "yes" if row["label"] == "class_0" else "no"} for row in read(table)]
    data = write(tmp_path / "two.csv", rows)
    given = ["--adapter", "head", "--split", "0.4,0.3,0.3", "--allow-failed-checks"]
    assert tune(data, checkpoints, tmp_path / "plain", *given) == 0
    assert tune(data, checkpoints, tmp_path / "asked", *given, "--set", "task.recall=0.9") == 0
    plain, asked = ({item["name"]: item for item in metrics_of(tmp_path / name)["scoreboard"]} for name in ("plain", "asked"))
    assert asked["linear_probe"]["scores"]["auroc"] == pytest.approx(plain["linear_probe"]["scores"]["auroc"])
    task = bundles.load(tmp_path / "asked" / "bundle").task.settings()
    assert task["threshold"] is not None
    constant = next(c for c in metrics_of(tmp_path / "asked")["checks"] if c["name"] == "better_than_constant")
    same = next(c for c in metrics_of(tmp_path / "plain")["checks"] if c["name"] == "better_than_constant")
    assert constant == same, "a threshold that was asked for is no fault of the model"


def test_cheap_ways_on_a_drawn_part_say_so(table: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MOST_ROWS", {"train": 30, "validation": 8, "test": 7})
    assert tune(table, checkpoints, tmp_path / "run", "--adapter", "head", "--allow-failed-checks") == 0
    found = metrics_of(tmp_path / "run")
    lines = {item["name"]: item for item in found["scoreboard"] if "scores" in item}
    assert {item["rows"] for item in lines.values()} == {7}
    assert "on 30 of 96 train rows" in lines["knn"]["note"]
    assert "(On 7 test rows, drawn of 12.)" in found["verdict"]["sentence"]
