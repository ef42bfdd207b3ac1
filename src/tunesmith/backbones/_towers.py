"""The two towers of a contrastive checkpoint (CLIP: Radford et al. 2021; SigLIP: Zhai et al. 2023), each as a network of its own.

    folder of a CLIPModel  ->  CLIPVisionModelWithProjection | CLIPTextModelWithProjection  ->  vectors in one space

A tower that was saved by itself is read again as what it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.core.errors import BackboneError, require

if TYPE_CHECKING:
    from torch import nn

Side = Literal["vision", "text"]

CLASSES: Mapping[tuple[str, Side], str] = {
    ("clip", "vision"): "CLIPVisionModelWithProjection",
    ("clip", "text"): "CLIPTextModelWithProjection",
    ("siglip", "vision"): "SiglipVisionModel",
    ("siglip", "text"): "SiglipTextModel",
}
"""Family and side -> the class of transformers whose output is the vector of that side."""

FAMILIES = {family for family, _ in CLASSES}

LOGIT = ("logit_scale", "logit_bias")
OTHERS: Mapping[Side, tuple[str, ...]] = {
    "vision": ("text_model.", "text_projection.", *LOGIT),
    "text": ("vision_model.", "visual_projection.", *LOGIT),
}
"""Beginnings of names in a whole checkpoint that belong to the other side or to both."""


@dataclass(frozen=True)
class Tower:
    """One side of a checkpoint.

    Attributes:
        config: the architecture, as transformers reads it.
        family: class of transformers.
        others: beginnings of names in the folder's weights that are not this side's.
        padded: whether texts are padded to the full length and no token is masked, as SigLIP was trained.
    """

    config: Any
    family: Any
    others: tuple[str, ...]
    padded: bool


def tower(config: Any, side: Side) -> Tower | None:
    """The tower that a configuration describes: one side of a whole model, or a tower by itself; None where it describes none.

    Args:
        config: what `AutoConfig` reads of the folder.
        side: which.
    """
    kind = str(getattr(config, "model_type", ""))
    family = kind.split("_")[0]
    if (family, side) not in CLASSES:
        return None
    whole = kind == family
    # a CLIP network without its projection (a plain CLIPVisionModel that was saved) is none: its vectors lie in no common space
    if not whole and (kind != f"{family}_{side}_model" or CLASSES[family, side] not in (config.architectures or [])):
        return None
    own = getattr(config, f"{side}_config") if whole else config
    if whole and family == "clip":
        own.projection_dim = config.projection_dim  # the whole model's counts, the parts' own is not kept up
    made = getattr(require("transformers", "backbones in hub format"), CLASSES[family, side])
    return Tower(own, made, OTHERS[side], family == "siglip" and side == "text")


def width(network: nn.Module) -> int | None:
    """Width of a text tower's vector; None for other networks."""
    for name in ("text_projection", "head"):
        layer = getattr(network, name, None)
        if layer is not None and hasattr(layer, "out_features"):
            return int(layer.out_features)
    return None


def logit(folder: Path) -> tuple[float, float]:
    """What a whole checkpoint multiplies the cosine of both sides by, and what it adds: exp(logit_scale) and logit_bias (0 in CLIP).

    Raises:
        BackboneError: the folder holds no such numbers, so it is no CLIP or SigLIP checkpoint.
    """
    safetensors = require("safetensors", "checkpoints")
    found: dict[str, float] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, "pt") as file:
            found |= {name: float(file.get_tensor(name).float().item()) for name in LOGIT if name in file.keys()}  # noqa: SIM118
    if "logit_scale" not in found:
        raise BackboneError(f"{folder} holds no logit_scale in safetensors, so it is no checkpoint of a CLIP or SigLIP")
    return math.exp(found["logit_scale"]), found.get("logit_bias", 0.0)
