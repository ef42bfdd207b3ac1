"""Learned input: prompt tuning (Lester et al. 2021) and prefix tuning (Li and Liang 2021). The network itself stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, final

from tunesmith.adapters._peft import PeftAdapter, needs
from tunesmith.core.contracts import Defaults

if TYPE_CHECKING:
    from tunesmith.core.model import Model


@final
@dataclass(frozen=True)
class Prompt(PeftAdapter):
    """Learned tokens in front of the text (Lester et al. 2021)."""

    name: ClassVar[str] = "prompt"
    mergeable: ClassVar[bool] = False
    lengthens: ClassVar[bool] = True
    tokens: int = field(default=16, metadata={"help": "number of learned tokens"})

    def fits(self, traits: set[str]) -> str | None:
        return _of_texts(traits)

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=3e-2)

    def config(self, peft: Any, model: Model) -> Any:
        return peft.PromptTuningConfig(**_shape(peft, model, self.tokens))


@final
@dataclass(frozen=True)
class Prefix(PeftAdapter):
    """Learned keys and values in front of every attention layer (Li and Liang 2021)."""

    name: ClassVar[str] = "prefix"
    mergeable: ClassVar[bool] = False
    lengthens: ClassVar[bool] = True
    tokens: int = field(default=16, metadata={"help": "number of learned positions"})

    def fits(self, traits: set[str]) -> str | None:
        return _of_texts(traits)

    def defaults(self, traits: set[str]) -> Defaults:
        return Defaults(lr=1e-2)

    def config(self, peft: Any, model: Model) -> Any:
        return peft.PrefixTuningConfig(**_shape(peft, model, self.tokens))


def _of_texts(traits: set[str]) -> str | None:
    if "tower" in traits:
        return "puts tokens of its own before the text, and the text tower of a CLIP or SigLIP finds its vector by the text's own tokens"
    return needs(traits, "text")


def _shape(peft: Any, model: Model, tokens: int) -> dict[str, Any]:
    """Sizes under the names that all configurations of transformers answer to; PEFT knows only some families' own names."""
    config: Any = model.network.config
    return {
        "task_type": peft.TaskType.FEATURE_EXTRACTION,
        "num_virtual_tokens": tokens,
        "token_dim": config.hidden_size,
        "num_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
    }
