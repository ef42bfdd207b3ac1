"""The plain things that travel between the contracts: rows, batches, features, predictions, checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.core.contracts._backbone import Backbone

Row = Mapping[str, Any]
"""One example: column name -> plain value (text, number, path of a file, bytes of one), or a `Picture`."""

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
        target: the batch's targets as the task collated them, where there are some: a head that is taught its next step by them (a
            decoder) reads them here.
    """

    pooled: torch.Tensor | None = None
    tokens: torch.Tensor | None = None
    maps: Sequence[torch.Tensor] = ()
    mask: torch.Tensor | None = None
    target: Any = None


@dataclass(frozen=True)
class Brought:
    """A head that a checkpoint brings.

    Attributes:
        names: of its outputs, in order.
        blank: place of the output that stands for nothing, in alphabets of transcripts; None where there is none.
        weights: reads its (outputs, width) matrix and (outputs,) bias.
    """

    names: tuple[str, ...]
    blank: int | None
    weights: Callable[[], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Cells:
    """Where the cells of a table stand in a collated batch, for a task that hides some and tells them from the others.

    A batch holds `numbers` (rows, numbers, channels), whose last two channels say that a cell is missing and that it is hidden, and whose
    first ones (`bins`) have as their mean the place of the number between the least and the greatest; and `codes` (rows, categories), of
    which 0 is a missing and 2 a hidden cell. `Features.tokens` holds a token for each number, then for each category.

    Attributes:
        columns: names of the columns.
        numbers: of each number, which column it belongs to (a date has several).
        bins: of each number, how many of its channels it uses.
        categories: of each category, which column it is.
        sizes: of each category, how many codes it has.
    """

    columns: tuple[str, ...]
    numbers: tuple[int, ...]
    bins: tuple[int, ...]
    categories: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sides:
    """Both sides of a backbone whose rows are pairs of a picture and a text; `Features.pooled` holds their vectors side by side.

    Attributes:
        towers: of pictures and of texts, each a backbone with its own network.
        widths: of their vectors.
        scale, bias: what the checkpoint multiplies the cosine of both vectors by and adds, where these lie in one space from the start
            (CLIP, SigLIP); a scale of None where they do not.
    """

    towers: tuple[tuple[Backbone, nn.Module], tuple[Backbone, nn.Module]]
    widths: tuple[int, int]
    scale: float | None = None
    bias: float = 0.0


@dataclass(frozen=True)
class InputSpec:
    """One input as a form or a service asks for it.

    Attributes:
        column: name of the input.
        kind: see `core.kinds`.
        hint: one line for the person who fills it in.
    """

    column: str
    kind: str
    hint: str


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
