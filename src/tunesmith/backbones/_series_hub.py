"""Encoders of series from folders in hub format: PatchTST and PatchTSMixer, also where they were pretrained as forecasters.

Both cut a context of fixed length into patches and treat channels alike, so one pretrained on a single channel reads any number of
them. Shorter series are padded at the beginning and said to be unobserved there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.backbones import _checkpoints
from tunesmith.core.contracts import Features
from tunesmith.core.errors import BackboneError, require

if TYPE_CHECKING:
    import torch
    from torch import nn

OBSERVED = {"patchtst": "past_observed_mask", "patchtsmixer": "observed_mask"}
"""Network that is known -> how it calls the mask of what was observed."""

UNUSED = ("head.", "pooler.")


def config_of(folder: Path) -> Any:
    """The configuration of a folder.

    Raises:
        BackboneError: transformers does not know it, or it is no encoder of series that is known here.
    """
    transformers = require("transformers", "encoders of series in hub format")
    try:
        config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except (ValueError, OSError) as error:
        raise BackboneError(f"{folder}/config.json describes no network that transformers knows: {str(error)[:200]}") from error
    if config.model_type not in OBSERVED:
        raise BackboneError(
            f"{folder} is a network of type {config.model_type}, which reads no series here; types that do: {', '.join(OBSERVED)}; "
            "or use --backbone small"
        )
    return config


def pretrained(folder: Path, channels: int, scratch: bool, weights: str | None) -> tuple[nn.Module, _checkpoints.Loaded]:
    """The encoder with the folder's weights, those of a file, or random ones."""
    transformers = require("transformers", "encoders of series in hub format")
    config = config_of(folder)
    if scratch:
        network, loaded = transformers.AutoModel.from_config(config), _checkpoints.Loaded("random weights", 0, [], [])
    elif weights:
        network, loaded = _checkpoints.hub_filled(config, transformers.AutoModel, weights, UNUSED)
    else:
        network, loaded = _checkpoints.hub_network(folder, transformers.AutoModel, str(folder), UNUSED)
    own = int(config.num_input_channels)
    mixed = (
        getattr(config, "channel_attention", False)
        or getattr(config, "share_embedding", True) is False
        or getattr(config, "mode", "common_channel") != "common_channel"
    )
    if own != channels and mixed:
        raise BackboneError(f"{folder} mixes its {own} channels, so it cannot read series of {channels}; use --backbone small")
    network.config.num_input_channels = channels
    for module in network.modules():
        if hasattr(module, "num_input_channels"):
            module.num_input_channels = channels
    return network, loaded


def features(network: Any, values: torch.Tensor, observed: torch.Tensor, mask: torch.Tensor) -> Features:
    """Mean over the patches of each channel, channels side by side; tokens are the patches, means over the channels.

    Args:
        network: as `pretrained` gives it.
        values, observed: (batch, channels, context).
        mask: (batch, context): 0 where there is padding.
    """
    import torch

    known = {OBSERVED[network.config.model_type]: observed.transpose(1, 2)}
    hidden = network(past_values=values.transpose(1, 2), **known).last_hidden_state  # (batch, channels, patches, width)
    if getattr(network.config, "use_cls_token", False):
        hidden = hidden[:, :, 1:]
    patches = hidden.shape[2]
    length, stride = int(network.config.patch_length), int(network.config.patch_stride)
    begin = mask.shape[1] - (length + stride * (patches - 1))  # what does not fill a patch is left out at the beginning
    there = mask[:, begin:].unfold(1, length, stride).amax(2)  # (batch, patches): 1 where a patch holds any step
    weight = there[:, None, :, None].to(hidden.dtype)
    mean = (hidden * weight).sum(2) / weight.sum(2).clamp(min=1)
    return Features(pooled=torch.flatten(mean, 1), tokens=hidden.mean(1), mask=there)


def width(network: Any) -> int:
    """Width of the pooled features."""
    return int(network.config.d_model) * int(network.config.num_input_channels)
