"""Pictures: networks of timm, torchvision and transformers (AlexNet, VGG, ResNet, MobileNet, ViT, ConvNeXt, DINOv2 ...).

    {"image": "scans/0001.png"}  ->  uint8 (size, size, 3)  ->  float (3, size, size)  ->  one vector

Choices: a picture is decoded and resized once per row as bytes, and turned to normalised floats batch by batch; sizes, means and crops
are those of the checkpoint. Training crops and mirrors at random (`training.augment` turns that off).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from tunesmith.backbones import _checkpoints
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Picture, Row
from tunesmith.core.errors import BackboneError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.backbones._library import Library, Preprocessing


@final
@dataclass(frozen=True)
class Image(Backbone):
    """Pictures through networks of timm, torchvision and transformers."""

    name: ClassVar[str] = "image"
    reads: ClassVar[tuple[str, ...]] = ("image",)
    augments: ClassVar[bool] = True
    source: str = field(default="timm:mobilenetv3_small_100", metadata={"help": "timm:NAME, torchvision:NAME, hub id or local folder"})
    columns: tuple[str, ...] = field(default=("image",), metadata={"help": "input column"})
    pooling: Literal["mean", "cls"] | None = field(
        default=None, metadata={"help": "how patches become one vector; default: the network's own"}
    )
    size: int | None = field(default=None, metadata={"help": "side of the square pictures, in pixels; default: the checkpoint's"})
    mean: tuple[float, float, float] | None = field(default=None, metadata={"help": "mean of each colour; default: the checkpoint's"})
    std: tuple[float, float, float] | None = field(default=None, metadata={"help": "spread of each colour; default: the checkpoint's"})
    crop: float | None = field(default=None, metadata={"help": "share of the shorter side that is read; default: the checkpoint's"})
    same_padding: bool = field(default=False, metadata={"help": "torchvision networks pad as TensorFlow does"})
    weights: str | None = field(default=None, metadata={"help": "file of weights for the architecture of the source"})
    scratch: bool = field(default=False, metadata={"help": "random weights"})

    def __post_init__(self) -> None:
        if len(self.columns) > 1:
            raise ValueError(f"one column of pictures is read at a time (got {', '.join(self.columns)}); name one with --inputs")

    @functools.cached_property
    def library(self) -> Library:
        """The library the source belongs to."""
        from tunesmith.backbones._vision import library_of

        return library_of(self.source, self.same_padding)

    @functools.cached_property
    def expected(self) -> Preprocessing:
        """Size, mean, spread and crop, resolved."""
        own = self.library.preprocessing()
        told: dict[str, Any] = {"size": self.size, "mean": self.mean, "std": self.std, "crop": self.crop}
        return dataclasses.replace(own, **{key: value for key, value in told.items() if value is not None})

    def traits(self) -> set[str]:
        return set(self._traits)

    @functools.cached_property
    def _traits(self) -> frozenset[str]:
        return frozenset({"image", *_traits_of(_skeleton(self.library))})

    def open(self) -> nn.Module:
        if self.weights:
            network, loaded = self.library.filled(self.weights)
        elif self.scratch:
            network, loaded = self.library.build(), _checkpoints.Loaded("random weights", 0, [], [])
        else:
            network, loaded = self.library.pretrained()
        self.__dict__["_loaded"] = loaded
        return network

    def check(self, row: Row) -> str | None:
        from tunesmith.core.pictures import read_picture

        read_picture(row.get(self.columns[0]), self.columns[0])
        return None

    def readiness(self) -> str:
        from tunesmith.backbones._pictures import SHRUNK, decoder

        return f"picture {self.expected.size} {self.expected.crop} {SHRUNK} {decoder()}"

    def ready(self, row: Row) -> Row:
        from tunesmith.backbones._pictures import prepared

        column = self.columns[0]
        if isinstance(row.get(column), Picture):
            return row
        return {**row, column: prepared(row.get(column), column, self.expected.size, self.expected.crop)}

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        import numpy as np

        from tunesmith.backbones._pictures import square
        from tunesmith.core.pictures import read_picture

        value = row.get(self.columns[0])
        if isinstance(value, Picture) and value.square is not None and rng is None:
            return {"pixels": np.asarray(value.square)}
        picture = square(read_picture(value, self.columns[0]), self.expected.size, self.expected.crop, rng)
        return {"pixels": np.asarray(picture)}  # (size, size, 3) uint8

    def collate(self, items: Sequence[Encoded]) -> Batch:
        import numpy as np
        import torch

        pixels = torch.from_numpy(np.stack([item["pixels"] for item in items])).permute(0, 3, 1, 2)
        # plane by plane, as networks have their weights: convolutions of one layout with another are a quarter slower
        pixels = pixels.contiguous().float().div_(255)
        mean = torch.tensor(self.expected.mean).view(3, 1, 1)
        std = torch.tensor(self.expected.std).view(3, 1, 1)
        return {"pixels": pixels.sub_(mean).div_(std)}  # (batch, 3, size, size)

    def features(self, network: nn.Module, batch: Batch) -> Features:
        return self.library.features(network, batch["pixels"], self.pooling)

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        from tunesmith.backbones._blocks import layers

        return layers(network)

    def width(self, network: nn.Module) -> int:
        import torch

        before = network.training
        network.eval()
        device = next(network.parameters()).device
        side = self.expected.size
        try:
            with torch.no_grad():
                pooled = self.features(network, {"pixels": torch.zeros(1, 3, side, side, device=device)}).pooled
        except (AssertionError, RuntimeError, ValueError) as error:  # what the three libraries raise for a size they were not built for
            raise BackboneError(
                f"{self.source} cannot read pictures of {side} x {side} pixels: {str(error)[:200]}; leave backbone.size out"
            ) from error
        network.train(before)
        assert pooled is not None
        return int(pooled.shape[-1])

    def input_spec(self) -> list[InputSpec]:
        return [InputSpec(self.columns[0], "image", f"picture, read at {self.expected.size} x {self.expected.size} pixels")]

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        import numpy as np

        return np.ones(len(rows), np.int64)

    def save_memory(self, network: nn.Module) -> None:
        model: Any = network
        if getattr(model, "supports_gradient_checkpointing", False):
            model.activation_checkpointing_enable({"use_reentrant": False})
        elif hasattr(model, "set_grad_checkpointing"):
            model.set_grad_checkpointing(True)
        else:
            raise BackboneError(f"{self.source} cannot compute activations again; leave --gradient-checkpointing out, or use timm:NAME")

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        self.library.save(network, weights, folder)

    def moved(self, folder: Path) -> Image:
        return dataclasses.replace(self, source=str(folder), weights=None, scratch=False)

    def settings(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), **dataclasses.asdict(self.expected)}

    def origin(self) -> dict[str, Any]:
        loaded: _checkpoints.Loaded | None = self.__dict__.get("_loaded")
        return loaded.plain() if loaded else {"source": self.source}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        import io

        import numpy as np
        from PIL import Image as Pillow

        noise = np.frombuffer(rng.randbytes(24 * 24 * 3), np.uint8).reshape(24, 24, 3) // 4
        noise = noise + np.eye(3, dtype=np.uint8)[code % 3] * 160
        buffer = io.BytesIO()
        Pillow.fromarray(noise).save(buffer, format="PNG")
        return {self.columns[0]: buffer.getvalue()}


def _skeleton(library: Library) -> nn.Module:
    """The network without memory for its weights, where its library can build it so."""
    import torch

    try:
        with torch.device("meta"):
            return library.build()
    except (NotImplementedError, RuntimeError):  # an architecture that computes with tensors while it is built
        return library.build()


def _traits_of(network: nn.Module) -> set[str]:
    """What adapters ask for, read off a network."""
    from torch import nn

    sizes = {nn.Linear: 0, nn.Conv2d: 0}
    traits = set()
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            traits.add("layer_norm")
        if type(module) is nn.Linear:
            traits.add("linear")
        for layer in sizes:
            if isinstance(module, layer):
                sizes[layer] += sum(p.numel() for p in module.parameters())
    attends = any("attn" in name or "attention" in name for name, _ in network.named_modules())
    kind = "transformer" if attends and "layer_norm" in traits and sizes[nn.Linear] > sizes[nn.Conv2d] else "convolution"
    return traits | {kind}
