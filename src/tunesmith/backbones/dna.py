"""DNA: letters through a genomic checkpoint (DNABERT, Nucleotide Transformer, HyenaDNA kinds) or a small encoder of our own.

    {"sequence": "acgtnnacgu"}  ->  A C G T N N A C G T  ->  tokens  ->  one vector

Choices. Tokens are what the checkpoint was trained on, read off its vocabulary. The vector is the mean over the tokens, as the papers
on these checkpoints do for frozen features; the small encoder has learned queries. A sequence means the same read on the other strand
in some tasks (does a protein bind here?) and something else in others (where does an exon begin?), so both strands are read only when
asked for: `augment` turns training rows round at random, `average` also averages the vectors of both strands in prediction, so that a
sequence and its reverse complement get the very same answer (the "post-hoc" way of Zhou et al. 2022).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from tunesmith.backbones import _checkpoints, _dna_tokens, _hub_tokens
from tunesmith.backbones._dna_families import SMALL, Family, Reading, family_of
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Row
from tunesmith.core.dna import read_strand, reverse_complement
from tunesmith.core.errors import BackboneError, DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

MOTIFS = ("TATAAA", "CACGTG", "GGTAAG")
"""What made-up sequences hold, by their class."""


@final
@dataclass(frozen=True)
class Dna(Backbone):
    """DNA through genomic checkpoints of transformers, HyenaDNA, or a small encoder."""

    name: ClassVar[str] = "dna"
    reads: ClassVar[tuple[str, ...]] = ("dna",)
    source: str = field(default=SMALL, metadata={"help": "small, hub id, or local folder"})
    columns: tuple[str, ...] = field(default=("sequence",), metadata={"help": "input column"})
    tokenizer: Literal["auto", "character", "kmer", "bpe"] = field(
        default="auto", metadata={"help": "what a token is; auto: what the checkpoint was trained on, letters for the small encoder"}
    )
    k: int | None = field(default=None, metadata={"help": "letters of a run (kmer); default: the checkpoint's, or 6"})
    stride: int | None = field(default=None, metadata={"help": "letters from one run to the next; default: the checkpoint's, or 1"})
    merges: tuple[str, ...] | None = field(default=None, metadata={"help": "of byte-pair encoding; found on the training rows"})
    max_length: int | None = field(
        default=None, metadata={"help": "tokens that are read; default: the checkpoint's, at most 512, or 1,024 for the small encoder"}
    )
    reverse_complement: Literal["none", "augment", "average"] = field(
        default="none",
        metadata={"help": "augment: train on a strand at random; average: also predict by both; only where strands mean the same"},
    )
    hide: float | None = field(
        default=None, metadata={"help": "share of letters read as N in training; default: 0.1 of letters of the small encoder, else 0"}
    )
    pooling: Literal["mean", "cls", "last"] | None = field(
        default=None, metadata={"help": "how a checkpoint's tokens become one vector; default: mean"}
    )
    hidden: int = field(default=64, metadata={"help": "width of the small encoder"})
    convolutions: int = field(default=2, metadata={"help": "convolutions of the small encoder"})
    kernel: int = field(default=9, metadata={"help": "tokens that a convolution of the small encoder sees"})
    layers: int = field(default=1, metadata={"help": "attention layers of the small encoder"})
    heads: int = field(default=8, metadata={"help": "heads of attention of the small encoder"})
    dropout: float = field(default=0.2, metadata={"help": "of the small encoder"})
    weights: str | None = field(default=None, metadata={"help": "file of weights for the architecture of the source"})
    scratch: bool = field(default=False, metadata={"help": "random weights"})

    def __post_init__(self) -> None:
        if len(self.columns) > 1:
            raise ValueError(f"one column of DNA is read at a time (got {', '.join(self.columns)}); name one with --inputs")
        if self.k is not None and not 1 <= self.k <= _dna_tokens.MOST_K:
            raise ValueError(f"field 'k' must be from 1 to {_dna_tokens.MOST_K} (got {self.k})")
        if self.stride is not None and self.stride < 1:
            raise ValueError(f"field 'stride' must be at least 1 (got {self.stride})")
        if self.max_length is not None and self.max_length < 4:
            raise ValueError(f"field 'max_length' must be at least 4 (got {self.max_length})")
        if self.hide is not None and not 0 <= self.hide < 1:
            raise ValueError(f"field 'hide' must be from 0 to below 1 (got {self.hide})")
        if self.kernel % 2 == 0:
            raise ValueError(f"field 'kernel' must be odd (got {self.kernel})")
        if self.hidden % self.heads:
            raise ValueError(f"field 'hidden' ({self.hidden}) must be a multiple of field 'heads' ({self.heads})")

    @property
    def augments(self) -> bool:  # type: ignore[override]
        """Whether training rows change at random: it follows from the fields."""
        return self.reverse_complement != "none" or self._hidden_share > 0

    @functools.cached_property
    def family(self) -> Family:
        """What the source is."""
        sizes = {name: getattr(self, name) for name in ("convolutions", "kernel", "layers", "heads", "dropout")}
        told = Reading(self.tokenizer, self.k, self.stride, self.merges)
        return family_of(self.source, told, {**sizes, "width": self.hidden, "length": self.max_length})

    @property
    def length(self) -> int:
        """Tokens of a sequence that are read."""
        return self.max_length or self.family.length

    @functools.cached_property
    def _hidden_share(self) -> float:
        if self.hide is not None:
            return self.hide
        return 0.1 if self.source == SMALL and self.tokenizer in ("auto", "character") else 0.0

    def traits(self) -> set[str]:
        return set(self.family.traits)

    def fit(self, rows: Callable[[], Iterator[Row]], seed: int) -> Dna:
        if self.source != SMALL or self.tokenizer != "bpe" or self.merges is not None:
            return self
        merges = _dna_tokens.found_pieces(self._letters(row) for row in rows())
        if not merges:
            raise DataError("no piece of DNA occurs often enough in the training rows; use --set backbone.tokenizer=character")
        return dataclasses.replace(self, merges=merges)

    def open(self) -> nn.Module:
        network, loaded = self.family.opened(self.weights, self.scratch)
        places = _hub_tokens.positions(network)
        if places is not None and self.length > places:
            raise BackboneError(f"backbone.max_length is {self.length}, but {self.source} has positions for {places} tokens; lower it")
        self.__dict__["_loaded"] = loaded
        return network

    def _letters(self, row: Row) -> str:
        return read_strand(row.get(self.columns[0]), self.columns[0]).letters

    def usable(self, row: Row) -> None:
        self._letters(row)

    def check(self, row: Row) -> str | None:
        strand = read_strand(row.get(self.columns[0]), self.columns[0])
        told = [strand.remark()]
        pieces_known = self.tokenizer != "bpe" or self.source != SMALL or self.merges is not None
        if pieces_known and self.family.tokens.read(strand.letters, self.length)[1]:
            told.append(
                f"sequences longer than {self.length} tokens, of which the rest is not read (--set backbone.max_length=N reads more)"
            )
        return "; ".join(part for part in told if part) or None

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        strands = [self._letters(row)]
        if rng is not None:
            if self.reverse_complement != "none" and rng.random() < 0.5:
                strands = [reverse_complement(strands[0])]
            if share := self._hidden_share:
                strands = ["".join("N" if rng.random() < share else letter for letter in strands[0])]
        elif self.reverse_complement == "average":
            strands.append(reverse_complement(strands[0]))
        return {"strands": [self.family.tokens.read(letters, self.length)[0] for letters in strands]}

    def collate(self, items: Sequence[Encoded]) -> Batch:
        import torch

        strands = [ids for item in items for ids in item["strands"]]
        longest = max(map(len, strands))
        pad = self.family.tokens.pad
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in strands])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in strands])
        each = len(items[0]["strands"])
        if each > 1:  # (batch, strands, length)
            ids, mask = ids.unflatten(0, (-1, each)), mask.unflatten(0, (-1, each))
        return {"input_ids": ids, "attention_mask": mask}

    def features(self, network: nn.Module, batch: Batch) -> Features:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        each = mask.shape[1] if mask.ndim == 3 else 1
        ids, mask = ids.reshape(-1, ids.shape[-1]), mask.reshape(-1, mask.shape[-1])
        found = network(input_ids=ids, attention_mask=mask)
        tokens: torch.Tensor = found.last_hidden_state  # (batch * strands, length, width)
        own = getattr(found, "pooled", None)
        pooled: torch.Tensor = _hub_tokens.pooled(tokens, mask, self.pooling or "mean", mask.shape[1]) if own is None else own
        if each > 1:  # tokens are those of the strand as it was given
            pooled = pooled.unflatten(0, (-1, each)).mean(dim=1)
            tokens, mask = tokens[::each], mask[::each]
        return Features(pooled=pooled, tokens=tokens, mask=mask)

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        from tunesmith.backbones._blocks import layers

        return layers(network)

    def width(self, network: nn.Module) -> int:
        return self.family.width

    def input_spec(self) -> list[InputSpec]:
        return [InputSpec(self.columns[0], "dna", f"DNA (A, C, G, T, N), up to {self.length} tokens")]

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        import numpy as np

        strands = [self.encode(row)["strands"] for row in rows]
        return np.asarray([len(each) * max(map(len, each)) for each in strands], np.int64)

    def apart(self, state: torch.Tensor, batch: Batch) -> list[torch.Tensor]:
        mask = batch["attention_mask"]
        if mask.ndim == 2:
            return _hub_tokens.apart(state, mask)
        longest = mask.sum(dim=2).max(dim=1).values.tolist()
        rows = state.unflatten(0, (-1, mask.shape[1]))  # (batch, strands, length, width)
        return [row[:, :length] for row, length in zip(rows, longest, strict=True)]

    def together(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        if states[0].ndim == 2:
            return _hub_tokens.together(states)
        padded = _hub_tokens.together([state.transpose(0, 1) for state in states])  # (batch, length, strands, width)
        return padded.transpose(1, 2).flatten(0, 1)

    def save_memory(self, network: nn.Module) -> None:
        _hub_tokens.save_memory(network, self.source)

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        self.family.save(network, weights, folder)

    def moved(self, folder: Path) -> Dna:
        return dataclasses.replace(self, source=str(folder), max_length=self.length, hide=self._hidden_share, weights=None, scratch=False)

    def settings(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "max_length": self.length, "hide": self._hidden_share}

    def origin(self) -> dict[str, Any]:
        loaded: _checkpoints.Loaded | None = self.__dict__.get("_loaded")
        return loaded.plain() if loaded else {"source": self.source}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        def noise() -> str:
            return "".join(rng.choice("ACGT") for _ in range(rng.randint(4, 10)))

        return {column: noise() + MOTIFS[code % len(MOTIFS)] + noise() for column in self.columns}
