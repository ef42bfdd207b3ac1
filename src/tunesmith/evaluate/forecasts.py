"""Scores of forecasts, for several steps ahead and several columns, of which some numbers may be missing.

Every score is a mean over the numbers that came (rows, steps and columns together), so the streamed scores and those of weighted rows
are the same sums. Three scales:

- the user's own: `mae`, `rmse`, `crps`; of several columns in different units they say little;
- standardised, each column by mean and standard deviation of its training part, as papers report ETT, electricity, weather:
  `mse_standardised`, `mae_standardised`;
- scaled by what a seasonal naive forecast of one step is off in the training part of the row's own series (MASE: Hyndman and Koehler
  2006): `mase`, `scaled_crps`, `scaled_interval_width`. These can be averaged over series of any size.

`smape` is 200 |f - y| / (|f| + |y|), in percent, 0 where both are 0 (M3 and M4: Makridakis 1993). `crps` is that of the quantiles: the
mean over their levels of twice the pinball loss (Gneiting and Ranjan 2011, the quantile-weighted form of the CRPS); a forecast without
quantiles has its absolute error.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Prediction, ScoreTable

Floats = npt.NDArray[np.float64]
FORECASTS: Mapping[str, str] = dict.fromkeys(
    ("scaled_crps", "mase", "mse_standardised", "mae_standardised", "crps", "mae", "rmse", "smape", "scaled_interval_width"), "min"
)
INTERVALS = "there are no intervals: they are fitted on validation, and there were too few windows, or none were asked for"
PIECE = 64
"""Rows whose steps are held at once."""

BY_STEP = ("mase", "scaled_crps", "mse_standardised", "mae_standardised", "interval_coverage")
BY_COLUMN = ("mase", "scaled_crps", "mse_standardised", "mae_standardised", "mae", "rmse", "smape", "interval_coverage")


def pinball(quantiles: Floats, truth: Floats, levels: Sequence[float]) -> Floats:
    """Mean over levels of the pinball loss (Koenker and Bassett 1978) of (..., levels) quantiles.

    Example:
        >>> pinball(np.array([[1.0, 3.0]]), np.array([2.0]), [0.1, 0.9]).round(3).tolist()
        [0.1]
    """
    error = truth[..., None] - quantiles
    level = np.asarray(levels)
    loss: Floats = np.maximum(level * error, (level - 1) * error).mean(axis=-1)
    return loss


@final
@dataclass(frozen=True, eq=False)
class Said:
    """What was forecast for rows, on the user's scale.

    Attributes:
        forecast: (rows, horizon, columns).
        quantiles: (rows, horizon, columns, levels); None where there are none.
        low, high: (rows, horizon, columns) ends of the intervals; None where there are none.
    """

    forecast: Floats
    quantiles: Floats | None = None
    low: Floats | None = None
    high: Floats | None = None

    def part(self, places: Any) -> Said:
        """The rows at these places."""
        return Said(*(None if item is None else item[places] for item in (self.forecast, self.quantiles, self.low, self.high)))  # type: ignore[arg-type]


@final
@dataclass(frozen=True)
class Scale:
    """What numbers are measured by.

    Attributes:
        levels: of the quantiles.
        spread: (columns,) standard deviation of the training part.
        columns: their names.
    """

    levels: tuple[float, ...]
    spread: tuple[float, ...]
    columns: tuple[str, ...]


def parts(said: Said, truth: Floats, scale: Scale) -> dict[str, Floats]:
    """What each number adds to each score, (rows, horizon, columns); NaN where it is missing.

    Args:
        said: the forecasts.
        truth: (rows, horizon + 1, columns); last the seasonal naive error of the row's series.
        scale: see there.
    """
    true, naive = truth[:, :-1], truth[:, -1:]
    error = said.forecast - true
    off = np.abs(error)
    spread = np.asarray(scale.spread)
    size = np.abs(said.forecast) + np.abs(true)
    crps = off if said.quantiles is None or not scale.levels else 2 * pinball(said.quantiles, true, scale.levels)
    found = {
        "scaled_crps": crps / naive,
        "mase": off / naive,
        "mse_standardised": np.square(error / spread),
        "mae_standardised": off / spread,
        "crps": crps,
        "mae": off,
        "mse": np.square(error),
        "smape": 200 * np.divide(off, size, out=np.zeros_like(off), where=~(size == 0)),
    }
    if said.low is not None and said.high is not None:
        held = ((said.low <= true) & (true <= said.high)).astype(np.float64)
        found["interval_coverage"] = np.where(np.isfinite(true), held, np.nan)
        found["scaled_interval_width"] = np.where(np.isfinite(true), (said.high - said.low) / naive, np.nan)
    return found


def below(said: Said, truth: Floats) -> Floats:
    """(rows, horizon, columns, levels) whether a number is at most its quantile; NaN where it is missing."""
    assert said.quantiles is not None
    true = truth[:, :-1, :, None]
    return np.where(np.isfinite(true), (true <= said.quantiles).astype(np.float64), np.nan)


def read(predictions: Sequence[Prediction], columns: Sequence[str]) -> Said:
    """Predictions in plain JSON as arrays."""

    def stacked(items: Sequence[Mapping[str, Any]]) -> Floats:
        return np.asarray([[item[column] for column in columns] for item in items], np.float64).transpose(0, 2, 1)

    first = predictions[0]
    quantiles = None
    if first.get("quantiles"):
        quantiles = np.stack([stacked([item["quantiles"][level] for item in predictions]) for level in first["quantiles"]], axis=-1)
    ends = [stacked([item["interval"][end] for item in predictions]) for end in ("low", "high")] if first.get("interval") else [None, None]
    return Said(stacked([item["forecast"] for item in predictions]), quantiles, *ends)


def finished(means: Mapping[str, Any]) -> dict[str, Any]:
    """Scores from means of parts."""
    scores = dict(means)
    scores["rmse"] = np.sqrt(scores.pop("mse"))
    return scores


class ForecastScores:
    """Scores of forecasts, streamed.

    Args:
        scale: what numbers are measured by.
    """

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.rows = 0
        self.totals: dict[str, Floats] = {}
        self.counts: dict[str, Floats] = {}

    def update(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> None:
        """Add predictions (`forecast`, perhaps `quantiles` and `interval`) and (horizon + 1, columns) targets."""
        if not predictions:
            return
        said, truth = read(predictions, self.scale.columns), np.asarray(targets, np.float64)
        self.rows += len(truth)
        for start in range(0, len(truth), PIECE):
            piece, true = said.part(slice(start, start + PIECE)), truth[start : start + PIECE]
            for name, values in parts(piece, true, self.scale).items():
                self._add(name, values)
            if piece.quantiles is not None:
                self._add("below", below(piece, true))

    def _add(self, name: str, values: Floats) -> None:
        known = np.isfinite(values)
        total, count = np.where(known, values, 0).sum(axis=0), known.sum(axis=0).astype(np.float64)  # (horizon, columns, ...)
        self.totals[name] = self.totals.get(name, 0.0) + total
        self.counts[name] = self.counts.get(name, 0.0) + count

    def _means(self, axes: tuple[int, ...] | None) -> dict[str, Floats]:
        """Means over steps, columns or both."""
        with np.errstate(invalid="ignore"):
            return finished(
                {
                    name: np.asarray(total.sum(axis=axes) / self.counts[name].sum(axis=axes))
                    for name, total in self.totals.items()
                    if name != "below"
                }
            )

    def compute(self) -> dict[str, Any]:
        return {**{name: float(value) for name, value in self._means(None).items() if np.isfinite(value)}, "rows": self.rows}

    def notes(self) -> dict[str, str]:
        known = self.compute()
        missing = [name for name in (*FORECASTS, "interval_coverage") if name not in known]
        return {name: INTERVALS if "interval" in name else "every number that was to be forecast is missing" for name in missing}

    def tables(self) -> list[ScoreTable]:
        """Scores by step, by column, and how often the truth lies below each quantile."""
        if not self.rows:
            return []
        by_step, by_column = self._means((1,)), self._means((0,))
        steps = [str(step + 1) for step in range(len(by_step["mae"]))]
        found = [
            _table("scores_by_step", steps, by_step, BY_STEP),
            _table("scores_by_column", list(self.scale.columns), by_column, BY_COLUMN),
        ]
        if "below" in self.totals:
            shares = self.totals["below"].sum(axis=(0, 1)) / self.counts["below"].sum(axis=(0, 1))
            rows = [[level, float(share)] for level, share in zip(self.scale.levels, shares, strict=True)]
            found.append(ScoreTable("quantiles", [f"{level:g}" for level in self.scale.levels], ["wanted", "share of truths below"], rows))
        return found


def _table(name: str, index: list[str], means: Mapping[str, Floats], wanted: Sequence[str]) -> ScoreTable:
    columns = [item for item in wanted if item in means and np.isfinite(means[item]).all()]
    return ScoreTable(
        name, index, columns, np.stack([means[item] for item in columns], axis=1).tolist() if columns else [[] for _ in index]
    )


@final
@dataclass(frozen=True, eq=False)
class ForecastStatistic:
    """Scores of forecasts as a function of row weights.

    Attributes:
        sums: score -> (rows, 2) sum over the numbers of a row, and their count.
    """

    sums: Mapping[str, Floats]
    by_row: ClassVar[str] = "mase"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {"interval_coverage": (0.0, 1.0), "smape": (0.0, 200.0)}
    directions: ClassVar[Mapping[str, str]] = FORECASTS

    @property
    def rows(self) -> int:
        return len(next(iter(self.sums.values())))

    @property
    def work(self) -> int:
        return 2 * len(self.sums) * self.rows

    @functools.cached_property
    def _matrix(self) -> Floats:
        """(rows, scores, 2)."""
        return np.stack(list(self.sums.values()), axis=1)

    def many(self, weights: npt.NDArray[Any], names: Collection[str] | None = None) -> dict[str, Floats]:
        weights = np.asarray(weights, np.float64)
        whole = (weights @ self._matrix.reshape(self.rows, -1)).reshape(len(weights), len(self.sums), 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = whole[..., 0] / whole[..., 1]
        scores = finished(dict(zip(self.sums, means.T, strict=True)))
        return {name: value for name, value in scores.items() if names is None or name in names}

    def __call__(self, weights: npt.NDArray[Any]) -> dict[str, float]:
        found = {name: float(value[0]) for name, value in self.many(np.asarray(weights)[None]).items()}
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def take(self, places: npt.NDArray[Any]) -> ForecastStatistic:
        return ForecastStatistic({name: values[places] for name, values in self.sums.items()})


def statistic(pieces: Iterator[tuple[Said, Floats]], scale: Scale) -> ForecastStatistic:
    """The statistic of rows that come some at a time.

    Args:
        pieces: forecasts, and truth as `parts` takes it.
        scale: what numbers are measured by.
    """
    found: dict[str, list[Floats]] = {}
    for said, truth in pieces:
        for name, values in parts(said, truth, scale).items():
            known = np.isfinite(values)
            sums = np.stack([np.where(known, values, 0).sum(axis=(1, 2)), known.sum(axis=(1, 2))], axis=1)
            found.setdefault(name, []).append(sums)
    return ForecastStatistic({name: np.concatenate(items) for name, items in found.items()})


def seasonal_error(values: Floats, season: int) -> Floats:
    """(columns,) what a seasonal naive forecast is off, on average, one season ahead; NaN where nothing can be compared.

    Args:
        values: (steps, columns) of the training part; NaN where a number is missing.
        season: steps of a season; 1 for the last value.

    Example:
        >>> seasonal_error(np.array([[1.0], [2.0], [4.0]]), 1).tolist()
        [1.5]
    """
    if len(values) <= season:
        return np.full(values.shape[1], np.nan)
    off = np.abs(values[season:] - values[:-season])
    known = np.isfinite(off)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, off, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def season_of(series: Sequence[Floats], longest: int = 400, most: int = 5000, least: float = 0.3) -> int:
    """Steps of a season: the first peak of the autocorrelation that is nearly as high as any; 1 where none reaches `least`.

    Of several series and columns the autocorrelation is averaged. A trend is taken out by a line first.

    Args:
        series: (steps, columns) each.
        longest: season that is looked for.
        most: steps of a series that are looked at, the last ones.
        least: autocorrelation of a season.

    Example:
        >>> season_of([np.sin(np.arange(200) * 2 * np.pi / 24)[:, None]])
        24
    """
    found = [_autocorrelation(values[-most:, at], longest) for values in series[:10] for at in range(values.shape[1]) if len(values) >= 12]
    lags = min((len(item) for item in found), default=0)
    if lags < 4:
        return 1
    mean = np.mean([item[:lags] for item in found], axis=0)
    peaks = np.flatnonzero((mean[1:-1] > mean[:-2]) & (mean[1:-1] >= mean[2:])) + 1
    peaks = peaks[(peaks >= 2) & (mean[peaks] >= least)]
    return int(peaks[mean[peaks] >= 0.9 * mean[peaks].max()][0]) if len(peaks) else 1


def _autocorrelation(values: Floats, longest: int) -> Floats:
    """Of lags 0, 1, ... up to a third of the length; a missing number counts as the line."""
    steps = np.arange(len(values))
    known = np.isfinite(values)
    if known.sum() < 12 or np.ptp(values[known]) == 0:
        return np.zeros(0)
    line = np.polyval(np.polyfit(steps[known], values[known], 1), steps)
    centred = np.where(known, values - line, 0.0)
    size = 1 << (2 * len(values) - 1).bit_length()
    power = np.abs(np.fft.rfft(centred, size)) ** 2
    lags = np.fft.irfft(power, size)[: min(longest, len(values) // 3) + 2]
    # each lag by the numbers it has, as few lag pairs would make long seasons look weak
    pairs = np.maximum(1, len(values) - np.arange(len(lags)))
    found: Floats = lags / pairs / max(1e-300, lags[0] / len(values))
    return found
