"""tunesmith's own small network for sounds, for when no checkpoint is at hand: 0.3 million weights on a log-mel spectrum.

    spectrum (frames, 64 bands) --3 stages of residual 3x3 convolutions, bands halved in each, frames in the first-->
    one vector every 20 ms --2 blocks that mix neighbours in time (depthwise convolution, then two linear layers)--> (frames / 2, 128)

Norms are over channels only and padding is set to zero after each layer, so a recording's features do not depend on what it is batched
with. Bands are standardised by means and deviations of the training rows, which `Audio.fit` measures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import nn
from torch.nn import functional

from tunesmith.backbones import _checkpoints
from tunesmith.backbones._listener import Listener
from tunesmith.core import spectra
from tunesmith.core.errors import BackboneError

if TYPE_CHECKING:
    from tunesmith.backbones._sound_changes import Masks
    from tunesmith.core.arrays import Floats

ARCHITECTURE = "tunesmith_sounds"
STRIDE = 2
"""Frames of the spectrum for one of the network's."""

MEAN, DEVIATION = -7.0, 4.0
"""Of log-mel values of speech, about: what stands in for those of the training rows before they were measured."""


@dataclass(frozen=True)
class Shape:
    """The network's sizes.

    Attributes:
        bands: of the mel scale; a multiple of 8.
        channels: of the first stage; each later stage has twice as many.
        width: of a frame.
        mixers: blocks that mix neighbours in time.
        reach: frames that one of these sees.
    """

    bands: int = 64
    channels: int = 16
    width: int = 128
    mixers: int = 2
    reach: int = 9


class Small(nn.Module):
    """Spectra and their lengths to frames."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.width = shape.width
        sizes = [shape.channels << stage for stage in range(3)]
        self.stages = nn.ModuleList(Stage(a, b, 1 if a > 1 else STRIDE) for a, b in zip([1, *sizes], sizes, strict=False))
        self.mixers = nn.ModuleList([Entrance(sizes[-1] * (shape.bands // 8), shape.width)])
        self.mixers.extend(Mixer(shape.width, shape.reach) for _ in range(shape.mixers))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, spectrum: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """(stretches, units, width) frames.

        Args:
            spectrum: (stretches, frames, bands).
            frames: (stretches,) frames of the output that are real.
        """
        units = (spectrum.shape[1] + STRIDE - 1) // STRIDE
        mask = (torch.arange(units, device=spectrum.device) < frames[:, None]).to(spectrum.dtype)
        x = spectrum[:, None]  # (stretches, channels, frames, bands)
        for stage in self.stages:
            x = stage(x, mask[:, None, :, None])
        for mixer in self.mixers:
            x = mixer(x, mask[..., None])
        frame: torch.Tensor = self.norm(x)
        return frame


class Stage(nn.Module):
    """Halve the bands (and, in the first stage, the frames), then a residual pair of convolutions.

    Only the residual branch is normed: a norm over a few channels on the way itself takes away how loud a place of the spectrum is, and the
    network then needs about three times as many epochs.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(before, after, 3, (stride, 2), 1)
        self.norm = nn.LayerNorm(after)
        self.first = nn.Conv2d(after, after, 3, 1, 1)
        self.second = nn.Conv2d(after, after, 3, 1, 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.enter(x) * mask
        y = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) * mask
        y = functional.gelu(self.first(y)) * mask
        found: torch.Tensor = (x + self.second(y)) * mask
        return found


class Entrance(nn.Module):
    """All bands and channels of a moment become one vector."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(before, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.linear(x.permute(0, 2, 1, 3).flatten(2)) * mask
        return found


class Mixer(nn.Module):
    """A residual block over time (ConvNeXt, Liu et al. 2022, in one dimension)."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.across = nn.Conv1d(width, width, reach, padding=reach // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        y = self.across(x.transpose(1, 2)).transpose(1, 2)
        found: torch.Tensor = (x + self.down(functional.gelu(self.up(self.norm(y))))) * mask
        return found


@final
@dataclass(frozen=True)
class SmallListener(Listener):
    """The small network, from random weights or from a folder that `save` wrote.

    Attributes:
        source: what the user called it.
        folder: holds its weights; None for random ones.
        shape: its sizes.
        samples_a_second: what it reads.
        mean: of each band; one number for all.
        deviation: likewise.
    """

    source: str
    folder: Path | None
    shape: Shape
    samples_a_second: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def rate(self) -> int:
        return self.samples_a_second

    @property
    def stride(self) -> float:
        return STRIDE * spectra.lengths(self.rate)[1]

    def frames(self, samples: int) -> int:
        return -(-spectra.frames_of(samples, self.rate) // STRIDE)

    def prepared(self, wave: Floats, masks: Masks | None) -> Floats:
        import numpy as np

        mean: Floats = np.asarray(self.mean, np.float32)
        deviation: Floats = np.asarray(self.deviation, np.float32)
        values: Floats = (spectra.log_mel(wave, self.rate, self.shape.bands) - mean) / deviation
        return values if masks is None else masks.spectrum(values, len(values), 0.0)

    def features(self, network: nn.Module, values: torch.Tensor, samples: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        hop = spectra.lengths(self.rate)[1]
        frames = ((samples + hop - 1) // hop + STRIDE - 1) // STRIDE
        return None, network(values, frames)

    def opened(self, weights: str | None, scratch: bool) -> tuple[nn.Module, _checkpoints.Loaded]:
        network = Small(self.shape)
        if weights:
            found, source = _checkpoints.read_weights(Path(weights).expanduser()), weights
        elif self.folder is not None and not scratch:
            found, source = _checkpoints.read_weights(self.folder / "model.safetensors"), self.source
        else:
            return network, _checkpoints.Loaded("random weights", 0, [], [])
        return network, _checkpoints.fill(network, found, source)

    def width(self, network: nn.Module) -> int:
        return self.shape.width

    def traits(self) -> set[str]:
        return {"audio", "convolution", "linear", "layer_norm"}

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
        told = {"rate": self.rate, "mean": self.mean, "deviation": self.deviation}
        config = {"model_type": ARCHITECTURE, **asdict(self.shape), **told}
        (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def from_folder(source: str, folder: Path, config: dict[str, Any]) -> SmallListener:
    """What `SmallListener.save` wrote.

    Raises:
        BackboneError: its configuration is incomplete.
    """
    try:
        shape = Shape(**{name: int(config[name]) for name in asdict(Shape())})
        return SmallListener(source, folder, shape, int(config["rate"]), tuple(config["mean"]), tuple(config["deviation"]))
    except KeyError as error:
        raise BackboneError(f"{folder}/config.json lacks {error}, so it is not what tunesmith writes of its small sound network") from error


def fresh(rate: int, mean: tuple[float, ...], deviation: tuple[float, ...]) -> SmallListener:
    """The small network with random weights."""
    return SmallListener("small", None, Shape(), rate, mean, deviation)
