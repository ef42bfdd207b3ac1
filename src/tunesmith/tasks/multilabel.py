"""Any number of labels at once.

    {"text": "late and broken", "label": "delivery|quality"}   or   {"text": ..., "delivery": 1, "quality": 1}
    -> {"labels": ["delivery", "quality"], "probabilities": {"delivery": 0.9, "quality": 0.8, "price": 0.1}}

One label column holds lists (JSON, or parts between `|` or `;`), several label columns hold 0 and 1. The loss is binary cross-entropy
averaged over the labels; a label is predicted from probability 0.5 on. An empty list of labels is written as `[]`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, final

from tunesmith.core.arrays import Arrays, Floats, log, sigmoid
from tunesmith.core.cells import split_labels
from tunesmith.core.contracts import Backbone, Batch, Metrics, Prediction, Row, Task
from tunesmith.core.errors import DataError, RowError
from tunesmith.evaluate.metrics import MULTILABEL, MultilabelScores
from tunesmith.tasks._pooled import HeadSettings, cell

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model

TRUE, FALSE = ("1", "true", "yes", "1.0"), ("0", "false", "no", "0.0")


@final
@dataclass(frozen=True)
class Multilabel(Task):
    """Any number of labels at once."""

    name: ClassVar[str] = "multilabel"
    label: tuple[str, ...] = field(default=("label",), metadata={"help": "label column(s)"})
    classes: tuple[str, ...] = field(default=(), metadata={"help": "names of the labels; read from the training rows"})
    threshold: float = field(default=0.5, metadata={"help": "probability from which a label is predicted"})
    dropout: float = field(default=0.1, metadata={"help": "share of features dropped before the head"})
    hidden: int = field(default=0, metadata={"help": "width of a hidden layer in the head; 0 for none"})

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

    def decode(self, outputs: Floats) -> list[Prediction]:
        result = []
        for row in sigmoid(outputs.astype("float64")).tolist():
            probabilities = dict(zip(self.classes, row, strict=True))
            result.append({"labels": [c for c, p in probabilities.items() if p >= self.threshold], "probabilities": probabilities})
        return result

    def outputs(self, said: Floats) -> Floats:
        return log(said) - log(1 - said)

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
