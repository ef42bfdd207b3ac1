"""Windows of series, for what comes next: a small network of tunesmith's own, PatchTST, PatchTSMixer, TimesFM.

    {"OT": (512,), "HUFL": (512,)}  ->  each column minus its level, by its spread  ->  network  ->  (columns, width), level, spread

A window is put to its own level and spread before the network sees it, and what the network says is put back (reversible instance
normalisation: Kim et al. 2022), so that a series that wanders off from the training part is still read. The pooled vector holds, for
each column that is forecast, its features and then that level and spread. Numbers that are missing are told apart from others. A
checkpoint that brings a forecast of its own (PatchTSTForPrediction, TimesFM) gives that as its features, and the head begins with it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Row
from tunesmith.core.errors import BackboneError, RowError
from tunesmith.core.windows import Windows

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.backbones._checkpoints import Loaded
    from tunesmith.backbones._series_forecast import Shape, Source

Floats = npt.NDArray[np.float32]
DRAWN = 2000
"""Training windows by which columns are measured."""

FLAT = 1e-2
"""Least spread of a window, of that in the training windows: a column that stands still must not make noise large."""


@final
@dataclass(frozen=True)
class Forecaster(Backbone):
    """Windows of series through a small network, PatchTST, PatchTSMixer or TimesFM."""

    name: ClassVar[str] = "forecaster"
    reads: ClassVar[tuple[str, ...]] = ("series",)
    source: str = field(default="small", metadata={"help": "small, patchtst, patchtsmixer (random weights), or the folder of a checkpoint"})
    columns: tuple[str, ...] = field(default=("series",), metadata={"help": "columns that a window shows"})
    context: int = field(default=512, metadata={"help": "steps that a window shows; a checkpoint has its own"})
    hidden: int = field(default=128, metadata={"help": "width of the features of the small network"})
    level: Literal["mean", "last"] = field(default="last", metadata={"help": "what a window is put to: its mean, or its last number"})
    depth: int = field(default=1, metadata={"help": "residual blocks of the small network"})
    dropout: float = field(default=0.2, metadata={"help": "dropout in the residual blocks of the small network"})
    spec: Windows | None = field(default=None, metadata={"help": "what the windows are; read off the table"})
    means: tuple[float, ...] = field(default=(), metadata={"help": "mean of each column in the training windows; computed"})
    spreads: tuple[float, ...] = field(default=(), metadata={"help": "standard deviation of each column there; computed"})
    gaps: bool = field(default=False, metadata={"help": "whether numbers are missing in the training windows; computed"})
    scratch: bool = field(default=False, metadata={"help": "random weights"})

    def __post_init__(self) -> None:
        for name in ("context", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"field '{name}' must be at least 1")

    @functools.cached_property
    def _source(self) -> Source:
        from tunesmith.backbones._series_forecast import FROM_SCRATCH, Hub, Small

        if self.source == "small":
            return Small(self.hidden, self.depth, self.dropout)
        folder = Path(self.source).expanduser()
        config = folder / "config.json"
        if self.source not in FROM_SCRATCH and config.is_file():
            kept = json.loads(config.read_text(encoding="utf-8"))
            if kept.get("model_type") == "tunesmith_small_forecaster":
                return Small(self.hidden, self.depth, self.dropout, None if self.scratch else folder)
        return Hub(self.source, self.scratch)

    @functools.cached_property
    def steps(self) -> int:
        """Of the context: the checkpoint's own where it has one."""
        return self._source.context() or self.context

    @property
    def _targets(self) -> tuple[str, ...]:
        return self.spec.targets if self.spec else self.columns

    @property
    def _past(self) -> tuple[str, ...]:
        """Columns of the context, the targets first."""
        known = self.spec.known if self.spec else ()
        return (*self._targets, *(name for name in self.columns if name not in known and name not in self._targets))

    @property
    def _shape(self) -> Shape:
        from tunesmith.backbones._series_forecast import Shape

        known, horizon = (len(self.spec.known), self.spec.horizon) if self.spec else (0, 0)
        return Shape(self.steps, horizon, len(self._past), len(self._targets), known, self.gaps)

    def over_time(self) -> Windows | None:
        return None if self.spec is None else dataclasses.replace(self.spec, context=self.steps)

    def over(self, windows: Windows) -> Self:
        made = dataclasses.replace(self, columns=windows.columns, spec=windows)
        if reason := made._source.refuse(made._shape):
            raise BackboneError(f"backbone {self.source}: {reason}")
        return dataclasses.replace(made, context=made.steps, spec=made.over_time())

    def measured(self) -> tuple[Sequence[float], Sequence[float]]:
        return self.means or [0.0] * len(self.columns), self.spreads or [1.0] * len(self.columns)

    def fit(self, rows: Callable[[], Iterator[Row]], seed: int) -> Self:
        """Measure the columns by some of the windows, drawn in one pass."""
        rng = np.random.default_rng(seed)
        drawn: list[list[Floats]] = []
        gaps = False
        for place, row in enumerate(rows()):
            gaps = gaps or not all(np.isfinite(row[name]).all() for name in self._past)
            if len(drawn) < DRAWN:
                drawn.append([np.asarray(row[name]) for name in self.columns])
            elif (at := int(rng.integers(0, place + 1))) < DRAWN:
                drawn[at] = [np.asarray(row[name]) for name in self.columns]
        means, spreads = [], []
        for column in range(len(self.columns)):
            values = np.concatenate([item[column] for item in drawn]).astype(np.float64)
            known = values[np.isfinite(values)]
            means.append(float(known.mean()) if len(known) else 0.0)
            spreads.append(float(known.std()) if len(known) and np.ptp(known) > 0 else 1.0)
        return dataclasses.replace(self, means=tuple(means), spreads=tuple(spreads), gaps=gaps)

    def traits(self) -> set[str]:
        untrained = self.scratch or self.source in ("small", "patchtst", "patchtsmixer")
        return {"forecaster", *self._source.traits} | ({"untrained"} if untrained else set())

    def open(self) -> nn.Module:
        network, loaded = self._source.opened(self._shape)
        self.__dict__["_loaded"] = loaded
        return network

    # Rows

    def _numbers(self, row: Row, column: str) -> Floats:
        """A column of a window.

        Raises:
            RowError: it is missing, too short, or holds something else than numbers.
        """
        value = row.get(column)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise RowError("the series is missing", column)
        if not isinstance(value, np.ndarray):
            value = _listed(value, column)
        ahead = self.spec.horizon if self.spec is not None and column in self.spec.known else 0
        if len(value) < self.steps + ahead:
            told = f" and the {ahead} ahead" if ahead else ""
            raise RowError(f"the series holds {len(value)} numbers; the model reads {self.steps}{told}", column)
        return value[len(value) - self.steps - ahead :]

    def check(self, row: Row) -> str | None:
        self.encode(row)
        return None

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        known = self.spec.known if self.spec else ()
        past = {name: self._numbers(row, name) for name in self._past}
        for name in self._targets:
            if not np.isfinite(past[name]).any():
                raise RowError("every number of the series is missing", name)
        return {
            "past": np.stack(list(past.values()), axis=1),  # (context, columns)
            "known": np.stack([self._numbers(row, name) for name in known], axis=1) if known else np.empty((0, 0), np.float32),
        }

    def collate(self, items: Sequence[Encoded]) -> Batch:
        import torch

        mean, spread = (dict(zip(self.columns, values, strict=True)) for values in self.measured())
        known = self.spec.known if self.spec else ()

        def batch(key: str, names: Sequence[str]) -> torch.Tensor:
            values = np.stack([item[key] for item in items]).astype(np.float64)
            if names:
                values = (values - [mean[name] for name in names]) / [spread[name] for name in names]
            return torch.from_numpy(values.astype(np.float32))

        return {"past": batch("past", self._past), "known": batch("known", known)}

    def features(self, network: nn.Module, batch: Batch) -> Features:
        import torch

        shape, past = self._shape, batch["past"]  # (batch, context, columns)
        there = torch.isfinite(past)
        count = there.sum(dim=1, keepdim=True).clamp(min=1)
        level = torch.where(there, past, 0.0).sum(dim=1, keepdim=True) / count
        spread = (torch.where(there, past - level, 0.0).square().sum(dim=1, keepdim=True) / count).sqrt().clamp(min=FLAT)
        if self.level == "last":
            level = torch.gather(torch.where(there, past, 0.0), 1, last_places(there)[:, None])
        found = self._source.features(network, (past - level) / spread, batch["known"], shape)  # (batch, targets, width)
        own = torch.stack([part[:, 0, : shape.targets] for part in (level, spread)], dim=-1)  # (batch, targets, 2)
        return Features(pooled=torch.cat([found.to(own.dtype), own], dim=-1).flatten(1))

    def forecasts(self, network: nn.Module) -> tuple[int, Sequence[float | None]] | None:
        return self._source.forecasts(network)

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        from tunesmith.backbones._blocks import layers

        return layers(network)

    def width(self, network: nn.Module) -> int:
        import torch

        shape, device, before = self._shape, next(network.parameters()).device, network.training
        network.eval()
        past = torch.zeros(1, shape.context, shape.columns, device=device)
        known = torch.zeros(1, shape.context + shape.horizon, shape.known, device=device)
        with torch.no_grad():
            pooled = self.features(network, {"past": past, "known": known}).pooled
        network.train(before)
        assert pooled is not None
        return int(pooled.shape[-1])

    def input_spec(self) -> list[InputSpec]:
        known = self.spec.known if self.spec else ()
        ahead = self.spec.horizon if self.spec else 0

        def hint(name: str) -> str:
            return f"the last {self.steps} numbers" + (f" and the {ahead} to come" if name in known else "") + ", null where one is missing"

        return [InputSpec(name, "series", hint(name)) for name in self.columns]

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        return np.ones(len(rows), np.int64)

    def save_memory(self, network: nn.Module) -> None:
        raise BackboneError("forecasters are small enough; leave --gradient-checkpointing out")

    # Files

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        self._source.save(network, weights, folder)

    def moved(self, folder: Path) -> Forecaster:
        return dataclasses.replace(self, source=str(folder), scratch=False)

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def origin(self) -> dict[str, Any]:
        loaded: Loaded | None = self.__dict__.get("_loaded")
        return loaded.plain() if loaded else {"source": self.source}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        """A wave whose level and period show the code."""
        known, ahead = (self.spec.known, self.spec.horizon) if self.spec else ((), 0)

        def wave(length: int) -> list[float]:
            period, level = 6 + 3 * (code % 3), float(code % 3)
            return [level + float(np.sin(2 * np.pi * step / period)) + 0.1 * rng.random() for step in range(length)]

        return {name: wave(self.steps + (ahead if name in known else 0)) for name in self.columns}


def last_places(there: torch.Tensor) -> torch.Tensor:
    """(batch, columns) the last step that holds a number; the first one where none does."""
    import torch

    steps = torch.arange(there.shape[1], device=there.device)[None, :, None]
    return torch.where(there, steps, 0).amax(dim=1)


def _listed(value: Any, column: str) -> Floats:
    """Numbers of a list, or of its JSON.

    Raises:
        RowError: it holds something else.
    """
    try:
        plain = json.loads(value) if isinstance(value, str) else value
        return np.asarray([np.nan if item is None else float(item) for item in plain], np.float32)
    except (TypeError, ValueError) as error:
        raise RowError(f"a list of numbers is needed, such as [0.1, null, 0.2] (got {str(value)[:60]!r})", column) from error
