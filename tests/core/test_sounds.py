"""Reading sounds against soundfile and scipy, spectra against transformers' own, and what is wrong with files named."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from tunesmith.core.errors import RowError
from tunesmith.core.sounds import heard, outline, read_sound
from tunesmith.core.spectra import FLOOR, frames_of, log_mel, mel_filters

FORMATS = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "mp3": "MP3"}


def chirp(rate: int = 16_000, seconds: float = 1.0) -> np.ndarray:
    """A tone that rises from 200 to 2,000 Hz."""
    time = np.arange(int(rate * seconds)) / rate
    return (0.4 * np.sin(2 * np.pi * (200 * time + 900 * time**2 / seconds))).astype(np.float32)


def as_bytes(samples: np.ndarray, rate: int, ending: str = "wav", **more: Any) -> bytes:
    """A file of these samples."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=FORMATS[ending], **more)
    return buffer.getvalue()


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_every_format_gives_the_same_sound(ending: str, rate: int, tmp_path: Path) -> None:
    wave = chirp(rate)
    path = tmp_path / f"a.{ending}"
    path.write_bytes(as_bytes(wave, rate, ending))
    assert outline(str(path), "a").rate == rate
    assert outline(str(path), "a").seconds == pytest.approx(1, abs=0.08)  # mp3 comes in frames
    found = read_sound(str(path), "a", 16_000)
    np.testing.assert_array_equal(found, read_sound(path.read_bytes(), "a", 16_000))
    wanted = soxr.resample(wave, rate, 16_000)
    inner = slice(2000, 14_000)
    assert np.corrcoef(found[inner], wanted[inner])[0, 1] > (0.9999 if ending in ("wav", "flac") else 0.98)


@pytest.mark.parametrize("rate", [8000, 22_050])
def test_a_stretch_is_a_part_of_the_whole(rate: int) -> None:
    value = as_bytes(chirp(rate), rate)
    whole = read_sound(value, "a", 16_000)
    assert len(whole) == outline(value, "a").at(16_000) == 16_000
    part = read_sound(value, "a", 16_000, 4000, 3000)
    assert len(part) == 3000
    np.testing.assert_allclose(part, whole[4000:7000], atol=1e-4)
    assert len(read_sound(value, "a", 16_000, 15_000, 3000)) == 1000


def test_channels_are_averaged() -> None:
    left, right = chirp(8000), -0.5 * chirp(8000)
    value = as_bytes(np.stack([left, right], axis=1), 8000, subtype="FLOAT")
    assert outline(value, "a").channels == 2
    np.testing.assert_allclose(read_sound(value, "a", 8000), (left + right) / 2, atol=1e-7)


def test_what_is_heard_is_what_numpy_counts() -> None:
    rng = np.random.default_rng(0)
    wave = np.clip(rng.normal(0, 0.6, 300_000), -1, 1).astype(np.float32)  # more than a piece
    wave[1000:1100] = 1.0
    found = heard(as_bytes(wave, 8000, subtype="FLOAT"), "a")
    at_top = np.abs(wave) >= 0.999
    runs = at_top[:-2] & at_top[1:-1] & at_top[2:]
    assert found.peak == 1
    assert found.power == pytest.approx(float(np.square(wave, dtype=np.float64).mean()))
    assert found.clipped == pytest.approx(runs.mean(), rel=0.02)
    assert not found.silent
    assert heard(as_bytes(np.zeros(800), 8000), "a").silent
    assert heard(as_bytes(chirp(), 16_000), "a").clipped == 0


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    whole = as_bytes(chirp(), 16_000)
    flac, mp3 = as_bytes(chirp(), 16_000, "flac"), as_bytes(chirp(), 16_000, "mp3")
    text, empty = tmp_path / "notes.wav", tmp_path / "empty.wav"
    text.write_text("this is no sound\n" * 50)
    empty.touch()
    wrong = np.full(800, np.nan, np.float32)
    cases: list[tuple[Any, str]] = [
        (None, "the sound is missing"),
        ("", "the sound is missing"),
        (str(tmp_path / "none.wav"), "does not exist"),
        (str(text), "notes.wav is no sound that can be read"),
        (str(empty), r"empty.wav is empty \(0 bytes\)"),
        (b"hello", "<5 bytes> is no sound"),
        (whole[:44], "header but not one sample"),
        (whole[: len(whole) // 2], "cut off: its header tells of 32,044 bytes, 16,022 are there"),
        (flac[: len(flac) // 2], "damaged"),
        (mp3[: len(mp3) // 2], r"damaged: only [\d,]+ of 16,000 samples"),
        (as_bytes(wrong, 8000, subtype="FLOAT"), "values that are no numbers"),
    ]
    for value, message in cases:
        with pytest.raises(RowError, match=message):
            heard(value, "call")
        with pytest.raises(RowError, match="column 'call'"):
            read_sound(value, "call", 8000)


def test_a_stream_that_does_not_know_its_length_is_read() -> None:
    value = bytearray(as_bytes(chirp(), 16_000))
    value[4:8] = b"\xff\xff\xff\xff"  # as a program writes it to a pipe
    assert heard(bytes(value), "a").outline.frames == 16_000


@pytest.mark.parametrize(("rate", "bands"), [(8000, 32), (16_000, 64)])
def test_filters_and_spectra_are_those_of_transformers(rate: int, bands: int) -> None:
    frame, hop, points = round(0.025 * rate), round(0.01 * rate), {8000: 256, 16_000: 512}[rate]
    filters = mel_filter_bank(points // 2 + 1, bands, 0.0, rate / 2, rate, norm=None, mel_scale="htk")
    np.testing.assert_allclose(mel_filters(rate, points, bands), filters, atol=1e-6)
    wave = chirp(rate, 0.5) + np.random.default_rng(0).normal(0, 0.01, rate // 2).astype(np.float32)
    side = (frame - hop) // 2
    padded = np.pad(wave, (side, frame))
    wanted = spectrogram(
        padded,
        window_function(frame, "hann"),
        frame,
        hop,
        points,
        power=2.0,
        center=False,
        mel_filters=filters,
        mel_floor=FLOOR,
        log_mel="log",
    ).T
    found = log_mel(wave, rate, bands)
    assert found.shape == (frames_of(len(wave), rate), bands) == (50, bands)
    np.testing.assert_allclose(found, wanted[:50], atol=2e-3)


def test_frames_do_not_depend_on_silence_behind() -> None:
    wave = chirp(8000, 0.3)
    assert len(log_mel(wave[:1], 8000, 16)) == 1
    longer = log_mel(np.pad(wave, (0, 4000)), 8000, 16)
    np.testing.assert_allclose(longer[:30], log_mel(wave, 8000, 16), atol=1e-5)
    np.testing.assert_allclose(longer[32:], np.log(FLOOR), atol=1e-5)
