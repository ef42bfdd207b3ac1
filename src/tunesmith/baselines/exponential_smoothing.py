"""Exponential smoothing with level, damped trend and season (Holt and Winters; Hyndman et al. 2008, the model ETS(A, Ad, A)).

statsmodels fits the smoothing parameters once for each column of some series, on the last stretch of their training part. With them fixed,
the recursions run over the context of every window, all windows at once: nothing is refitted for an origin, so that thousands of origins
cost seconds and not hours, and nothing learned lies after the first cut. Series that were not drawn take the parameters of all.

    l = a (y - s) + (1 - a) (l + p b),  b = B (l - l') + (1 - B) p b,  s = g (y - l' - p b) + (1 - g) s,  forecast l + (p + ... + p^h) b + s
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._forecasts import Doubles, Windows, pieces, said
from tunesmith.core.errors import DataError, require
from tunesmith.core.outcomes import Baseline, Given, Said

STRETCH = 1000
"""Steps that parameters are fitted on, at most."""

LONGEST = 200
"""Season beyond which fitting takes minutes."""

PARAMETERS = ("smoothing_level", "smoothing_trend", "smoothing_seasonal", "damping_trend")


@final
@dataclass(frozen=True)
class ExponentialSmoothing(Baseline):
    """Exponential smoothing with a damped trend and a season, fitted once for each column."""

    name: ClassVar[str] = "exponential_smoothing"
    answers: ClassVar[tuple[str, ...]] = ("series",)
    needs: ClassVar[tuple[str, ...]] = ("statsmodels.tsa.holtwinters",)
    series: int = field(default=8, metadata={"help": "series whose parameters are fitted, drawn by the seed"})

    def fits(self, given: Given) -> str | None:
        return None

    def said(self, given: Given) -> Said:
        season = given.task["season"]
        first = next(given.rows("train"))
        held = len(first[given.task["label"][0]])
        season = season if 2 <= season <= min(LONGEST, held // 2) else 1
        stretches = self._stretches(given)
        drawn = sorted(stretches)
        if len(drawn) > self.series:
            drawn = sorted(np.random.default_rng(given.seed).choice(drawn, self.series, replace=False).tolist())
        found = {name: np.asarray([_fitted(column, season) for column in stretches[name].T]) for name in drawn}  # (columns, 4)
        common = np.median(list(found.values()), axis=0)
        told = f"parameters fitted once on {len(drawn)} of {len(stretches)} series" + (f", season of {season} steps" if season > 1 else "")

        def smoothed(windows: Windows) -> Doubles:
            parameters = np.stack([found.get(name, common) for name in windows.series])  # (rows, columns, 4)
            return smooth(windows.context, parameters, season, given.task["horizon"])

        return said(given, smoothed, sum(item.size for item in found.values()), told)

    @staticmethod
    def _stretches(given: Given) -> dict[str, Doubles]:
        """The last training window of each series, context and horizon, (steps, columns)."""
        targets, truth = list(given.task["label"]), given.truth["train"]
        found: dict[str, Doubles] = {}
        place = 0
        for part in pieces(given.rows("train"), targets):
            for context, name in zip(part.context, part.series, strict=True):
                ahead = truth[place, :-1].astype(np.float64)
                found[name] = np.concatenate([context, np.where(np.isfinite(ahead), ahead, context[-1])])[-STRETCH:]
                place += 1
        return found


def _fitted(values: npt.NDArray[np.float64], season: int) -> list[float]:
    """Smoothing parameters of level, trend and season, and damping.

    Raises:
        DataError: nothing can be fitted.
    """
    if np.ptp(values) == 0:
        return [0.5, 0.0, 0.0, 0.9]
    models = require("statsmodels.tsa.holtwinters", "the baseline 'exponential_smoothing'")
    centred = (values - values.mean()) / values.std()
    waves = {"seasonal": "add", "seasonal_periods": season} if season > 1 else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it did not converge wholly: what it found is used all the same
            made = models.ExponentialSmoothing(centred, trend="add", damped_trend=True, initialization_method="heuristic", **waves)
            params = made.fit(use_brute=False).params
    except (ValueError, np.linalg.LinAlgError) as error:
        raise DataError(f"no parameters could be fitted: {error}") from error
    return [float(np.nan_to_num(params.get(name, 0.0) or 0.0)) for name in PARAMETERS]


def smooth(context: Doubles, parameters: Doubles, season: int, horizon: int) -> Doubles:
    """(rows, horizon, columns) forecasts by the recursions over each context.

    They begin with level and trend of a line through the first seasons, and with each season's mean distance from it.

    Args:
        context: (rows, steps, columns) without gaps.
        parameters: (rows, columns, 4) smoothing of level, trend, season, and damping.
        season: steps of a season; 1 for none.
        horizon: steps ahead.
    """
    level, trend, seasonal = begin(context, season)
    alpha, beta, gamma, phi = np.moveaxis(parameters, -1, 0)
    states = [seasonal[:, at] for at in range(season)]
    for step in range(context.shape[1]):
        value, wave = context[:, step], states[step % season]
        before = level + phi * trend
        risen = alpha * (value - wave) + (1 - alpha) * before
        if season > 1:
            states[step % season] = gamma * (value - before) + (1 - gamma) * wave
        level, trend = risen, beta * (risen - level) + (1 - beta) * phi * trend
    damped = np.cumsum(phi[:, None] ** np.arange(1, horizon + 1)[None, :, None], axis=1)  # (rows, horizon, columns)
    waves = np.stack([states[(context.shape[1] + step) % season] for step in range(horizon)], axis=1)
    ahead: Doubles = level[:, None] + damped * trend[:, None] + waves
    return ahead


def begin(context: Doubles, season: int) -> tuple[Doubles, Doubles, Doubles]:
    """Level, trend (rows, columns) and season (rows, season, columns) before the first step."""
    rows, steps, columns = context.shape
    if season == 1:
        few = context[:, : min(10, steps)]
        return (*_line(few.mean(axis=1), few), np.zeros((rows, 1, columns)))
    whole = min(steps // season, 5)
    seasons = context[:, : whole * season].reshape(rows, whole, season, columns)
    means = seasons.mean(axis=2)  # (rows, seasons, columns)
    waves = (seasons - means[:, :, None]).mean(axis=1)
    trend = (means[:, -1] - means[:, 0]) / max(1, (whole - 1) * season)
    return means[:, 0] - trend * (season + 1) / 2, trend, waves


def _line(mean: Doubles, values: Doubles) -> tuple[Doubles, Doubles]:
    """Level before the first step, and slope, of a line through values."""
    steps = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    slope = (values * steps[None, :, None]).sum(axis=1) / max(1e-12, float(np.square(steps).sum()))
    return mean - slope * (values.shape[1] + 1) / 2, slope
