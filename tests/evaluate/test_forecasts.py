"""Scores of forecasts beside scikit-learn, closed forms and sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_squared_error

from tunesmith.evaluate import forecasts
from tunesmith.evaluate.forecasts import ForecastScores, Said, Scale
from tunesmith.tasks.forecasting import Forecasting

LEVELS = (0.1, 0.5, 0.9)
SCALE = Scale(LEVELS, (2.0, 10.0), ("a", "b"))


def made(rows: int = 7, horizon: int = 5, seed: int = 0) -> tuple[Said, np.ndarray]:
    """Forecasts, and truth with a naive error of 0.5 and 4 in its last step."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 3, (rows, horizon, 2))
    middle = truth + rng.normal(0, 1, truth.shape)
    quantiles = np.stack([middle - 1.3, middle, middle + 1.1], axis=-1)
    naive = np.broadcast_to([[0.5, 4.0]], (rows, 1, 2))
    return Said(middle, quantiles, middle - 2, middle + 2), np.concatenate([truth, naive], axis=1)


def plain(said: Said) -> list[dict[str, object]]:
    """Forecasts as a task decodes them."""

    def columns(values: np.ndarray, row: int) -> dict[str, list[float]]:
        return {"a": values[row, :, 0].tolist(), "b": values[row, :, 1].tolist()}

    assert said.quantiles is not None
    assert said.low is not None
    assert said.high is not None
    return [
        {
            "forecast": columns(said.forecast, row),
            "quantiles": {f"{level:g}": columns(said.quantiles[..., at], row) for at, level in enumerate(LEVELS)},
            "interval": {"low": columns(said.low, row), "high": columns(said.high, row)},
        }
        for row in range(len(said.forecast))
    ]


def streamed(said: Said, truth: np.ndarray) -> dict[str, float]:
    scores = ForecastScores(SCALE)
    found = plain(said)
    scores.update(found[:3], list(truth[:3]))
    scores.update(found[3:], list(truth[3:]))
    return scores.compute()


def test_scores_are_those_of_scikit_learn_and_of_hand() -> None:
    said, truth = made()
    true = truth[:, :-1]
    found = streamed(said, truth)
    spread = np.asarray([2.0, 10.0])
    assert found["mae"] == pytest.approx(mean_absolute_error(true.ravel(), said.forecast.ravel()))
    assert found["rmse"] == pytest.approx(math.sqrt(mean_squared_error(true.ravel(), said.forecast.ravel())))
    assert found["mse_standardised"] == pytest.approx(mean_squared_error((true / spread).ravel(), (said.forecast / spread).ravel()))
    assert found["mae_standardised"] == pytest.approx(mean_absolute_error((true / spread).ravel(), (said.forecast / spread).ravel()))
    assert said.quantiles is not None
    each = [mean_pinball_loss(true.ravel(), said.quantiles[..., at].ravel(), alpha=level) for at, level in enumerate(LEVELS)]
    assert found["crps"] == pytest.approx(2 * np.mean(each))
    total = covered = smape = 0.0
    for row in range(7):
        for step in range(5):
            for column, naive in ((0, 0.5), (1, 4.0)):
                y, f = true[row, step, column], said.forecast[row, step, column]
                total += abs(y - f) / naive
                smape += 200 * abs(y - f) / (abs(y) + abs(f))
                covered += f - 2 <= y <= f + 2
    assert found["mase"] == pytest.approx(total / 70)
    assert found["smape"] == pytest.approx(smape / 70)
    assert found["interval_coverage"] == pytest.approx(covered / 70)
    assert found["scaled_interval_width"] == pytest.approx((4 / 0.5 + 4 / 4.0) / 2)
    assert found["rows"] == 7


def test_crps_of_many_quantiles_is_that_of_the_distribution() -> None:
    """Of a normal distribution in closed form (Gneiting and Raftery 2007, equation 21)."""
    levels = (np.arange(2000) + 0.5) / 2000
    quantiles = stats.norm.ppf(levels, 1.0, 2.0)
    for truth in (-3.0, 0.4, 5.0):
        z = (truth - 1.0) / 2.0
        closed = 2.0 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi))
        found = 2 * forecasts.pinball(quantiles[None], np.asarray([truth]), levels.tolist())[0]
        assert found == pytest.approx(closed, rel=2e-3)


def test_missing_numbers_are_left_out_of_every_score() -> None:
    said, truth = made()
    holes = truth.copy()
    holes[2, 1, 0] = holes[4, :-1, 1] = np.nan
    found = streamed(said, holes)
    known = np.isfinite(holes[:, :-1])
    off = np.abs(said.forecast - truth[:, :-1])
    assert found["mae"] == pytest.approx(off[known].mean())
    assert found["mase"] == pytest.approx((off / [0.5, 4.0])[known].mean())
    assert all(math.isfinite(value) for value in found.values())


def test_weights_count_rows_as_often_as_they_say() -> None:
    said, truth = made()
    statistic = forecasts.statistic(iter([(said.part(slice(0, 4)), truth[:4]), (said.part(slice(4, None)), truth[4:])]), SCALE)
    again = np.repeat(np.arange(7), [2, 0, 1, 3, 1, 0, 1])
    expected = streamed(said.part(again), truth[again])
    found = statistic(np.asarray([2, 0, 1, 3, 1, 0, 1.0]))
    assert found == pytest.approx({name: value for name, value in expected.items() if name != "rows"})
    assert statistic.take(np.arange(3))(np.ones(3)) == pytest.approx(statistic(np.asarray([1, 1, 1, 0, 0, 0, 0.0])))


def test_tables_hold_scores_by_column_step_and_quantile() -> None:
    said, truth = made()
    scores = ForecastScores(SCALE)
    scores.update(plain(said), list(truth))
    tables = {table.name: table for table in scores.tables()}
    off = np.abs(said.forecast - truth[:, :-1])
    by_step, by_column = tables["scores_by_step"], tables["scores_by_column"]
    assert by_step.index == ["1", "2", "3", "4", "5"]
    at = by_column.columns.index("mae")
    assert [row[at] for row in by_column.values] == pytest.approx(off.mean(axis=(0, 1)))
    at = by_step.columns.index("mase")
    assert [row[at] for row in by_step.values] == pytest.approx((off / [0.5, 4.0]).mean(axis=(0, 2)))
    assert said.quantiles is not None
    shares = (truth[:, :-1, :, None] <= said.quantiles).mean(axis=(0, 1, 2))
    assert [row[1] for row in tables["quantiles"].values] == pytest.approx(shares)


def test_seasonal_error_is_the_mean_change_over_a_season() -> None:
    values = np.asarray([[1.0, 0.0], [5.0, 0.0], [2.0, 1.0], [9.0, np.nan]])
    assert forecasts.seasonal_error(values, 2).tolist() == [(1 + 4) / 2, 1.0]
    assert np.isnan(forecasts.seasonal_error(values, 4)).all()


@pytest.mark.parametrize("season", [5, 24, 168])
def test_the_season_is_found_beside_trend_and_noise(season: int) -> None:
    steps = np.arange(40 * season)
    wave = np.random.default_rng(0).normal(0, 1, season)[steps % season]
    noise = np.random.default_rng(1).normal(0, 0.5, len(steps))
    assert forecasts.season_of([(wave + noise + 0.01 * steps)[:, None]]) == season


def test_noise_and_walks_have_no_season() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (2000, 1))
    assert forecasts.season_of([noise]) == 1
    assert forecasts.season_of([np.zeros((100, 1))]) == 1


def test_intervals_reach_as_far_as_validation_asks() -> None:
    """On exchangeable rows a conformal interval holds its share, whatever the quantiles were worth."""
    rng = np.random.default_rng(0)
    task = Forecasting(label=("a",), horizon=2, quantiles=LEVELS, means=(0.0,), spreads=(1.0,), scales={"": (1.0,)}, coverage=0.9)

    def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
        outputs = np.zeros((count, 2, 1, 3), np.float32) + np.asarray([-0.1, 0.0, 0.1], np.float32)  # far too narrow
        truth = np.ones((count, 3, 1))
        truth[:, :2, 0] = rng.normal(0, [1.0, 3.0], (count, 2))
        return outputs, truth

    fitted = task.calibrated(*rows(2000))
    outputs, truth = rows(4000)
    measured = fitted.calibration(outputs, truth)["conformal"]
    assert measured["measured"] == pytest.approx(0.9, abs=0.015)
    ends = fitted.decode(outputs[:1])[0]["interval"]
    assert ends["high"]["a"][1] - ends["low"]["a"][1] == pytest.approx(2 * 1.645 * 3, rel=0.1)
    assert ends["high"]["a"][0] - ends["low"]["a"][0] == pytest.approx(2 * 1.645, rel=0.1)
    assert task.calibrated(*rows(5)).margins == ()
    assert task.decode(outputs[:1])[0]["forecast"] == fitted.decode(outputs[:1])[0]["forecast"]
