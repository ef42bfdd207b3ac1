"""Series of numbers: what is done to them, what is learned of training rows, and transformers' own numbers."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tests.backbones import series_checkpoints

from tunesmith.backbones import _series_numbers as numbers
from tunesmith.backbones.series import Series
from tunesmith.core import registry
from tunesmith.core.errors import BackboneError, DataError, RowError
from tunesmith.core.series import to_cell


def rows_of(count: int, channels: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    shapes = [rng.normal(5, 3, (channels, int(rng.integers(10, 30)))) for _ in range(count)]
    return [{"series": to_cell(values)} for values in shapes]


def test_training_rows_tell_channels_length_mean_and_spread() -> None:
    rows = rows_of(40)
    rows[3]["series"] = "[[1, null, 3], [4, 5, 6]]"
    found = Series().fit(lambda: iter(rows), 0)
    whole = [np.asarray(json.loads(row["series"]), float) for row in rows]
    together = np.concatenate(whole, axis=1)
    assert found.channels == 2
    assert found.length == max(values.shape[1] for values in whole)
    np.testing.assert_allclose(found.mean, np.nanmean(together, axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.std, np.nanstd(together, axis=1), rtol=1e-6)
    again = registry.create("backbones", "series", json.loads(json.dumps(found.settings())))
    assert again == found


def test_a_constant_channel_is_not_divided_by_rounding() -> None:
    found = Series().fit(lambda: iter([{"series": "[[0.1, 0.1, 0.1], [1, 2, 3]]"}] * 5), 0)
    values = found.encode({"series": "[[0.1, 0.1, 0.1], [1, 2, 3]]"})["values"]
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[0], 0, atol=1e-6)
    own = Series(norm="instance", channels=2).encode({"series": "[[0.1, 0.1, 0.1], [1, 2, 3]]"})
    assert np.abs(own["values"][0]).max() < 1e-6
    assert np.isfinite(own["level"]).all()


def test_instance_norm_hides_level_and_amplitude_but_keeps_them_beside() -> None:
    made = Series(norm="instance", channels=1, mean=(0.0,), std=(1.0,))
    one, other = made.encode({"series": "[1, 2, 3, 4]"}), made.encode({"series": "[10, 30, 50, 70]"})
    np.testing.assert_allclose(one["values"], other["values"], rtol=1e-5)
    np.testing.assert_allclose([one["level"][0], other["level"][0]], [2.5, 40], rtol=1e-5)
    np.testing.assert_allclose(np.exp(other["level"][1] - one["level"][1]), 20, rtol=2e-2)
    network = made.open()
    pooled = made.features(network, made.collate([one, other])).pooled
    assert pooled is not None
    assert pooled.shape == (2, made.width(network))


def test_gaps_are_lines_and_the_network_is_told() -> None:
    found = Series(channels=1).encode({"series": "[null, 2, null, 4, null]"})
    np.testing.assert_allclose(found["values"], [[2, 2, 3, 4, 4]])
    np.testing.assert_allclose(found["observed"], [[0, 1, 0, 1, 0]])
    both = Series(channels=2, mean=(0.0, 7.0), std=(1.0, 2.0)).encode({"series": "[[1, 2], [null, null]]"})
    np.testing.assert_allclose(both["values"][1], 0)  # the mean of the channel


@pytest.mark.parametrize(("length", "steps"), [(100, 10), (100, 33), (64, 64), (7, 20)])
def test_resampling_keeps_the_mean_and_a_line_a_line(length: int, steps: int) -> None:
    line = np.linspace(0, 1, length)[None]
    found = numbers.resampled(line, steps)
    assert found.shape == (1, steps)
    np.testing.assert_allclose(np.diff(found[0], 2), 0, atol=1e-12)
    assert found.mean() == pytest.approx(line.mean())
    noise = np.random.default_rng(0).normal(size=(2, 100))
    np.testing.assert_allclose(numbers.resampled(noise, 20), noise.reshape(2, 20, 5).mean(2), atol=1e-12)


def test_long_series_are_averaged_or_cut() -> None:
    row = {"series": json.dumps(list(range(100)))}
    averaged, cut = Series(length=10, channels=1), Series(length=10, channels=1, longer="crop")
    assert averaged.check(row) == "the series is longer than 10 steps, so it is averaged"
    np.testing.assert_allclose(averaged.encode(row)["values"][0], np.arange(100).reshape(10, 10).mean(1))
    np.testing.assert_allclose(cut.encode(row)["values"][0], np.arange(90, 100))
    plain = Series(length=10, channels=1, longer="crop", jitter=0, scaling=0, warp=0, time_mask=0)
    starts = {int(plain.encode(row, Random(seed))["values"][0, 0]) for seed in range(20)}
    assert len(starts) > 5


def test_augmentation_changes_only_with_a_generator_and_repeats_by_it() -> None:
    made = Series(channels=2).fit(lambda: iter(rows_of(10)), 0)
    row = rows_of(1, seed=5)[0]
    np.testing.assert_array_equal(made.encode(row)["values"], made.encode(row)["values"])
    one, again, other = (made.encode(row, Random(seed))["values"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.01
    assert one.shape == made.encode(row)["values"].shape
    np.testing.assert_allclose(numbers.warped(np.linspace(0, 1, 50)[None], Random(0), 0.3)[0, [0, -1]], [0, 1], atol=1e-9)


def test_rows_of_another_number_of_channels_are_refused() -> None:
    made = Series()
    made.check({"series": "[[1, 2], [3, 4]]"})
    with pytest.raises(RowError, match="1 channel\\(s\\), where others have 2"):
        made.check({"series": "[1, 2]"})
    with pytest.raises(DataError, match="all must have as many"):
        Series().fit(lambda: iter([{"series": "[1, 2]"}, {"series": "[[1, 2], [3, 4]]"}]), 0)
    with pytest.raises(DataError, match="--modality fusion"):
        Series.options_for({"curve": "series", "age": "number"})


def test_a_pretrained_forecaster_gives_transformers_own_features(tmp_path: Path) -> None:
    folder = series_checkpoints.patchtst(tmp_path, transformers.PatchTSTForPrediction)
    made = Series(source=str(folder), channels=3, mean=(0.0,) * 3, std=(1.0,) * 3)
    network = made.open().eval()
    assert made.origin()["missing"] == 0
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 3, 32)).astype(np.float32)
    batch = made.collate([made.encode({"series": to_cell(one)}) for one in values])
    reference = transformers.PatchTSTModel.from_pretrained(folder).eval()
    with torch.no_grad():
        found = made.features(network, batch)
        apart = [reference(past_values=torch.from_numpy(values[:, [c]]).transpose(1, 2)).last_hidden_state.mean(2)[:, 0] for c in range(3)]
    assert found.pooled is not None
    torch.testing.assert_close(found.pooled[:, :48], torch.cat(apart, dim=1), rtol=1e-4, atol=1e-5)
    assert found.pooled.shape[1] == made.width(network)


@pytest.mark.parametrize("family", ["patchtst", "patchtsmixer"])
def test_short_series_are_padded_to_the_context(tmp_path: Path, family: str) -> None:
    made = Series(source=str(getattr(series_checkpoints, family)(tmp_path)), channels=1)
    remark = made.check({"series": "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"})
    assert remark is not None
    assert "shorter than the context" in remark
    batch = made.collate([made.encode({"series": "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"})])
    assert batch["attention_mask"].sum() == 10
    with torch.no_grad():
        found = made.features(made.open().eval(), batch)
    assert found.mask is not None
    assert found.mask.tolist() == [[0, 0, 1, 1]]  # patches of 8 steps, of which the last two hold some
    assert found.pooled is not None
    assert bool(torch.isfinite(found.pooled).all())


def test_checkpoints_that_read_no_series_are_refused(tmp_path: Path, checkpoints: Path) -> None:
    with pytest.raises(BackboneError, match="type bert, which reads no series"):
        Series(source=str(checkpoints / "bert"), channels=1).check({"series": "[1, 2]"})
    with pytest.raises(BackboneError, match="made for series of 2 channels"):
        Series(source=str(series_checkpoints.small(tmp_path)), channels=3).open()
    mixed = series_checkpoints.patchtst(tmp_path, channel_attention=True)
    with pytest.raises(BackboneError, match="mixes its 1 channels"):
        Series(source=str(mixed), channels=2).open()
