"""Networks of torchvision, cut before their last linear layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from tunesmith.backbones import _checkpoints
from tunesmith.backbones._library import Library, Preprocessing, offline, weights_in
from tunesmith.core.contracts import Features
from tunesmith.core.errors import BackboneError, UnknownNameError, require

if TYPE_CHECKING:
    import torch
    from torch import nn

# their published weights were trained with the input scaled inside the network; the side classifiers serve training from scratch only
INCEPTIONS = {"init_weights": False, "aux_logits": False, "transform_input": True}


@final
@dataclass(frozen=True)
class Torchvision(Library):
    """A network of torchvision, cut before its last linear layer.

    Args:
        architecture: torchvision's name, such as `alexnet`, `vgg16`, `resnet18`, `mobilenet_v2`, `vit_b_16`, `convnext_tiny`.
        same_padding: convolutions of stride 2 pad as TensorFlow does (right and bottom first), for weights that were trained so.
        folder: a bundle's copy of the weights.
    """

    architecture: str
    same_padding: bool = False
    folder: Path | None = None

    def build(self) -> nn.Module:
        models = self._models()
        options: dict[str, Any] = {}
        if self.architecture in ("googlenet", "inception_v3"):
            options = dict(INCEPTIONS)
        elif self.architecture.startswith("vit_"):  # the positions are as many as the published weights have
            options = {"image_size": self.preprocessing().size}
        network: nn.Module = models.get_model(self.architecture, weights=None, **options)
        _cut(network, self.architecture)
        if self.same_padding:
            _pad_as_tensorflow(network)
        return network

    def _models(self) -> Any:
        models = require("torchvision.models", "torchvision backbones")
        if self.architecture not in models.list_models(module=models):
            raise UnknownNameError("torchvision architecture", self.architecture, models.list_models(module=models))
        return models

    def pretrained(self) -> tuple[nn.Module, _checkpoints.Loaded]:
        network = self.build()
        if self.folder is not None:
            return network, _checkpoints.fill(network, weights_in(self.folder), str(self.folder))
        try:
            weights = self._models().get_model_weights(self.architecture).DEFAULT.get_state_dict(progress=False, check_hash=True)
        except Exception as error:  # the download raises errors of urllib, of the system and its own
            raise offline(f"torchvision:{self.architecture}") from error
        return network, _checkpoints.fill(network, weights, f"torchvision:{self.architecture}")

    def preprocessing(self) -> Preprocessing:
        own = self._models().get_model_weights(self.architecture).DEFAULT.transforms()
        size, resized = int(own.crop_size[0]), int(own.resize_size[0])
        return Preprocessing(size, tuple(own.mean), tuple(own.std), size / resized)

    def features(self, network: nn.Module, pixels: torch.Tensor, pooling: str | None) -> Features:
        if pooling is not None:
            raise BackboneError("torchvision networks pool in one way only; leave backbone.pooling out")
        return Features(pooled=network(pixels))

    def config(self) -> dict[str, Any]:
        return {"torchvision": self.architecture, "same_padding": self.same_padding}


def _cut(network: Any, architecture: str) -> None:
    """Replace the last linear layer by the identity."""
    from torch import nn

    last = next((name for name, module in reversed(list(network.named_modules())) if isinstance(module, nn.Linear)), None)
    if last is None:
        raise BackboneError(
            f"torchvision:{architecture} does not end in a linear layer, so its features cannot be read; use a network of timm instead"
        )
    network.set_submodule(last, nn.Identity())


def _pad_as_tensorflow(network: nn.Module) -> None:
    from timm.layers.conv2d_same import Conv2dSame
    from torch import nn

    for name, module in list(network.named_modules()):
        if type(module) is nn.Conv2d and module.stride == (2, 2) and module.padding != (0, 0):
            shape: Any = {
                key: getattr(module, key) for key in ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups")
            }
            same = Conv2dSame(**shape, padding=0, bias=module.bias is not None)
            network.set_submodule(name, same)
