"""Any number of labels at once.

    {"text": "late and broken", "label": "delivery|quality"}   or   {"text": ..., "delivery": 1, "quality": 1}
    -> {"labels": ["delivery", "quality"], "probabilities": {"delivery": 0.9, "quality": 0.8, "price": 0.1}}

One label column holds lists (JSON, or parts between `|` or `;`), several label columns hold 0 and 1. The loss is binary cross-entropy
averaged over the labels; a label is predicted from probability 0.5 on, or from a threshold of its own that `recall` or `cost` sets on
validation. One temperature serves all labels, as rare ones have too few rows for their own. An empty list of labels is written as `[]`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Arrays, Floats, log, sigmoid
from tunesmith.core.cells import split_labels
from tunesmith.core.contracts import Backbone, Batch, Metrics, Prediction, Row, Task
from tunesmith.core.errors import DataError, RowError
from tunesmith.evaluate import calibration, post_hoc
from tunesmith.evaluate.metrics import MULTILABEL, MultilabelScores
from tunesmith.evaluate.statistics import MultilabelStatistic
from tunesmith.tasks import _asked
from tunesmith.tasks._pooled import HeadSettings, cell

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model
    from tunesmith.core.outcomes import Truth

TRUE, FALSE = ("1", "true", "yes", "1.0"), ("0", "false", "no", "0.0")


@final
@dataclass(frozen=True)
class Multilabel(Task):
    """Any number of labels at once."""

    name: ClassVar[str] = "multilabel"
    answers: ClassVar[str] = "labels"
    label: tuple[str, ...] = field(default=("label",), metadata={"help": "label column(s)"})
    classes: tuple[str, ...] = field(default=(), metadata={"help": "names of the labels; read from the training rows"})
    threshold: float = field(default=0.5, metadata={"help": "probability from which a label is predicted"})
    dropout: float = field(default=0.1, metadata={"help": "share of features dropped before the head"})
    hidden: int = field(default=0, metadata={"help": "width of a hidden layer in the head; 0 for none"})
    temperature: float = field(default=1.0, metadata={"help": _asked.TEMPERATURE})
    recall: float | None = field(default=None, metadata={"help": f"each label: {_asked.RECALL}"})
    cost: float | None = field(default=None, metadata={"help": f"each label: {_asked.COST}"})
    thresholds: tuple[float, ...] = field(default=(), metadata={"help": "in place of `threshold`, one for each label; fitted"})

    def __post_init__(self) -> None:
        _asked.check(self.recall, self.cost)
        _asked.check_temperature(self.temperature)
        if self.thresholds and len(self.thresholds) != len(self.classes):
            raise ValueError(f"field 'thresholds' holds {len(self.thresholds)} values and field 'classes' {len(self.classes)} names")

    def raw(self, row: Row) -> tuple[str, ...]:
        if len(self.label) == 1:
            return tuple(sorted(set(split_labels(str(cell(row, self.label[0]))))))
        held = []
        for column in self.label:
            value = str(cell(row, column)).strip().lower()
            if value not in TRUE + FALSE:
                raise RowError(f"{value!r} is neither 0 nor 1", column)
            if value in TRUE:
                held.append(column)
        return tuple(sorted(held))

    def fit(self, raws: Sequence[tuple[str, ...]]) -> Multilabel:
        counts = Counter(label for raw in raws for label in raw)
        if not counts:
            raise DataError(f"no training row holds a label in {', '.join(self.label)}")
        classes = self.classes or (self.label if len(self.label) > 1 else tuple(sorted(counts)))
        return dataclasses.replace(self, classes=classes)

    def stratum(self, raw: tuple[str, ...]) -> str:
        return ""  # combinations are too many to keep each in proportion

    def target(self, raw: tuple[str, ...]) -> list[int]:
        unknown = [label for label in raw if label not in self.classes]
        if unknown:
            raise RowError(f"label {unknown[0]!r} does not occur in the training rows", self.label[0])
        return [int(label in raw) for label in self.classes]

    def collate(self, targets: Sequence[list[int]]) -> torch.Tensor:
        import torch

        return torch.tensor(targets, dtype=torch.float32)

    def build(self, backbone: Backbone) -> Model:
        return HeadSettings(self.dropout, self.hidden).build(backbone, len(self.classes))

    def light_head(self, weights: Arrays) -> Callable[[Floats], Floats] | None:
        return HeadSettings(self.dropout, self.hidden).light(weights, len(self.classes))

    def loss(self, model: nn.Module, batch: Batch, phase: str) -> torch.Tensor:
        from torch.nn import functional as F

        logits = model(batch)  # (batch, labels)
        return F.binary_cross_entropy_with_logits(logits.float(), batch["target"], reduction="sum") / len(self.classes)

    def weight(self, batch: Batch, phase: str) -> float:
        return float(len(batch["target"]))

    def _probabilities(self, outputs: Floats) -> npt.NDArray[np.float64]:
        """(rows, labels)."""
        return sigmoid(outputs.astype(np.float64) / self.temperature)

    def _said(self, p: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """(rows, labels)."""
        return p >= (np.asarray(self.thresholds) if self.thresholds else self.threshold)

    def decode(self, outputs: Floats) -> list[Prediction]:
        p = self._probabilities(outputs)
        result = []
        for row, held in zip(p.tolist(), self._said(p), strict=True):
            labels = [self.classes[i] for i in np.flatnonzero(held)]
            result.append({"labels": labels, "probabilities": dict(zip(self.classes, row, strict=True))})
        return result

    def outputs(self, said: Floats) -> Floats:
        return (log(said) - log(1 - said)) * np.float32(self.temperature)

    def statistic(self, outputs: Floats, truth: Truth) -> MultilabelStatistic:
        p = self._probabilities(outputs)
        return MultilabelStatistic(p, self._said(p), np.asarray(truth, bool))

    def calibrated(self, outputs: Floats, truth: Truth) -> Multilabel:
        temperature = post_hoc.temperature(post_hoc.nll_of_labels, outputs, np.asarray(truth, bool))
        p = dataclasses.replace(self, temperature=temperature)._probabilities(outputs)
        thresholds = self.thresholds
        if self.recall is not None:
            found = [post_hoc.threshold_for_recall(own, held, self.recall) for own, held in zip(p.T, truth.T, strict=True)]
            thresholds = tuple(self.threshold if value is None else value for value in found)
        elif self.cost is not None:
            thresholds = tuple(post_hoc.threshold_for_cost(own, held, self.cost) for own, held in zip(p.T, truth.T, strict=True))
        return dataclasses.replace(self, temperature=temperature, thresholds=thresholds)

    def calibration(self, outputs: Floats, truth: Truth, groups: npt.NDArray[Any] | None = None) -> dict[str, Any]:
        truth = np.asarray(truth, bool)
        before, p = sigmoid(outputs.astype(np.float64)), self._probabilities(outputs)
        said = self._said(p)
        right = ((p >= 0.5) == truth).astype(np.float64).ravel()  # a temperature takes no probability across 0.5
        sure = [np.maximum(values, 1 - values).ravel() for values in (before, p)]
        asked = _asked.asked(self.recall, self.cost)
        decisions = zip(self.classes, self.thresholds, said.T, truth.T, strict=True) if self.thresholds else ()
        return {
            **_asked.nothing(),
            "temperature": self.temperature,
            **calibration.trust((sure[0], right), (sure[1], right)),
            "threshold": {label: calibration.decision(value, own, held, asked, groups) for label, value, own, held in decisions} or None,
            "notes": _asked.temperature_note(self.temperature) | {"conformal": "there are no sets for several labels at once"},
        }

    def confidence(self, outputs: Floats) -> npt.NDArray[np.float64]:
        """As if the labels were independent: the product of the probabilities of what is said of each."""
        p = self._probabilities(outputs)
        return np.asarray(np.where(self._said(p), p, 1 - p).prod(axis=1))

    def metrics(self) -> Metrics:
        return MultilabelScores(self.classes)

    def directions(self) -> dict[str, str]:
        return dict(MULTILABEL)

    def baseline(self, raws: Sequence[tuple[str, ...]]) -> Prediction:
        counts = Counter(label for raw in raws for label in raw)
        often = [label for label, count in counts.items() if count >= 0.5 * len(raws)]
        return {"labels": often or [counts.most_common(1)[0][0]]}

    def labels(self) -> list[str]:
        return list(self.classes)

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def shown(self, target: list[int]) -> list[str]:
        return [label for label, held in zip(self.classes, target, strict=True) if held]

    def render(self, row: Row, prediction: Prediction, target: list[int]) -> str:
        return f"{', '.join(prediction['labels']) or 'none'} (it is {', '.join(self.shown(target)) or 'none'})"

    def synthetic(self, n: int, seed: int, sample: Callable[[int, Random], dict[str, Any]]) -> list[dict[str, Any]]:
        rng = Random(seed)
        held = ['["even"]', '["odd"]', '["even", "odd"]']
        return [{**sample(i % 3, rng), "label": held[i % 3]} for i in range(n)]
