"""Sound networks of transformers, from folders in hub format: those that read samples (Wav2Vec2, HuBERT, WavLM and kin), the Audio
Spectrogram Transformer, and Whisper's encoder.

What each reads follows its own preprocessor_config.json. Masks that a network would draw itself in training are off, since they come from
numpy's global generator, which a resumed run does not restore; those of `_sound_changes` stand in for them. Layers are not skipped at
random either, so that every weight takes part in every step.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import nn

from tunesmith.backbones import _checkpoints
from tunesmith.backbones._listener import Listener
from tunesmith.core.contracts import Brought
from tunesmith.core.errors import BackboneError, require

if TYPE_CHECKING:
    from tunesmith.backbones._sound_changes import Masks
    from tunesmith.core.arrays import Floats

WAVES = ("hubert", "unispeech", "unispeech-sat", "wav2vec2", "wavlm")
SPECTROGRAM = "audio-spectrogram-transformer"
KNOWN = (*WAVES, SPECTROGRAM, "whisper")
UNUSED = ("masked_spec_embed", "pooler.", "adapter.", "quantizer.", "project_", "lm_head.", "decoder.", "model.decoder.")
"""Beginnings of names of weights that no feature depends on."""


@dataclass(frozen=True)
class _Hub(Listener):
    """What the three families share.

    Attributes:
        source: what the user called it.
        folder: the checkpoint in hub format.
    """

    source: str
    folder: Path

    @cached_property
    def config(self) -> Any:
        """The architecture, with all defaults filled in."""
        transformers = require("transformers", "sound backbones in hub format")
        try:
            return transformers.AutoConfig.from_pretrained(str(self.folder), trust_remote_code=False)
        except (ValueError, OSError) as error:
            raise BackboneError(f"{self.folder}/config.json describes no network that transformers knows: {str(error)[:200]}") from error

    @cached_property
    def told(self) -> dict[str, Any]:
        """The checkpoint's preprocessor_config.json; empty where there is none."""
        path = self.folder / "preprocessor_config.json"
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return values

    @property
    def rate(self) -> int:
        return int(self.told.get("sampling_rate") or 16000)

    def traits(self) -> set[str]:
        return {"audio", "transformer", "linear", "layer_norm"}

    def width(self, network: nn.Module) -> int:
        return int(self.config.hidden_size)

    def opened(self, weights: str | None, scratch: bool) -> tuple[nn.Module, _checkpoints.Loaded]:
        family = require("transformers", "sound backbones in hub format").AutoModel
        if weights:
            return _checkpoints.hub_filled(self.config, family, weights, UNUSED)
        if scratch:
            return family.from_config(self.config, dtype=torch.float32), _checkpoints.Loaded("random weights", 0, [], [])
        return _checkpoints.hub_network(self.folder, family, self.source, UNUSED)

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        _checkpoints.save_hub(network, weights, folder)
        own = self.folder / "preprocessor_config.json"
        if own.is_file():
            (folder / own.name).write_bytes(own.read_bytes())


@final
@dataclass(frozen=True)
class Waves(_Hub):
    """Networks that read samples: convolutions of a stride of 20 ms, then a transformer."""

    @property
    def stride(self) -> float:
        return float(math.prod(self.config.conv_stride))

    @property
    def least(self) -> int:
        count = 1
        for kernel, stride in zip(reversed(self.config.conv_kernel), reversed(self.config.conv_stride), strict=True):
            count = (count - 1) * stride + kernel
        return int(count)

    def frames(self, samples: int) -> int:
        return int(self._frames(torch.tensor(samples)))

    def prepared(self, wave: Floats, masks: Masks | None) -> Floats:
        if self.told.get("do_normalize", True):  # as Wav2Vec2FeatureExtractor does
            wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        return wave if masks is None else masks.wave(wave)

    def opened(self, weights: str | None, scratch: bool) -> tuple[nn.Module, _checkpoints.Loaded]:
        network, loaded = super().opened(weights, scratch)
        model: Any = network
        model.config.apply_spec_augment = False
        model.config.mask_time_prob = model.config.mask_feature_prob = model.config.layerdrop = 0.0
        if getattr(model, "masked_spec_embed", None) is not None:
            model.masked_spec_embed = None
        if getattr(model, "adapter", None) is not None:
            model.adapter, model.config.add_adapter = None, False
        first = model.feature_extractor.conv_layers[0]
        if isinstance(getattr(first, "layer_norm", None), nn.GroupNorm):
            model.feature_extractor.conv_layers[0] = FirstLayer(first)
        return network, loaded

    def features(self, network: nn.Module, values: torch.Tensor, samples: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        real = torch.arange(values.shape[1], device=values.device) < samples[:, None]
        if getattr(self.config, "feat_extract_norm", "layer") == "group":
            values = values.masked_fill(~real, math.nan)  # what FirstLayer knows padding by
        model: Any = network
        extracted = model.feature_extractor(values).transpose(1, 2)  # (stretches, units, channels)
        projected = model.feature_projection(extracted)
        hidden = projected[0] if isinstance(projected, tuple) else projected
        # the library tells the frames from the extractor's output, which is not run where the first blocks are frozen and remembered
        mask = torch.arange(hidden.shape[1], device=hidden.device) < self._frames(samples)[:, None]
        return None, model.encoder(hidden, attention_mask=mask).last_hidden_state

    def _frames(self, samples: torch.Tensor) -> torch.Tensor:
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def brought(self) -> Brought | None:
        vocabulary, weights = self.folder / "vocab.json", self.folder / "model.safetensors"
        if not vocabulary.is_file() or not weights.is_file():
            return None
        from safetensors import safe_open

        with safe_open(weights, "pt") as file:
            if "lm_head.weight" not in file.keys():  # noqa: SIM118 (it is no mapping)
                return None
        places: dict[str, int] = json.loads(vocabulary.read_text(encoding="utf-8"))
        if not all(isinstance(place, int) for place in places.values()):  # one alphabet for each of several languages
            return None
        path = self.folder / "tokenizer_config.json"
        told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        names = [""] * (1 + max(places.values()))
        for name, place in places.items():
            names[place] = " " if name == told.get("word_delimiter_token", "|") else name

        def read() -> tuple[torch.Tensor, torch.Tensor]:
            with safe_open(weights, "pt") as file:
                return file.get_tensor("lm_head.weight").float(), file.get_tensor("lm_head.bias").float()

        return Brought(tuple(names), int(self.config.pad_token_id or 0), read)


class FirstLayer(nn.Module):
    """The first convolution of a network whose norm goes over the whole recording, without counting padding.

    As the authors' layer does for a single recording; beside a longer one its mean and variance would take in the padding. The names of
    the weights are those of the layer that it stands for.

    Args:
        layer: of transformers, with `conv`, `layer_norm` (a group norm of one channel a group) and `activation`.
    """

    conv: nn.Module
    layer_norm: nn.GroupNorm
    activation: nn.Module

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.conv, self.layer_norm, self.activation = layer.conv, layer.layer_norm, layer.activation

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """(rows, channels, frames) of (rows, 1, samples) that are padded by NaN."""
        conv: Any = self.conv
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        samples = (~waves.isnan()).sum(dim=2, keepdim=True)  # (rows, 1, 1)
        x = conv(waves.nan_to_num(0.0))
        frames = (samples - kernel) // stride + 1
        real = torch.arange(x.shape[2], device=x.device) < frames
        x = x * real
        mean = x.sum(dim=2, keepdim=True) / frames
        away = (x - mean) * real
        x = away / (away.square().sum(dim=2, keepdim=True) / frames + self.layer_norm.eps).sqrt()
        found: torch.Tensor = self.activation(x * self.layer_norm.weight[:, None] + self.layer_norm.bias[:, None])
        return found


@final
@dataclass(frozen=True)
class Spectrogram(_Hub):
    """The Audio Spectrogram Transformer: patches of a spectrum of fixed length; its vector is the mean of its two first tokens."""

    @cached_property
    def extractor(self) -> Any:
        """Makes spectra as the checkpoint wants them."""
        transformers = require("transformers", "sound backbones in hub format")
        sizes = {"num_mel_bins": self.config.num_mel_bins, "max_length": self.config.max_length}
        return transformers.ASTFeatureExtractor(**{**self.told, **sizes})

    @property
    def hop(self) -> int:
        """Samples from one frame of the spectrum to the next, which the library fixes."""
        return 160

    @property
    def stride(self) -> float:
        return self.hop * int(self.config.time_stride)

    @property
    def longest(self) -> int:
        return self.least + self.hop * (int(self.config.max_length) - 1)

    @property
    def least(self) -> int:
        return 400

    def frames(self, samples: int) -> int:
        return max(1, (self._spectrum(samples) - int(self.config.patch_size)) // int(self.config.time_stride) + 1)

    def _spectrum(self, samples: int) -> int:
        return min(int(self.config.max_length), (samples - self.least) // self.hop + 1)

    def prepared(self, wave: Floats, masks: Masks | None) -> Floats:
        values: Floats = self.extractor(wave, sampling_rate=self.rate, return_tensors="np")["input_values"][0]
        if masks is None:
            return values
        real = self._spectrum(len(wave))
        return masks.spectrum(values, real, float(values[:real].mean()))

    def features(self, network: nn.Module, values: torch.Tensor, samples: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        found = network(values)
        patches = found.last_hidden_state[:, 2:]  # after the two that sum up
        units = self.units(self.longest)
        return found.pooler_output, patches.unflatten(1, (-1, units)).mean(dim=1)  # over bands


@final
@dataclass(frozen=True)
class Whisper(_Hub):
    """Whisper's encoder, which reads spectra of fixed length (30 s, unless the configuration says less)."""

    @cached_property
    def extractor(self) -> Any:
        """Makes spectra as the checkpoint wants them."""
        transformers = require("transformers", "sound backbones in hub format")
        return transformers.WhisperFeatureExtractor(**{**self.told, "feature_size": self.config.num_mel_bins})

    @property
    def stride(self) -> float:
        return 2.0 * int(self.extractor.hop_length)

    @property
    def longest(self) -> int:
        return int(self.stride) * int(self.config.max_source_positions)

    def frames(self, samples: int) -> int:
        return min(int(self.config.max_source_positions), -(-samples // int(self.stride)))

    def prepared(self, wave: Floats, masks: Masks | None) -> Floats:
        found = self.extractor(wave, sampling_rate=self.rate, max_length=self.longest, return_tensors="np")
        values: Floats = np.ascontiguousarray(found["input_features"][0].T, np.float32)  # (frames, bands)
        if masks is None:
            return values
        real = -(-len(wave) // int(self.extractor.hop_length))
        return masks.spectrum(values, real, float(values[:real].mean()))

    def opened(self, weights: str | None, scratch: bool) -> tuple[nn.Module, _checkpoints.Loaded]:
        require("transformers", "sound backbones in hub format")
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        alone = list(self.config.architectures or []) == [WhisperEncoder.__name__]  # as `save` writes it
        if alone and not weights and not scratch:
            network, loaded = _checkpoints.hub_network(self.folder, WhisperEncoder, self.source)
        else:
            whole, loaded = super().opened(weights, scratch)
            network = whole.encoder
        model: Any = network
        model.layerdrop = model.config.encoder_layerdrop = 0.0
        return model, loaded

    def features(self, network: nn.Module, values: torch.Tensor, samples: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        return None, network(values.transpose(1, 2)).last_hidden_state


def from_folder(source: str, folder: Path, config: dict[str, Any]) -> Listener:
    """The family of a checkpoint.

    Args:
        source: what the user called it.
        folder: holds it.
        config: its config.json.

    Raises:
        BackboneError: it is of no family that reads sounds.
    """
    kind = config.get("model_type")
    if kind in WAVES:
        return Waves(source, folder)
    if kind == SPECTROGRAM:
        return Spectrogram(source, folder)
    if kind == "whisper":
        return Whisper(source, folder)
    raise BackboneError(
        f"{source} is of the kind {kind!r}, which is no encoder of sounds; those that are read: {', '.join(KNOWN)}, and 'small'"
    )
