"""Sounds from their files to predictions: folders, tables, datasets, every format, and what is wrong with them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import datasets
import numpy as np
import pytest
import soundfile

from tunesmith import cli
from tunesmith.api import load
from tunesmith.backbones.audio import Audio
from tunesmith.core.errors import DataError
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.column_kinds import kind_of
from tunesmith.data.sources import Source, open_source
from tunesmith.data.values import plain


def sounds(folder: Path, each: int = 8) -> Path:
    """Tones of two classes in folders."""
    made, rng = Audio(source="unused"), Random(0)
    for code, name in enumerate(("low", "high")):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            (folder / name / f"{number}.wav").write_bytes(made.sample(code, rng)["audio"])
    return folder


def rows(source: Source) -> tuple[list[dict[str, object]], BadRows]:
    bad = BadRows()
    return [row for part in source.parts for _, row in part.reader.rows(bad)], bad


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Iterator[Path]:
    """A finished run on a folder with faults."""
    root = tmp_path_factory.mktemp("run")
    folder = sounds(root / "calls", each=20)
    whole = (folder / "low" / "0.wav").read_bytes()
    wave, rate = soundfile.read(io.BytesIO(whole))
    (folder / "low" / "notes.wav").write_text("no sound at all")
    (folder / "low" / "zero.wav").touch()
    (folder / "low" / "header.wav").write_bytes(whole[:44])
    (folder / "high" / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "high" / "Thumbs.db").write_bytes(b"x")
    soundfile.write(folder / "low" / "silent.wav", np.zeros(4000), rate)
    soundfile.write(folder / "low" / "clipped.wav", np.clip(9 * wave, -1, 1), rate)
    soundfile.write(folder / "low" / "stereo.flac", np.stack([wave, wave], axis=1), rate)
    tune = ["tune", str(folder), "--backbone", str(checkpoints / "sounds"), "--epochs", "8", "--lr", "0.01", "--tuning", "off"]
    tune += ["--max-bad-rows", "5", "--allow-failed-checks", "--out", str(root / "run")]
    assert cli.main(tune) == 0
    yield root / "run"
    shutil.rmtree(root)


def test_what_is_wrong_with_files_is_named_and_counted(run: Path) -> None:
    with (run / "bad_rows.csv").open(newline="") as handle:
        reasons = {row["where"]: row["reason"] for row in csv.DictReader(handle)}
    wanted = {
        "low/notes.wav": "no sound that can be read",
        "low/zero.wav": "empty (0 bytes)",
        "low/header.wav": "not one sample",
        "high/cut.wav": "is cut off",
        "high/Thumbs.db": "not a sound: the name ends in '.db'",
    }
    assert set(reasons) == set(wanted)
    assert all(text in reasons[where] for where, text in wanted.items())
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["data"]["bad_rows"] == 5
    notes = " ".join(metrics["data"]["notes"])
    assert all(f"1 row(s): {text}" in notes for text in ("silent recordings", "clipped recordings", "recordings of several channels"))
    findings = {item["name"]: item["count"] for item in metrics["gate"]["findings"]}
    wanted_counts = {"silent_recordings": 1, "clipped_recordings": 1, "recordings_of_several_channels": 1, "unreadable_rows": 5}
    assert wanted_counts.items() <= findings.items()
    assert {item["name"] for item in metrics["scoreboard"] if item.get("scores")} >= {"spectrum", "full"}


def test_mistakes_are_shown_by_name_and_spectrum(run: Path) -> None:
    from PIL import Image

    mistakes = json.loads((run / "metrics.json").read_text())["mistakes"]
    for mistake in mistakes:
        assert mistake["shown"] == Path(mistake["where"]).name
        with Image.open(run / "report" / mistake["picture"]) as picture:
            assert picture.size == (192, 96)


def test_every_format_is_predicted_alike(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wave, rate = soundfile.read(io.BytesIO(Audio(source="unused").sample(1, Random(5))["audio"]))
    for ending in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(tmp_path / f"call.{ending}", wave, rate)
    capsys.readouterr()
    assert cli.main(["predict", str(run / "bundle"), str(tmp_path), "--json"]) == 0
    found = {line["where"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert set(found) == {"call.wav", "call.flac", "call.ogg", "call.mp3"}
    assert len({line["label"] for line in found.values()}) == 1
    sure = [line["probabilities"]["high"] for line in found.values()]
    np.testing.assert_allclose(sure, sure[0], atol=0.05)
    assert cli.main(["predict", str(run / "bundle"), str(tmp_path / "call.flac"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["where"] == "call.flac"


def test_a_loaded_bundle_takes_paths_bytes_and_decoded_sounds(run: Path, tmp_path: Path) -> None:
    value = Audio(source="unused").sample(0, Random(5))["audio"]
    (tmp_path / "a.wav").write_bytes(value)
    wave, rate = soundfile.read(io.BytesIO(value))
    model = load(run / "bundle")
    (path,), (held,) = model.predict([str(tmp_path / "a.wav")]), model.predict([{"audio": value}])
    (decoded,) = model.predict([{"audio": {"array": wave, "sampling_rate": rate, "path": None}}])
    assert path["probabilities"] == held["probabilities"] == pytest.approx(decoded["probabilities"], abs=1e-5)
    with pytest.raises(DataError, match=r"gone\.wav does not exist"):
        model.predict([str(tmp_path / "gone.wav")])


def test_folders_of_sounds_are_known_by_their_files(tmp_path: Path) -> None:
    for split in ("train", "test"):
        sounds(tmp_path / split, each=2)
    (tmp_path / "train" / "low" / "cover.png").write_bytes(b"x")
    (tmp_path / "train" / "stray.mp3").write_bytes(b"x")
    source = open_source(tmp_path)
    found, bad = rows(source)
    assert "folders of sounds per class" in source.described
    assert [part.split for part in source.parts] == ["test", "train"]
    assert {row["audio"] for row in found} == {f"{name}/{i}.wav" for name in ("low", "high") for i in range(2)}
    assert [item.reason for item in bad.named] == ["not a sound: the name ends in '.png'", "a sound that lies in no folder of a class"]


def test_columns_of_sounds_are_known_by_endings_and_first_bytes(tmp_path: Path) -> None:
    wave = np.sin(np.arange(4000) / 5)
    assert kind_of(["a.WAV", "b.flac", "c.opus"]) == "audio"
    for ending in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(tmp_path / f"a.{ending}", wave, 8000)
        assert kind_of([(tmp_path / f"a.{ending}").read_bytes()[:16]]) == "audio"


def test_a_dataset_of_sounds_is_read_without_its_decoder(tmp_path: Path) -> None:
    folder = sounds(tmp_path / "a", each=1)
    paths = [str(folder / "low" / "0.wav"), str(folder / "high" / "0.wav")]
    held = [Path(path).read_bytes() for path in paths]
    wanted: list[str | bytes] = [paths[0], held[1]]
    cells = [{"bytes": None, "path": paths[0]}, {"bytes": held[1], "path": "1.wav"}]
    label = datasets.ClassLabel(names=["low", "high"])
    plainly = datasets.Features({"audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}, "label": label})
    made = datasets.Dataset.from_dict({"audio": cells, "label": [0, 1]}, features=plainly).cast_column("audio", datasets.Audio())
    assert isinstance(made.features["audio"], datasets.Audio)
    found, bad = rows(open_source(made))
    assert bad.total == 0
    assert [row["label"] for row in found] == ["low", "high"]
    assert [row["audio"] for row in found] == wanted


def test_decoded_sounds_become_wav_files() -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, (2, 500)).astype(np.float32)
    found, rate = soundfile.read(io.BytesIO(plain({"array": wave, "sampling_rate": 8000})), dtype="float32")  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, wave.T)
    assert rate == 8000
