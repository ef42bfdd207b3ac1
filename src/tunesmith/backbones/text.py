"""Texts: any Hugging Face encoder (BERT, RoBERTa, DeBERTa, MiniLM ...) or decoder (GPT-2 and kin).

    {"title": "Oil firm", "text": "Prices held ..."}  ->  token ids of one or two segments  ->  one vector

Choices: token ids are padded to the longest text of the batch, never to a fixed length. Two input columns become the two segments the
tokenizer knows, more are joined by line breaks. The vector is pooled as the checkpoint says (a sentence-transformers folder's own
configuration), else by the first token where the tokenizer adds one for that purpose, by the last token for decoders, else by the
mean. A pooler layer that nothing reads is left out, so that every trainable weight takes part. Of a CLIP or SigLIP the tower of texts is
read: its vector is the one that stands beside the vectors of pictures, however it is pooled.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, final

from tunesmith.backbones import _checkpoints, _hub_tokens, _towers
from tunesmith.backbones._hub_tokens import Mode, pooled
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Row
from tunesmith.core.errors import BackboneError, RowError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.core.arrays import Arrays, Floats

MOST = 256
"""Tokens of a text that are read at most where nobody says."""

DECODERS = ("gpt2", "llama", "mistral", "qwen2", "qwen3", "opt", "gpt_neox", "bloom", "gemma")

WORDS = ("river stone bright", "market price bond", "doctor ward fever")


@final
@dataclass(frozen=True)
class Text(Backbone):
    """Texts through any Hugging Face encoder or decoder."""

    name: ClassVar[str] = "text"
    reads: ClassVar[tuple[str, ...]] = ("text",)
    source: str = field(default="minilm", metadata={"help": "hub id, local folder in hub format, or minilm"})
    columns: tuple[str, ...] = field(default=("text",), metadata={"help": "input columns"})
    pooling: Mode | None = field(default=None, metadata={"help": "how tokens become one vector"})
    max_length: int | None = field(
        default=None, metadata={"help": "tokens of a text that are read; default: the checkpoint's, at most 256"}
    )
    weights: str | None = field(default=None, metadata={"help": "file of weights for the architecture of the source"})
    scratch: bool = field(default=False, metadata={"help": "random weights"})

    @functools.cached_property
    def folder(self) -> Path:
        """The checkpoint's local folder."""
        return _checkpoints.locate(self.source)

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The checkpoint's config.json."""
        return _hub_tokens.config_of(self.folder)

    @functools.cached_property
    def tower(self) -> _towers.Tower | None:
        """The tower of texts of a CLIP or SigLIP; None for other checkpoints."""
        if str(self.config.get("model_type")).split("_")[0] not in _towers.FAMILIES:
            return None  # without loading a library
        return _towers.tower(self.architecture, "text")

    @functools.cached_property
    def architecture(self) -> Any:
        """config.json as transformers reads it, with all defaults filled in."""
        return _hub_tokens.architecture_of(self.folder)

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer, padding on the right."""
        return _hub_tokens.tokenizer_of(self.folder)

    @functools.cached_property
    def length(self) -> int:
        """Tokens of a text that are read."""
        config = self.config if self.tower is None else self.tower.config.to_dict()
        return self.max_length or _hub_tokens.length_of(self.folder, config, MOST)

    @functools.cached_property
    def pooled_by(self) -> Mode:
        """Resolved pooling: `mean`, `cls` or `last`."""
        if self.pooling:
            return self.pooling
        if told := _hub_tokens.pooling_told(self.folder):
            return told
        if "decoder" in self.traits():
            return "last"
        return "cls" if self.tokenizer.cls_token else "mean"

    def traits(self) -> set[str]:
        if self.tower is not None:
            return {"text", "transformer", "tower"}
        kind = self.config.get("model_type")
        decoder = self.config.get("is_decoder") or any("CausalLM" in a or "LMHead" in a for a in self.config.get("architectures") or [])
        decoder = (decoder or kind in DECODERS) and kind not in ("bert", "roberta")
        transposed = kind in ("gpt2", "openai-gpt", "imagegpt")
        return {"text", "transformer"} | ({"decoder"} if decoder else set()) | ({"transposed"} if transposed else set())

    def open(self) -> nn.Module:
        if self.tower is not None:
            return self._opened_tower(self.tower)
        network, loaded = _hub_tokens.opened(self.folder, self.architecture, self.source, self.weights, self.scratch)
        positions = _hub_tokens.positions(network)
        if positions is not None and self.length > positions:
            raise BackboneError(f"backbone.max_length is {self.length}, but {self.source} has positions for {positions} tokens; lower it")
        self.__dict__["_loaded"] = loaded
        module: nn.Module = network
        return module

    def _opened_tower(self, tower: _towers.Tower) -> nn.Module:
        if self.length > tower.config.max_position_embeddings:
            most = tower.config.max_position_embeddings
            raise BackboneError(f"backbone.max_length is {self.length}, but {self.source} has positions for {most} tokens; lower it")
        loaded = _checkpoints.Loaded("random weights", 0, [], [])
        if self.weights:
            network, loaded = _checkpoints.hub_filled(tower.config, tower.family, self.weights, (), tower.others)
        elif self.scratch:
            network = tower.family(tower.config)
        else:
            network, loaded = _checkpoints.hub_network(self.folder, tower.family, self.source, (), config=tower.config, others=tower.others)
        self.__dict__["_loaded"] = loaded
        module: nn.Module = network
        return module

    def _text(self, row: Row) -> list[str]:
        return [str(row[c]) for c in self.columns if row.get(c) is not None and str(row[c]).strip()]

    def usable(self, row: Row) -> None:
        if not self._text(row):
            raise RowError("the text is empty", ", ".join(self.columns))

    def check(self, row: Row) -> str | None:
        self.usable(row)
        texts = self._text(row)
        # a token is at least a byte, and four special ones are the most; so short texts need not be tokenized
        if sum(len(text.encode()) for text in texts) + 4 > self.length:
            given = self.encode(row)["text"]
            tokens = len(self.tokenizer(*given, verbose=False)["input_ids"])
            if tokens > self.length:
                return f"texts longer than {self.length} tokens, of which the rest is not read (--set backbone.max_length=N reads more)"
        return None

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        self.usable(row)
        texts = self._text(row)
        if len(self.columns) == 2:  # where one column is empty, so is the second segment
            return {"text": [texts[0], texts[1] if len(texts) > 1 else ""]}
        return {"text": ["\n".join(texts)]}

    def collate(self, items: Sequence[Encoded]) -> Batch:
        texts = [item["text"] for item in items]
        # networks without segments would read their numbers as tokens (GPT-2) or refuse them
        segments = int(getattr(self.architecture, "type_vocab_size", 0) or 0) > 1
        encoded = self._tokenized(
            texts, padding=self._padding, return_tensors="pt", return_token_type_ids=segments, return_attention_mask=True
        )
        if self._padding == "max_length":
            encoded["attention_mask"].fill_(1)
        return {key: encoded[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in encoded}

    @property
    def _padding(self) -> bool | str:
        """How texts are padded: to the longest one, or as a SigLIP was trained, which also reads its padding."""
        return "max_length" if self.tower is not None and self.tower.padded else True

    def _tokenized(self, texts: Sequence[list[str]], **options: Any) -> Any:
        """What the tokenizer makes of encoded rows, each cut to the length that is read."""
        if len(self.columns) == 2:
            given = [list(side) for side in zip(*texts, strict=True)]  # the tokenizer's two segments
            # only the longer segment is cut, so that a short title survives a long text
            return self.tokenizer(*given, truncation="longest_first", max_length=self.length, **options)
        return self.tokenizer([t[0] for t in texts], truncation=True, max_length=self.length, **options)

    def features(self, network: nn.Module, batch: Batch) -> Features:
        import torch

        out = network(**batch)
        tokens: torch.Tensor = out.last_hidden_state  # (batch, length, width)
        mask = batch["attention_mask"]
        if self.tower is not None:
            return Features(pooled=out.pooler_output if self.tower.padded else out.text_embeds, tokens=tokens, mask=mask)
        if tokens.shape[1] > mask.shape[1]:  # prompt tuning puts its own tokens in front
            mask = torch.cat([mask.new_ones(len(mask), tokens.shape[1] - mask.shape[1]), mask], dim=1)
        return Features(pooled=pooled(tokens, mask, self.pooled_by, batch["attention_mask"].shape[1]), tokens=tokens, mask=mask)

    def light(self, fold: Callable[[Arrays], Arrays | None]) -> Callable[[Sequence[Row]], Floats] | None:
        if self.weights or self.scratch:
            return None
        import numpy as np

        from tunesmith.backbones import _light_bert

        encoder = _light_bert.opened(self.folder, self.config, self.length, fold)
        if encoder is None:
            return None

        def vectors(rows: Sequence[Row]) -> Floats:
            found = []
            for row in rows:
                tokens = encoder(self.encode(row)["text"])[None]  # (1, length, width)
                found.append(pooled(tokens, np.ones(tokens.shape[:2], np.float32), self.pooled_by, tokens.shape[1]))
            return np.concatenate(found)

        return vectors

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        from tunesmith.backbones._blocks import layers

        return layers(network)

    def width(self, network: nn.Module) -> int:
        config: Any = network.config
        return (_towers.width(network) if self.tower is not None else None) or int(config.hidden_size)

    def input_spec(self) -> list[InputSpec]:
        return [InputSpec(column, "text", f"text, up to about {self.length} tokens") for column in self.columns]

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        import numpy as np

        if not rows:
            return np.zeros(0, np.int64)
        padding = self._padding if self._padding == "max_length" else False
        ids = self._tokenized([self.encode(row)["text"] for row in rows], padding=padding, return_attention_mask=False)["input_ids"]
        return np.fromiter(map(len, ids), np.int64, len(ids))

    def apart(self, state: torch.Tensor, batch: Batch) -> list[torch.Tensor]:
        return _hub_tokens.apart(state, batch["attention_mask"])

    def together(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        return _hub_tokens.together(states)

    def save_memory(self, network: nn.Module) -> None:
        _hub_tokens.save_memory(network, self.source)

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        _checkpoints.save_hub(network, weights, folder)
        self.tokenizer.save_pretrained(str(folder))
        # a tower pools by itself, so that no file of sentence-transformers says how
        pooling = None if self.tower is not None else self.pooled_by
        _hub_tokens.save_reading(folder, pooling, self.width(network), self.length)

    def moved(self, folder: Path) -> Text:
        return dataclasses.replace(self, source=str(folder), pooling=self.pooled_by, max_length=self.length, weights=None, scratch=False)

    def settings(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "pooling": self.pooled_by, "max_length": self.length}

    def origin(self) -> dict[str, Any]:
        loaded: _checkpoints.Loaded | None = self.__dict__.get("_loaded")
        return loaded.plain() if loaded else {"source": self.source}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        words = [*WORDS[code % len(WORDS)].split(), "the", "a", "of", "and"]
        return {column: " ".join(rng.choice(words) for _ in range(rng.randint(4, 12))) + f" {words[0]}" for column in self.columns}
