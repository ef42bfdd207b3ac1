"""The contracts every implementation keeps, and the plain things that travel between them.

Nothing heavy is imported here: tensors appear in annotations only. Implementations are final dataclasses whose fields are their
hyperparameters, and each carries its registered `name`. The way of one example through them:

    row --Backbone.encode--> tensors --collate--> batch --features--> Features --head--> outputs --Task.decode--> plain JSON

Outputs leave torch before they are decoded, so that a prediction can be made without loading it: see `Backbone.light`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.core.arrays import Arrays, Floats
    from tunesmith.core.model import Model
    from tunesmith.core.outcomes import Statistic, Truth

Row = Mapping[str, Any]
"""One example: column name -> plain value (text, number, path of a picture, bytes of one), or a `Picture`."""

Encoded = dict[str, Any]
"""One example as its backbone and task encoded it, before batching."""

Batch = dict[str, Any]
"""Several examples: `inputs` (what the backbone collated), `target` (what the task collated), `row` (their row numbers)."""

Prediction = dict[str, Any]
"""One decoded output; plain JSON values only."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that is decoded, upright and in RGB; stands in a row in place of its path or bytes.

    Attributes:
        pixels: uint8 (height, width, 3): the picture itself, or a smaller one that random crops are taken from.
        square: uint8 (size, size, 3): exactly what is read of it without random changes; None where that is made of `pixels`.
        key: checksum of what it was decoded from; empty where that is not known.
    """

    pixels: npt.NDArray[np.uint8]
    square: npt.NDArray[np.uint8] | None = None
    key: bytes = b""


@dataclass
class Features:
    """What a backbone makes of a batch; a task uses what it needs and a backbone fills what it has.

    Attributes:
        pooled: (batch, width): one vector an example.
        tokens: (batch, length, width): one vector a token or patch.
        maps: from fine to coarse, each (batch, channels, height, width).
        mask: (batch, length): 1 where `tokens` holds something, 0 where it is padding.
    """

    pooled: torch.Tensor | None = None
    tokens: torch.Tensor | None = None
    maps: Sequence[torch.Tensor] = ()
    mask: torch.Tensor | None = None


@dataclass(frozen=True)
class InputSpec:
    """One input as a form or a service asks for it.

    Attributes:
        column: name of the input.
        kind: `text` or `image`.
        hint: one line for the person who fills it in.
    """

    column: str
    kind: str
    hint: str


class Backbone(ABC):
    """A pretrained network's description and code: how its modality becomes tensors, and features.

    The weights live in the module that `open` returns; every other method takes it as an argument, so that an adapter may wrap it.

    Attributes:
        augments: whether `encode` changes a row at random where it is given an `rng`.
        columns: the input columns.
    """

    name: ClassVar[str]
    augments: ClassVar[bool] = False
    columns: tuple[str, ...]

    @classmethod
    def options_for(cls, kinds: Mapping[str, str]) -> dict[str, Any]:
        """The fields that follow from the input columns.

        Args:
            kinds: input column -> `text` or `image`, in order.
        """
        return {"columns": list(kinds)}

    @abstractmethod
    def open(self) -> nn.Module:
        """The network with its weights (pretrained, from a bundle, or random when asked for by name)."""

    @abstractmethod
    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        """One row as tensors or lists; random augmentation only where `rng` is given.

        Raises:
            RowError: the row's inputs cannot be used.
        """

    @abstractmethod
    def collate(self, items: Sequence[Encoded]) -> Batch:
        """Encoded rows as one batch of tensors."""

    @abstractmethod
    def features(self, network: nn.Module, batch: Batch) -> Features:
        """Run the network on a collated batch."""

    @abstractmethod
    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The layers from input to output; together they hold every parameter."""

    @abstractmethod
    def width(self, network: nn.Module) -> int:
        """Width of `Features.pooled`."""

    @abstractmethod
    def input_spec(self) -> list[InputSpec]:
        """What a form or service asks for."""

    @abstractmethod
    def check(self, row: Row) -> str | None:
        """Read the row's inputs fully.

        Returns:
            A remark about a usable row that is worth counting (a text that is cut), or None.

        Raises:
            RowError: the row's inputs cannot be used.
        """

    def usable(self, row: Row) -> None:
        """`check` without the remark, for prediction.

        Raises:
            RowError: the row's inputs cannot be used.
        """
        self.check(row)

    def readiness(self) -> str | None:
        """What `ready` computes, with all settings that it depends on; None where it leaves rows as they are."""
        return None

    def ready(self, row: Row) -> Row:
        """The row with a `Picture` in place of each picture; `encode` takes it as well, and without an `rng` gives the very same.

        Raises:
            RowError: the row's inputs cannot be used.
        """
        return row

    def light(self, fold: Callable[[Arrays], Arrays | None]) -> Callable[[Sequence[Row]], Floats] | None:
        """The network with its saved weights in numpy alone, for the few rows that are predicted faster than torch is loaded.

        Args:
            fold: changes the network's own weights, by name, as the adapter does; gives None where it cannot.

        Returns:
            Rows -> `Features.pooled`, (rows, width); None where this network has no such form.
        """
        return None

    @abstractmethod
    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        """(rows,) work each row is in the unit its batches are padded in (tokens); all equal where rows are alike.

        Rows of equal size make a batch without padding, so a size is what `collate` makes of the row, not a guess at it.
        """

    def apart(self, state: torch.Tensor, batch: Batch) -> list[torch.Tensor]:
        """Hidden values of a batch, (batch, ...), row by row and without padding; the inverse of `together`."""
        return list(state.unbind(0))

    def together(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Hidden values of rows as one batch, padded as `collate` pads."""
        import torch

        return torch.stack(list(states))

    @abstractmethod
    def save_memory(self, network: nn.Module) -> None:
        """Compute activations again in the backward pass (gradient checkpointing).

        Raises:
            BackboneError: the network has no such mode.
        """

    @abstractmethod
    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        """Write architecture, preprocessing and `weights` (safetensors) into `folder`, so that `moved(folder).open()` reads them."""

    @abstractmethod
    def moved(self, folder: Path) -> Backbone:
        """The same backbone reading from `folder`."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The fields, as plain JSON, that rebuild this backbone through the registry."""

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """Where the weights came from: source, counts of matched, missing and unexpected tensors."""

    @abstractmethod
    def traits(self) -> set[str]:
        """What adapters ask for before anything is loaded.

        `text`, `image` or `fusion`; `transformer` or `convolution`; where they hold `decoder`, `transposed` (linear layers stored as
        GPT-2 does), `linear` and `layer_norm` (layers of that kind in a convolutional network).
        """

    @abstractmethod
    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        """A made-up input whose content shows `code` (0, 1, 2, ...): what `Task.synthetic` builds data sets of."""


@dataclass(frozen=True)
class ScoreTable:
    """Scores that are more than one number: per class, a confusion matrix.

    Attributes:
        name: in snake_case; becomes the file's name.
        index: names of the rows.
        columns: names of the columns.
        values: one list of numbers for each row.
        matrix: whether it is drawn as a matrix of truth (rows) against prediction (columns).
    """

    name: str
    index: list[str]
    columns: list[str]
    values: list[list[float]]
    matrix: bool = False


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
    """What is learned: head, loss, decoding of outputs into predictions, metrics."""

    name: ClassVar[str]
    phases: ClassVar[tuple[str, ...]] = ("main",)

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

    @abstractmethod
    def decode(self, outputs: Floats) -> list[Prediction]:
        """Outputs of the model, (rows, ...) float32 in numpy, as predictions in plain JSON."""

    def light_head(self, weights: Arrays) -> Callable[[Floats], Floats] | None:
        """The head that `build` makes, with its saved weights, in numpy alone.

        Returns:
            `Features.pooled`, (rows, width) -> outputs, (rows, ...); None where the head reads other features.
        """
        return None

    @abstractmethod
    def outputs(self, said: Floats) -> Floats:
        """The inverse of `decode`, for what did not come from a model.

        Args:
            said: (rows, classes) probabilities that sum to 1, (rows, labels) probabilities, or (rows, 1) numbers on the user's scale.

        Returns:
            (rows, outputs) that decode to these.
        """

    @abstractmethod
    def metrics(self) -> Metrics:
        """Fresh scores."""

    @abstractmethod
    def statistic(self, outputs: Floats, truth: Truth) -> Statistic:
        """The scores of `metrics` as a function of row weights; with weights of 1 it gives what `Metrics.compute` does, but `rows`.

        Args:
            outputs: (rows, outputs) as `decode` takes them.
            truth: (rows,) or (rows, labels), as in `Outcome`.
        """

    @abstractmethod
    def calibrated(self, outputs: Floats, truth: Truth) -> Task:
        """A copy that knows what only validation rows can tell: a temperature, the threshold of conformal sets or the margin of
        intervals, a decision threshold where a recall or cost was stated. What these rows cannot tell stays as it is without them.

        Args:
            outputs: (rows, outputs) of rows that the weights were not trained on.
            truth: as in `Outcome`.
        """

    @abstractmethod
    def calibration(self, outputs: Floats, truth: Truth) -> dict[str, Any] | None:
        """How far the predictions of these rows can be believed, measured, as plain JSON: the key `calibration` of metrics.json.

        Call it with rows that `calibrated` has not seen. None where the task has nothing that could be calibrated.
        """

    @abstractmethod
    def confidence(self, outputs: Floats) -> npt.NDArray[np.float64] | None:
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


@dataclass(frozen=True)
class Defaults:
    """What an adapter recommends where the recipe is silent."""

    lr: float
    head_lr: float = 1e-3
    schedule: str = "linear"


class Adapter(ABC):
    """How the weights may change."""

    name: ClassVar[str]

    @abstractmethod
    def fits(self, traits: set[str]) -> str | None:
        """Why this adapter cannot be used on a backbone with these traits, or None. Asked before anything is loaded."""

    @abstractmethod
    def defaults(self, traits: set[str]) -> Defaults:
        """Learning rate and schedule that work well."""

    @abstractmethod
    def apply(self, model: Model, seed: int) -> None:
        """Set what may change: freeze, or wrap the network in place. Head parameters always stay trainable.

        Raises:
            AdapterError: nothing in this network fits.
        """

    def penalties(self) -> Sequence[float] | None:
        """Penalties among which validation chooses where the head is fitted in one go; None where training goes step by step."""
        return None

    def begin(self, model: Model, step: int, total_steps: int) -> None:  # noqa: B027 (a hook: most adapters need nothing)
        """Called before the first step, and with the step reached when a run is resumed."""

    def stepped(self, model: Model, step: int, total_steps: int) -> bool:
        """Called before the optimizer's gradients are cleared; True if the set of trainable weights changed."""
        return False

    def may_rest(self, parameter: str) -> bool:
        """Whether the method itself may leave this trainable parameter as it was (AdaLoRA takes whole ranks away)."""
        return False

    def state(self, model: Model) -> dict[str, torch.Tensor]:
        """What a checkpoint must keep besides trainable weights, so that a resumed run is the same run."""
        return {}

    def restore(self, model: Model, state: Mapping[str, torch.Tensor]) -> None:  # noqa: B027 (a hook, as above)
        """Put back what `state` gave."""

    @abstractmethod
    def save(self, model: Model, folder: Path) -> bool:
        """Write what stands beside the backbone's own weights; False if there is nothing."""

    @abstractmethod
    def load(self, model: Model, folder: Path) -> None:
        """Put back what `save` wrote onto a network with the backbone's own weights."""

    def fold(self, weights: Arrays, folder: Path) -> Arrays | None:
        """The network's own `weights`, by name, with what `save` wrote folded in, in numpy alone; None where that cannot be done."""
        return None

    @abstractmethod
    def base_weights(self, model: Model) -> dict[str, torch.Tensor]:
        """The network's own weights under their original names, without what the adapter added."""

    @abstractmethod
    def merge(self, model: Model) -> bool:
        """Fold the adapter into the network's own weights in place; False if there is nothing to fold or it cannot be."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The fields, as plain JSON, that rebuild this adapter through the registry."""


@dataclass(frozen=True)
class Check:
    """A statement a finished run proves about itself.

    Attributes:
        name: what is proved, in snake_case.
        status: `passed`, `failed` or `not_applicable`.
        detail: the figures, or the reason why it does not apply.
    """

    name: str
    status: str
    detail: str
