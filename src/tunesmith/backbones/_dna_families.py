"""Which network reads DNA: the small one of tunesmith's own, HyenaDNA, or any encoder that transformers knows.

Each is a `Family`: it knows how its checkpoint makes tokens of letters, how many it reads, and how its network is opened and saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tunesmith.backbones import _checkpoints, _dna_tokens, _hub_tokens
from tunesmith.backbones._dna_tokens import Tokens
from tunesmith.core.errors import BackboneError

if TYPE_CHECKING:
    import torch
    from torch import nn

SMALL = "small"
MOST = 512
"""Tokens of a checkpoint in hub format that are read at most where nobody says."""
SMALL_LENGTH = 1024
"""Tokens that the small encoder has places for where nobody says."""


@dataclass(frozen=True)
class Reading:
    """How letters become tokens, as the recipe or a checkpoint says.

    Attributes:
        tokenizer: `auto` is what the checkpoint was trained on, and single letters for the small encoder.
        k: letters of a run; None for the checkpoint's, or 6.
        stride: letters from one run to the next; None for the checkpoint's, or 1.
        merges: of byte-pair encoding, as found on training rows.
    """

    tokenizer: Literal["auto", "character", "kmer", "bpe"]
    k: int | None
    stride: int | None
    merges: tuple[str, ...] | None

    @property
    def kind(self) -> _dna_tokens.Kind | None:
        """None where the checkpoint says."""
        return None if self.tokenizer == "auto" else self.tokenizer

    def own(self) -> Tokens:
        """Tokens of a network that starts from nothing."""
        k = self.k or 6
        return _dna_tokens.own(self.kind or "character", k, self.stride or 1, self.merges or ())


class Family(Protocol):
    """A kind of networks that read DNA."""

    @property
    def traits(self) -> frozenset[str]:
        """As `Backbone.traits`."""

    @property
    def tokens(self) -> Tokens:
        """How letters become tokens."""

    @property
    def length(self) -> int:
        """Tokens that are read where nobody says."""

    @property
    def width(self) -> int:
        """Of the network's layers."""

    def opened(self, weights: str | None, scratch: bool) -> tuple[nn.Module, _checkpoints.Loaded]:
        """The network with its weights; `network(input_ids=, attention_mask=)` gives `last_hidden_state`, and may give `pooled`."""

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        """Write architecture, tokenizer and weights."""


@dataclass(frozen=True)
class Hub:
    """Encoders that transformers knows: DNABERT and the Nucleotide Transformer among them."""

    folder: Path
    source: str
    reading: Reading

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json."""
        return _hub_tokens.config_of(self.folder)

    @property
    def traits(self) -> frozenset[str]:
        return frozenset({"dna", "transformer", "linear", "layer_norm"})

    @cached_property
    def _tokenizer(self) -> Any:
        return _hub_tokens.tokenizer_of(self.folder)

    @cached_property
    def tokens(self) -> Tokens:
        told = self.reading
        try:
            return _dna_tokens.of_checkpoint(self._tokenizer, told.kind, told.k, told.stride)
        except BackboneError as error:
            raise BackboneError(f"{self.source}: {error}") from error

    @property
    def length(self) -> int:
        return _hub_tokens.length_of(self.folder, self.config, MOST)

    @cached_property
    def _architecture(self) -> Any:
        return _hub_tokens.architecture_of(self.folder)

    @property
    def width(self) -> int:
        return int(self._architecture.hidden_size)

    def opened(self, weights: str | None, scratch: bool) -> tuple[nn.Module, _checkpoints.Loaded]:
        try:
            network, loaded = _hub_tokens.opened(self.folder, self._architecture, self.source, weights, scratch)
        except BackboneError as error:
            if "auto_map" not in self.config or _hub_tokens.OWN_CODE in str(error):
                raise
            raise BackboneError(f"{error}. {_hub_tokens.OWN_CODE}") from error
        return network, loaded

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        _checkpoints.save_hub(network, weights, folder)
        self._tokenizer.save_pretrained(str(folder))


def family_of(source: str, reading: Reading, sizes: Mapping[str, Any]) -> Family:
    """The family that a source belongs to.

    Args:
        source: `small`, a hub id, or a folder.
        reading: what the recipe says of tokens.
        sizes: fields of the small encoder's shape, and `length` where one was given.

    Raises:
        BackboneError: no checkpoint is there.
    """
    if source == SMALL:
        from tunesmith.backbones._dna_small import Shape, Small

        tokens = reading.own()
        given = {key: value for key, value in sizes.items() if value is not None}
        return Small(Shape(vocabulary=tokens.size, **{"length": SMALL_LENGTH, **given}), reading, tokens, None, source)
    folder = _checkpoints.locate(source)
    config = _hub_tokens.config_of(folder)
    if config.get("model_type") == "tunesmith_dna":
        from tunesmith.backbones._dna_small import Shape, Small

        told = config["reading"]
        kept = Reading(told["tokenizer"], told["k"], told["stride"], None if told["merges"] is None else tuple(told["merges"]))
        return Small(Shape(**config["shape"]), kept, kept.own(), folder, source)
    if config.get("model_type") == "hyenadna":
        from tunesmith.backbones._hyena import HyenaDna

        return HyenaDna(folder, source)
    return Hub(folder, source, reading)
