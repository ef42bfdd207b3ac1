"""Speech recognition from the command line to report, bundle and comparison, on made-up speech: a tone for each letter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import soundfile

from tunesmith.cli import main
from tunesmith.core import bundle as bundles
from tunesmith.core.arrays import ragged
from tunesmith.core.run import Run
from tunesmith.launch import evidence
from tunesmith.launch.evidence import Evidence

RATE = 8000
TONES = {"a": 300.0, "b": 700.0, "c": 1500.0, " ": 0.0}


def spoken(text: str, rng: Random) -> np.ndarray[Any, Any]:
    """A tone of 0.1 s for each letter, silence between words."""
    time = np.arange(int(0.1 * RATE)) / RATE
    wave = np.concatenate([0.4 * np.sin(2 * np.pi * TONES[letter] * time) for letter in text])
    return wave + np.random.default_rng(rng.getrandbits(32)).standard_normal(len(wave)) * 0.01


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with metadata.jsonl and 40 clips of two to four made-up words, two of them again with transcripts that cannot be theirs."""
    folder, rng = tmp_path_factory.mktemp("speech"), Random(0)
    (folder / "wavs").mkdir()
    with (folder / "metadata.jsonl").open("w") as handle:
        for number in range(40):
            text = " ".join("".join(rng.sample("abc", rng.randint(1, 3))) for _ in range(rng.randint(2, 4)))
            soundfile.write(folder / "wavs" / f"{number:02}.wav", spoken(text, rng), RATE)
            row = {"audio": f"wavs/{number:02}.wav", "transcript": text.capitalize(), "site": "north" if number % 2 else "south"}
            handle.write(json.dumps(row) + "\n")
        handle.write(json.dumps({**row, "transcript": "a" * 500}) + "\n" + json.dumps({**row, "transcript": ""}) + "\n")
    return folder / "metadata.jsonl"


def tune(data: Path, source: Path, out: Path, *more: str) -> int:
    arguments = ["tune", str(data), "--backbone", str(source), "--tuning", "off", "--trackers", "jsonl", "--batch-size", "4"]
    return main(
        [*arguments, "--no-augment", "--split", "0.5,0.2,0.3", "--allow-failed-checks", "--max-bad-rows", "0.1", "--out", str(out), *more]
    )


@pytest.fixture(scope="module")
def run(clips: Path, checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ctc"
    assert tune(clips, checkpoints / "sounds", out, "--epochs", "30", "--adapter", "full", "--lr", "0.01", "--set", "task.dropout=0.0") == 0
    return out


def metrics_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return found


def test_made_up_speech_is_learned_and_told_by_word_error_rates(run: Path) -> None:
    found = metrics_of(run)
    assert found["test"]["wer"] < 0.5
    assert found["test"]["cer"] <= found["test"]["wer"]
    assert found["constant"]["wer"] == 1.0
    low, high = found["intervals"]["scores"]["wer"]
    assert low <= found["test"]["wer"] <= high
    assert found["slice_metric"] == "row_wer"
    assert found["verdict"] is None
    assert [line["name"] for line in found["scoreboard"] if "skipped" not in line] == ["full"]
    assert all("not text" in line["skipped"] for line in found["scoreboard"] if "skipped" in line)
    assert "not for text" in found["gate"]["skipped"]["label_noise"]
    assert {check["name"]: check["status"] for check in found["checks"]}["reloaded_predicts_same"] == "passed"
    assert {check["status"] for check in found["checks"]} <= {"passed", "not_applicable"}
    assert "no share of rows" in found["calibration"]["notes"]["temperature"]
    assert len(found["abstention"]) > 1


def test_predictions_hold_words_with_their_times(run: Path) -> None:
    rows = parquet.read_table(run / "predictions.parquet").to_pylist()
    assert len(rows) == 12
    assert all(row["target"] == row["target"].lower() for row in rows)
    assert all(" ".join(word["word"] for word in row["words"]) == row["text"] for row in rows)
    for row in rows:
        if row["text"] == row["target"]:  # every letter takes 0.1 s, so the words' places are known
            starts = [0.1 * place for place in range(len(row["text"])) if place == 0 or row["text"][place - 1] == " "]
            assert [word["start"] for word in row["words"]] == pytest.approx(starts, abs=0.12)
    assert any(row["text"] == row["target"] for row in rows)


def test_report_and_card_speak_of_speech(run: Path) -> None:
    page, card = (run / "report.html").read_text(), (run / "bundle" / "README.md").read_text()
    assert "WER" in page
    assert "Transcript errors" in page
    assert "pipeline_tag: automatic-speech-recognition" in card
    assert "- type: wer" in card
    assert (run / "report" / "transcript_errors.csv").read_text().startswith(",hits,substitutions,deletions,insertions\nwords,")


def test_a_bundle_predicts_scores_and_is_compared(run: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wav = clips.parent / "wavs" / "00.wav"
    capsys.readouterr()
    assert main(["predict", str(run / "bundle"), str(wav), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"file", "where", "text", "words", "confidence"}
    assert main(["evaluate", str(run / "bundle"), str(clips), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert scores["rows"] == 40
    assert scores["wer"] < 0.5
    shutil.copytree(run, tmp_path / "again")
    assert main(["compare", str(run), str(tmp_path / "again"), "--json"]) == 0
    difference = json.loads(capsys.readouterr().out)["differences"][0]
    assert (difference["metric"], difference["rows"], difference["difference"]) == ("row_wer", 12, 0.0)
    for name in ("p.csv", "p.jsonl", "p.parquet"):
        assert main(["predict", str(run / "bundle"), str(clips), "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 100


def test_rows_that_do_not_fit_their_recording_are_named(run: Path) -> None:
    bad = (run / "bad_rows.csv").read_text()
    assert "the transcript of 500 characters needs 999 frames" in bad
    assert "line 41" in bad
    assert "line 42" in bad
    assert metrics_of(run)["data"]["bad_rows"] == 2


def test_with_a_frozen_network_frames_are_computed_anew(
    clips: Path, checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["estimate", str(clips), "--backbone", str(checkpoints / "wav2vec2"), "--max-bad-rows", "0.1", "--no-augment"]
    assert main([*arguments, "--adapter", "head"]) == 0
    assert "reads the tokens, and only pooled features are remembered" in " ".join(capsys.readouterr().err.split())
    assert main([*arguments, "--adapter", "probe"]) == 1
    assert "--adapter head, which trains it step by step" in " ".join(capsys.readouterr().err.split())


def test_other_modalities_are_refused(table: Path, checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["tune", str(table), "--task", "ctc", "--modality", "text", "--label", "label", "--backbone", str(checkpoints / "bert")]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 1
    assert "needs a backbone of kind audio" in " ".join(capsys.readouterr().err.split())


def test_a_decoder_is_tuned_bundled_and_predicts(
    clips: Path, checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in clips.read_text().splitlines()]
    short = [row for row in rows if soundfile.info(clips.parent / row["audio"]).duration < 0.9]
    data = clips.parent / "short.jsonl"
    data.write_text("\n".join(map(json.dumps, short)) + "\n")
    out = tmp_path / "run"
    options = ["--epochs", "1", "--adapter", "lora", "--lr", "0.01", "--set", "task.longest=20", "--no-gate", "--task", "transcription"]
    assert tune(data, checkpoints / "whisper", out, *options) == 0
    found = metrics_of(out)
    assert {check["name"]: check["status"] for check in found["checks"]}["merged_equals_adapted"] == "passed"
    assert {check["name"]: check["status"] for check in found["checks"]}["reloaded_predicts_same"] == "passed"
    assert bundles.load(out / "bundle").task.name == "transcription"


def test_evidence_with_transcripts_is_written_without_objects(tmp_path: Path) -> None:
    truth = {"train": ragged(["a b", ""]), "validation": ragged(["é"]), "test": np.arange(2)}
    rows = {name: np.arange(len(values)) for name, values in truth.items()}
    Evidence(rows=rows, truth=truth).save(tmp_path)
    with np.load(tmp_path / "evidence.npz", allow_pickle=False) as held:
        assert all(values.dtype != np.object_ for values in held.values())
    found = evidence.restored(tmp_path)
    assert {name: values.tolist() for name, values in found.truth.items()} == {name: values.tolist() for name, values in truth.items()}
    assert Run(tmp_path).work == tmp_path / "work"
