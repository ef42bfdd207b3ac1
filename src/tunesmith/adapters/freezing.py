"""Adapters that add nothing: all weights, the head, the last blocks, block by block, the biases.

The head always trains. Learning rates: small where pretrained weights move (Devlin et al. 2019 search 2e-5 to 5e-5 for BERT), larger for
biases (Ben Zaken et al. 2022, BitFit, search 1e-4 to 1e-3) and for a head alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, final

from tunesmith.adapters._freezing import Freezing, only
from tunesmith.core.contracts import Defaults
from tunesmith.core.errors import AdapterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from tunesmith.core.model import Model

ALONE = "fits the head alone, and this backbone holds new modules that must be trained; use --adapter head"

FREED = "_blocks_freed"
"""Where a model keeps how many of its blocks gradual unfreezing has freed."""

LEAST_STEPS = 300
"""Steps that a small network needs from random weights to make anything of some dozen rows (UCR archive: GunPoint, BasicMotions)."""


def _own_rate(traits: set[str]) -> float:
    if "untrained" in traits:  # nothing pretrained that a large step could destroy
        return 1e-3 if "transformer" in traits else 2e-3
    return 1e-4 if "transformer" in traits else 5e-4


@final
@dataclass(frozen=True)
class Full(Freezing):
    """Every weight changes."""

    name: ClassVar[str] = "full"

    def fits(self, traits: set[str]) -> str | None:
        return None

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=_own_rate(traits), steps=LEAST_STEPS if "untrained" in traits else 0)

    def apply(self, model: Model, seed: int) -> None:
        only(model, [model.network])


@final
@dataclass(frozen=True)
class Head(Freezing):
    """Only the head changes; the backbone stays as it was pretrained."""

    name: ClassVar[str] = "head"

    def fits(self, traits: set[str]) -> str | None:
        return None

    def defaults(self, traits: set[str]) -> Defaults:
        if "fresh" in traits:  # networks that begin at random train too, and are less patient than a linear head
            return Defaults(lr=1e-3, head_lr=1e-3, schedule="cosine")
        return Defaults(lr=5e-3, head_lr=5e-3, schedule="cosine")

    def apply(self, model: Model, seed: int) -> None:
        only(model, [])


@final
@dataclass(frozen=True)
class Probe(Freezing):
    """Only the head, fitted in one go by L-BFGS with the penalty that validation prefers (linear probe, Radford et al. 2021)."""

    name: ClassVar[str] = "probe"
    strengths: tuple[float, ...] = field(
        default=(10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4), metadata={"help": "penalties on the squared weights that are tried"}
    )

    def __post_init__(self) -> None:
        if not self.strengths or not all(0 <= strength < float("inf") for strength in self.strengths):
            raise ValueError("field 'strengths' holds at least one penalty, none of them negative")

    def fits(self, traits: set[str]) -> str | None:
        return ALONE if "fresh" in traits else None

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=1e-3, head_lr=1e-3, schedule="constant")

    def apply(self, model: Model, seed: int) -> None:
        only(model, [])
        if len(model.fresh()) > 1:
            raise AdapterError(f"adapter 'probe' {ALONE}")

    def penalties(self) -> Sequence[float]:
        return self.strengths


@final
@dataclass(frozen=True)
class LastK(Freezing):
    """The last k blocks and the head change."""

    name: ClassVar[str] = "last_k"
    k: int = field(default=2, metadata={"help": "number of blocks, counted from the output"})

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError("field 'k' must be at least 1; for none use the adapter 'head'")

    def fits(self, traits: set[str]) -> str | None:
        return None

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=2 * _own_rate(traits))

    def apply(self, model: Model, seed: int) -> None:
        blocks = model.blocks()
        if self.k > len(blocks):
            raise AdapterError(f"adapter 'last_k': the backbone has {len(blocks)} blocks, fewer than k = {self.k}; use --adapter full")
        only(model, blocks[-self.k :])


@final
@dataclass(frozen=True)
class Gradual(Freezing):
    """The head first, then block after block from the output on (gradual unfreezing, Howard and Ruder 2018)."""

    name: ClassVar[str] = "gradual"
    share: float = field(default=0.6, metadata={"help": "share of the steps after which all blocks change"})

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError("field 'share' is a share of the steps, above 0 and at most 1")

    def fits(self, traits: set[str]) -> str | None:
        return None

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=_own_rate(traits))

    def apply(self, model: Model, seed: int) -> None:
        only(model, [model.network])  # all of them, so that the optimizer knows them; `begin` freezes
        model.__dict__[FREED] = 0

    def begin(self, model: Model, step: int, total_steps: int) -> None:
        self._free(model, max(model.__dict__[FREED], self._due(model, step, total_steps)))

    def stepped(self, model: Model, step: int, total_steps: int) -> bool:
        due = self._due(model, step, total_steps)
        if due <= model.__dict__[FREED]:  # also where there are more steps now than when the last block was freed
            return False
        self._free(model, due)
        return True

    def state(self, model: Model) -> dict[str, torch.Tensor]:
        import torch

        return {"freed": torch.tensor(model.__dict__[FREED])}

    def restore(self, model: Model, state: Mapping[str, torch.Tensor]) -> None:
        model.__dict__[FREED] = int(state["freed"])

    def _due(self, model: Model, step: int, total_steps: int) -> int:
        """How many blocks change after a step, were there so many steps from the beginning."""
        blocks = len(model.blocks())
        return min(blocks, int(step / max(1.0, self.share * total_steps) * (blocks + 1)))

    def _free(self, model: Model, count: int) -> None:
        blocks = model.blocks()
        only(model, blocks[len(blocks) - count :])
        model.train(model.training)
        model.__dict__[FREED] = count


@final
@dataclass(frozen=True)
class BitFit(Freezing):
    """Only biases change (and the shifts of norms); Ben Zaken et al. 2022."""

    name: ClassVar[str] = "bitfit"

    def fits(self, traits: set[str]) -> str | None:
        return None

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=1e-3)

    def apply(self, model: Model, seed: int) -> None:
        only(model, [])
        biases = [p for name, p in model.network.named_parameters() if name.rsplit(".", 1)[-1] == "bias"]
        if not biases:
            raise AdapterError("adapter 'bitfit': this backbone has no biases; use --adapter lora or full")
        for parameter in biases:
            parameter.requires_grad = True
