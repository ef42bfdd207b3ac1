"""One class out of two or more.

    {"text": "where is my card", "label": "card_lost"}
    -> {"label": "card_lost", "probability": 0.93, "probabilities": {"card_lost": 0.93, "fee_question": 0.02, ...}}

Classes stand in sorted order; with two, the second is the positive one. The loss is cross-entropy; with class weights it is
divided by the sum of the weights of the rows, as in `torch.nn.functional.cross_entropy`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from tunesmith.core.arrays import Arrays, Floats, log, softmax
from tunesmith.core.contracts import Backbone, Batch, Metrics, Prediction, Row, Task
from tunesmith.core.errors import DataError, RowError
from tunesmith.evaluate.metrics import CLASSIFICATION, ClassificationScores
from tunesmith.tasks._pooled import HeadSettings, cell

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model


@final
@dataclass(frozen=True)
class Classification(Task):
    """One class out of two or more: a picture or text has exactly one label."""

    name: ClassVar[str] = "classification"
    label: tuple[str, ...] = field(default=("label",), metadata={"help": "label column"})
    classes: tuple[str, ...] = field(default=(), metadata={"help": "names of the classes; read from the training rows"})
    class_weights: Literal["none", "balanced"] = field(default="none", metadata={"help": "weigh rows by 1 / size of their class"})
    weights: tuple[float, ...] = field(default=(), metadata={"help": "weight of each class; computed where balanced"})
    label_smoothing: float = field(default=0.0, metadata={"help": "share of the target spread over all classes"})
    dropout: float = field(default=0.1, metadata={"help": "share of features dropped before the head"})
    hidden: int = field(default=0, metadata={"help": "width of a hidden layer in the head; 0 for none"})

    def raw(self, row: Row) -> str:
        return str(cell(row, self.label[0])).strip()

    def fit(self, raws: Sequence[str]) -> Classification:
        counts = Counter(raws)
        classes = self.classes or tuple(sorted(counts))
        if len(counts) < 2:
            raise DataError(f"the training rows hold one class only ({next(iter(counts), 'none')!r}); there is nothing to tell apart")
        weights: tuple[float, ...] = ()
        if self.class_weights == "balanced":
            weights = tuple(len(raws) / (len(classes) * max(1, counts[name])) for name in classes)
        return dataclasses.replace(self, classes=classes, weights=weights)

    def stratum(self, raw: str) -> str:
        return raw

    def target(self, raw: str) -> int:
        try:
            return self._position[raw]
        except KeyError:
            raise RowError(f"label {raw!r} does not occur in the training rows", self.label[0]) from None

    @property
    def _position(self) -> dict[str, int]:
        cached: dict[str, int] | None = self.__dict__.get("_positions")
        if cached is None:
            cached = {name: i for i, name in enumerate(self.classes)}
            self.__dict__["_positions"] = cached
        return cached

    def collate(self, targets: Sequence[int]) -> torch.Tensor:
        import torch

        return torch.tensor(targets, dtype=torch.long)

    def build(self, backbone: Backbone) -> Model:
        return HeadSettings(self.dropout, self.hidden).build(backbone, len(self.classes))

    def light_head(self, weights: Arrays) -> Callable[[Floats], Floats] | None:
        return HeadSettings(self.dropout, self.hidden).light(weights, len(self.classes))

    def loss(self, model: nn.Module, batch: Batch, phase: str) -> torch.Tensor:
        from torch.nn import functional as F

        logits = model(batch)  # (batch, classes)
        weights = logits.new_tensor(self.weights).float() if self.weights else None
        return F.cross_entropy(logits.float(), batch["target"], weights, reduction="sum", label_smoothing=self.label_smoothing)

    def weight(self, batch: Batch, phase: str) -> float:
        if not self.weights:
            return float(len(batch["target"]))
        return float(sum(self.weights[i] for i in batch["target"].tolist()))

    def decode(self, outputs: Floats) -> list[Prediction]:
        probabilities = softmax(outputs.astype("float64")).tolist()
        result = []
        for row in probabilities:
            best = max(range(len(row)), key=row.__getitem__)
            result.append(
                {"label": self.classes[best], "probability": row[best], "probabilities": dict(zip(self.classes, row, strict=True))}
            )
        return result

    def outputs(self, said: Floats) -> Floats:
        return log(said)

    def metrics(self) -> Metrics:
        return ClassificationScores(self.classes)

    def directions(self) -> dict[str, str]:
        return dict(CLASSIFICATION)

    def baseline(self, raws: Sequence[str]) -> Prediction:
        return {"label": Counter(raws).most_common(1)[0][0]}

    def labels(self) -> list[str]:
        return list(self.classes)

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def shown(self, target: int) -> str:
        return self.classes[target]

    def render(self, row: Row, prediction: Prediction, target: int) -> str:
        truth = self.classes[target]
        mark = "right" if truth == prediction["label"] else f"wrong, it is {truth}"
        return f"{prediction['label']} ({prediction['probability']:.0%}; {mark})"

    def synthetic(self, n: int, seed: int, sample: Callable[[int, Random], dict[str, Any]]) -> list[dict[str, Any]]:
        rng = Random(seed)
        return [{**sample(i % 3, rng), "label": f"class_{i % 3}"} for i in range(n)]
