"""Masked cells: a network for tables learns from rows without labels, by telling hidden cells from the others.

    {"age": "39", "job": "clerk", "pay": "2100"}  ->  hide some cells  ->  their values

In training a share of the cells of each row is hidden; numbers are told by squared error of their place between the least and the greatest
one, categories by cross-entropy. What is learned serves a later run: `--backbone RUN/bundle/backbone`.

A prediction hides each column in turn and says how surprising the row is, and each of its cells:

    -> {"surprise": 1.3, "alone": 2.1, "cells": {"age": 0.4, "job": 2.9, "pay": 0.6}}

`alone` is what it would be for somebody who does not see the other cells. The score is `explained`, 1 - surprise / alone over all rows: 0
where cells tell nothing of each other, 1 where they tell everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Backbone, Batch, Cells, Metrics, Prediction, Row, ScoreTable, Task
from tunesmith.core.errors import BackboneError
from tunesmith.tasks._pooled import shown_input

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.arrays import Floats
    from tunesmith.core.model import Model
    from tunesmith.core.outcomes import Truth

SCORES: Mapping[str, str] = {"explained": "max", "surprise": "min"}


@final
@dataclass(frozen=True)
class MaskedCells(Task):
    """Hidden cells of a table are told from the others; needs no labels, and leaves a network for later runs."""

    name: ClassVar[str] = "masked_cells"
    answers: ClassVar[str] = "cells"
    needs: ClassVar[tuple[str, ...]] = ("tabular",)
    reads: ClassVar[str] = "tokens"
    labelled: ClassVar[bool] = False
    label: tuple[str, ...] = field(default=(), metadata={"help": "columns that are kept out; their values are not read"})
    columns: tuple[str, ...] = field(default=(), metadata={"help": "columns of the table; read from the backbone"})
    share: float = field(default=0.3, metadata={"help": "share of the cells of a row that are hidden in training"})

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"field 'share' is a share of the cells above 0 and below 1, not {self.share:g}")

    def meet(self, backbone: Backbone) -> tuple[Task, Backbone]:
        return dataclasses.replace(self, columns=tuple(backbone.columns)), backbone

    # No label is read

    def raw(self, row: Row) -> str:
        return ""

    def fit(self, raws: Sequence[str]) -> MaskedCells:
        return self

    def stratum(self, raw: str) -> str:
        return ""

    def target(self, raw: str) -> int:
        return 0

    def collate(self, targets: Sequence[int]) -> torch.Tensor:
        import torch

        return torch.zeros(len(targets))

    def labels(self) -> list[str]:
        return []

    def shown(self, target: Any) -> str:
        return ""

    # The model

    def build(self, backbone: Backbone) -> Model:
        from tunesmith.core.model import Model
        from tunesmith.tasks._cells_head import CellsHead

        network = backbone.open()
        return Model(backbone, network, CellsHead(backbone.width(network), _cells(backbone)))

    def loss(self, model: nn.Module, batch: Batch, phase: str) -> torch.Tensor:
        import torch

        from tunesmith.tasks._cells_head import hidden

        whole: Any = model
        head, inputs = whole.head, batch["inputs"]
        cells = _cells(whole.backbone)
        rows, width = len(inputs["codes"]), len(cells.columns)
        device = inputs["codes"].device
        if whole.training:
            where = torch.rand(rows, width, device=device) < self.share
            where[torch.arange(rows, device=device), torch.randint(width, (rows,), device=device)] = True
            head.measure(inputs)
        else:  # by what the row holds, so that a row's loss is the same in every batch
            key = inputs["codes"].sum(dim=1) + (inputs["numbers"] > 0).sum(dim=(1, 2))
            where = (key[:, None] + torch.arange(width, device=device)) % min(width, round(1 / self.share)) == 0
        said = head(whole.features({**batch, "inputs": hidden(inputs, cells, where)}))
        found, there = head.losses(said, inputs)
        asked = where[:, [*cells.numbers, *cells.categories]] & there
        each: torch.Tensor = (found * asked).sum(dim=1) / asked.sum(dim=1).clamp_min(1)
        return each.sum()

    def weight(self, batch: Batch, phase: str) -> float:
        return float(len(batch["target"]))

    def predict(self, model: Model, batch: Batch) -> Floats:
        """(rows, 2, columns): losses of each column where it is hidden, and of who does not see the others; NaN where it is missing."""
        import torch

        from tunesmith.tasks._cells_head import hidden

        head: Any = model.head
        inputs, cells = batch["inputs"], _cells(model.backbone)
        owner = torch.tensor([*cells.numbers, *cells.categories], device=inputs["codes"].device)
        parts = []
        for column in range(len(cells.columns)):
            where = torch.zeros(len(inputs["codes"]), len(cells.columns), dtype=torch.bool, device=owner.device)
            where[:, column] = True
            said = head(model.features({**batch, "inputs": hidden(inputs, cells, where)}))
            mine = owner == column
            for outputs in (said, head.alone(said)):
                found, there = (part[:, mine] for part in head.losses(outputs, inputs))
                parts.append(torch.where(there.any(dim=1), (found * there).sum(dim=1) / there.sum(dim=1).clamp_min(1), torch.nan))
        result: Floats = torch.stack(parts, dim=1).view(len(inputs["codes"]), len(cells.columns), 2).transpose(1, 2).float().cpu().numpy()
        return result

    def decode(self, outputs: Floats) -> list[Prediction]:
        told, alone = _means(outputs)
        return [
            {
                "surprise": one,
                "alone": other,
                "cells": {column: None if np.isnan(value) else value for column, value in zip(self.columns, row, strict=True)},
            }
            for one, other, row in zip(told.tolist(), alone.tolist(), outputs[:, 0].tolist(), strict=True)
        ]

    # Scores

    def metrics(self) -> Metrics:
        return _Scores()

    def statistic(self, outputs: Floats, truth: Truth) -> _Statistic:
        return _Statistic(*_means(outputs))

    def directions(self) -> dict[str, str]:
        return dict(SCORES)

    def baseline(self, raws: Sequence[str]) -> Prediction:
        return {"surprise": 1.0, "alone": 1.0}

    def calibrated(self, outputs: Floats, truth: Truth) -> Task:
        return self

    def calibration(self, outputs: Floats, truth: Truth, groups: npt.NDArray[Any] | None = None) -> dict[str, Any] | None:
        return None

    def confidence(self, outputs: Floats) -> None:
        return None

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def render(self, row: Row, prediction: Prediction, target: Any) -> str:
        return f"{shown_input(row, self.columns)} -> surprise {prediction['surprise']:.3g}"

    def synthetic(self, n: int, seed: int, sample: Callable[[int, Random], dict[str, Any]]) -> list[dict[str, Any]]:
        rng = Random(seed)
        return [sample(i % 3, rng) for i in range(n)]


def _cells(backbone: Backbone) -> Cells:
    found = backbone.cells()
    if found is None:
        raise BackboneError(
            f"task 'masked_cells' hides cells of a table anew in each step, which a {backbone.name} backbone does not let it; use "
            "--modality tabular with an adapter that trains the network, such as --adapter full"
        )
    return found


def _means(outputs: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(rows,) means of both losses over the cells that are there; every row has one."""
    values = np.nanmean(np.asarray(outputs, np.float64), axis=2)
    return values[:, 0], values[:, 1]


class _Scores:
    """Sums over rows."""

    def __init__(self) -> None:
        self.rows, self.told, self.alone = 0, 0.0, 0.0

    def update(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> None:
        for prediction in predictions:
            self.rows += 1
            self.told += prediction["surprise"]
            self.alone += prediction["alone"]

    def compute(self) -> dict[str, Any]:
        found: dict[str, Any] = {"rows": self.rows}
        if self.rows:
            found = {"explained": 1 - self.told / self.alone, "surprise": self.told / self.rows, **found}
        return found

    def notes(self) -> dict[str, str]:
        return {}

    def tables(self) -> list[ScoreTable]:
        return []


@dataclass(frozen=True, eq=False)
class _Statistic:
    """The scores as functions of row weights."""

    told: npt.NDArray[np.float64]
    alone: npt.NDArray[np.float64]
    by_row: ClassVar[str] = "surprise"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    directions: ClassVar[Mapping[str, str]] = SCORES

    @property
    def rows(self) -> int:
        return len(self.told)

    @property
    def work(self) -> int:
        return 2 * self.rows

    def __call__(self, weights: npt.NDArray[Any]) -> dict[str, float]:
        return {name: float(value[0]) for name, value in self.many(weights[None]).items()}

    def many(self, weights: npt.NDArray[Any], names: Collection[str] | None = None) -> dict[str, npt.NDArray[np.float64]]:
        told, alone, total = weights @ self.told, weights @ self.alone, weights.sum(axis=1)
        scores = {"explained": 1 - told / alone, "surprise": told / total}
        return {name: np.asarray(value) for name, value in scores.items() if names is None or name in names}

    def take(self, places: npt.NDArray[Any]) -> _Statistic:
        return _Statistic(self.told[places], self.alone[places])
