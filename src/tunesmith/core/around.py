"""A backbone that stands around another one: what it does not do itself the other does.

A hook of the contract that is not handed on would silently do what a backbone does by default, so all of them stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Self

from tunesmith.core.contracts import Backbone, Batch, Brought, Cells, Decoder, Encoded, InputSpec, Row, Sides

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.core.arrays import Arrays, Floats
    from tunesmith.core.windows import Windows


class Around(Backbone):
    """Stands around a backbone that was fitted; `features` is its own.

    Attributes:
        inner: the backbone that does all else.
    """

    inner: Backbone

    # The rows

    @property
    def repeated(self) -> str | None:
        return self.inner.repeated

    @property
    def frame_seconds(self) -> float | None:
        return self.inner.frame_seconds

    def fit(self, rows: Callable[[], Iterator[Row]], seed: int) -> Self:
        raise AssertionError("the inner backbone is fitted before another one stands around it")

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        return self.inner.encode(row, rng)

    def collate(self, items: Sequence[Encoded]) -> Batch:
        return self.inner.collate(items)

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        return self.inner.sizes(rows)

    def input_spec(self) -> list[InputSpec]:
        return self.inner.input_spec()

    def check(self, row: Row) -> str | None:
        return self.inner.check(row)

    def usable(self, row: Row) -> None:
        self.inner.usable(row)

    def unseen(self, row: Row) -> Sequence[str]:
        return self.inner.unseen(row)

    def cells(self) -> Cells | None:
        return self.inner.cells()

    def typical(self) -> Row | None:
        return self.inner.typical()

    def frames(self, row: Row) -> int | None:
        return self.inner.frames(row)

    def modalities(self) -> dict[str, tuple[str, ...]]:
        return self.inner.modalities()

    def readiness(self) -> str | None:
        return self.inner.readiness()

    def ready(self, row: Row) -> Row:
        return self.inner.ready(row)

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        return self.inner.sample(code, rng)

    # The network

    def open(self) -> nn.Module:
        return self.inner.open()

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        return self.inner.blocks(network)

    def fresh(self, network: nn.Module) -> list[nn.Module]:
        return self.inner.fresh(network)

    def width(self, network: nn.Module) -> int:
        return self.inner.width(network)

    def sides(self, network: nn.Module) -> Sides | None:
        return self.inner.sides(network)

    def forecasts(self, network: nn.Module) -> tuple[int, Sequence[float | None]] | None:
        return self.inner.forecasts(network)

    def parts_of(self, network: nn.Module) -> Mapping[str, tuple[Backbone, nn.Module]]:
        return self.inner.parts_of(network)

    def light(self, fold: Callable[[Arrays], Arrays | None]) -> Callable[[Sequence[Row]], Floats] | None:
        return self.inner.light(fold)

    def apart(self, state: torch.Tensor, batch: Batch) -> list[torch.Tensor]:
        return self.inner.apart(state, batch)

    def together(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.inner.together(states)

    def save_memory(self, network: nn.Module) -> None:
        self.inner.save_memory(network)

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        self.inner.save(network, weights, folder)

    # Others like it, which nothing stands around

    def over(self, windows: Windows) -> Any:
        return self.inner.over(windows)

    def whole(self) -> Backbone:
        return self.inner.whole()

    def with_decoder(self, language: str | None = None, translate: bool = False) -> Decoder:
        return self.inner.with_decoder(language, translate)

    def with_parts(self, parts: Mapping[str, Backbone]) -> Backbone:
        return self.inner.with_parts(parts)

    def as_it_came(self) -> Backbone:
        return self.inner.as_it_came()

    def moved(self, folder: Path) -> Backbone:
        return self.inner.moved(folder)

    # What is known of it

    def over_time(self) -> Windows | None:
        return self.inner.over_time()

    def measured(self) -> tuple[Sequence[float], Sequence[float]]:
        return self.inner.measured()

    def brought(self) -> Brought | None:
        return self.inner.brought()

    def settings(self) -> dict[str, Any]:
        return self.inner.settings()

    def origin(self) -> dict[str, Any]:
        return self.inner.origin()

    def traits(self) -> set[str]:
        return self.inner.traits()
