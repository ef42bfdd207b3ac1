"""Series of numbers: classification and regression of windows.

A row is one series of one or several channels: a cell with a JSON list of numbers or of channels, several such columns side by side, or a
column a step (`core.series`). What is done to it, in this order:

1. A series longer than `length` is averaged down to it, or cut.
2. Missing values are filled along the line between their neighbours; the network is told which ones (a channel of its own).
3. Channels are brought to mean 0 and spread 1: by what the training rows have (amplitude and level then remain visible), or each series
   by its own (`norm: instance`; its mean and spread then stand beside the features).
4. Training rows change at random: noise, amplitude, hidden spans, time that runs unevenly.

    {"series": "[[0.1, 0.4, null], [3, 3, 2]]"}
"""

from __future__ import annotations

import dataclasses
import functools
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from tunesmith.backbones import _checkpoints
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Row
from tunesmith.core.errors import BackboneError, DataError, RowError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.core.arrays import Floats

SMALL = "small"
MOST_STEPS = 512
"""Steps that are read where nothing else was asked for: what is longer is averaged, as patterns of whole windows are seen at any rate."""

MOST_ROWS = 100_000
"""Training rows by which channels are measured."""


@final
@dataclass(frozen=True)
class Series(Backbone):
    """Series of numbers through tunesmith's own convolutions, PatchTST or PatchTSMixer."""

    name: ClassVar[str] = "series"
    augments: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("series", "number")
    source: str = field(default=SMALL, metadata={"help": "small (convolutions from random weights), hub id or local folder"})
    columns: tuple[str, ...] = field(default=("series",), metadata={"help": "input column(s)"})
    wide: bool = field(default=False, metadata={"help": "each column holds one step, instead of a series"})
    channels: int | None = field(default=None, metadata={"help": "channels of a series; default: those of the training rows"})
    length: int | None = field(
        default=None,
        metadata={"help": "most steps that are read; default: the longest training series, up to 512, or the checkpoint's context"},
    )
    longer: Literal["average", "crop"] = field(
        default="average", metadata={"help": "longer series: averaged to this length, or cut (training: anywhere; else: the last steps)"}
    )
    norm: Literal["channel", "instance"] = field(
        default="channel", metadata={"help": "mean and spread are taken off by channel of the training rows, or of each series itself"}
    )
    mean: tuple[float, ...] = field(default=(), metadata={"help": "mean of each channel; default: that of the training rows"})
    std: tuple[float, ...] = field(default=(), metadata={"help": "spread of each channel; default: that of the training rows"})
    hidden: int = field(default=64, metadata={"help": "width of the small network"})
    depth: int = field(default=4, metadata={"help": "layers of the small network"})
    jitter: float = field(default=0.05, metadata={"help": "augmentation: noise on each value, in standard deviations"})
    scaling: float = field(default=0.1, metadata={"help": "augmentation: how much the amplitude of a channel varies"})
    time_mask: float = field(default=0.1, metadata={"help": "augmentation: largest share of the steps that is hidden"})
    warp: float = field(default=0.1, metadata={"help": "augmentation: how much the speed of time varies"})
    weights: str | None = field(default=None, metadata={"help": "file of weights for the architecture of the source"})
    scratch: bool = field(default=False, metadata={"help": "random weights"})

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("field 'columns' names no column")
        for name in ("jitter", "scaling", "warp"):
            if not 0 <= getattr(self, name) < 10:
                raise ValueError(f"field '{name}' must be 0 (none) or more, and below 10")
        if not 0 <= self.time_mask < 1:
            raise ValueError("field 'time_mask' is a share of the steps, at least 0 and below 1")
        if self.hidden < 4 or self.depth < 1:
            raise ValueError("fields 'hidden' and 'depth' must be at least 4 and 1")
        if self.length is not None and self.length < 2:
            raise ValueError("field 'length' must be at least 2")
        if len(self.mean) != len(self.std):
            raise ValueError("fields 'mean' and 'std' must have a number for each channel")

    @classmethod
    def options_for(cls, kinds: Mapping[str, str]) -> dict[str, Any]:
        numbers = [column for column, kind in kinds.items() if kind == "number"]
        if numbers and len(numbers) < len(kinds):
            raise DataError(
                f"columns of series and columns of numbers are no one series ({', '.join(list(kinds)[:4])}): name those that are with "
                "--inputs, or read the numbers as a table beside the series with --modality fusion"
            )
        return {"columns": list(kinds), "wide": bool(numbers)}

    @functools.cached_property
    def _folder(self) -> Path | None:
        """Where the weights are; None for random ones."""
        return None if self.source == SMALL else _checkpoints.locate(self.source)

    @functools.cached_property
    def _small(self) -> bool:
        from tunesmith.backbones import _series_small

        return self._folder is None or _series_small.is_small(self._folder)

    @functools.cached_property
    def context(self) -> int | None:
        """Steps that the checkpoint reads, no more and no less; None where it reads any number."""
        from tunesmith.backbones import _series_hub

        return None if self._small or self._folder is None else int(_series_hub.config_of(self._folder).context_length)

    @property
    def steps(self) -> int:
        """Most steps that are read."""
        return self.context or self.length or MOST_STEPS

    def traits(self) -> set[str]:
        if self._small:
            return {"series", "convolution"} | ({"untrained"} if self._folder is None else set())
        return {"series", "transformer"}

    def fit(self, rows: Callable[[], Iterator[Row]], seed: int) -> Series:
        import numpy as np

        from tunesmith.backbones._series_numbers import spread_of

        lengths = array("l")
        count: Any = 0
        total: Any = 0.0
        squares: Any = 0.0
        center: Any = None
        channels = self.channels
        for number, row in enumerate(rows()):
            if number == MOST_ROWS:
                break
            values = self._read(row).astype(np.float64)
            channels = channels or len(values)
            if len(values) != channels:
                raise DataError(f"a training row has a series of {len(values)} channels, another one of {channels}; all must have as many")
            lengths.append(values.shape[1])
            there = np.isfinite(values)
            if center is None:  # sums about a value near the mean keep their digits
                center = np.nan_to_num(np.nanmean(np.where(there.any(1, keepdims=True), values, 0), axis=1))
            apart = np.where(there, values - center[:, None], 0)
            count, total, squares = count + there.sum(1), total + apart.sum(1), squares + np.square(apart).sum(1)
        off = total / np.maximum(count, 1)
        spread = np.sqrt(np.maximum(squares / np.maximum(count, 1) - off**2, 0))
        mean = center + off
        return dataclasses.replace(
            self,
            channels=channels,
            length=self.length or min(MOST_STEPS, max(2, *lengths)),
            mean=self.mean or tuple(mean.tolist()),
            std=self.std or tuple(spread_of(mean, spread).tolist()),
        )

    def open(self) -> nn.Module:
        import torch

        from tunesmith.backbones import _series_hub, _series_small

        channels = self._channels
        if not self._small:
            assert self._folder is not None
            network, loaded = _series_hub.pretrained(self._folder, channels, self.scratch, self.weights)
        else:
            folder = self._folder
            network = _series_small.Encoder(channels, self.hidden, self.depth) if folder is None else _series_small.opened(folder, channels)
            loaded = _checkpoints.Loaded("random weights", 0, [], [])
            path = Path(self.weights).expanduser() if self.weights else folder / "model.safetensors" if folder else None
            if path and not self.scratch:
                loaded = _checkpoints.fill(network, _checkpoints.read_weights(path), str(path))
        assert isinstance(network, torch.nn.Module)
        self.__dict__["_loaded"] = loaded
        return network

    @property
    def _channels(self) -> int:
        return self.channels or (1 if self.wide else len(self.columns))

    def _read(self, row: Row) -> Floats:
        from tunesmith.core.series import series_of

        return series_of(row, self.columns, self.wide)

    def _known(self, row: Row) -> Floats:
        """The row's series, with as many channels as the others.

        Raises:
            RowError: it has another number of channels than the training rows, or before those are known than the first row.
        """
        values = self._read(row)
        wanted = self.channels or self.__dict__.setdefault("_first", len(values))
        if len(values) != wanted:
            raise RowError(f"a series of {len(values)} channel(s), where others have {wanted}", self.columns[0])
        return values

    def check(self, row: Row) -> str | None:
        length = self._known(row).shape[1]
        if self.context is not None and length < self.context:
            return f"the series is shorter than the context of {self.source} ({self.context} steps), so it is padded at the beginning"
        if length > self.steps:
            return f"the series is longer than {self.steps} steps, so it is {'averaged' if self.longer == 'average' else 'cut'}"
        return None

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        import numpy as np

        from tunesmith.backbones import _series_numbers as numbers

        values = self._known(row)
        if values.shape[1] > self.steps and self.longer == "crop":
            start = values.shape[1] - self.steps if rng is None else rng.randrange(values.shape[1] - self.steps + 1)
            values = values[:, start : start + self.steps]
        observed = np.isfinite(values)
        mean = np.asarray(self.mean or (0.0,) * len(values))
        std = np.asarray(self.std or (1.0,) * len(values))
        own_mean, own_spread = numbers.levels(values)
        level = np.concatenate([(own_mean - mean) / std, np.log((own_spread + 1e-3 * std) / std)])
        if self.norm == "instance":
            mean, std = own_mean, numbers.spread_of(own_mean, own_spread)
        values = np.nan_to_num(numbers.filled((values - mean[:, None]) / std[:, None])).astype(np.float32)
        if values.shape[1] > self.steps:
            values = numbers.resampled(values, self.steps)
            observed = numbers.resampled(observed.astype(np.float32), self.steps) > 0
        seen = observed.astype(np.float32)
        if rng is not None:
            values, seen = self._changed(values, seen, rng)
        return {"values": values, "observed": seen, "level": np.nan_to_num(level).astype(np.float32)}

    def _changed(self, values: Floats, seen: Floats, rng: Random) -> tuple[Floats, Floats]:
        from tunesmith.backbones import _series_numbers as numbers

        if self.warp and values.shape[1] > 2:
            values = numbers.warped(values, rng, self.warp)
        values = numbers.jittered(values, rng, self.jitter, self.scaling)
        if self.time_mask:
            span = numbers.hidden_span(values.shape[1], rng, self.time_mask)
            values[:, span], seen[:, span] = 0.0, 0.0
        return values, seen

    def collate(self, items: Sequence[Encoded]) -> Batch:
        import numpy as np
        import torch

        length = self.context or max(item["values"].shape[1] for item in items)
        shape = (len(items), len(items[0]["values"]), length)
        values, observed = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        mask = np.zeros((len(items), length), np.int64)
        for place, item in enumerate(items):
            held = item["values"].shape[1]
            where = slice(length - held, length) if self.context else slice(held)
            values[place, :, where], observed[place, :, where], mask[place, where] = item["values"], item["observed"], 1
            if self.context:  # a step at the beginning would be a pattern of its own
                values[place, :, : length - held] = item["values"][:, :1]
        found: Batch = {
            "values": torch.from_numpy(values),
            "observed": torch.from_numpy(observed),
            "attention_mask": torch.from_numpy(mask),
        }
        if self.norm == "instance" or self.context:
            found["level"] = torch.from_numpy(np.stack([item["level"] for item in items]))
        return found

    def features(self, network: nn.Module, batch: Batch) -> Features:
        import torch

        from tunesmith.backbones import _series_hub, _series_small

        encode = _series_small.features if self._small else _series_hub.features
        found = encode(network, batch["values"], batch["observed"], batch["attention_mask"])
        if "level" in batch:
            assert found.pooled is not None
            found.pooled = torch.cat([found.pooled, batch["level"].to(found.pooled.dtype)], dim=1)
        return found

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        from tunesmith.backbones._blocks import layers

        return layers(network)

    def width(self, network: nn.Module) -> int:
        from tunesmith.backbones import _series_hub, _series_small

        own = _series_small.width(network) if self._small else _series_hub.width(network)
        return own + (2 * self._channels if self.norm == "instance" or self.context else 0)

    def input_spec(self) -> list[InputSpec]:
        if self.wide:
            return [InputSpec(column, "number", f"step {place}") for place, column in enumerate(self.columns, start=1)]
        hint = f"list of numbers{f', or of {self.channels} lists' if self._channels > 1 else ''}, read to {self.steps} steps"
        return [InputSpec(column, "series", hint) for column in self.columns]

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        import numpy as np

        if self.context:
            return np.full(len(rows), self.context, np.int64)
        return np.asarray([min(self.steps, self._known(row).shape[1]) for row in rows], np.int64)

    def apart(self, state: torch.Tensor, batch: Batch) -> list[torch.Tensor]:
        if not self._small:
            return list(state.unbind(0))
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        return [row[..., :length] for row, length in zip(state, lengths, strict=True)]

    def together(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        import torch

        length = max(state.shape[-1] for state in states)
        return torch.stack([torch.nn.functional.pad(state, (0, length - state.shape[-1])) for state in states])

    def save_memory(self, network: nn.Module) -> None:
        raise BackboneError(f"{self.source} cannot compute activations again; leave --gradient-checkpointing out")

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        from tunesmith.backbones import _series_small

        if self._small:
            _series_small.save(network, weights, folder)
        else:
            _checkpoints.save_hub(network, weights, folder)

    def moved(self, folder: Path) -> Series:
        return dataclasses.replace(self, source=str(folder), weights=None, scratch=False)

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def origin(self) -> dict[str, Any]:
        loaded: _checkpoints.Loaded | None = self.__dict__.get("_loaded")
        return loaded.plain() if loaded else {"source": self.source}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        import numpy as np

        from tunesmith.core.series import to_cell

        random = np.random.default_rng(rng.getrandbits(64))
        steps = len(self.columns) if self.wide else self.context or rng.randrange(24, 33)
        each = self._channels // len(self.columns) if not self.wide else 1
        time = np.arange(steps) / 24
        made = [
            np.sin(2 * np.pi * (1 + 2 * (code % 4)) * time + rng.random()) + random.normal(0, 0.1, steps) for _ in range(self._channels)
        ]
        std, mean = self.std or (1.0,) * self._channels, self.mean or (0.0,) * self._channels
        values = np.stack([wave * spread + middle for wave, spread, middle in zip(made, std, mean, strict=True)])
        if self.wide:
            return {column: f"{value:.6g}" for column, value in zip(self.columns, values[0], strict=True)}
        parts = np.split(values, range(each, len(values), each)) if len(self.columns) > 1 else [values]
        return {column: to_cell(part, 6) for column, part in zip(self.columns, parts, strict=True)}
