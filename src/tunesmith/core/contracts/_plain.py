"""The plain things that travel between the contracts: rows, batches, features, predictions, checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """

    pooled: torch.Tensor | None = None
    tokens: torch.Tensor | None = None
    maps: Sequence[torch.Tensor] = ()
    mask: torch.Tensor | None = None


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
