"""What comes next in series of numbers, for several steps ahead and several columns, with quantiles.

    a window {"OT": (512,), "HUFL": (512,)}  ->  {"forecast": {"OT": [9.7, 9.4, ...]}, "quantiles": {"0.1": {"OT": [...]}, ...},
                                                  "interval": {"low": {"OT": [...]}, "high": {"OT": [...]}}}

The head gives quantiles (pinball loss) or one number (squared error), and the middle quantile is the forecast. Loss and scores are
divided by what a seasonal naive forecast is off in the training part of each series (the scale of MASE), so that large series do not
outweigh small ones. Quantiles that cross are put in order. The interval widens the outer quantiles so far that it held `coverage` of the
validation numbers, by step and column (conformalized quantile regression: Romano et al. 2019, as a share of their distance); windows
overlap, so this is no guarantee, and what the test windows measured is what counts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Floats
from tunesmith.core.contracts import Backbone, Batch, Metrics, Prediction, Row, Task
from tunesmith.core.errors import BackboneError, DataError, RowError
from tunesmith.core.windows import FUTURE, SERIES, Span
from tunesmith.evaluate import calibration, forecasts, post_hoc
from tunesmith.evaluate.forecasts import FORECASTS, ForecastScores, ForecastStatistic, Said, Scale
from tunesmith.tasks import _asked

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model
    from tunesmith.core.outcomes import Truth

PIECE = 64


@final
@dataclass(frozen=True)
class Forecasting(Task):
    """The next numbers of series, with quantiles."""

    name: ClassVar[str] = "forecasting"
    answers: ClassVar[str] = "series"
    label: tuple[str, ...] = field(default=("label",), metadata={"help": "columns to forecast"})
    horizon: int = field(default=24, metadata={"help": "steps ahead"})
    quantiles: tuple[float, ...] = field(
        default=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), metadata={"help": "levels of the quantiles, rising, with 0.5"}
    )
    loss_name: Literal["quantile", "squared"] = field(
        default="quantile", metadata={"help": "error that is minimised; squared: no quantiles"}
    )
    season: int = field(default=0, metadata={"help": "steps of a season; 0: by the autocorrelation of the training part"})
    every: int = field(default=1, metadata={"help": "steps between two test windows (rolling origins)"})
    dropout: float = field(default=0.0, metadata={"help": "share of features dropped before the head"})
    coverage: float = field(default=0.9, metadata={"help": _asked.COVERAGE})
    means: tuple[float, ...] = field(default=(), metadata={"help": "mean of each column in the training part; computed"})
    spreads: tuple[float, ...] = field(default=(), metadata={"help": "standard deviation of each column there; computed"})
    scales: dict[str, tuple[float, ...]] = field(
        default_factory=dict, metadata={"help": "series -> seasonal naive error of each column in the training part; computed"}
    )
    margins: tuple[tuple[float, ...], ...] = field(
        default=(), metadata={"help": "by step and column: how far intervals reach beyond the outer quantiles; fitted on validation"}
    )

    def __post_init__(self) -> None:
        _asked.check_coverage(self.coverage)
        for name, least in (("horizon", 1), ("every", 1), ("season", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"field '{name}' must be at least {least}")
        rising = all(0 < low < high < 1 for low, high in zip(self.quantiles, self.quantiles[1:], strict=False))
        if self.loss_name == "quantile" and (0.5 not in self.quantiles or not rising):
            raise ValueError("field 'quantiles' holds rising levels between 0 and 1, 0.5 among them")

    @property
    def levels(self) -> tuple[float, ...]:
        """Of the quantiles that are given; empty where the loss is the squared error."""
        return self.quantiles if self.loss_name == "quantile" else ()

    @property
    def _shape(self) -> tuple[int, int, int]:
        """Horizon, columns, outputs of a number."""
        return self.horizon, len(self.label), max(1, len(self.levels))

    @property
    def _scale(self) -> Scale:
        return Scale(self.levels, self.spreads, self.label)

    def ahead(self) -> int:
        return self.horizon

    def stride(self) -> int:
        return self.every

    # Targets

    def raw(self, row: Row) -> Span:
        found = row.get(FUTURE)
        if found is None:
            raise RowError("what comes after the window is not known")
        return Span(str(row.get(SERIES, "")), np.asarray(found, np.float32).reshape(self.horizon, len(self.label)))

    def fit(self, raws: Sequence[Span]) -> Forecasting:
        series = [span.values.astype(np.float64) for span in raws]
        whole = np.concatenate(series)
        known = np.isfinite(whole)
        counts = known.sum(axis=0)
        if empty := [name for name, count in zip(self.label, counts, strict=True) if not count]:
            raise DataError(f"column '{empty[0]}' holds no number in the training part; name other columns with --label")
        means = np.where(known, whole, 0).sum(axis=0) / counts
        spreads = np.sqrt(np.where(known, np.square(whole - means), 0).sum(axis=0) / counts)
        still = [name for at, name in enumerate(self.label) if np.ptp(whole[known[:, at], at]) == 0]
        if still:
            raise DataError(
                f"{len(still)} of {len(self.label)} columns to forecast hold the same number in the whole training part ("
                f"{', '.join(still)}), so there is nothing to forecast there; leave out with --label"
            )
        season = self.season or forecasts.season_of(series)
        errors = [forecasts.seasonal_error(values, season) for values in series]
        common = np.asarray([_mean(column, spread) for column, spread in zip(np.stack(errors, axis=1), spreads, strict=True)])
        scales = {span.series: tuple(np.where(error > 0, error, common).tolist()) for span, error in zip(raws, errors, strict=True)}
        scales[""] = scales[""] if len(scales) == 1 and "" in scales else tuple(common.tolist())
        return dataclasses.replace(self, means=tuple(means.tolist()), spreads=tuple(spreads.tolist()), season=season, scales=scales)

    def stratum(self, raw: Span) -> str:
        return ""

    def target(self, raw: Span) -> Floats:
        """(horizon + 1, columns) what comes, and last the seasonal naive error of its series, or of an average one if it is new."""
        scale = self.scales.get(raw.series) or self.scales[""]
        return np.concatenate([raw.values, np.asarray([scale], np.float32)])

    def collate(self, targets: Sequence[Floats]) -> torch.Tensor:
        """(batch, horizon + 1, columns) on the standardised scale."""
        import torch

        truth = np.stack(targets).astype(np.float64)
        truth[:, :-1] -= self.means
        return torch.from_numpy((truth / self.spreads).astype(np.float32))

    # Learning

    def build(self, backbone: Backbone) -> Model:
        from tunesmith.core.model import Model
        from tunesmith.tasks._forecast_head import PooledForecastHead, WindowHead, passing

        network = backbone.open()
        width, windows = backbone.width(network), backbone.over_time()
        if windows is None:
            return Model(backbone, network, PooledForecastHead(width, self._shape, self.dropout))
        own = backbone.forecasts(network)
        if own is not None and own[0] < self.horizon:
            raise BackboneError(f"this checkpoint forecasts {own[0]} steps; field 'horizon' of the task asks for {self.horizon}")
        mean, spread = (np.asarray(values)[[windows.columns.index(name) for name in self.label]] for values in backbone.measured())
        to = np.stack([spread / self.spreads, (mean - self.means) / self.spreads])
        start = None if own is None else passing(self.horizon, self.levels, *own)
        return Model(backbone, network, WindowHead(width // len(self.label) - 2, self._shape, self.dropout, to, start))

    def loss(self, model: nn.Module, batch: Batch, phase: str) -> torch.Tensor:
        import torch

        said: torch.Tensor = model(batch).float()  # (batch, horizon, columns, levels)
        truth, scale = batch["target"][:, :-1], batch["target"][:, -1:]
        known = torch.isfinite(truth)
        error = (torch.where(known, truth, 0.0)[..., None] - said) / scale[..., None]
        if self.levels:
            level = torch.tensor(self.levels, device=error.device)
            each = 2 * torch.maximum(level * error, (level - 1) * error)
        else:
            each = error.square()
        return (each.mean(dim=-1) * known).sum() / math.prod(self._shape[:2])

    def weight(self, batch: Batch, phase: str) -> float:
        """Windows, each by the share of its numbers that came."""
        truth = batch["target"][:, :-1]
        return float(truth.isfinite().sum()) / math.prod(self._shape[:2])

    # Predictions

    def _said(self, outputs: Floats) -> Said:
        """What outputs, (rows, horizon, columns, levels), say on the user's scale."""
        numbers = np.sort(outputs.astype(np.float64), axis=-1) * np.asarray(self.spreads)[:, None] + np.asarray(self.means)[:, None]
        middle = numbers[..., self.levels.index(0.5)] if self.levels else numbers[..., 0]
        low, high = numbers[..., 0], numbers[..., -1]
        ends: tuple[Any, Any] = (None, None)
        if self.margins:
            reach = np.asarray(self.margins) * self._reach(low, high)
            ends = (np.minimum(low - reach, middle), np.maximum(high + reach, middle))
        return Said(middle, numbers if self.levels else None, *ends)

    def _reach(self, low: npt.NDArray[Any], high: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What a margin is a share of: the distance of the outer quantiles, or the spread of the column where there are none."""
        spread = np.broadcast_to(np.asarray(self.spreads), low.shape)
        return np.maximum(high - low, 1e-6 * spread) if self.levels else spread

    def decode(self, outputs: Floats) -> list[Prediction]:
        said = self._said(outputs)
        found: list[Prediction] = [{"forecast": item} for item in self._columns(said.forecast)]
        if said.quantiles is not None:
            by_level = [self._columns(said.quantiles[..., at]) for at in range(len(self.levels))]
            for place, item in enumerate(found):
                item["quantiles"] = {f"{level:g}": rows[place] for level, rows in zip(self.levels, by_level, strict=True)}
        if said.low is not None and said.high is not None:
            for item, low, high in zip(found, self._columns(said.low), self._columns(said.high), strict=True):
                item["interval"] = {"low": low, "high": high}
        return found

    def _columns(self, values: npt.NDArray[Any]) -> list[dict[str, list[float]]]:
        """(rows, horizon, columns) as a mapping of lists for each row."""
        return [dict(zip(self.label, row, strict=True)) for row in values.transpose(0, 2, 1).tolist()]

    def outputs(self, said: Floats) -> Floats:
        """As the contract, of (rows, horizon, columns) numbers or (rows, horizon, columns, levels) quantiles on the user's scale."""
        numbers = said if said.ndim == 4 else said[..., None].repeat(self._shape[2], axis=-1)
        found: Floats = ((numbers - np.asarray(self.means)[:, None]) / np.asarray(self.spreads)[:, None]).astype(np.float32)
        return found

    # Scores

    def metrics(self) -> Metrics:
        return ForecastScores(self._scale)

    def _pieces(self, outputs: Floats, truth: Truth) -> Iterator[tuple[Said, npt.NDArray[np.float64]]]:
        """Some rows at a time: all steps of all rows in double precision would be large."""
        for start in range(0, len(outputs), PIECE):
            stop = start + PIECE
            yield self._said(np.asarray(outputs[start:stop])), np.asarray(truth[start:stop], np.float64)

    def statistic(self, outputs: Floats, truth: Truth) -> ForecastStatistic:
        return forecasts.statistic(self._pieces(outputs, truth), self._scale)

    def calibrated(self, outputs: Floats, truth: Truth) -> Forecasting:
        if not self.coverage:
            return dataclasses.replace(self, margins=())
        found = []
        for said, true in dataclasses.replace(self, margins=())._pieces(outputs, truth):
            low, high = (said.quantiles[..., 0], said.quantiles[..., -1]) if said.quantiles is not None else (said.forecast, said.forecast)
            found.append(np.maximum(low - true[:, :-1], true[:, :-1] - high) / self._reach(low, high))
        beyond = np.concatenate(found)  # (rows, horizon, columns)
        margins = [
            [
                post_hoc.conformal_quantile(beyond[np.isfinite(beyond[:, step, at]), step, at], self.coverage)
                for at in range(len(self.label))
            ]
            for step in range(self.horizon)
        ]
        if any(margin is None for row in margins for margin in row):
            return dataclasses.replace(self, margins=())
        return dataclasses.replace(self, margins=tuple(tuple(float(margin or 0.0) for margin in row) for row in margins))

    def calibration(self, outputs: Floats, truth: Truth, groups: npt.NDArray[Any] | None = None) -> dict[str, Any]:
        conformal, notes = None, _asked.coverage_note(self.coverage, bool(self.margins))
        if self.margins:
            held, sizes, whose = [], [], []
            for number, (said, true) in enumerate(self._pieces(outputs, truth)):
                assert said.low is not None
                assert said.high is not None
                known = np.isfinite(true[:, :-1])
                held.append(((said.low <= true[:, :-1]) & (true[:, :-1] <= said.high))[known])
                sizes.append(((said.high - said.low) / true[:, -1:])[known])
                rows = np.arange(len(true)) + number * PIECE
                unit = rows if groups is None else groups[rows]
                whose.append(np.broadcast_to(unit[:, None, None], known.shape)[known])
            conformal = calibration.coverage("steps", self.coverage, np.concatenate(held), np.concatenate(sizes), np.concatenate(whose))
            notes |= {
                "conformal": "fitted by step and column; windows overlap and the future may differ, so what was measured is what counts"
            }
        return {**_asked.nothing(), "conformal": conformal, "notes": notes}

    def confidence(self, outputs: Floats) -> None:
        return None  # intervals say it, step by step

    def directions(self) -> dict[str, str]:
        first = "scaled_crps" if self.levels else "mase"
        return {first: "min", **{name: way for name, way in FORECASTS.items() if name not in (first, "scaled_interval_width")}}

    def baseline(self, raws: Sequence[Any]) -> Prediction:
        return {"forecast": {name: [mean] * self.horizon for name, mean in zip(self.label, self.means, strict=True)}}

    # For people

    def labels(self) -> list[str]:
        return []

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def shown(self, target: Floats) -> dict[str, list[float | None]]:
        listed = target[:-1].astype(np.float64)
        return {name: [value if math.isfinite(value) else None for value in listed[:, at].tolist()] for at, name in enumerate(self.label)}

    def render(self, row: Row, prediction: Prediction, target: Floats) -> str:
        said, true = prediction["forecast"], self.shown(target)
        return "; ".join(f"{name} {said[name][0]:.4g} ... {said[name][-1]:.4g} ({_came(true[name])})" for name in self.label)

    def synthetic(self, n: int, seed: int, sample: Callable[[int, Random], dict[str, Any]]) -> list[dict[str, Any]]:
        rng = Random(seed)
        return [
            {**sample(i % 3, rng), FUTURE: [[10.0 * (i % 3) + rng.random() for _ in self.label] for _ in range(self.horizon)]}
            for i in range(n)
        ]


def _mean(values: npt.NDArray[Any], otherwise: float) -> float:
    """Mean of what is known and above 0."""
    known = values[np.isfinite(values) & (values > 0)]
    return float(known.mean()) if len(known) else float(otherwise)


def _came(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"it was {known[0]:.4g} ... {known[-1]:.4g}" if known else "it is missing"
