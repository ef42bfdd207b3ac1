"""A number.

    {"text": "three rooms, garden", "label": "245000"}  ->  {"value": 251300.0}
    ... {"value": 251300.0, "interval": [214000.0, 288600.0]}    once calibrated: holds the truth in `coverage` of all rows (split conformal
                                                                 prediction on absolute errors: Lei et al. 2018)

The head learns the number minus the training rows' mean, divided by their standard deviation; the loss is the squared error on that
scale (or Huber's), and predictions and scores are on the user's own. On the scale `log` all of that is done with logarithms, so that an
error counts by its ratio (prices, incomes, counts): a prediction is then never negative, and its interval reaches as many times up as down.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Arrays, Floats
from tunesmith.core.contracts import Backbone, Batch, Metrics, Prediction, Row, Task
from tunesmith.core.errors import DataError, RowError
from tunesmith.evaluate import calibration, post_hoc
from tunesmith.evaluate.metrics import LOG_REGRESSION, REGRESSION, RegressionScores, around
from tunesmith.evaluate.statistics import RegressionStatistic
from tunesmith.tasks import _asked
from tunesmith.tasks._pooled import HeadSettings, cell

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model
    from tunesmith.core.outcomes import Truth

HIGHEST = 700.0
"""Logarithm of about the largest number there is."""


@final
@dataclass(frozen=True)
class Regression(Task):
    """A number for each picture or text."""

    name: ClassVar[str] = "regression"
    answers: ClassVar[str] = "numbers"
    label: tuple[str, ...] = field(default=("label",), metadata={"help": "column with the number to predict"})
    scale: Literal["linear", "log"] = field(default="linear", metadata={"help": "linear, or log: numbers above 0 whose ratios matter"})
    mean: float = field(default=0.0, metadata={"help": "mean of the training rows; computed"})
    spread: float = field(default=1.0, metadata={"help": "standard deviation of the training rows; computed"})
    loss_name: Literal["squared", "huber"] = field(default="squared", metadata={"help": "error that is minimised"})
    dropout: float = field(default=0.0, metadata={"help": "share of features dropped before the head"})
    hidden: int = field(default=0, metadata={"help": "width of a hidden layer in the head; 0 for none"})
    coverage: float = field(default=0.9, metadata={"help": _asked.COVERAGE})
    margin: float | None = field(
        default=None, metadata={"help": "half the width of the interval around a number (of its logarithm); fitted on validation"}
    )

    def __post_init__(self) -> None:
        _asked.check_coverage(self.coverage)
        if self.margin is not None and not 0 <= self.margin < math.inf:
            raise ValueError(f"field 'margin' must not be negative, nor infinite; it is {self.margin:g}")

    def raw(self, row: Row) -> float:
        value = cell(row, self.label[0])
        try:
            number = float(value)
        except ValueError:
            raise RowError(f"{value!r} is not a number", self.label[0]) from None
        if not math.isfinite(number):
            raise RowError(f"{value!r} is not a finite number", self.label[0])
        if self.scale == "log" and number <= 0:
            raise RowError(f"{value!r} has no logarithm, as it is not above 0 (--set task.scale=linear reads it)", self.label[0])
        return number

    def fit(self, raws: Sequence[float]) -> Regression:
        scaled = self.taught(np.asarray(raws, np.float64)).tolist()
        mean = math.fsum(scaled) / len(scaled)
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in scaled) / len(scaled))
        if min(raws) == max(raws):  # their mean may differ from them in the last digit
            raise DataError(
                f"column '{self.label[0]}' holds the same number ({raws[0]:g}) in every training row; there is nothing to predict"
            )
        return dataclasses.replace(self, mean=mean, spread=spread)

    def stratum(self, raw: float) -> str:
        return ""

    def target(self, raw: float) -> float:
        return raw

    def collate(self, targets: Sequence[float]) -> torch.Tensor:
        import torch

        numbers = torch.tensor(targets, dtype=torch.float64)
        return ((numbers.log() if self.scale == "log" else numbers) - self.mean).div(self.spread).float()

    def build(self, backbone: Backbone) -> Model:
        return HeadSettings(self.dropout, self.hidden).build(backbone, 1)

    def light_head(self, weights: Arrays) -> Callable[[Floats], Floats] | None:
        return HeadSettings(self.dropout, self.hidden).light(weights, 1)

    def loss(self, model: nn.Module, batch: Batch, phase: str) -> torch.Tensor:
        from torch.nn import functional as F

        said = model(batch).float().squeeze(-1)  # (batch,)
        if self.loss_name == "huber":
            return F.huber_loss(said, batch["target"], reduction="sum")
        return F.mse_loss(said, batch["target"], reduction="sum")

    def weight(self, batch: Batch, phase: str) -> float:
        return float(len(batch["target"]))

    def _values(self, outputs: Floats) -> npt.NDArray[np.float64]:
        """(rows,) numbers on the user's scale."""
        values: npt.NDArray[np.float64] = self.meant(outputs[:, 0].astype(np.float64) * self.spread + self.mean)
        return values

    def taught(self, truth: Truth) -> Truth:
        return np.log(truth) if self.scale == "log" else truth

    def meant(self, said: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.exp(np.clip(said, -HIGHEST, HIGHEST)) if self.scale == "log" else said

    def decode(self, outputs: Floats) -> list[Prediction]:
        values = self._values(outputs)
        if self.margin is None:
            return [{"value": value} for value in values.tolist()]
        low, high = around(values, self.margin, self.scale == "log")
        return [{"value": v, "interval": [one, other]} for v, one, other in zip(values.tolist(), low.tolist(), high.tolist(), strict=True)]

    def score_of(self, outputs: Floats, prediction: Prediction) -> npt.NDArray[np.float64]:
        return self._values(outputs)

    def outputs(self, said: Floats) -> Floats:
        return ((self.taught(said) - self.mean) / self.spread).astype("float32")

    def statistic(self, outputs: Floats, truth: Truth) -> RegressionStatistic:
        return RegressionStatistic(self._values(outputs), np.asarray(truth, np.float64), self.margin, self.scale == "log")

    def _errors(self, outputs: Floats, truth: Truth) -> npt.NDArray[np.float64]:
        """(rows,) distances on the scale that is learned."""
        errors: npt.NDArray[np.float64] = np.abs(self.taught(self._values(outputs)) - self.taught(np.asarray(truth, np.float64)))
        return errors

    def calibrated(self, outputs: Floats, truth: Truth) -> Regression:
        errors = self._errors(outputs, truth)
        return dataclasses.replace(self, margin=post_hoc.conformal_quantile(errors, self.coverage) if self.coverage else None)

    def calibration(self, outputs: Floats, truth: Truth, groups: npt.NDArray[Any] | None = None) -> dict[str, Any]:
        values = self._values(outputs)
        conformal, notes = None, _asked.coverage_note(self.coverage, self.margin is not None)
        if self.margin is not None:
            low, high = around(values, self.margin, self.scale == "log")
            conformal = calibration.coverage("absolute", self.coverage, self._errors(outputs, truth) <= self.margin, high - low, groups)
            notes |= _asked.groups_note(groups)
        return {**_asked.nothing(), "conformal": conformal, "notes": notes}

    def confidence(self, outputs: Floats) -> None:
        return None  # its intervals are equally wide everywhere

    def metrics(self) -> Metrics:
        return RegressionScores(self.scale == "log")

    def directions(self) -> dict[str, str]:
        return {**LOG_REGRESSION, **REGRESSION} if self.scale == "log" else dict(REGRESSION)

    def baseline(self, raws: Sequence[float]) -> Prediction:
        mean = math.fsum(self.taught(np.asarray(raws, np.float64)).tolist()) / len(raws)
        return {"value": float(self.meant(np.asarray(mean)))}

    def labels(self) -> list[str]:
        return []

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def shown(self, target: float) -> float:
        return target

    def render(self, row: Row, prediction: Prediction, target: float) -> str:
        return f"{prediction['value']:.4g} (it is {target:.4g})"

    def synthetic(self, n: int, seed: int, sample: Callable[[int, Random], dict[str, Any]]) -> list[dict[str, Any]]:
        rng = Random(seed)
        return [{**sample(i % 3, rng), "label": f"{10.0 * (i % 3) + rng.random()}"} for i in range(n)]
