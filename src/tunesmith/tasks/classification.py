"""One class out of two or more.

    {"text": "where is my card", "label": "card_lost"}
    -> {"label": "card_lost", "probability": 0.93, "probabilities": {"card_lost": 0.93, "fee_question": 0.02, ...}}

    -> ... "set": ["card_lost", "fee_question"]    once calibrated: holds the truth in `coverage` of all rows (split conformal, LAC:
                                                   Sadinle, Lei and Wasserman 2019), and always the label that is said

Classes stand in sorted order; with two, the second is the positive one, and `recall` or `cost` may set the probability from which on it is
said. Validation rows serve the temperature and the thresholds alike; one number moves each of them, so they hardly disturb each other,
and the coverage is measured on the test split. The loss is cross-entropy; with class weights it is
divided by the sum of the weights of the rows, as in `torch.nn.functional.cross_entropy`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Arrays, Floats, Outputs, log, softmax
from tunesmith.core.contracts import Backbone, Batch, Metrics, Prediction, Row, Task
from tunesmith.core.errors import DataError, RowError
from tunesmith.evaluate import calibration, post_hoc
from tunesmith.evaluate.metrics import CLASSIFICATION, ClassificationScores
from tunesmith.evaluate.statistics import ClassificationStatistic
from tunesmith.tasks import _asked
from tunesmith.tasks._pooled import HeadSettings, cell

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model
    from tunesmith.core.outcomes import Truth


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
    temperature: float = field(default=1.0, metadata={"help": _asked.TEMPERATURE})
    coverage: float = field(default=0.9, metadata={"help": _asked.COVERAGE})
    least: float | None = field(default=None, metadata={"help": "probability from which a class is in the set; fitted on validation"})
    recall: float | None = field(default=None, metadata={"help": f"two classes: {_asked.RECALL}"})
    cost: float | None = field(default=None, metadata={"help": f"two classes: {_asked.COST}"})
    threshold: float | None = field(default=None, metadata={"help": "probability from which the second of two classes is said; fitted"})

    def __post_init__(self) -> None:
        _asked.check(self.recall, self.cost)
        _asked.check_coverage(self.coverage)
        _asked.check_temperature(self.temperature)
        if self.classes and len(self.classes) != 2:
            for name in ("recall", "cost", "threshold"):
                if getattr(self, name) is not None:
                    raise ValueError(f"field '{name}' is for two classes, and field 'classes' holds {len(self.classes)}")

    def raw(self, row: Row) -> str:
        return str(cell(row, self.label[0])).strip()

    def fit(self, raws: Sequence[str]) -> Classification:
        counts = Counter(raws)
        classes = self.classes or tuple(sorted(counts))
        if len(counts) < 2:
            raise DataError(f"the training rows hold one class only ({next(iter(counts), 'none')!r}); there is nothing to tell apart")
        if len(classes) != 2 and (asked := list(_asked.asked(self.recall, self.cost))):
            raise DataError(f"field '{asked[0]}' is for two classes, and the training rows hold {len(classes)}; leave it out")
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

    def score_of(self, outputs: Outputs, prediction: Prediction) -> npt.NDArray[np.float64]:
        scaled = np.asarray(outputs, np.float64) / self.temperature
        said = self._position[prediction["label"]]
        others = np.delete(scaled, said, axis=1)
        top = others.max(axis=1)
        return np.asarray(scaled[:, said] - top - np.log(np.exp(others - top[:, None]).sum(axis=1)))

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

    def _probabilities(self, outputs: Floats) -> npt.NDArray[np.float64]:
        """(rows, classes)."""
        return softmax(outputs.astype(np.float64) / self.temperature)

    def _said(self, p: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """(rows,) class numbers."""
        if self.threshold is not None:
            return (p[:, 1] >= self.threshold).astype(np.int64)
        return np.asarray(p.argmax(axis=1))

    def _sets(self, p: npt.NDArray[np.float64], said: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_] | None:
        """(rows, classes) whether a class is in the set; the class that is said always is, so no set is empty."""
        if self.least is None:
            return None
        return np.asarray((p >= self.least) | (np.arange(p.shape[1]) == said[:, None]))

    def decode(self, outputs: Floats) -> list[Prediction]:
        p = self._probabilities(outputs)
        said = self._said(p)
        sets = self._sets(p, said)
        result: list[Prediction] = []
        for row, best in zip(p.tolist(), said.tolist(), strict=True):
            probabilities = dict(zip(self.classes, row, strict=True))
            result.append({"label": self.classes[best], "probability": row[best], "probabilities": probabilities})
        if sets is not None:
            for prediction, inside in zip(result, sets, strict=True):
                prediction["set"] = [self.classes[i] for i in np.flatnonzero(inside)]
        return result

    def outputs(self, said: Floats) -> Floats:
        return log(said) * np.float32(self.temperature)

    def statistic(self, outputs: Floats, truth: Truth) -> ClassificationStatistic:
        p = self._probabilities(outputs)
        return ClassificationStatistic(p, self._said(p), np.asarray(truth, np.int64))

    def calibrated(self, outputs: Floats, truth: Truth) -> Classification:
        temperature = post_hoc.temperature(post_hoc.nll_of_classes, outputs, truth)
        p = dataclasses.replace(self, temperature=temperature)._probabilities(outputs)
        scores = -p[np.arange(len(p)), truth]
        quantile = post_hoc.conformal_quantile(scores, self.coverage) if self.coverage else None
        threshold = self.threshold
        if self.recall is not None:
            threshold = post_hoc.threshold_for_recall(p[:, 1], truth == 1, self.recall)
        elif self.cost is not None:
            threshold = post_hoc.threshold_for_cost(p[:, 1], truth == 1, self.cost)
        least = None if quantile is None else -quantile
        return dataclasses.replace(self, temperature=temperature, least=least, threshold=threshold)

    def calibration(self, outputs: Floats, truth: Truth, groups: npt.NDArray[Any] | None = None) -> dict[str, Any]:
        before, p, rows = softmax(outputs.astype(np.float64)), self._probabilities(outputs), np.arange(len(truth))
        right = (p.argmax(axis=1) == truth).astype(np.float64)  # a temperature changes no order
        said = self._said(p)
        sets = self._sets(p, said)
        notes = _asked.temperature_note(self.temperature) | _asked.coverage_note(self.coverage, self.least is not None)
        asked = _asked.asked(self.recall, self.cost)
        if asked and self.threshold is None:
            notes["threshold"] = f"not chosen: no validation row is {self.classes[1]!r}"
        conformal = None
        if sets is not None:
            conformal = calibration.coverage("lac", self.coverage, sets[rows, truth], sets.sum(axis=1), groups)
            notes |= _asked.groups_note(groups)
        return {
            **_asked.nothing(),
            "temperature": self.temperature,
            **calibration.trust((before.max(axis=1), right), (p.max(axis=1), right)),
            "conformal": conformal,
            "threshold": None if self.threshold is None else calibration.decision(self.threshold, said == 1, truth == 1, asked, groups),
            "notes": notes,
        }

    def confidence(self, outputs: Floats) -> npt.NDArray[np.float64]:
        p = self._probabilities(outputs)
        return p[np.arange(len(p)), self._said(p)]

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
