"""Tables of texts, pictures and numbers with gaps in one command: what is told, counted, remembered, measured, shipped and predicted."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tunesmith
from tunesmith.core.errors import DataError
from tunesmith.data.bad_rows import BadRows

WORDS = {"a": "river stone bright", "b": "doctor ward fever"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rows.csv: texts and numbers that tell the label, pictures that do not; gaps, four rows without anything, one broken picture."""
    root, rng = tmp_path_factory.mktemp("houses"), Random(0)
    lines = ["listing,note,photo,area,speaker,label"]
    for number in range(150):
        label = "ab"[number % 2]
        pixels = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((24, 24)).save(root / f"{number}.png")
        words = " ".join(rng.choice(WORDS[label].split()) for _ in range(8))
        note = "" if number % 5 == 1 else f"{words} {rng.choice('abcdefgh')} {number}"
        photo = "" if number % 4 == 1 else f"{number}.png"
        area = "NA" if number % 7 == 1 else f"{(100 if label == 'a' else 130) + rng.gauss(0, 12):.1f}"
        lines.append(f"{number},{note},{photo},{area},{rng.choice(['ann', 'bob'])},{label}")
    lines[8], lines[9] = "7,,,?,ann,b", "8,,,,bob,a"
    (root / "10.png").write_bytes(b"no picture at all")
    lines[11] = "10,the river,10.png,100,ann,a"
    (root / "rows.csv").write_text("\n".join(lines) + "\n")
    return root


def tuned(folder: Path, out: Path, checkpoints: Path, **options: Any) -> Any:
    parts: dict[str, dict[str, Any]] = {name: {"source": str(checkpoints / tiny)} for name, tiny in (("text", "bert"), ("image", "vit"))}
    if "area" in (folder / "rows.csv").read_text():
        parts["tabular"] = {"hidden": 8, "heads": 2, "bins": 4}
    given = {"batch_size": 16, "trackers": ["jsonl"], "allow_failed_checks": True, **options}
    return tunesmith.tune(str(folder / "rows.csv"), backbone={"parts": parts, "modality_dropout": 0.2}, out=str(out), **given)


def test_a_run_with_gaps(folder: Path, tmp_path: Path, checkpoints: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = tuned(folder, tmp_path / "run", checkpoints, adapter="head", epochs=12)
    told = capfd.readouterr().err
    table = told.split("columns (--inputs")[1].splitlines()[1:7]
    assert [line.split()[0] for line in table] == ["listing", "note", "photo", "area", "speaker", "label"]
    assert ["not read" in line for line in table] == [True, False, False, False, True, False]
    assert "feature cache: image:photo, text: computed once, as their networks do not change" in told
    assert "no input at all: columns photo, note, area are empty" in told
    bad = (tmp_path / "run" / "bad_rows.csv").read_text()
    assert bad.count("no input at all") == 4
    assert "10.png" in bad
    assert run.metrics["data"]["bad_rows"] == 5
    assert any("without image:photo: predicted from the others" in note for note in run.metrics["data"]["notes"])
    assert run.failed == []
    found = {item["name"]: item for item in run.metrics["modalities"]}
    assert list(found) == ["image", "text", "tabular"]
    assert found["text"]["columns"] == ["note"]
    assert found["text"]["prepared"]
    rest = {name: item["difference"] for name, item in found.items()}
    assert max(rest, key=rest.__getitem__) in ("text", "tabular"), "pictures tell nothing"
    for item in found.values():
        assert item["score"] - item["score_without"] == pytest.approx(item["difference"])
        assert item["interval"] is None or item["interval"][0] <= item["difference"] <= item["interval"][1]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "What each modality contributes" in page
    assert "to what the others give" in page
    board = {line["name"] for line in run.metrics["scoreboard"] if "scores" in line}
    assert {"boosting", "logistic", "linear_probe", "tfidf", "head"} <= board

    predictor = tunesmith.load(run.bundle)
    rows = [{"note": "doctor ward fever doctor", "photo": None, "area": "131"}, {"note": "", "photo": str(folder / "0.png"), "area": ""}]
    assert len(predictor.predict(rows)) == 2
    with pytest.raises(DataError, match="no input at all"):
        predictor.predict([{"note": "", "photo": "", "area": "?"}])
    bad_rows = BadRows()
    list(predictor.stream(str(folder / "rows.csv"), bad_rows))
    assert bad_rows.total == 5


def test_remembered_parts_change_nothing(folder: Path, tmp_path: Path, checkpoints: Path) -> None:
    """Beside LoRA and a network of random weights; where nothing changes at random it is the very same run."""
    adapter = {"name": "mixed", "parts": {"text": "lora", "image": "head"}}
    given = {"adapter": adapter, "epochs": 2, "seed": 3, "augment": False, "gate": False, "scoreboard": False}
    kept = tuned(folder, tmp_path / "kept", checkpoints, **given)
    plain = tuned(folder, tmp_path / "plain", checkpoints, feature_cache="off", **given)
    assert kept.metrics["test"]["log_loss"] == pytest.approx(plain.metrics["test"]["log_loss"], rel=1e-4)
    assert [item["difference"] for item in kept.metrics["modalities"]] == pytest.approx(
        [item["difference"] for item in plain.metrics["modalities"]], abs=1e-6
    )


def test_pictures_of_some_rows_are_kept_decoded(tmp_path: Path, checkpoints: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = []
    for number in range(40):
        pixels = np.random.default_rng(number).integers(0, 255, (90, 120, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{'' if number % 3 == 1 else f'{number}.png'},the {WORDS['ab'[number % 2]]} {number},{'ab'[number % 2]}")
    (tmp_path / "rows.csv").write_text("photo,note,label\n" + "\n".join(rows) + "\n")
    tuned(tmp_path, tmp_path / "run", checkpoints, adapter="head", epochs=1, gate=False, scoreboard=False)
    assert "of 27 pictures decoded" in capfd.readouterr().err
