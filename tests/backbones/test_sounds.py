"""Sounds: what networks read against their authors' extractors, padding that is never counted, windows, changes in training."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers
from tests import tiny_sounds

from tunesmith.backbones._sound_changes import Masks, faster, louder, noisy
from tunesmith.backbones.audio import Audio
from tunesmith.core.errors import BackboneError
from tunesmith.core.sounds import read_sound
from tunesmith.core.spectra import log_mel

FAMILIES: dict[str, Callable[[Path], None]] = {
    "small": tiny_sounds.small,
    "group": tiny_sounds.wav2vec2,
    "layer": lambda folder: tiny_sounds.wav2vec2(folder, "layer"),
    **{name: functools.partial(tiny_sounds.kin, name=name) for name in ("Hubert", "WavLM", "UniSpeech", "UniSpeechSat")},
    "ast": tiny_sounds.spectrogram,
    "whisper": tiny_sounds.whisper,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("sounds")
    for name, make in FAMILIES.items():
        make(root / name)
    return root


def sound(seconds: float, rate: int = 16_000, seed: int = 0, **more: Any) -> bytes:
    """Noise that becomes louder and softer, as a wav file."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate))
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.2 * rng.standard_normal(len(time)) * (1.2 + np.sin(time / 900)), rate, format="WAV", **more)
    return buffer.getvalue()


def tokens(made: Audio, network: torch.nn.Module, values: list[bytes]) -> Any:
    with torch.no_grad():
        return made.features(network, made.collate([made.encode({"audio": value}) for value in values]))


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # what torch says of transformers' WavLM
@pytest.mark.parametrize("family", FAMILIES)
def test_frames_and_vectors_do_not_depend_on_what_they_are_batched_with(folders: Path, family: str) -> None:
    made = Audio(source=str(folders / family), seconds=0.4)
    network = made.open().eval()
    values = [sound(0.31, seed=1), sound(1.0, seed=2), sound(0.1, seed=3)]
    together = tokens(made, network, values)
    assert together.tokens.shape[:2] == together.mask.shape
    for place, value in enumerate(values):
        alone = tokens(made, network, [value])
        count = int(alone.mask.sum())
        assert count == int(together.mask[place].sum())
        torch.testing.assert_close(together.pooled[place], alone.pooled[0], atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(together.tokens[place, :count], alone.tokens[0, :count], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["small", "group", "layer", "ast", "whisper"])
def test_windows_are_read_one_after_the_other_and_averaged(folders: Path, family: str) -> None:
    """A recording of two whole windows: the mean of both vectors, the frames of one behind those of the other."""
    made = Audio(source=str(folders / family), seconds=0.4)
    network, rate = made.open().eval(), made.listener.rate
    both = tokens(made, network, [sound(2 * made.window / rate, rate)])
    wave = read_sound(sound(2 * made.window / rate, rate), "a", rate)
    halves = [wave[: made.window], wave[made.window :]]
    parts = [made.listener.prepared(half, None) for half in halves]
    batch = made.collate([{"values": [part], "samples": [made.window]} for part in parts])
    with torch.no_grad():
        each = made.features(network, batch)
    torch.testing.assert_close(both.pooled[0], each.pooled.mean(dim=0), atol=1e-5, rtol=1e-4)
    real = [frames[mask > 0] for frames, mask in zip(each.tokens, each.mask, strict=True)]
    torch.testing.assert_close(both.tokens[0][both.mask[0] > 0], torch.cat(real), atol=1e-5, rtol=1e-4)
    assert made.sizes([{"audio": sound(2 * made.window / rate, rate)}])[0] == 2 * each.mask.shape[1]


def test_a_single_recording_gives_what_transformers_gives(folders: Path) -> None:
    """The extractors and networks of transformers as their authors use them; Whisper's and AST's sounds fill their windows."""
    wave = read_sound(sound(1.0), "a", 16_000)
    for family, cls, extractor, key in (
        ("group", transformers.Wav2Vec2Model, transformers.Wav2Vec2FeatureExtractor, "input_values"),
        ("layer", transformers.Wav2Vec2Model, transformers.Wav2Vec2FeatureExtractor, "input_values"),
        ("Hubert", transformers.HubertModel, None, "input_values"),
        ("ast", transformers.ASTModel, transformers.ASTFeatureExtractor, "input_values"),
        ("whisper", transformers.WhisperModel, transformers.WhisperFeatureExtractor, "input_features"),
    ):
        folder = folders / family
        made = Audio(source=str(folder))
        read = (extractor.from_pretrained(folder) if extractor else transformers.Wav2Vec2FeatureExtractor()) if cls else None
        whole = cls.from_pretrained(folder).eval()
        piece = wave[: made.window]
        values = read(piece, sampling_rate=16_000, return_tensors="pt")[key]
        with torch.no_grad():
            reference = (whole.encoder if family == "whisper" else whole)(values)
        encoded = {"values": [made.listener.prepared(piece, None)], "samples": [len(piece)]}
        with torch.no_grad():
            found = made.features(made.open().eval(), made.collate([encoded]))
        wanted = reference.pooler_output if family == "ast" else reference.last_hidden_state.mean(dim=1)
        torch.testing.assert_close(found.pooled, wanted, atol=1e-5, rtol=1e-4)
        if family != "ast":
            torch.testing.assert_close(found.tokens, reference.last_hidden_state, atol=1e-5, rtol=1e-4)


def test_frames_of_the_spectrogram_transformer_are_means_over_its_bands(folders: Path) -> None:
    made = Audio(source=str(folders / "ast"))
    network = made.open().eval()
    value = sound(made.window / 16_000)
    found = tokens(made, network, [value])
    with torch.no_grad():
        patches = network(made.collate([made.encode({"audio": value})])["values"]).last_hidden_state[0, 2:]
    grid = patches.reshape(4, 8, 32)  # bands, moments, width: as the convolution over (bands, frames) is flattened
    torch.testing.assert_close(found.tokens[0], grid.mean(dim=0))
    assert found.mask.sum() == 8
    assert made.frame_seconds == 0.08


def test_features_of_the_small_network_follow_the_sound_in_time(folders: Path) -> None:
    """What is loud in the second half changes frames of the second half only, but for what convolutions reach."""
    made = Audio(source=str(folders / "small"))
    network = made.open().eval()
    quiet = read_sound(sound(2.0, 8000), "a", 8000)
    loud = quiet.copy()
    loud[8000:] *= 4
    batch = made.collate([{"values": [made.listener.prepared(wave, None)], "samples": [16_000]} for wave in (quiet, loud)])
    with torch.no_grad():
        found = made.features(network, batch).tokens
    changed = (found[0] - found[1]).abs().amax(dim=1) > 1e-5
    assert made.frame_seconds == 0.02
    assert found.shape[1] == 100
    assert not changed[:35].any()
    assert changed[55:].all()


def test_a_very_long_recording_is_read_in_windows_spread_evenly(folders: Path) -> None:
    made = Audio(source=str(folders / "small"), seconds=0.5, windows=3)
    row = {"audio": sound(4.0, 8000)}
    assert "longer than 1.5 s" in str(made.check(row))
    encoded = made.encode(row)
    assert encoded["samples"] == [4000, 4000, 4000]
    whole = read_sound(row["audio"], "a", 8000)
    for value, start in zip(encoded["values"], (0, 14_000, 28_000), strict=True):
        np.testing.assert_allclose(value, made.listener.prepared(whole[start : start + 4000], None), atol=1e-4)


def test_remarks_tell_of_silence_clipping_and_channels(folders: Path) -> None:
    made = Audio(source=str(folders / "small"))

    def remark(wave: np.ndarray) -> str | None:
        buffer = io.BytesIO()
        soundfile.write(buffer, wave, 8000, format="WAV")
        return made.check({"audio": buffer.getvalue()})

    tone = np.sin(np.arange(4000) / 5)
    assert remark(0.5 * tone) is None
    assert remark(np.zeros(4000)) == "silent recordings"
    assert "clipped" in str(remark(np.clip(3 * tone, -1, 1)))
    assert "channels" in str(remark(0.3 * np.stack([tone, tone], axis=1)))


def test_the_small_network_learns_rate_and_bands_from_training_rows() -> None:
    rows = [{"audio": sound(0.3, 8000, seed=seed)} for seed in range(5)] + [{"audio": sound(0.3, 44_100)}]
    made = Audio().fit(lambda: iter(rows), 0)
    assert made.rate == made.listener.rate == 8000
    spectra = np.concatenate([log_mel(read_sound(row["audio"], "a", 8000), 8000, 64) for row in rows])
    np.testing.assert_allclose(made.mean, spectra.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(made.deviation, spectra.std(axis=0), atol=1e-3)
    assert Audio(source="bundle/backbone").fit(lambda: iter(rows), 0).rate is None


@pytest.mark.parametrize("family", ["small", "group", "ast", "whisper"])
def test_training_rows_change_by_their_generator_alone(folders: Path, family: str) -> None:
    made = Audio(source=str(folders / family), seconds=0.5)
    row = {"audio": sound(2.0)}
    one, again, other = (made.encode(row, Random(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["values"][0], again["values"][0])
    assert one["samples"] == again["samples"]
    assert one["values"][0].shape != other["values"][0].shape or np.abs(one["values"][0] - other["values"][0]).max() > 0.1
    assert one["samples"][0] <= made.window
    still = dataclasses.replace(made, noise=0.0, gain=0.0, speed=0.0, shift=0.0, masks=0, seconds=3.0)
    short = {"audio": sound(0.4)}
    np.testing.assert_allclose(still.encode(short, Random(1))["values"][0], still.encode(short)["values"][0], atol=1e-6)


def test_changes_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(80_000) / 7).astype(np.float32)
    noise = noisy(wave, 20.0, rng) - wave
    assert 10 * np.log10(np.square(wave).mean() / np.square(noise).mean()) == pytest.approx(20, abs=0.2)
    assert not noisy(np.zeros(10, np.float32), 20.0, rng).any()
    assert len(faster(wave, 1.25)) == 64_000
    np.testing.assert_allclose(faster(wave, 1.25)[:-1], np.sin(np.arange(64_000) * 1.25 / 7)[:-1], atol=0.02)
    assert np.abs(louder(wave, -6.0206)).max() == pytest.approx(0.5, abs=1e-3)
    hidden = np.stack([Masks(1, 0.2, 0.5, np.random.default_rng(i)).spectrum(np.ones((50, 8), np.float32), 40, 0.0) for i in range(200)])
    frames, bands = (hidden == 0).all(axis=2).sum(axis=1), (hidden[:, :40] == 0).all(axis=1).sum(axis=1)
    assert 0 <= frames.min() <= frames.max() == 8  # a fifth of 40
    assert bands.max() == 4
    assert (hidden[:, 40:] == 1).all()  # padding


def test_whisper_is_kept_as_its_encoder_alone(folders: Path, tmp_path: Path) -> None:
    made = Audio(source=str(folders / "whisper"))
    network = made.open()
    made.save(network, network.state_dict(), tmp_path / "copy")
    assert (tmp_path / "copy" / "model.safetensors").stat().st_size < (folders / "whisper" / "model.safetensors").stat().st_size
    again = made.moved(tmp_path / "copy")
    assert list(again.open().state_dict()) == list(network.state_dict())
    assert again.origin()["missing"] == 0
    value = [sound(0.5)]
    torch.testing.assert_close(tokens(made, network.eval(), value).pooled, tokens(again, again.open().eval(), value).pooled)


def test_other_checkpoints_are_refused_with_those_that_are_read(checkpoints: Path) -> None:
    with pytest.raises(BackboneError, match=r"'bert', which is no encoder of sounds; those that are read: hubert, .*whisper, and 'small'"):
        _ = Audio(source=str(checkpoints / "bert")).listener


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("a", "b")}, "one column of sounds"),
        ({"seconds": 0.0}, "'seconds' must be above 0"),
        ({"noise": 1.5}, "'noise' is a share"),
        ({"speed": 0.5}, "'speed'"),
        ({"gain": -1.0}, "'gain'"),
        ({"snr": (20.0, 10.0)}, "'snr'"),
        ({"rate": 100}, "'rate'"),
    ],
)
def test_fields_that_contradict_themselves_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Audio(**options)
