"""What the tasks on one vector a frame share: how wide it is, and how many frames of a batch are no padding."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tunesmith.core.contracts import Backbone
from tunesmith.core.errors import BackboneError

if TYPE_CHECKING:
    from torch import nn


def width_of(backbone: Backbone, network: nn.Module, task: str) -> int:
    """Width of `Features.tokens`.

    Raises:
        BackboneError: the backbone gives no vectors of frames.
    """
    import torch

    before = network.training
    network.eval()
    with torch.no_grad():
        made_up = backbone.collate([backbone.encode(backbone.sample(0, Random(0)))])
        tokens = backbone.features(network, made_up).tokens
    network.train(before)
    if tokens is None:
        raise BackboneError(
            f"task '{task}' reads one vector a frame, and the backbone {getattr(backbone, 'source', backbone.name)} gives one vector a row "
            "only; use a backbone for sounds (--modality audio), or a task on whole rows (--task classification)"
        )
    return int(tokens.shape[-1])
