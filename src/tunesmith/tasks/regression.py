"""A number.

    {"text": "three rooms, garden", "label": "245000"}  ->  {"value": 251300.0}

The head learns the number minus the training rows' mean, divided by their standard deviation; the loss is the squared error on that
scale (or Huber's), and predictions and scores are on the user's own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from tunesmith.core.arrays import Arrays, Floats
from tunesmith.core.contracts import Backbone, Batch, Metrics, Prediction, Row, Task
from tunesmith.core.errors import DataError, RowError
from tunesmith.evaluate.metrics import REGRESSION, RegressionScores
from tunesmith.tasks._pooled import HeadSettings, cell

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model


@final
@dataclass(frozen=True)
class Regression(Task):
    """A number for each picture or text."""

    name: ClassVar[str] = "regression"
    label: tuple[str, ...] = field(default=("label",), metadata={"help": "column with the number to predict"})
    mean: float = field(default=0.0, metadata={"help": "mean of the training rows; computed"})
    spread: float = field(default=1.0, metadata={"help": "standard deviation of the training rows; computed"})
    loss_name: Literal["squared", "huber"] = field(default="squared", metadata={"help": "error that is minimised"})
    dropout: float = field(default=0.0, metadata={"help": "share of features dropped before the head"})
    hidden: int = field(default=0, metadata={"help": "width of a hidden layer in the head; 0 for none"})

    def raw(self, row: Row) -> float:
        value = cell(row, self.label[0])
        try:
            number = float(value)
        except ValueError:
            raise RowError(f"{value!r} is not a number", self.label[0]) from None
        if not math.isfinite(number):
            raise RowError(f"{value!r} is not a finite number", self.label[0])
        return number

    def fit(self, raws: Sequence[float]) -> Regression:
        mean = math.fsum(raws) / len(raws)
        spread = math.sqrt(math.fsum((raw - mean) ** 2 for raw in raws) / len(raws))
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

        return (torch.tensor(targets, dtype=torch.float64) - self.mean).div(self.spread).float()

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

    def decode(self, outputs: Floats) -> list[Prediction]:
        return [{"value": value * self.spread + self.mean} for value in outputs[:, 0].tolist()]

    def outputs(self, said: Floats) -> Floats:
        return ((said - self.mean) / self.spread).astype("float32")

    def metrics(self) -> Metrics:
        return RegressionScores()

    def directions(self) -> dict[str, str]:
        return dict(REGRESSION)

    def baseline(self, raws: Sequence[float]) -> Prediction:
        return {"value": math.fsum(raws) / len(raws)}

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
