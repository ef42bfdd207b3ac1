"""Tiny encoders of series in hub format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from tunesmith.backbones import _series_small


def small(root: Path) -> Path:
    """Convolutions for series of two channels."""
    folder = root / "series_small"
    if not folder.exists():
        torch.manual_seed(3)
        network = _series_small.Encoder(2, 8, 3)
        for name, buffer in network.named_buffers():  # statistics as after some training, so that evaluation depends on them
            if name.endswith(("mean", "var")):
                buffer.uniform_(*((-0.5, 0.0) if name.endswith("mean") else (0.5, 1.5)))
        _series_small.save(network, network.state_dict(), folder)
    return folder


def patchtst(root: Path, family: Any = transformers.PatchTSTModel, **given: object) -> Path:
    """An encoder of a single channel, or a forecaster around it, pretrained so to speak."""
    folder = root / f"patchtst_{family.__name__}"
    if not folder.exists() or given:
        torch.manual_seed(4)
        settings = {"num_input_channels": 1, "context_length": 32, "patch_length": 8, "patch_stride": 8, "d_model": 16, "ffn_dim": 32}
        settings |= {
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "prediction_length": 4,
            "init_std": 0.2,
            "norm_type": "layernorm",
            **given,
        }
        family(transformers.PatchTSTConfig(**settings)).save_pretrained(folder)
    return folder


def patchtsmixer(root: Path) -> Path:
    """The same of PatchTSMixer."""
    folder = root / "patchtsmixer"
    if not folder.exists():
        torch.manual_seed(5)
        settings = {"num_input_channels": 1, "context_length": 32, "patch_length": 8, "patch_stride": 8, "d_model": 16, "num_layers": 2}
        transformers.PatchTSMixerModel(transformers.PatchTSMixerConfig(**settings, init_std=0.2)).save_pretrained(folder)
    return folder
