"""Cheap forecasts beside statsmodels and what can be done by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from tunesmith.baselines import tried
from tunesmith.baselines.exponential_smoothing import begin, smooth
from tunesmith.core.outcomes import Given
from tunesmith.core.windows import SERIES

LEVELS = (0.1, 0.5, 0.9)


def given(season: int = 6, horizon: int = 4, context: int = 24, **task: Any) -> Given:
    """Two series of a wave and a trend, with windows of both."""
    rng = np.random.default_rng(0)
    steps = np.arange(200)
    series = {name: 5 * np.sin(2 * np.pi * steps / 6) + rate * steps + rng.normal(0, 0.3, 200) for name, rate in (("a", 0.02), ("b", 0.0))}
    parts = {"train": range(24, 120), "validation": range(130, 150), "test": range(160, 190)}

    def rows(split: str) -> Iterator[dict[str, Any]]:
        for name, values in series.items():
            for end in parts[split]:
                yield {"load": values[end - context : end].astype(np.float32), SERIES: name}

    def truth(split: str) -> np.ndarray:
        found = [np.append(values[end : end + horizon], 1.0) for values in series.values() for end in parts[split]]
        return np.asarray(found, np.float32)[..., None]

    fields = {"label": ("load",), "horizon": horizon, "quantiles": LEVELS, "loss_name": "quantile", "season": season, **task}
    known = {split: truth(split) for split in ("train", "validation")}
    return Given({"load": "series"}, rows, known, "series", 0, lambda split: None, 0, fields)


def test_what_is_made_for_series_is_tried_and_nothing_else() -> None:
    found = {item.name: item for item in tried(given())}
    assert {name for name, item in found.items() if item.said is not None} == {"naive", "seasonal_naive", "exponential_smoothing"}
    assert "not series" in found["constant"].skipped
    for item in found.values():
        if item.said is not None:
            assert item.said.test.shape == (60, 4, 1, 3)
            assert item.said.validation.shape == (40, 4, 1, 3)
            assert (np.diff(item.said.test, axis=-1) >= 0).all()
    assert "no season" in next(item for item in tried(given(season=1)) if item.name == "seasonal_naive").skipped


def test_naive_forecasts_repeat_what_was_known() -> None:
    made = given()
    found = {item.name: item.said for item in tried(made, ["naive", "seasonal_naive"])}
    contexts = np.stack([row["load"] for row in made.rows("test")])
    assert found["naive"] is not None
    assert found["seasonal_naive"] is not None
    np.testing.assert_allclose(found["naive"].test[:, :, 0, 1], np.repeat(contexts[:, -1:], 4, axis=1), rtol=1e-6)
    np.testing.assert_allclose(found["seasonal_naive"].test[:, :, 0, 1], contexts[:, -6:-2], rtol=1e-6)


def test_gaps_stand_for_what_was_known_last() -> None:
    made = given()

    def holes(split: str) -> Iterator[dict[str, Any]]:
        for row in made.rows(split):
            load = row["load"].copy()
            load[-2:] = np.nan
            yield {**row, "load": load}

    import dataclasses

    found = tried(dataclasses.replace(made, rows=holes), ["naive"])[0].said
    assert found is not None
    contexts = np.stack([row["load"] for row in made.rows("test")])
    np.testing.assert_allclose(found.test[:, 0, 0, 1], contexts[:, -3], rtol=1e-6)


def test_quantiles_hold_their_share_of_the_training_errors() -> None:
    made = given()
    said = tried(made, ["seasonal_naive"])[0].said
    assert said is not None
    truth = np.asarray(made.truth["validation"])[:, :-1, 0]
    held = (truth >= said.validation[:, :, 0, 0]) & (truth <= said.validation[:, :, 0, 2])
    assert held.mean() == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("season", [1, 6])
def test_smoothing_is_that_of_statsmodels(season: int) -> None:
    rng = np.random.default_rng(1)
    context = (
        3 * np.sin(2 * np.pi * np.arange(48) / 6)[None, :, None] + rng.normal(0, 0.5, (3, 48, 2)) + 0.05 * np.arange(48)[None, :, None]
    )
    parameters = np.broadcast_to([0.3, 0.1, 0.2, 0.95], (3, 2, 4))
    found = smooth(context, parameters, season, 9)
    level, trend, waves = begin(context, season)
    for row in range(3):
        for column in range(2):
            seasonal = {"seasonal": "add", "seasonal_periods": season, "initial_seasonal": waves[row, :, column]} if season > 1 else {}
            model = ETSModel(
                context[row, :, column],
                trend="add",
                damped_trend=True,
                initialization_method="known",
                initial_level=level[row, column],
                initial_trend=trend[row, column],
                **seasonal,
            )
            # statsmodels writes the trend's smoothing as a share of the level's, and begins with the last step of the season
            first = [level[row, column], trend[row, column], *(waves[row, ::-1, column] if season > 1 else [])]
            smoothing = [0.3, 0.3 * 0.1, *([0.2] if season > 1 else []), 0.95]
            expected = model.smooth(np.asarray([*smoothing, *first])).forecast(9)
            np.testing.assert_allclose(found[row, :, column], expected, rtol=1e-6)


def test_smoothing_beats_the_naive_forecast_of_a_wave() -> None:
    made = given()
    found = {item.name: item.said for item in tried(made, ["naive", "exponential_smoothing"])}
    truth = np.asarray(made.truth["validation"])[:, :-1, 0]
    off = {name: np.abs(said.validation[:, :, 0, 1] - truth).mean() for name, said in found.items() if said is not None}
    assert off["exponential_smoothing"] < 0.3 * off["naive"]
    assert "2 of 2 series" in next(iter([said.note for name, said in found.items() if said and name == "exponential_smoothing"]))
