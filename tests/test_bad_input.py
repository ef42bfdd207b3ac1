"""What a user gets wrong, through the real command line: the exit status, a message that says what to do, and nothing lost.

Exit status 1 is for what a person can mend in the data, 2 for a call that contradicts itself. Complete runs are few: most mistakes are
met before training.
"""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tunesmith import cli

CLASSES = {"nature": ["river", "stone"], "money": ["market", "price", "bond"], "health": ["doctor", "ward", "fever"]}


@dataclass
class Said:
    """What a command line answered."""

    status: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in an empty folder; no traceback and no word about a bug of ours may come."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as error:  # argparse
            status = int(error.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert "should not happen" not in captured.err
        return Said(status, captured.out, captured.err)

    return call


def _rows(count: int, seed: int = 0) -> list[list[str]]:
    rng = random.Random(seed)
    names = list(CLASSES)
    return [[" ".join(rng.choices([*CLASSES[names[i % 3]], "the", "a"], k=6)) + f" {i}", names[i % 3]] for i in range(count)]


def _table(path: Path, rows: list[list[str]], header: tuple[str, ...] = ("text", "label"), ends: str = "\n") -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=ends)
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())
    return path


def _bad_rows(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as handle:
        return {row["where"]: row["reason"] for row in csv.DictReader(handle)}


SINGLE = [*_rows(30), ["alone", "single"]]

TABLES = {
    "empty": (b"", "data.csv is empty (0 bytes)"),
    "header only": (b"text,label\n", "data.csv holds no rows"),
    "blank lines only": (b"\n\r\n\n", "data.csv holds no rows"),
    "one row": (b"text,label\na b,c\n", "label column 'label' holds one class only ('c' in all 1 rows)"),
    "no label column": (
        b"text,number\n" + b"".join(b"word %d,%d\n" % (i, i) for i in range(40)),
        "which column is the label? Columns: text",
    ),
    "unique labels": (
        b"text,label\n" + b"".join(b"word,only %d\n" % i for i in range(40)),
        "label column 'label' has a different value in each of its 40 rows ('only 0', 'only 1', ...)",
    ),
    "one class": (b"text,label\n" + b"word,same\n" * 40, "holds one class only ('same' in all 40 rows); there is nothing to tell apart"),
    "no labels at all": (b"text,label\n" + b"word,\n" * 20 + b"word,NaN\n" * 20, "label column 'label' is empty in every row"),
    "never-closed quote": (
        b'text,label\na,b\n"c,d\n' + b"e,f\n" * 20,
        "a quotation mark opened in line 3 is never closed, so the rows after it cannot be told apart; close it, or write",
    ),
    "latin-1": ("text,label\nwhere,a\ncafé,b\n".encode("latin-1"), "is not utf-8 text: byte 0xe9 in line 3; name its encoding"),
    "utf-16": ("text,label\ncafé,b\n".encode("utf-16"), "it begins like utf-16; try --encoding utf-16"),
    "two columns of one name": (b"text,text,label\na,b,c\n", "two columns are called 'text'"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_cannot_be_used(run: Run, tmp_path: Path, name: str) -> None:
    content, message = TABLES[name]
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    said = run("tune", path, "--out", "run")
    assert said.status == 1
    assert said.err.splitlines()[-1].startswith("error: ")
    assert message in said.err
    assert said.out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.csv"]  # the folder of a run that never began is gone
    assert path.read_bytes() == content


def test_class_of_one_row(run: Run, tmp_path: Path, checkpoints: Path) -> None:
    said = run("tune", _table(tmp_path / "data.csv", SINGLE), "--backbone", checkpoints / "bert", "--out", "run")
    assert said.status == 1
    assert "1 of 4 classes are too small to appear in train, validation and test: 'single' (1 row)" in said.err
    assert "--rare-classes drop" in said.err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["gone.csv"], 1, "gone.csv does not exist; check the name and the folder"),
        (["nobody/nothing"], 1, "the dataset could not be read from the hub"),
        (["."], 1, "holds no data tunesmith knows"),
        ([], 2, "no data was named"),
        (["a.csv", "b.csv", "c.csv", "d.csv"], 1, "at most three are read: train, validation, test"),
        (["data.csv", "--no-such-flag"], 2, "unrecognized arguments: --no-such-flag"),
        (["data.csv", "--group", "text", "--time", "text"], 2, "'group' and 'time' exclude each other"),
        (["data.csv", "--scratch", "--weights", "w.pt"], 2, "'scratch' and 'weights' exclude each other"),
        (["data.csv", "--epochs", "many"], 2, "epochs"),
        (["data.csv", "--split", "0.8,0.2"], 2, "'split' is 'given' or three positive shares"),
        (["data.csv", "--max-bad-rows", "-1"], 2, "'max_bad_rows' must not be negative"),
        (["data.csv", "--set", "adapter"], 2, "--set takes FIELD=VALUE"),
        (["data.csv", "--encoding", "utf-99"], 1, "there is no text encoding 'utf-99'"),
        (["data.csv", "--delimiter", "||"], 1, "'delimiter' is one character"),
        (["data.csv", "--label", "lable"], 1, "there is no column 'lable'; did you mean 'label'?"),
        (["data.csv", "--inputs", "txt"], 1, "there is no column 'txt'; did you mean 'text'?"),
        (["data.csv", "--split", "given"], 1, "'split' is 'given', but the data has neither"),
        (["data.csv", "--backbone", "nobody/nothing"], 1, "nobody/nothing"),
        (["data.csv", "--backbone", "./no/such/folder"], 1, "no/such/folder"),
        (["data.csv", "--adapter", "lorra"], 1, "there is no adapter 'lorra'; did you mean 'lora'"),
        (["data.csv", "--task", "clasification"], 1, "there is no task 'clasification'; did you mean 'classification'?"),
        (["data.csv", "--set", "adapter.name=lora", "--set", "adapter.rnak=4"], 1, "did you mean 'rank'?"),
        (["data.csv", "--limit", "2"], 1, "--limit 2 is less than one training row for each of the 3 classes"),
        (["data.csv", "--recipe", "gone.yaml"], 2, "recipe file gone.yaml does not exist"),
        (["--resume", "gone"], 2, "the run gone does not exist"),
    ],
)
def test_calls_that_cannot_be_followed(
    run: Run, tmp_path: Path, checkpoints: Path, arguments: list[str], status: int, message: str
) -> None:
    if "data.csv" in arguments:
        _table(tmp_path / "data.csv", _rows(30))
    if "--backbone" not in arguments and arguments and arguments[0] == "data.csv":
        arguments = [*arguments, "--backbone", str(checkpoints / "bert")]
    before = sorted(p.name for p in tmp_path.iterdir())
    said = run("tune", *arguments)
    assert (said.status, said.out) == (status, "")
    assert message in said.err
    assert [p.name for p in tmp_path.iterdir() if p.name != "runs"] == before
    assert not any((tmp_path / "runs").glob("*"))


def _pictures(folder: Path, count: int = 10) -> Path:
    rng = np.random.default_rng(0)
    for colour, name in enumerate(("rot", "grün")):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            noise = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
            noise[:, :, colour] += 150
            Image.fromarray(noise).save(folder / name / f"bild {i} 漢.png")
    return folder


def test_adapter_that_does_not_fit_names_those_that_do(run: Run, tmp_path: Path, checkpoints: Path) -> None:
    said = run("tune", _pictures(tmp_path / "p", 3), "--backbone", checkpoints / "resnet", "--adapter", "prefix")
    assert said.status == 1
    fitting = said.err.split("Adapters that fit: ")[1]
    assert "full" in fitting
    assert "prefix" not in fitting


def test_output_folder_that_exists_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("precious")
    said = run("tune", _table(tmp_path / "data.csv", _rows(30)), "--out", "run")
    assert said.status == 1
    assert "the output folder run exists and is not empty; nothing is overwritten: choose another --out" in said.err
    assert [p.read_text() for p in (tmp_path / "run").iterdir()] == ["precious"]


def test_damaged_pictures_are_named_and_the_run_goes_on(run: Run, tmp_path: Path, checkpoints: Path) -> None:
    """The folder is given by a relative name; names hold spaces and letters beyond ASCII; one class folder is empty."""
    folder = _pictures(tmp_path / "bilder")
    whole = (folder / "rot" / "bild 0 漢.png").read_bytes()
    (folder / "rot" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "rot" / "text.jpg").write_text("no picture")
    (folder / "rot" / "zero.png").write_bytes(b"")
    (folder / "grün" / "Thumbs.db").write_bytes(b"x")
    (folder / "leer").mkdir()
    tune = ("tune", "bilder", "--backbone", checkpoints / "resnet", "--adapter", "head", "--epochs", 1, "--allow-failed-checks")
    refused = run(*tune, "--out", "refused")
    assert refused.status == 1
    assert "4 of 24 rows cannot be used, more than --max-bad-rows 0.05 allows" in refused.err
    assert "cut.png" in refused.err
    assert not (tmp_path / "refused").exists()
    said = run(*tune, "--max-bad-rows", 4, "--out", "run", "--json")
    assert said.status == 0, said.err
    reasons = _bad_rows(tmp_path / "run" / "bad_rows.csv")
    assert set(reasons) == {"rot/cut.png", "rot/text.jpg", "rot/zero.png", "grün/Thumbs.db"}
    assert "is damaged" in reasons["rot/cut.png"]
    assert "no picture that can be read" in reasons["rot/text.jpg"]
    assert "no picture in the folder bilder/leer" in said.err
    told = json.loads(said.out)
    assert told["data"]["bad_rows"] == 4
    assert sum(told["data"][name] for name in ("train", "validation", "test")) == 20


def test_messy_table_is_read_and_every_lost_row_is_named(run: Run, tmp_path: Path, checkpoints: Path) -> None:
    """Windows line ends, a byte-order mark, spaces around labels, very long texts, repeated rows, a column called like one of ours."""
    rows = [["x", *row] for row in _rows(90)]
    rows[10][1] = "river " * 17_000  # 102,000 characters
    rows[11][1] = "market, " * 12_500
    rows[12][2] = "  nature "
    rows[13][1] = ""
    rows[14][2] = ""
    rows[15][2] = "NaN"
    rows += [rows[0]] * 20  # more than the test split can leave out by chance
    path = _table(tmp_path / "messy ü.csv", rows, ("#file", "text", "label"), "\r\n")
    content = path.read_bytes().decode().splitlines(keepends=True)
    content[40] = 'x,"broken" quoting,money\r\n'
    path.write_bytes(b"\xef\xbb\xbf" + "".join(content).encode())
    arguments = (
        "--backbone",
        checkpoints / "bert",
        "--epochs",
        1,
        "--allow-failed-checks",
        "--label",
        "label",
        "--inputs",
        "text",
        "--allow-data-errors",
    )
    said = run("tune", path, *arguments, "--out", "run")
    assert said.status == 0, said.err
    assert _bad_rows(tmp_path / "run" / "bad_rows.csv") == {
        "line 15": "column 'text': the text is empty",
        "line 16": "column 'label': the label is missing",
        "line 17": "column 'label': the label is missing",
        "line 41": "broken quoting: ',' expected after '\"'",
    }
    assert "note: 2 row(s): texts longer than 64 tokens, of which the rest is not read" in said.err
    assert "test rows hold the same input as a training row" in said.err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert sum(metrics["data"][name] for name in ("train", "validation", "test")) == 106
    about = json.loads((tmp_path / "run" / "bundle" / "bundle.json").read_text())
    assert about["task"]["settings"]["classes"] == sorted(CLASSES)


def test_empty_texts_and_labels_beyond_the_bound(run: Run, tmp_path: Path, checkpoints: Path) -> None:
    rows = _rows(40)
    for row in rows[:4]:
        row[0] = " "
    for row in rows[4:8]:
        row[1] = "nan"
    said = run("tune", _table(tmp_path / "data.csv", rows), "--backbone", checkpoints / "bert", "--out", "run")
    assert said.status == 1
    assert "8 of 40 rows cannot be used, more than --max-bad-rows 0.05 allows" in said.err
    assert "data.csv, line 2: column 'text': the text is empty" in said.err
    assert "... and 3 more" in said.err


def test_error_as_json(run: Run) -> None:
    for arguments, status in ((["tune", "gone.csv", "--json"], 1), (["tune", "gone.csv", "--json", "--group", "a", "--time", "b"], 2)):
        said = run(*arguments)
        assert said.status == status
        assert list(json.loads(said.out)) == ["error"]
        assert json.loads(said.out)["error"] in said.err


def test_a_real_process_shows_where_an_error_came_from_only_when_asked(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tunesmith", "tune", "gone.csv"]
    plain = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (plain.returncode, plain.stdout) == (1, "")
    assert plain.stderr.startswith("error: gone.csv does not exist")
    asked = subprocess.run([*command, "--debug"], cwd=tmp_path, capture_output=True, text=True)
    assert asked.returncode == 1
    assert "Traceback" in asked.stderr
    assert "DataError: gone.csv does not exist" in asked.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB with a file on it."""
    mount, folder = shutil.which("mount"), tmp_path / "disk"
    folder.mkdir()
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    (folder / "mine.txt").write_text("precious")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_disk_full_while_rows_are_read(run: Run, tmp_path: Path, small_disk: Path) -> None:
    rows = [[f"{text} {'long ' * 200}", label] for text, label in _rows(6000)]
    said = run("tune", _table(tmp_path / "data.csv", rows), "--out", small_disk / "run")
    assert said.status == 1
    assert f"the disk is full while writing {small_disk}/run/work/rows.arrow" in said.err
    assert "free some space or choose another folder with --out. What was written before is intact." in said.err
    assert [p.name for p in small_disk.iterdir()] == ["mine.txt"]
    assert (small_disk / "mine.txt").read_text() == "precious"


def test_disk_full_while_training_then_resumed(run: Run, tmp_path: Path, checkpoints: Path, small_disk: Path) -> None:
    """The first checkpoint finds no room; with room made, the same run is resumed to its end."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(int(1.8 * 2**20)))
    data = _table(tmp_path / "data.csv", _rows(60))
    arguments = ("--backbone", checkpoints / "bert", "--adapter", "full", "--epochs", 2, "--allow-failed-checks")
    said = run("tune", data, *arguments, "--out", small_disk / "run")
    assert said.status == 1
    assert "the disk is full while writing" in said.err
    assert (small_disk / "mine.txt").read_text() == "precious"
    assert not list((small_disk / "run").rglob("*.part-*"))
    ballast.unlink()
    resumed = run("tune", "--resume", small_disk / "run")
    assert resumed.status in (0, 3), resumed.err
    metrics = json.loads((small_disk / "run" / "metrics.json").read_text())
    assert metrics["cost"]["epochs"] == 2


def test_disk_full_while_the_bundle_is_written(tmp_path: Path, checkpoints: Path, small_disk: Path) -> None:
    """A bundle that finds no room leaves the one that was there as it was."""
    from tunesmith.core import bundle, registry
    from tunesmith.core.errors import OutputError

    backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert"), "columns": ["text"]})
    task = registry.create("tasks", "classification", {"label": ["label"]}).fit(["a", "b"])
    adapter = registry.create("adapters", "full", {})
    model = task.build(backbone)
    adapter.apply(model, 0)
    about = {"modality": "text", "inputs": ["text"], "task": "classification", "adapter": "full"}
    kept = {"model": model, "task": task, "adapter": adapter, "about": about, "card": "# card", "samples": []}
    folder = small_disk / "bundle"
    bundle.save(folder, **kept)
    before = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    free = shutil.disk_usage(small_disk).free
    (small_disk / "ballast").write_bytes(bytes(free - 50_000))
    with pytest.raises(OutputError, match=f"the disk is full while writing {folder}"):
        bundle.save(folder, **kept)
    assert {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert sorted(p.name for p in small_disk.iterdir()) == ["ballast", "bundle", "mine.txt"]
