"""Low-rank changes: LoRA (Hu et al. 2021) with rank-stabilised scaling, weight decomposition and PiSSA start, AdaLoRA, VeRA.

Learning rates are about ten times those of full fine-tuning; the default targets are the attention projections of a transformer and
all ungrouped convolutions of a convolutional network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from tunesmith.adapters._peft import PeftAdapter, needs
from tunesmith.adapters._targets import exactly, matmuls
from tunesmith.core.contracts import Defaults

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from tunesmith.core.arrays import Arrays
    from tunesmith.core.model import Model


@final
@dataclass(frozen=True)
class Lora(PeftAdapter):
    """A low-rank matrix beside each target weight (Hu et al. 2021)."""

    name: ClassVar[str] = "lora"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "rslora": {"rank_stabilised": True, "summary": "LoRA scaled by alpha / sqrt(rank) (Kalajdzievski 2023)"},
        "dora": {"decomposed": True, "summary": "LoRA on the direction, with a learned magnitude (Liu et al. 2024)"},
        "pissa": {"start": "pissa", "summary": "LoRA that starts from the principal singular vectors (Meng et al. 2024)"},
    }
    rank: int = field(default=8, metadata={"help": "rank of the change"})
    alpha: float = field(default=16, metadata={"help": "scale: the change is multiplied by alpha / rank"})
    dropout: float = field(default=0.0, metadata={"help": "dropout before the low-rank matrices"})
    targets: Literal["attention", "all"] | list[str] = field(
        default="attention", metadata={"help": "attention, all, or endings of layer names"}
    )
    last: int | None = field(default=None, metadata={"help": "only in the last so many blocks"})
    rank_stabilised: bool = field(default=False, metadata={"help": "scale by alpha / sqrt(rank)"})
    decomposed: bool = field(default=False, metadata={"help": "DoRA"})
    start: Literal["zero", "pissa"] = field(default="zero", metadata={"help": "how the matrices start"})

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError("field 'rank' must be at least 1")

    def fits(self, traits: set[str]) -> str | None:
        if self.start == "pissa":
            return needs(traits, "transformer", "linear")
        return needs(traits, "transformer", "convolution")

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=1e-3 if self.start == "zero" else 5e-4)

    def config(self, peft: Any, model: Model) -> Any:
        method = "lora" if self.start == "zero" else self.start
        return peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=exactly(model, matmuls(model, self.targets, self.last, method, convolutions=self.start == "zero")),
            use_rslora=self.rank_stabilised,
            use_dora=self.decomposed,
            init_lora_weights=True if self.start == "zero" else "pissa",
        )

    def fold(self, weights: Arrays, folder: Path) -> Arrays | None:
        from tunesmith.adapters import _fold

        return _fold.low_rank(weights, folder)


@final
@dataclass(frozen=True)
class AdaLora(PeftAdapter):
    """LoRA whose ranks are dealt out by importance while it trains (Zhang et al. 2023), without the orthogonality penalty."""

    name: ClassVar[str] = "adalora"
    rank: int = field(default=8, metadata={"help": "average rank at the end"})
    start_rank: int = field(default=12, metadata={"help": "rank at the start"})
    alpha: float = field(default=16, metadata={"help": "scale of the change"})
    targets: Literal["attention", "all"] | list[str] = field(
        default="attention", metadata={"help": "attention, all, or endings of layer names"}
    )
    last: int | None = field(default=None, metadata={"help": "only in the last so many blocks"})

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= self.start_rank:
            raise ValueError("field 'rank' must be at least 1 and at most field 'start_rank'")

    def fits(self, traits: set[str]) -> str | None:
        return needs(traits, "transformer", "convolution")

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=2e-3)

    def config(self, peft: Any, model: Model) -> Any:
        return peft.AdaLoraConfig(
            target_r=self.rank,
            init_r=self.start_rank,
            lora_alpha=self.alpha,
            target_modules=exactly(model, matmuls(model, self.targets, self.last, "adalora")),
            total_step=1000,  # replaced in `begin`, when the number of steps is known
            tinit=0,
            tfinal=1,
        )

    def begin(self, model: Model, step: int, total_steps: int) -> None:
        self._plan(model.network.base_model, total_steps)

    def stepped(self, model: Model, step: int, total_steps: int) -> bool:
        tuner: Any = model.network.base_model
        last = self._plan(tuner, total_steps)
        # PEFT deals out the ranks for good in exactly that step; under a time limit it may be over before it has come, or come again
        tuner.update_and_allocate(max(step, last + 1) if _dealt_out(tuner) else min(step, last))
        return False

    def _plan(self, tuner: Any, total_steps: int) -> int:
        """Tell PEFT how many steps there are; gives the step in which the ranks are dealt out for good."""
        total = max(total_steps, 3)
        for config in tuner.peft_config.values():
            config.total_step = total
            config.tinit = total_steps // 10
            config.tfinal = max(1, total_steps // 4)
            config.deltaT = max(1, total_steps // 50)
        tuner.rankallocator.set_total_step(total)
        return total - max(1, total_steps // 4)

    def may_rest(self, parameter: str) -> bool:
        return ".lora_E." in parameter

    def state(self, model: Model) -> dict[str, torch.Tensor]:
        import torch

        tuner: Any = model.network.base_model
        kept = {}
        for kind in ("ipt", "exp_avg_ipt", "exp_avg_unc"):
            for name, tensor in getattr(tuner.rankallocator, kind).items():
                kept[f"{kind}/{name}"] = tensor.contiguous()
        for config in tuner.peft_config.values():
            for name, ranks in (config.rank_pattern or {}).items():
                kept[f"rank_pattern/{name}"] = torch.tensor(ranks)
        return kept

    def restore(self, model: Model, state: Mapping[str, torch.Tensor]) -> None:
        tuner: Any = model.network.base_model
        for key, tensor in state.items():
            kind, _, name = key.partition("/")
            if kind == "rank_pattern":
                for config in tuner.peft_config.values():
                    config.rank_pattern = {**(config.rank_pattern or {}), name: tensor.tolist()}
                continue
            getattr(tuner.rankallocator, kind)[name] = tensor


def _dealt_out(tuner: Any) -> bool:
    """Whether AdaLoRA's ranks are final: PEFT then forgets what it had gathered of their importance."""
    return any(config.rank_pattern for config in tuner.peft_config.values()) and not tuner.rankallocator.ipt


@final
@dataclass(frozen=True)
class Vera(PeftAdapter):
    """Shared random matrices with learned scales (Kopiczko et al. 2024): the fewest weights."""

    name: ClassVar[str] = "vera"
    rank: int = field(default=64, metadata={"help": "rank of the shared matrices"})
    targets: Literal["attention", "all"] | list[str] = field(
        default="attention", metadata={"help": "attention, all, or endings of layer names"}
    )
    last: int | None = field(default=None, metadata={"help": "only in the last so many blocks"})

    def fits(self, traits: set[str]) -> str | None:
        return needs(traits, "transformer", "linear")

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=1e-2)

    def config(self, peft: Any, model: Model) -> Any:
        names = matmuls(model, self.targets, self.last, "vera", convolutions=False)
        return peft.VeraConfig(r=self.rank, target_modules=exactly(model, names), save_projection=True)
