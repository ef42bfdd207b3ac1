"""Which of the three libraries of vision networks a source belongs to.

`timm:NAME` and `torchvision:NAME` name architectures; a folder with a config.json is a checkpoint in hub format of timm or of
transformers. Classifiers are taken off: what the network gives is the vector before its last linear layer.
"""

from __future__ import annotations

import json
from pathlib import Path

from tunesmith.backbones import _checkpoints
from tunesmith.backbones._hub_vision import Transformers
from tunesmith.backbones._library import Library, nearest
from tunesmith.backbones._timm import Timm
from tunesmith.backbones._torchvision import Torchvision
from tunesmith.core.errors import BackboneError, UnknownNameError, require


def library_of(source: str, same_padding: bool = False) -> Library:
    """The library a source names: `timm:NAME`, `torchvision:NAME`, a folder, a hub id, or a bare architecture name.

    Args:
        source: what the user named.
        same_padding: see `Torchvision`.

    Raises:
        BackboneError: nothing is there, or the library has no such padding.
        UnknownNameError: no architecture has this name.
    """
    found = _found(source, same_padding)
    if same_padding and not isinstance(found, Torchvision):
        raise BackboneError(f"backbone.same_padding changes networks of torchvision only, and {source} is none; leave it out")
    return found


def _found(source: str, same_padding: bool) -> Library:
    kind, _, rest = source.partition(":")
    if kind == "timm" and rest:
        return Timm(rest)
    if kind == "torchvision" and rest:
        return Torchvision(rest, same_padding)
    if not Path(source).expanduser().is_dir() and "/" not in source:
        return _named(source, same_padding)
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


def _named(source: str, same_padding: bool) -> Library:
    """The library that knows an architecture of this bare name."""
    models = require("torchvision.models", "pictures")
    timm = require("timm", "pictures")
    known = models.list_models(module=models)
    if same_padding and source in known:
        return Torchvision(source, same_padding)
    if timm.is_model(source.split(".")[0]):
        return Timm(source)
    if source in known:
        return Torchvision(source, same_padding)
    near = nearest(source, [*timm.list_models(), *known])
    raise UnknownNameError("image architecture", source, near, " (nearest of timm and torchvision)")
