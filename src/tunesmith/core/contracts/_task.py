"""What is learned, and the scores that say how well."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tunesmith.core.contracts._backbone import Backbone
from tunesmith.core.contracts._plain import Batch, Prediction, Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.core.arrays import Arrays, Floats, Outputs
    from tunesmith.core.model import Model
    from tunesmith.core.outcomes import Statistic, Truth


@dataclass(frozen=True)
class ScoreTable:
    """Scores that are more than one number: per class, a confusion matrix.

    Attributes:
        name: in snake_case; becomes the file's name.
        index: names of the rows.
        columns: names of the columns.
        values: one list of numbers for each row.
        matrix: whether it is drawn as a matrix of truth (rows) against prediction (columns).
        counts: whether all its numbers are counts.
    """

    name: str
    index: list[str]
    columns: list[str]
    values: list[list[float]]
    matrix: bool = False
    counts: bool = False


class Metrics(Protocol):
    """Scores that are updated batch by batch in constant memory."""

    def tables(self) -> list[ScoreTable]:
        """Scores that are more than one number."""

    def update(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> None:
        """Take in one batch."""

    def compute(self) -> dict[str, Any]:
        """The scores so far, with the field's snake_case names, and `rows`; one that cannot be computed is left out, never NaN."""

    def notes(self) -> dict[str, str]:
        """Why a score is not in `compute`, by its name."""


class Task(ABC):
    """What is learned: head, loss, decoding of outputs into predictions, metrics.

    Attributes:
        answers: what a prediction is: `classes` (one of several), `labels` (any of several), `numbers`, `text`, `series` ...; it tells
            baselines and inspections whether they are made for it.
        needs: traits without which a backbone does not serve it; the first of them is the modality that is taken where none was named.
        labelled: whether rows carry a label of their own; False where it is made of the inputs.
        divides: whether the loss of a batch is that of its pieces together, so that it may be computed in pieces; False where rows are
            held against each other, as in contrastive learning.
        reads: the field of `Features` that the head reads, or `decoder` where it runs the network's own; only `pooled` is remembered by
            itself.
    """

    name: ClassVar[str]
    answers: ClassVar[str] = "classes"
    needs: ClassVar[tuple[str, ...]] = ()
    labelled: ClassVar[bool] = True
    divides: ClassVar[bool] = True
    reads: ClassVar[str] = "pooled"
    phases: ClassVar[tuple[str, ...]] = ("main",)

    def ahead(self) -> int:
        """How many steps ahead it looks, where rows are time points; 0 where a row is an example by itself."""
        return 0

    def stride(self) -> int:
        """How many steps lie between two windows that are scored."""
        return 1

    def meet(self, backbone: Backbone) -> tuple[Task, Backbone]:
        """Both as they go together, before anything is read: a task that knows what the checkpoint brings (an alphabet), a backbone that
        reads rows as the task needs them (whole).

        Raises:
            BackboneError: they do not go together.
        """
        return self, backbone

    def check(self, row: Row, backbone: Backbone) -> str | None:
        """Hold a row's label against its input.

        Returns:
            A remark about a usable row that is worth counting, or None.

        Raises:
            RowError: they cannot belong together (a transcript that is too long for its recording).
        """
        return None

    @abstractmethod
    def raw(self, row: Row) -> Any:
        """The row's label as its owner wrote it, hashable: a name, a tuple of names, a number.

        Raises:
            RowError: the label is missing or cannot be read.
        """

    @abstractmethod
    def fit(self, raws: Sequence[Any]) -> Task:
        """A copy that knows what only the training rows can tell (classes, mean and spread of a number).

        Args:
            raws: what `raw` gave for the training rows.

        Raises:
            DataError: nothing can be learned from these labels.
        """

    @abstractmethod
    def stratum(self, raw: Any) -> str:
        """What a stratified split keeps in proportion; equal for all rows where nothing is."""

    @abstractmethod
    def target(self, raw: Any) -> Any:
        """A raw label as the loss and the metrics use it (class number, 0/1 list, number).

        Raises:
            RowError: a label that the training rows do not have.
        """

    @abstractmethod
    def collate(self, targets: Sequence[Any]) -> torch.Tensor | dict[str, torch.Tensor]:
        """Targets as tensors."""

    @abstractmethod
    def build(self, backbone: Backbone) -> Model:
        """Backbone and head as one module."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch, phase: str) -> torch.Tensor:
        """The loss of a batch, **summed**: the loop divides by the `weight` of all pieces of a batch together."""

    @abstractmethod
    def weight(self, batch: Batch, phase: str) -> float:
        """What a summed loss is divided by: rows, tokens, or the sum of class weights. Needs no forward pass."""

    def predict(self, model: Model, batch: Batch) -> Outputs:
        """Outputs of the model for a collated batch, out of torch: what `decode` takes.

        A task overrides it where an output is more than one pass gives (a text that is generated), or is much smaller than what the
        network gives (the best path of a transcript, the boxes that are kept).
        """
        return self.one_pass(model, batch)

    def one_pass(self, model: Model, batch: Batch) -> Outputs:
        """What one pass of the model gives for a batch before anything is decided, out of torch: checks compare it within a tolerance,
        where a best path or a generated text would be the same or not."""
        found: Floats = model(batch).float().cpu().numpy()
        return found

    def example(self) -> Prediction | None:
        """A prediction with nothing left empty, where lists of a prediction may be; it tells a file of predictions what they hold."""
        return None

    @abstractmethod
    def decode(self, outputs: Outputs) -> list[Prediction]:
        """Outputs of `predict`, for any number of rows, as predictions in plain JSON."""

    def score_of(self, outputs: Outputs, prediction: Prediction) -> npt.NDArray[np.float64] | None:
        """(rows,) how much each row's outputs speak for this prediction; None where one number cannot say.

        Of a class its log-odds, of a number the number: what the effects of columns add up to.
        """
        return None

    def truth(self, targets: Sequence[Any]) -> Truth:
        """Targets of rows as one array, (rows, ...), as `Outcome` holds them."""
        import numpy as np

        return np.asarray(targets)

    def light_head(self, weights: Arrays) -> Callable[[Floats], Floats] | None:
        """The head that `build` makes, with its saved weights, in numpy alone.

        Returns:
            `Features.pooled`, (rows, width) -> outputs, (rows, ...); None where the head reads other features.
        """
        return None

    def outputs(self, said: Floats) -> Floats:
        """The inverse of `decode`, for what did not come from a model.

        Args:
            said: (rows, classes) probabilities that sum to 1, (rows, labels) probabilities, or (rows, 1) numbers on the user's scale.

        Returns:
            (rows, outputs) that decode to these.

        A task that `baselines.tried` asks no cheap way for (see `answers`) need not know it.
        """
        raise NotImplementedError(f"no cheap way gives {self.answers}")

    def taught(self, truth: Truth) -> Truth:
        """Targets as cheap ways learn them, where that is another scale than the user's (logarithms); what they then say is `meant`."""
        return truth

    def meant(self, said: Floats) -> Floats:
        """What a cheap way says that learned what `taught` gave, on the user's scale."""
        return said

    @abstractmethod
    def metrics(self) -> Metrics:
        """Fresh scores."""

    @abstractmethod
    def statistic(self, outputs: Outputs, truth: Truth) -> Statistic:
        """The scores of `metrics` as a function of row weights; with weights of 1 it gives what `Metrics.compute` does, but `rows`.

        Args:
            outputs: as `decode` takes them.
            truth: as in `Outcome`.
        """

    @abstractmethod
    def calibrated(self, outputs: Outputs, truth: Truth) -> Task:
        """A copy that knows what only validation rows can tell: a temperature, the threshold of conformal sets or the margin of
        intervals, a decision threshold where a recall or cost was stated. What these rows cannot tell stays as it is without them.

        Args:
            outputs: of rows that the weights were not trained on.
            truth: as in `Outcome`.
        """

    @abstractmethod
    def calibration(self, outputs: Outputs, truth: Truth, groups: npt.NDArray[Any] | None = None) -> dict[str, Any] | None:
        """How far the predictions of these rows can be believed, measured, as plain JSON: the key `calibration` of metrics.json.

        Call it with rows that `calibrated` has not seen. None where the task has nothing that could be calibrated.

        Args:
            outputs, truth: of the rows.
            groups: (rows,) values that are equal for rows that belong together, which intervals allow for; None where each stands alone.
        """

    @abstractmethod
    def confidence(self, outputs: Outputs) -> npt.NDArray[np.float64] | None:
        """(rows,) how sure each prediction is, 0 to 1; None where the task cannot say."""

    @abstractmethod
    def directions(self) -> dict[str, str]:
        """Scores of `metrics` that can decide which weights are kept, each with `max` or `min`, the default one first."""

    @abstractmethod
    def baseline(self, raws: Sequence[Any]) -> Prediction:
        """The best constant prediction: the majority class, the mean."""

    @abstractmethod
    def labels(self) -> list[str]:
        """Names of the classes; empty where there are none."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The fields, as plain JSON, that rebuild this task through the registry."""

    @abstractmethod
    def shown(self, target: Any) -> Any:
        """A target as plain JSON for people: the name of the class, the names of the labels, the number."""

    @abstractmethod
    def render(self, row: Row, prediction: Prediction, target: Any) -> str:
        """One line that shows a row with its prediction."""

    @abstractmethod
    def synthetic(self, n: int, seed: int, sample: Callable[[int, Random], dict[str, Any]]) -> list[dict[str, Any]]:
        """A tiny learnable data set without downloads: rows of `Backbone.sample` inputs, with a column `label`."""
