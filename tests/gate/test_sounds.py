"""What inspections say of recordings: each fault planted, none where there is none, and labels that follow from the outside."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import soundfile
from tests.gate.planting import clean_splits, found, view


def recording(seed: int, seconds: float = 0.4, rate: int = 8000, channels: int = 1, times: float = 0.2) -> bytes:
    """Noise as a wav file; `times` is its standard deviation."""
    wave = times * np.random.default_rng(seed).standard_normal((int(seconds * rate), channels))
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(wave, -1, 1), rate, format="WAV")
    return buffer.getvalue()


def rows_of(lengths: np.ndarray) -> list[dict[str, Any]]:
    """Rows without faults, of three classes."""
    return [{"call": recording(i, seconds), "label": "abc"[i % 3]} for i, seconds in enumerate(lengths)]


def lengths(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.5, 360)


def test_recordings_without_faults_give_no_finding() -> None:
    seen = view(rows_of(lengths()), clean_splits(), {"call": "audio"})
    assert found(seen, "sounds") == {}
    assert found(seen, "giveaway") == {}
    assert found(seen, "sizes") == {}
    assert found(seen, "shift") == {}


def test_each_planted_fault_is_named_with_its_row() -> None:
    rows, splits = rows_of(lengths()), clean_splits()
    one = splits["train"]
    rows[one[0]]["call"] = recording(0, times=0.0)
    rows[one[1]]["call"] = recording(1, times=5.0)
    rows[one[2]]["call"] = recording(2, channels=2)
    rows[one[3]]["call"] = recording(3, rate=16_000)
    rows[one[4]]["call"] = recording(4, seconds=0.01)
    rows[splits["test"][0]]["call"] = recording(5, seconds=9.0)
    findings = found(view(rows, splits, {"call": "audio"}), "sounds")
    assert {name: finding.examples[0].row for name, finding in findings.items()} == {
        "silent_recordings": one[0],
        "clipped_recordings": one[1],
        "recordings_of_several_channels": one[2],
        "mixed_sampling_rates": one[3],
        "short_recordings": one[4],
        "long_recordings": splits["test"][0],
    }
    assert all(finding.count == 1 and finding.of == 360 for finding in findings.values())
    assert {finding.severity for name, finding in findings.items() if "silent" in name or "clipped" in name} == {"warning"}
    assert "359 at 8,000 Hz, 1 at 16,000 Hz" in findings["mixed_sampling_rates"].what


def test_a_class_that_came_from_another_device_is_given_away() -> None:
    rows = rows_of(lengths())
    for i, row in enumerate(rows):
        row["call"] = recording(i, times={"a": 0.002, "b": 0.02, "c": 0.2}[row["label"]])
    findings = found(view(rows, clean_splits(), {"call": "audio"}), "giveaway")
    assert ["the loudness of 'call'" in finding.what.lower() for finding in findings.values()] == [True]


def test_copies_are_known_by_their_bytes(tmp_path: Any) -> None:
    rows, splits = rows_of(lengths()), clean_splits()
    for i, row in enumerate(rows):
        path = tmp_path / f"{i}.wav"
        path.write_bytes(row["call"])
        row["call"] = str(path)
    a, b = splits["train"][0], splits["test"][0]
    rows[b]["label"] = rows[a]["label"]
    (tmp_path / f"{b}.wav").write_bytes((tmp_path / f"{a}.wav").read_bytes())
    findings = found(view(rows, splits, {"call": "audio"}), "duplicates")
    assert [finding.count for finding in findings.values()] == [1]
