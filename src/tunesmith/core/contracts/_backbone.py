"""What a pretrained network and its modality owe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tunesmith.core.contracts._plain import Batch, Brought, Cells, Encoded, Features, InputSpec, Row, Sides
from tunesmith.core.errors import BackboneError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.core.arrays import Arrays, Floats
    from tunesmith.core.windows import Windows


class Backbone(ABC):
    """A pretrained network's description and code: how its modality becomes tensors, and features.

    The weights live in the module that `open` returns; every other method takes it as an argument, so that an adapter may wrap it.

    Attributes:
        reads: kinds of columns that it takes as they are (`core.kinds`); empty where it takes any.
        augments: whether `encode` changes a row at random where it is given an `rng`.
        columns: the input columns.
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]] = ()
    augments: ClassVar[bool] = False
    columns: tuple[str, ...]

    @property
    def frame_seconds(self) -> float | None:
        """Seconds from one of `Features.tokens` to the next; None where they do not follow each other in time."""
        return None

    @classmethod
    def options_for(cls, kinds: Mapping[str, str]) -> dict[str, Any]:
        """The fields that follow from the input columns.

        Args:
            kinds: input column -> its kind (`core.kinds`), in order.
        """
        return {"columns": list(kinds)}

    @property
    def repeated(self) -> str | None:
        """Input column whose equal values are one thing seen several times (a picture with its captions): such rows stay on one side of
        the split where the recipe names no group. None where each row stands alone."""
        return None

    def sides(self, network: nn.Module) -> Sides | None:
        """Both sides where a row is a pair whose vectors stand side by side in `Features.pooled`; None where a row is one thing."""
        return None

    def over_time(self) -> Windows | None:
        """What it reads where rows are time points of a table; None where a row is an example by itself."""
        return None

    def over(self, windows: Windows) -> Self:
        """A copy that reads windows over a table of time points.

        Args:
            windows: columns, horizon and step; the context is the backbone's own.

        Raises:
            BackboneError: it reads no windows, or not such ones.
        """
        raise BackboneError(f"the backbone {self.name} reads no windows of a table of time points; use --modality forecaster")

    def measured(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and spread that it takes each column of its windows by; 0 and 1 where it takes numbers as they are."""
        return [0.0] * len(self.columns), [1.0] * len(self.columns)

    def forecasts(self, network: nn.Module) -> tuple[int, Sequence[float | None]] | None:
        """Where a column's pooled features are what a checkpoint forecasts: for how many steps, and what for each of them.

        Returns:
            Steps, and the levels of the quantiles (None for a mean), as the features hold them step by step; None where features are none.
        """
        return None

    def fit(self, rows: Callable[[], Iterator[Row]], seed: int) -> Self:
        """A copy that knows what only the training rows can tell: means and spreads, categories, a vocabulary.

        Called once, before `open`. What it changes are fields, which the bundle and a resumed run keep.

        Args:
            rows: gives the training rows, each time anew; memory must not grow with their number.
            seed: decides what is drawn.

        Raises:
            DataError: nothing can be learned from these rows.
        """
        return self

    def whole(self) -> Backbone:
        """A copy that reads rows whole, in training too, or refuses them: for targets that tell all of a row, in order (a transcript)."""
        return self

    def frames(self, row: Row) -> int | None:
        """How many of `Features.tokens` a row makes, at the least where it is changed at random; None where that is not known."""
        return None

    def brought(self) -> Brought | None:
        """The head that the checkpoint brings, for a task that can go on with it; None where it brings none. No weights are read."""
        return None

    def with_decoder(self, language: str | None = None, translate: bool = False) -> Decoder:
        """The same checkpoint with the decoder that it brings.

        Args:
            language: that is spoken; None for what the checkpoint takes by itself.
            translate: write English whatever is spoken, where the checkpoint can.

        Raises:
            BackboneError: it brings none.
        """
        raise BackboneError(
            f"the backbone {getattr(self, 'source', self.name)} brings no decoder that writes text; name a folder of a checkpoint that "
            "does (--backbone FOLDER, such as one of Whisper), or use --task ctc"
        )

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

    def fresh(self, network: nn.Module) -> list[nn.Module]:
        """Modules of the network that no pretraining has touched: they train under every adapter, at the head's rate."""
        return []

    def modalities(self) -> dict[str, tuple[str, ...]]:
        """Modality -> its columns, where a row may lack some of several modalities; empty where it needs all its inputs."""
        return {}

    def parts_of(self, network: nn.Module) -> Mapping[str, tuple[Backbone, nn.Module]]:
        """Vectors that are made apart from each other, each with its backbone and network; empty where there is but one."""
        return {}

    def with_parts(self, parts: Mapping[str, Backbone]) -> Backbone:
        """A copy in which others make some of the vectors of `parts_of`."""
        raise NotImplementedError("only a backbone made of others has parts")

    def as_it_came(self) -> Backbone:
        """The same without what joins its parts by new weights: its features tell what was there before anything is trained."""
        return self

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

    def unseen(self, row: Row) -> Sequence[str]:
        """What a usable row holds that the training rows did not, one sentence each, equal for rows of which the same is to be said: a
        category that is new, a number beyond all others. Cheap: asked of every row that is predicted.
        """
        return ()

    def cells(self) -> Cells | None:
        """Where the cells of a table stand in its batches; None where rows are no table."""
        return None

    def typical(self) -> Row | None:
        """A row as training rows typically are, column by column, that predictions are explained against; None where it cannot say."""
        return None

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

        The modality (`text`, `image`, `audio`, `series`, `tabular`, `dna`, `fusion`); `transformer` or `convolution`; where they hold
        `decoder`, `transposed` (linear layers stored as GPT-2 does), `linear` and `layer_norm` (layers of that kind in a convolutional
        network), `untrained` (a network of tunesmith's own that starts from random weights), `fresh` (some modules are new: see `fresh`),
        `tower` (the text side of a CLIP or SigLIP), `dual_encoder` (it has `sides`).
        """

    @abstractmethod
    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        """A made-up input whose content shows `code` (0, 1, 2, ...): what `Task.synthetic` builds data sets of."""


class Decoder(Backbone):
    """A backbone whose network also writes: an encoder, and a decoder that continues a text token by token.

    `features` gives the encoder's `tokens`; the methods here run the decoder on them. A task that builds its model of it keeps no weights
    of its own.
    """

    @abstractmethod
    def spell(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text with what the decoder expects before it and the end behind it; cut where the decoder reads no more."""

    @abstractmethod
    def read(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """The text of each list of ids, without marks of language, task, time, beginning and end."""

    @property
    @abstractmethod
    def prompt(self) -> int:
        """How many of the ids that `spell` puts before a text are given to the decoder instead of learned."""

    @abstractmethod
    def logits(self, network: nn.Module, features: Features, ids: torch.Tensor | None) -> torch.Tensor:
        """What the decoder expects next after each id.

        Args:
            network: as `open` gives it, an adapter may have wrapped it.
            features: of the encoder.
            ids: (batch, length), padded at the end with anything; None for the prompt alone.

        Returns:
            (batch, length, vocabulary).
        """

    @abstractmethod
    def write(self, network: nn.Module, features: Features, beams: int, longest: int) -> tuple[list[list[int]], list[float]]:
        """Generate: of each row the ids behind the prompt, without the end, and the mean log-probability of them and of the end.

        Args:
            network, features: as for `logits`.
            beams: of the search; 1 takes the likeliest token each time.
            longest: ids at most.
        """
