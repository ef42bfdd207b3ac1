"""Three libraries of vision networks behind one small interface: build, pretrained weights, features.

`timm:NAME` and `torchvision:NAME` name architectures; a folder with a config.json is a checkpoint in hub format of timm or of
transformers. Classifiers are taken off: what the network gives is the vector before its last linear layer.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from tunesmith.backbones import _checkpoints
from tunesmith.core.contracts import Features
from tunesmith.core.errors import BackboneError, UnknownNameError, require

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Preprocessing:
    """What the pretrained weights expect of a picture."""

    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop: float = 1.0


class Library(ABC):
    """One library's way with networks."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The network without its classifier, with random weights."""

    @abstractmethod
    def pretrained(self) -> tuple[nn.Module, _checkpoints.Loaded]:
        """The network with its pretrained weights.

        Raises:
            BackboneError: they are nowhere.
        """

    @abstractmethod
    def preprocessing(self) -> Preprocessing:
        """What the weights expect."""

    @abstractmethod
    def features(self, network: nn.Module, pixels: torch.Tensor, pooling: str | None) -> Features:
        """Features of (batch, 3, size, size) pixels."""

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        """Write the network in the library's own hub format."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: t.contiguous() for n, t in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(self.config(), indent=2), encoding="utf-8")

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What `save` writes as config.json, so that `library_of(folder)` gives this library again."""


def _offline(what: str, error: BaseException) -> BackboneError:
    return BackboneError(
        f"the pretrained weights of {what} are not on this machine and could not be fetched ({type(error).__name__}). What can be done: "
        "give a file of weights for this architecture with --weights FILE; give the folder of a downloaded checkpoint as --backbone; or "
        "start from random weights, which needs much more data, with --scratch"
    )


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
            raise UnknownNameError("timm architecture", self.architecture, _nearest(self.architecture, near), f" ... of {len(near)}")
        network: nn.Module = timm.create_model(self.architecture, num_classes=0, **options)
        return network

    def build(self) -> nn.Module:
        return self._create(pretrained=False)

    def pretrained(self) -> tuple[nn.Module, _checkpoints.Loaded]:
        if self.folder is not None:
            network = self.build()
            return network, _checkpoints.fill(network, _weights_in(self.folder), str(self.folder))
        try:
            network = self._create(pretrained=True)
        except UnknownNameError:
            raise
        except Exception as error:  # the hub's client raises errors of its HTTP library, of its own and of the system
            raise _offline(f"timm:{self.architecture}", error) from error
        return network, _checkpoints.Loaded(f"timm:{self.architecture}", len(network.state_dict()), [], [])

    def preprocessing(self) -> Preprocessing:
        timm = require("timm", "timm backbones")
        told: dict[str, Any] = {}
        if self.folder is not None:
            told = json.loads((self.folder / "config.json").read_text(encoding="utf-8")).get("pretrained_cfg", {})
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
        tokens = network.forward_features(pixels)  # type: ignore[operator]
        if pooling == "cls" and tokens.ndim == 3:
            return Features(pooled=tokens[:, 0], tokens=tokens)
        return Features(pooled=tokens.mean(1) if tokens.ndim == 3 else tokens.mean((2, 3)))

    def config(self) -> dict[str, Any]:
        expected = self.preprocessing()
        cfg = {"input_size": [3, expected.size, expected.size], "mean": expected.mean, "std": expected.std, "crop_pct": expected.crop}
        return {"architecture": self.architecture.split(".")[0], "num_classes": 0, "pretrained_cfg": cfg}


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
        models = require("torchvision.models", "torchvision backbones")
        if self.architecture not in models.list_models(module=models):
            raise UnknownNameError("torchvision architecture", self.architecture, models.list_models(module=models))
        network: nn.Module = models.get_model(self.architecture, weights=None)
        _cut(network, self.architecture)
        if self.same_padding:
            _pad_as_tensorflow(network)
        return network

    def pretrained(self) -> tuple[nn.Module, _checkpoints.Loaded]:
        network = self.build()
        if self.folder is not None:
            return network, _checkpoints.fill(network, _weights_in(self.folder), str(self.folder))
        models = require("torchvision.models", "torchvision backbones")
        try:
            weights = models.get_model_weights(self.architecture).DEFAULT.get_state_dict(progress=False, check_hash=True)
        except Exception as error:  # the download raises errors of urllib, of the system and its own
            raise _offline(f"torchvision:{self.architecture}", error) from error
        return network, _checkpoints.fill(network, weights, f"torchvision:{self.architecture}")

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(224)

    def features(self, network: nn.Module, pixels: torch.Tensor, pooling: str | None) -> Features:
        if pooling is not None:
            raise BackboneError("torchvision networks pool in one way only; leave backbone.pooling out")
        return Features(pooled=network(pixels))

    def config(self) -> dict[str, Any]:
        return {"torchvision": self.architecture, "same_padding": self.same_padding}


@final
@dataclass(frozen=True)
class Transformers(Library):
    """A vision network of transformers in a folder in hub format."""

    folder: Path

    def _config(self) -> Any:
        transformers = require("transformers", "vision backbones in hub format")
        try:
            return transformers.AutoConfig.from_pretrained(str(self.folder))
        except (ValueError, OSError) as error:
            raise BackboneError(f"{self.folder}/config.json describes no network that transformers knows: {str(error)[:200]}") from error

    def build(self) -> nn.Module:
        transformers = require("transformers", "vision backbones in hub format")
        network = transformers.AutoModel.from_config(self._config())
        return self._without_pooler(network)

    def _without_pooler(self, network: Any) -> nn.Module:
        if network.config.model_type in ("vit", "deit", "ijepa") and getattr(network, "pooler", None) is not None:
            network.pooler = None
        module: nn.Module = network
        return module

    def pretrained(self) -> tuple[nn.Module, _checkpoints.Loaded]:
        transformers = require("transformers", "vision backbones in hub format")
        self._config()
        network, loaded = _checkpoints.hub_network(self.folder, transformers.AutoModel, str(self.folder))
        return self._without_pooler(network), loaded

    def preprocessing(self) -> Preprocessing:
        path = self.folder / "preprocessor_config.json"
        told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        size: Any = told.get("crop_size") or told.get("size") or getattr(self._config(), "image_size", 224)
        if isinstance(size, dict):
            size = size.get("height") or size.get("shortest_edge") or 224
        default = Preprocessing(224)
        mean, std = told.get("image_mean") or default.mean, told.get("image_std") or default.std
        return Preprocessing(int(size), tuple(mean), tuple(std), float(told.get("crop_pct") or 1.0))

    def features(self, network: nn.Module, pixels: torch.Tensor, pooling: str | None) -> Features:
        out = network(pixel_values=pixels)
        hidden = out.last_hidden_state
        if hidden.ndim == 4:  # (batch, channels, height, width): a convolutional network
            return Features(pooled=hidden.mean((2, 3)), maps=(hidden,))
        summary = getattr(out, "pooler_output", None)
        if pooling == "mean" or (pooling is None and summary is None and not _has_cls(network)):
            return Features(pooled=hidden.mean(1), tokens=hidden)
        if pooling is None and summary is not None and not _has_cls(network):
            return Features(pooled=summary.flatten(1), tokens=hidden)
        return Features(pooled=hidden[:, 0], tokens=hidden)

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        model: Any = network
        with _checkpoints.quiet():
            model.save_pretrained(str(folder), state_dict=dict(weights))
        own = self.folder / "preprocessor_config.json"
        if own.is_file():
            (folder / own.name).write_bytes(own.read_bytes())

    def config(self) -> dict[str, Any]:
        values: dict[str, Any] = self._config().to_dict()
        return values


def _has_cls(network: nn.Module) -> bool:
    return any(name.endswith("cls_token") for name, _ in network.named_parameters())


def _weights_in(folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "model.safetensors"
    if not path.is_file():
        raise BackboneError(f"{folder} holds no model.safetensors; other formats are read only when named with --weights FILE")
    return _checkpoints.read_weights(path)


def _nearest(name: str, known: list[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, known, n=5, cutoff=0.3)


def _cut(network: Any, architecture: str) -> None:
    """Replace the last linear layer by the identity."""
    from torch import nn

    last = next((name for name, module in reversed(list(network.named_modules())) if isinstance(module, nn.Linear)), None)
    if last is None:
        raise BackboneError(
            f"torchvision:{architecture} does not end in a linear layer, so its features cannot be read; use timm:{architecture}"
        )
    network.set_submodule(last, nn.Identity())
    if getattr(network, "AuxLogits", None) is not None:
        network.AuxLogits, network.aux_logits = None, False


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


def library_of(source: str, same_padding: bool = False) -> Library:
    """The library a source names: `timm:NAME`, `torchvision:NAME`, a folder, a hub id, or a bare architecture name.

    Raises:
        BackboneError, UnknownNameError: nothing is there.
    """
    kind, _, rest = source.partition(":")
    if kind == "timm" and rest:
        return Timm(rest)
    if kind == "torchvision" and rest:
        return Torchvision(rest, same_padding)
    if not Path(source).is_dir() and "/" not in source:
        models = require("torchvision.models", "pictures")
        timm = require("timm", "pictures")
        if timm.is_model(source.split(".")[0]):
            return Timm(source)
        if source in models.list_models(module=models):
            return Torchvision(source, same_padding)
        raise UnknownNameError(
            "image architecture",
            source,
            _nearest(source, [*timm.list_models(), *models.list_models(module=models)]),
            " (nearest of timm and torchvision)",
        )
    folder = _checkpoints.locate(source)
    path = folder / "config.json"
    if not path.is_file():
        raise BackboneError(f"{folder} holds no config.json, so it is no checkpoint in hub format")
    config = json.loads(path.read_text(encoding="utf-8"))
    if "torchvision" in config:
        return Torchvision(config["torchvision"], bool(config.get("same_padding")), folder)
    if "architecture" in config:
        return Timm(config["architecture"], folder)
    return Transformers(folder)
