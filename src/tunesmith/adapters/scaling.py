"""Learned factors on what is there: IA3 (Liu et al. 2022), the norms alone (LN-tuning), orthogonal rotations (OFT, Qiu et al. 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from tunesmith.adapters._peft import PeftAdapter, needs
from tunesmith.adapters._targets import KEY_VALUE, exactly, in_features, layers_of, matmuls
from tunesmith.core.contracts import Defaults
from tunesmith.core.errors import AdapterError

if TYPE_CHECKING:
    from tunesmith.core.model import Model


@final
@dataclass(frozen=True)
class Ia3(PeftAdapter):
    """One learned factor for each key, value and inner activation (Liu et al. 2022)."""

    name: ClassVar[str] = "ia3"

    def fits(self, traits: set[str]) -> str | None:
        return needs(traits, "transformer", "convolution")

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=1e-2)

    def config(self, peft: Any, model: Model) -> Any:
        found = layers_of(model)
        attended = [name for name in found.attention if KEY_VALUE.search(name)]
        module = model.network.get_submodule
        others = [name for name in found.linear if name not in found.attention]
        # the second linear layer of a feed-forward block narrows; its input is the inner activation
        inner = [name for name in others if _width(module(name), 0) > _width(module(name), 1)]
        if not attended:
            return peft.IA3Config(target_modules=exactly(model, matmuls(model, "all", None, "ia3")), feedforward_modules=[])
        return peft.IA3Config(target_modules=exactly(model, attended + inner), feedforward_modules=exactly(model, inner))


def _width(module: Any, side: int) -> int:
    if hasattr(module, "in_features"):
        return int(module.in_features if side == 0 else module.out_features)
    return int(module.weight.shape[side])


@final
@dataclass(frozen=True)
class LnTuning(PeftAdapter):
    """Only the norms change (Zhao et al. 2024)."""

    name: ClassVar[str] = "ln_tuning"

    def fits(self, traits: set[str]) -> str | None:
        return needs(traits, "transformer", "layer_norm")

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=2e-3)

    def config(self, peft: Any, model: Model) -> Any:
        norms = layers_of(model).norm
        if not norms:
            raise AdapterError("adapter 'ln_tuning': this backbone has no layer norms; use --adapter bitfit or lora")
        return peft.LNTuningConfig(target_modules=exactly(model, norms))


@final
@dataclass(frozen=True)
class Oft(PeftAdapter):
    """Weights rotated by learned block-diagonal orthogonal matrices (Qiu et al. 2023)."""

    name: ClassVar[str] = "oft"
    block: int = field(default=32, metadata={"help": "size of a rotated block; reduced to divide the layer's width"})
    targets: Literal["attention", "all"] | list[str] = field(
        default="attention", metadata={"help": "attention, all, or endings of layer names"}
    )
    last: int | None = field(default=None, metadata={"help": "only in the last so many blocks"})

    def fits(self, traits: set[str]) -> str | None:
        if "transposed" in traits:
            return "needs linear layers stored as torch does; GPT-2 and kin store theirs transposed"
        return needs(traits, "transformer", "linear")  # PEFT's convolutional OFT does not start from the pretrained network

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=1e-3)

    def config(self, peft: Any, model: Model) -> Any:
        names = matmuls(model, self.targets, self.last, "oft", convolutions=False)
        block = math.gcd(self.block, *in_features(model, names))
        return peft.OFTConfig(r=0, oft_block_size=block, target_modules=exactly(model, names))
