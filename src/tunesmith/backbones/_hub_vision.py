"""Vision networks of transformers, from folders in hub format; of a CLIP or SigLIP the tower of pictures, with its projection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from tunesmith.backbones import _checkpoints, _towers
from tunesmith.backbones._library import Library, Preprocessing
from tunesmith.core.contracts import Features
from tunesmith.core.errors import BackboneError, require

if TYPE_CHECKING:
    import torch
    from torch import nn

UNUSED = ("pooler.", "embeddings.mask_token")
"""Weights that no feature depends on: taken off, so that every trainable weight takes part, and not missed in a checkpoint."""


@final
@dataclass(frozen=True)
class Transformers(Library):
    """A vision network of transformers in a folder in hub format."""

    folder: Path

    def _config(self) -> Any:
        transformers = require("transformers", "vision backbones in hub format")
        try:
            return transformers.AutoConfig.from_pretrained(str(self.folder), trust_remote_code=False)
        except (ValueError, OSError) as error:
            raise BackboneError(f"{self.folder}/config.json describes no network that transformers knows: {str(error)[:200]}") from error

    def _parts(self) -> tuple[Any, Any, tuple[str, ...]]:
        """Architecture, class of transformers, and beginnings of names in the folder's weights that are another network's."""
        config = self._config()
        tower = _towers.tower(config, "vision")
        if tower is not None:
            return tower.config, tower.family, tower.others
        return config, require("transformers", "vision backbones in hub format").AutoModel, ()

    def build(self) -> nn.Module:
        config, family, _ = self._parts()
        return _trimmed(family.from_config(config) if hasattr(family, "from_config") else family(config))

    def pretrained(self) -> tuple[nn.Module, _checkpoints.Loaded]:
        config, family, others = self._parts()
        network, loaded = _checkpoints.hub_network(self.folder, family, str(self.folder), UNUSED, config=config, others=others)
        return _trimmed(network), loaded

    def filled(self, path: str) -> tuple[nn.Module, _checkpoints.Loaded]:
        config, family, others = self._parts()
        network, loaded = _checkpoints.hub_filled(config, family, path, UNUSED, others)
        return _trimmed(network), loaded

    def preprocessing(self) -> Preprocessing:
        told = _told(self.folder)
        default = Preprocessing(224)
        resized = _side(told.get("size") or getattr(self._parts()[0], "image_size", None)) or default.size
        size = _side(told.get("crop_size")) if told.get("do_center_crop", "crop_size" in told) else None
        crop = told.get("crop_pct") or (size / resized if size else 1.0)
        mean, std = told.get("image_mean") or default.mean, told.get("image_std") or default.std
        if told.get("do_normalize") is False:
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        return Preprocessing(size or resized, tuple(mean), tuple(std), min(1.0, float(crop)))

    def features(self, network: nn.Module, pixels: torch.Tensor, pooling: str | None) -> Features:
        out = network(pixel_values=pixels)
        hidden, summary = out.last_hidden_state, getattr(out, "pooler_output", None)
        summary = getattr(out, "image_embeds", summary)  # of a CLIP: what stands beside the vectors of texts
        if hidden.ndim == 4:  # (batch, channels, height, width): a convolutional network
            if pooling == "cls":
                raise BackboneError(f"{self.folder} has no class token; use backbone.pooling mean, or leave it out")
            return Features(pooled=hidden.mean((2, 3)) if pooling or summary is None else summary.flatten(1), maps=(hidden,))
        prefix = _prefix(network)
        if pooling == "cls" and not prefix:
            raise BackboneError(f"{self.folder} has no class token; use backbone.pooling mean, or leave it out")
        if pooling is None and summary is not None:
            return Features(pooled=summary.flatten(1), tokens=hidden)
        if pooling == "cls" or (pooling is None and prefix):
            return Features(pooled=hidden[:, 0], tokens=hidden)
        return Features(pooled=hidden[:, prefix:].mean(1), tokens=hidden)

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        _checkpoints.save_hub(network, weights, folder)
        if told := _told(self.folder):
            (folder / "preprocessor_config.json").write_text(json.dumps(told, indent=2), encoding="utf-8")

    def config(self) -> dict[str, Any]:
        values: dict[str, Any] = self._parts()[0].to_dict()
        return values


def _told(folder: Path) -> dict[str, Any]:
    """What a folder says of its pictures; newer ones say it within the file of all that reads inputs."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = folder / name
        if path.is_file():
            told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return dict(told.get("image_processor") or told)
    return {}


def _side(told: Any) -> int | None:
    """The shorter side in pixels, in any of the ways checkpoints write it."""
    if isinstance(told, dict):
        told = told.get("shortest_edge") or told.get("height")
    if isinstance(told, list | tuple):
        told = min(told)
    return int(told) if told else None


def _prefix(network: Any) -> int:
    """Tokens before the patches: class token, distillation token, registers."""
    special: int = sum(name.endswith(("cls_token", "class_embedding", "distillation_token")) for name, _ in network.named_parameters())
    return special + int(getattr(network.config, "num_register_tokens", 0) or 0)


def _trimmed(network: Any) -> nn.Module:
    """Take off what no feature depends on.

    A pooler that has a dense layer on the class token was trained for another purpose (next sentence, a classifier); one that
    averages, attends or normalises patches is how the network sums up a picture, and stays.
    """
    pooler = getattr(network, "pooler", None)
    if pooler is not None and hasattr(pooler, "dense"):
        network.pooler = None
    embeddings: Any = getattr(network, "embeddings", None)
    if getattr(embeddings, "mask_token", None) is not None:
        embeddings.mask_token = None
    module: nn.Module = network
    return module
