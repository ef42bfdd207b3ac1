"""Networks of timm: by architecture, or from a folder in timm's hub format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from tunesmith.backbones import _checkpoints
from tunesmith.backbones._library import Library, Preprocessing, nearest, offline, weights_in
from tunesmith.core.contracts import Features
from tunesmith.core.errors import BackboneError, UnknownNameError, require

if TYPE_CHECKING:
    import torch
    from torch import nn


@final
@dataclass(frozen=True)
class Timm(Library):
    """A network of timm; `folder` holds a checkpoint in timm's hub format."""

    architecture: str
    folder: Path | None = None

    def _create(self, **options: Any) -> nn.Module:
        timm = require("timm", "timm backbones")
        if not timm.is_model(self.architecture.split(".")[0]):
            near = timm.list_models()
            raise UnknownNameError("timm architecture", self.architecture, nearest(self.architecture, near), f" ... of {len(near)}")
        network: nn.Module = timm.create_model(self.architecture, num_classes=0, **{**self._told().get("model_args", {}), **options})
        return network

    def _told(self) -> dict[str, Any]:
        """What the folder's config.json says."""
        if self.folder is None:
            return {}
        values: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return values

    def build(self) -> nn.Module:
        return self._create(pretrained=False)

    def pretrained(self) -> tuple[nn.Module, _checkpoints.Loaded]:
        if self.folder is not None:
            network = self.build()
            return network, _checkpoints.fill(network, weights_in(self.folder), str(self.folder))
        timm = require("timm", "timm backbones")
        network = self.build()  # an unknown name is answered here
        found = timm.models.get_pretrained_cfg(self.architecture, allow_unregistered=True)
        if found is not None and found.hf_hub_id:
            try:
                folder = _checkpoints.locate(str(found.hf_hub_id))
            except BackboneError as error:
                raise offline(f"timm:{self.architecture}") from error
            return network, _checkpoints.fill(network, weights_in(folder), f"timm:{self.architecture}")
        try:
            network = self._create(pretrained=True)
        except Exception as error:  # the hub's client raises errors of its HTTP library, of its own and of the system
            raise offline(f"timm:{self.architecture}") from error
        return network, _checkpoints.Loaded(f"timm:{self.architecture}", len(network.state_dict()), [], [])

    def preprocessing(self) -> Preprocessing:
        timm = require("timm", "timm backbones")
        if self.folder is not None:
            told = self._told().get("pretrained_cfg", {})
        else:
            found = timm.models.get_pretrained_cfg(self.architecture, allow_unregistered=True)
            told = found.to_dict() if found else {}
        size = told.get("input_size") or (3, 224, 224)
        default = Preprocessing(224)
        return Preprocessing(
            int(size[-1]), tuple(told.get("mean") or default.mean), tuple(told.get("std") or default.std), told.get("crop_pct") or 1.0
        )

    def features(self, network: nn.Module, pixels: torch.Tensor, pooling: str | None) -> Features:
        if pooling is None:
            return Features(pooled=network(pixels))
        model: Any = network
        tokens: torch.Tensor = model.forward_features(pixels)
        prefix = int(getattr(model, "num_prefix_tokens", 0))
        if pooling == "cls" and (tokens.ndim != 3 or not prefix):
            raise BackboneError(f"timm:{self.architecture} has no class token; use backbone.pooling mean, or leave it out")
        if tokens.ndim != 3:  # a map; whether channels come first or last is the network's own affair
            return Features(pooled=model.forward_head(tokens))
        pooled = tokens[:, 0] if pooling == "cls" else tokens[:, prefix:].mean(1)  # (batch, width)
        norm = getattr(model, "fc_norm", None)
        return Features(pooled=pooled if norm is None else norm(pooled), tokens=tokens)

    def config(self) -> dict[str, Any]:
        expected = self.preprocessing()
        cfg = {"input_size": [3, expected.size, expected.size], "mean": expected.mean, "std": expected.std, "crop_pct": expected.crop}
        values = {"architecture": self.architecture.split(".")[0], "num_classes": 0, "pretrained_cfg": cfg}
        options = self._told().get("model_args")
        return {**values, "model_args": options} if options else values
