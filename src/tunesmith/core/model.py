"""A backbone's network with a task's head: the module that is trained, saved and served."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import nn

from tunesmith.core.contracts import Backbone, Batch, Features


class Model(nn.Module):
    """Network and head.

    Args:
        backbone: knows how to run `network`.
        network: the pretrained network; an adapter may wrap it in place.
        head: takes `Features`, gives outputs.

    Attributes:
        dropout: whether the backbone's own random layers act in training; None where any of its own weights change.
    """

    network: nn.Module
    head: nn.Module

    def __init__(self, backbone: Backbone, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.network = network
        self.head = head
        self._bare = [network]  # in a list, so that it is not registered a second time
        self._own = list(network.modules())  # before an adapter adds to them
        self.dropout: bool | None = None

    def blocks(self) -> list[nn.Module]:
        """The backbone's layers from input to output, also when an adapter has wrapped the network."""
        return self.backbone.blocks(self._bare[0])

    def fresh(self) -> list[nn.Module]:
        """What no pretraining has touched, and every adapter trains: the head, and what the backbone adds to what it was given."""
        return [self.head, *self.backbone.fresh(self._bare[0])]

    def forward(self, batch: Batch) -> Any:
        """Outputs of the head for a collated batch: a tensor, or what else the task's loss reads."""
        features = self.features(batch)
        features.target = batch.get("target")
        return self.head(features)

    def features(self, batch: Batch) -> Features:
        """Features of the batch's inputs."""
        return self.backbone.features(self.network, batch["inputs"])

    def train(self, mode: bool = True) -> Model:
        """As `nn.Module.train`, but what is frozen stays as it was pretrained.

        A block without trainable parameters runs as in evaluation (no dropout), and a frozen batch norm keeps its statistics. Where an
        adapter beside frozen weights is all that changes, the backbone's own dropout rests: it regularises weights that do not move, and
        takes a third of the time of a step.
        """
        super().train(mode)
        if mode:
            if not self._random():
                for module in self._own:
                    recomputes = getattr(module, "gradient_checkpointing", False)  # which such a layer does in training only
                    if not recomputes and not isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.training = False
            if not any(p.requires_grad for p in self.network.parameters()):
                self.network.eval()
            for block in self.blocks():
                if not any(p.requires_grad for p in block.parameters()):
                    block.eval()
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm) and not any(p.requires_grad for p in module.parameters()):
                    module.eval()
        return self

    def _random(self) -> bool:
        """Whether the backbone's own random layers act in training."""
        if self.dropout is not None:
            return self.dropout
        return any(p.requires_grad for module in self._own for p in module.parameters(recurse=False))

    def mixes_rows(self) -> bool:
        """Whether a training pass depends on which rows are in it together (batch norm), so that halving it changes the result."""
        before = self.training
        self.train()
        found = any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in self.modules())
        self.train(before)
        return found

    def frozen_blocks(self) -> int | None:
        """How many blocks, from the input on, never change because only later ones hold trainable weights.

        None where nothing in the network is trainable; 0 where something outside of its blocks is (a learned prompt).
        """
        trainable = {id(p) for p in self.network.parameters() if p.requires_grad}
        if not trainable:
            return None
        blocks = self.blocks()
        first = next((i for i, block in enumerate(blocks) if any(id(p) in trainable for p in block.parameters())), 0)
        later = {id(p) for block in blocks[first:] for p in block.parameters()}
        return first if trainable <= later else 0

    def fingerprints(self) -> dict[str, int]:
        """A checksum of each parameter's bytes, and of each buffer's that is saved (the statistics of a batch norm)."""
        saved = self.state_dict().keys()
        tensors = {**dict(self.named_parameters()), **{name: buffer for name, buffer in self.named_buffers() if name in saved}}
        return {
            name: zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
            for name, tensor in tensors.items()
        }

    def added(self) -> set[str]:
        """Names of the network's parameters that an adapter put beside its own."""
        own = {id(p) for module in self._own for p in module.parameters(recurse=False)}
        return {f"network.{name}" for name, p in self.network.named_parameters() if id(p) not in own}

    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters that may change, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


class Bare(nn.Module):
    """The head of a model whose outputs are the features themselves: a part of another model, say."""

    def forward(self, features: Features) -> torch.Tensor:
        """(batch, width)."""
        assert features.pooled is not None, "a part of a model gives pooled features"
        return features.pooled


def to_device(value: Any, device: torch.device) -> Any:
    """Tensors of a nested batch on a device; everything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: to_device(item, device) for key, item in value.items()}
    return value
