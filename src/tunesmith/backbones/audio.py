"""Sounds: Hugging Face encoders (Wav2Vec2, HuBERT, WavLM, AST, Whisper's encoder), or tunesmith's own small network on log-mel spectra.

    {"audio": "calls/0001.mp3"}  ->  samples of one channel at the network's rate  ->  windows of 10 s  ->  frames  ->  one vector

Choices: a recording that is longer than a window is cut at random in training; in prediction its windows are read one after the other,
their frames stand one behind the other and its vector is the mean over all of them. Recordings of a batch are padded to the longest and
padding is never counted. Of a very long recording `windows` windows, spread evenly, stand for it, so that memory stays bounded.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, final

from tunesmith.backbones import _checkpoints
from tunesmith.core.contracts import Backbone, Batch, Brought, Decoder, Encoded, Features, InputSpec, Row
from tunesmith.core.errors import BackboneError, RowError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.backbones._listener import Listener
    from tunesmith.core.arrays import Floats

SMALL = "small"
ENTIRE_SECONDS = 30.0
"""The least window where recordings are read whole: what speech data is cut into, and all that Whisper reads."""

HIGHEST_RATE = 16_000
"""Of the small network: what speech networks read; more costs time and tells sounds apart by little."""

FITTED_ROWS = 256
"""Training rows that the small network's rate, means and deviations are measured on."""


@final
@dataclass(frozen=True)
class Audio(Backbone):
    """Sounds through Hugging Face encoders or a small network of tunesmith's own."""

    name: ClassVar[str] = "audio"
    reads: ClassVar[tuple[str, ...]] = ("audio",)
    augments: ClassVar[bool] = True
    source: str = field(
        default=SMALL, metadata={"help": "hub id, local folder in hub format, or small: an own network without pretraining"}
    )
    columns: tuple[str, ...] = field(default=("audio",), metadata={"help": "input column"})
    seconds: float = field(default=10.0, metadata={"help": "length of a window; longer recordings are cut in training"})
    windows: int = field(default=12, metadata={"help": "windows that prediction reads of a recording at most, spread evenly"})
    entire: bool = field(
        default=False, metadata={"help": "training recordings longer than a window are refused instead of cut: their transcripts tell all"}
    )
    rate: int | None = field(
        default=None, metadata={"help": "samples a second that small reads; default: the training rows', up to 16,000"}
    )
    mean: tuple[float, ...] | None = field(default=None, metadata={"help": "of each band, for small; default: the training rows'"})
    deviation: tuple[float, ...] | None = field(default=None, metadata={"help": "of each band, for small; default: the training rows'"})
    noise: float = field(default=0.5, metadata={"help": "share of training rows that white noise is added to"})
    snr: tuple[float, float] = field(
        default=(10.0, 40.0), metadata={"help": "its distance from the sound in decibels, drawn between these"}
    )
    gain: float = field(default=6.0, metadata={"help": "decibels by which training rows become louder or softer at most"})
    speed: float = field(default=0.1, metadata={"help": "share by which training rows become faster or slower at most"})
    shift: float = field(default=0.05, metadata={"help": "seconds of silence before a training row at most"})
    masks: int = field(default=2, metadata={"help": "stretches, and as many bands, that are hidden in training rows (SpecAugment)"})
    time_mask: float = field(default=0.1, metadata={"help": "share of a row that a hidden stretch takes at most"})
    band_mask: float = field(default=0.15, metadata={"help": "share of the spectrum that a hidden band takes at most"})
    weights: str | None = field(default=None, metadata={"help": "file of weights for the architecture of the source"})
    scratch: bool = field(default=False, metadata={"help": "random weights"})

    def __post_init__(self) -> None:
        if len(self.columns) > 1:
            raise ValueError(f"one column of sounds is read at a time (got {', '.join(self.columns)}); name one with --inputs")
        for name in ("seconds", "windows"):
            if not getattr(self, name) > 0:
                raise ValueError(f"field '{name}' must be above 0")
        if self.rate is not None and self.rate < 1000:
            raise ValueError("field 'rate' must be at least 1000 samples a second")
        for name in ("noise", "time_mask", "band_mask"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"field '{name}' is a share, between 0 and 1")
        if not 0 <= self.speed < 0.5:
            raise ValueError("field 'speed' must be at least 0 and below 0.5")
        if min(self.gain, self.shift, self.masks) < 0:
            raise ValueError("fields 'gain', 'shift' and 'masks' must not be negative")
        if self.snr[0] > self.snr[1]:
            raise ValueError("field 'snr' holds the least and the greatest distance in decibels")

    @functools.cached_property
    def listener(self) -> Listener:
        """The family that the source belongs to."""
        from tunesmith.backbones import _hub_sounds, _small_sounds

        if self.source == SMALL:
            mean = (_small_sounds.MEAN,) if self.mean is None else self.mean
            deviation = (_small_sounds.DEVIATION,) if self.deviation is None else self.deviation
            return _small_sounds.fresh(self.rate or HIGHEST_RATE, mean, deviation)
        folder = _checkpoints.locate(self.source)
        path = folder / "config.json"
        if not path.is_file():
            raise BackboneError(f"{folder} holds no config.json, so it is no checkpoint in hub format")
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if config.get("model_type") == _small_sounds.ARCHITECTURE:
            return _small_sounds.from_folder(self.source, folder, config)
        return _hub_sounds.from_folder(self.source, folder, config)

    @property
    def frame_seconds(self) -> float:
        """Seconds from one of `Features.tokens` to the next."""
        return self.listener.stride / self.listener.rate

    @functools.cached_property
    def window(self) -> int:
        """Samples of a window."""
        wanted = max(self.listener.least, round(self.seconds * self.listener.rate))
        return wanted if self.listener.longest is None else min(wanted, self.listener.longest)

    def traits(self) -> set[str]:
        return self.listener.traits() | ({"untrained"} if self.source == SMALL and not self.weights else set())

    def fit(self, rows: Callable[[], Iterator[Row]], seed: int) -> Audio:
        if self.source != SMALL:
            return self
        import numpy as np

        from tunesmith.core.sounds import outline

        drawn = _drawn((row[self.columns[0]] for row in rows()), FITTED_ROWS, Random(seed))
        rates = Counter(outline(value, self.columns[0]).rate for value in drawn)
        rate = self.rate or max(1000, min(HIGHEST_RATE, rates.most_common(1)[0][0]))
        found = dataclasses.replace(self, rate=rate, mean=(0.0,), deviation=(1.0,))
        spectra = np.concatenate([found.listener.prepared(wave, None) for value in drawn for wave in found._waves(value)[:1]])
        mean, deviation = spectra.mean(axis=0), np.maximum(spectra.std(axis=0), 0.1)
        return dataclasses.replace(
            self,
            rate=rate,
            mean=self.mean or tuple(np.round(mean, 4).tolist()),
            deviation=self.deviation or tuple(np.round(deviation, 4).tolist()),
        )

    def whole(self) -> Audio:
        return dataclasses.replace(self, entire=True, seconds=max(self.seconds, ENTIRE_SECONDS))

    def frames(self, row: Row) -> int:
        from tunesmith.core.sounds import outline

        samples = outline(row.get(self.columns[0]), self.columns[0]).at(self.listener.rate)
        return self.listener.frames(max(self.listener.least, int(samples / (1 + self.speed))))

    def brought(self) -> Brought | None:
        return None if self.scratch or self.weights else self.listener.brought()

    def with_decoder(self, language: str | None = None, translate: bool = False) -> Decoder:
        from tunesmith.backbones import _hub_sounds

        if self.scratch or self.weights or not isinstance(self.listener, _hub_sounds.Whisper):
            return super().with_decoder(language, translate)
        from tunesmith.backbones._whisper import WhisperWriter

        writer = WhisperWriter(self, self.listener, language, translate)
        writer.tokenizer  # noqa: B018 (so that a folder without one is refused before anything is read)
        return writer

    def open(self) -> nn.Module:
        network, loaded = self.listener.opened(self.weights, self.scratch)
        self.__dict__["_loaded"] = loaded
        return network

    def check(self, row: Row) -> str | None:
        from tunesmith.core.sounds import CLIPPED, heard

        found = heard(row.get(self.columns[0]), self.columns[0])
        if self.entire and found.outline.at(self.listener.rate) > self.window:
            raise RowError(
                f"the recording of {found.outline.seconds:.1f} s is longer than the {self.window / self.listener.rate:g} s that are read "
                "at once, and its transcript tells all of it; cut both into sentences"
                + ("" if self.listener.longest else ", or read more with --set backbone.seconds=N"),
                self.columns[0],
            )
        if found.silent:
            return "silent recordings"
        if found.clipped >= CLIPPED:
            return f"clipped recordings ({CLIPPED:.1%} or more of the samples at full scale)"
        if found.outline.at(self.listener.rate) > self.windows * self.window:
            limit = self.windows * self.window / self.listener.rate
            return f"recordings longer than {limit:g} s, of which prediction reads parts (--set backbone.windows=N reads more)"
        return "recordings of several channels, which are averaged" if found.outline.channels > 1 else None

    def usable(self, row: Row) -> None:
        from tunesmith.core.sounds import heard

        found = heard(row.get(self.columns[0]), self.columns[0])
        if self.entire and found.outline.at(self.listener.rate) > self.windows * self.window:
            limit = self.windows * self.window / self.listener.rate
            raise RowError(f"the recording of {found.outline.seconds:.0f} s is longer than {limit:g} s; cut it", self.columns[0])

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        value = row.get(self.columns[0])
        waves = self._waves(value) if rng is None else [self._changed(value, rng)]
        masks = None
        if rng is not None and self.masks:
            import numpy as np

            from tunesmith.backbones._sound_changes import Masks

            masks = Masks(self.masks, self.time_mask, self.band_mask, np.random.default_rng(rng.getrandbits(64)))
        waves = [self._long_enough(wave) for wave in waves]
        return {"values": [self.listener.prepared(wave, masks) for wave in waves], "samples": [len(wave) for wave in waves]}

    def _long_enough(self, wave: Floats) -> Floats:
        import numpy as np

        return np.pad(wave, (0, max(0, self.listener.least - len(wave))))

    def _waves(self, value: Any) -> list[Floats]:
        """The windows of a recording."""
        from tunesmith.core.sounds import outline, read_sound

        column, rate = self.columns[0], self.listener.rate
        samples = outline(value, column).at(rate)
        starts = _starts(samples, self.window, self.windows)
        if len(starts) * self.window < samples:
            return [read_sound(value, column, rate, start, self.window) for start in starts]
        whole = read_sound(value, column, rate)
        return [whole[start : start + self.window] for start in starts]

    def _changed(self, value: Any, rng: Random) -> Floats:
        """A random stretch of a recording, changed at random."""
        import numpy as np

        from tunesmith.backbones import _sound_changes as changes
        from tunesmith.core.sounds import outline, read_sound

        column, rate = self.columns[0], self.listener.rate
        factor = rng.uniform(1 - self.speed, 1 + self.speed)
        late = int(rng.uniform(0, self.shift) * rate)
        samples = outline(value, column).at(rate)
        if self.entire:  # neither slower nor later than fits
            factor = max(factor, samples / self.window)
            late = min(late, max(0, self.window - round(samples / factor)))
        wanted = int(self.window * factor)
        start = rng.randint(0, max(0, samples - wanted))
        wave = changes.faster(read_sound(value, column, rate, start, wanted), factor)
        wave = changes.louder(wave, rng.uniform(-self.gain, self.gain))
        if rng.random() < self.noise:
            wave = changes.noisy(wave, rng.uniform(*self.snr), np.random.default_rng(rng.getrandbits(64)))
        return changes.later(wave, min(late, self.window - 1))[: self.window]

    def collate(self, items: Sequence[Encoded]) -> Batch:
        import numpy as np
        import torch

        values = [value for item in items for value in item["values"]]
        samples = [count for item in items for count in item["samples"]]
        padded = np.zeros((len(values), max(map(len, values)), *values[0].shape[1:]), np.float32)
        for place, value in enumerate(values):
            padded[place, : len(value)] = value
        units = max(map(self.listener.units, samples))
        mask = np.arange(units) < np.asarray([self.listener.frames(count) for count in samples])[:, None]
        first = np.cumsum([0, *(len(item["values"]) for item in items[:-1])])
        return {
            "values": torch.from_numpy(padded),  # (windows, ...)
            "samples": torch.tensor(samples),  # (windows,)
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),  # (windows, frames)
            "first": torch.from_numpy(first),  # (rows,) place of each row's first window
        }

    def features(self, network: nn.Module, batch: Batch) -> Features:
        pooled, tokens = self.listener.features(network, batch["values"], batch["samples"])
        mask, first = batch["attention_mask"], batch["first"]
        weight = mask.to(tokens.dtype)
        if pooled is None:
            pooled, share = (tokens * weight[..., None]).sum(dim=1), weight.sum(dim=1)
        else:
            share = batch["samples"].to(tokens.dtype)
            pooled = pooled * share[:, None]
        if len(first) == len(mask):
            return Features(pooled=pooled / share[:, None], tokens=tokens, mask=mask)
        import torch
        from torch.nn.utils.rnn import pad_sequence

        counts = torch.diff(first, append=first.new_tensor([len(mask)]))
        row = torch.repeat_interleave(torch.arange(len(first), device=first.device), counts)  # (windows,)
        pooled = pooled.new_zeros(len(first), pooled.shape[1]).index_add(0, row, pooled)
        share = share.new_zeros(len(first)).index_add(0, row, share)
        parts = [(tokens[row == place], mask[row == place] > 0) for place in range(len(first))]
        joined = [frames[real] for frames, real in parts]  # each (frames of the row, width)
        mask = pad_sequence([mask.new_ones(len(frames)) for frames in joined], batch_first=True)
        return Features(pooled=pooled / share[:, None], tokens=pad_sequence(joined, batch_first=True), mask=mask)

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        from tunesmith.backbones._blocks import layers

        return layers(network)

    def fresh(self, network: nn.Module) -> list[nn.Module]:
        return [network] if "untrained" in self.traits() else []

    def width(self, network: nn.Module) -> int:
        return self.listener.width(network)

    def input_spec(self) -> list[InputSpec]:
        hint = f"sound (wav, flac, ogg, mp3), read at {self.listener.rate:,} samples a second in windows of {self.seconds:g} s"
        return [InputSpec(self.columns[0], "audio", hint)]

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        import numpy as np

        from tunesmith.core.sounds import outline

        found = np.zeros(len(rows), np.int64)
        for place, row in enumerate(rows):
            samples = outline(row.get(self.columns[0]), self.columns[0]).at(self.listener.rate)
            starts = _starts(samples, self.window, self.windows)
            lengths = (max(self.listener.least, min(self.window, samples - start)) for start in starts)
            found[place] = sum(map(self.listener.units, lengths))
        return found

    def apart(self, state: torch.Tensor, batch: Batch) -> list[torch.Tensor]:
        mask, first = batch["attention_mask"], batch["first"].tolist()
        spans = list(itertools.pairwise([*first, len(mask)]))
        if self.listener.longest is not None:  # all windows are of one length
            return [state[start:stop] for start, stop in spans]
        if state.ndim != 3 or state.shape[1] != mask.shape[1]:
            raise ValueError("these hidden values are not one vector for each frame, so padding cannot be told from sound")
        longest = mask.sum(dim=1)
        return [state[start:stop, : int(longest[start:stop].max())] for start, stop in spans]

    def together(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        import torch
        from torch.nn.functional import pad

        longest = max(state.shape[1] for state in states)
        return torch.cat([pad(state, (0, 0) * (state.ndim - 2) + (0, longest - state.shape[1])) for state in states])

    def save_memory(self, network: nn.Module) -> None:
        self.listener.save_memory(network)

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        self.listener.save(network, weights, folder)

    def moved(self, folder: Path) -> Audio:
        return dataclasses.replace(self, source=str(folder), weights=None, scratch=False)

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def origin(self) -> dict[str, Any]:
        loaded: _checkpoints.Loaded | None = self.__dict__.get("_loaded")
        return loaded.plain() if loaded else {"source": self.source}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        import io

        import numpy as np

        from tunesmith.core.errors import require

        rate, seconds = 8000, rng.uniform(0.2, 0.4)
        time = np.arange(int(rate * seconds)) / rate
        noise = np.random.default_rng(rng.getrandbits(64)).standard_normal(len(time)) * 0.02
        wave = 0.4 * np.sin(2 * np.pi * 300 * 2 ** (code % 3) * time + rng.uniform(0, 6)) + noise
        buffer = io.BytesIO()
        require("soundfile", "sounds").write(buffer, wave, rate, format="WAV")
        return {self.columns[0]: buffer.getvalue()}


def _starts(samples: int, window: int, most: int) -> list[int]:
    """Where the windows of a recording begin.

    Example:
        >>> _starts(25, 10, 12), _starts(100, 10, 3)
        ([0, 10, 20], [0, 45, 90])
    """
    count = max(1, -(-samples // window))
    if count <= most:
        return [place * window for place in range(count)]
    return [place * (samples - window) // max(1, most - 1) for place in range(most)]


def _drawn(values: Iterator[Any], most: int, rng: Random) -> list[Any]:
    """At most so many values, drawn at random while they go by (Vitter's algorithm R)."""
    found = list(itertools.islice(values, most))
    for seen, value in enumerate(values, start=most + 1):
        place = rng.randrange(seen)
        if place < most:
            found[place] = value
    return found
