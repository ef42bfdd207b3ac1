"""Texts: any Hugging Face encoder (BERT, RoBERTa, DeBERTa, MiniLM ...) or decoder (GPT-2 and kin).

    {"title": "Oil firm", "text": "Prices held ..."}  ->  token ids of one or two segments  ->  one vector

Choices: token ids are padded to the longest text of the batch, never to a fixed length. Two input columns become the two segments the
tokenizer knows, more are joined by line breaks. The vector is pooled as the checkpoint says (a sentence-transformers folder's own
configuration), else by the first token where the tokenizer adds one for that purpose, by the last token for decoders, else by the
mean. A pooler layer that nothing reads is left out, so that every trainable weight takes part.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from tunesmith.backbones import _checkpoints
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Row
from tunesmith.core.errors import BackboneError, RowError, require

if TYPE_CHECKING:
    import torch
    from torch import nn

WORDS = ("river stone bright", "market price bond", "doctor ward fever")


@final
@dataclass(frozen=True)
class Text(Backbone):
    """Texts through any Hugging Face encoder or decoder."""

    name: ClassVar[str] = "text"
    source: str = field(default="minilm", metadata={"help": "hub id, local folder in hub format, or minilm"})
    columns: tuple[str, ...] = field(default=("text",), metadata={"help": "input columns"})
    pooling: Literal["mean", "cls", "last"] | None = field(default=None, metadata={"help": "how tokens become one vector"})
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
        path = self.folder / "config.json"
        if not path.is_file():
            raise BackboneError(f"{self.folder} holds no config.json, so it is no checkpoint in hub format")
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return values

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer, padding on the right."""
        transformers = require("transformers", "text backbones")
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(self.folder))
        except (OSError, ValueError) as error:
            raise BackboneError(f"{self.folder} holds no tokenizer that can be read: {error}") from error
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return tokenizer

    @functools.cached_property
    def length(self) -> int:
        """Tokens of a text that are read."""
        if self.max_length:
            return self.max_length
        own = self.folder / "sentence_bert_config.json"
        told = json.loads(own.read_text(encoding="utf-8")).get("max_seq_length") if own.is_file() else None
        positions = self.config.get("max_position_embeddings") or self.config.get("n_positions") or 512
        return int(told or min(256, positions - (2 if self.config.get("model_type") in ("roberta", "xlm-roberta", "camembert") else 0)))

    @functools.cached_property
    def pooled_by(self) -> str:
        """Resolved pooling: `mean`, `cls` or `last`."""
        if self.pooling:
            return self.pooling
        own = self.folder / "1_Pooling" / "config.json"
        if own.is_file():
            told = json.loads(own.read_text(encoding="utf-8"))
            modes = {"cls": "cls", "mean_tokens": "mean", "lasttoken": "last", "cls_token": "cls", "mean": "mean"}
            for key, mode in modes.items():
                if told.get(f"pooling_mode_{key}") or told.get("pooling_mode") == key:
                    return mode
        if "decoder" in self.traits():
            return "last"
        return "cls" if self.tokenizer.cls_token else "mean"

    def traits(self) -> set[str]:
        decoder = self.config.get("is_decoder") or any("CausalLM" in a or "LMHead" in a for a in self.config.get("architectures") or [])
        decoder = decoder or self.config.get("model_type") in (
            "gpt2",
            "llama",
            "mistral",
            "qwen2",
            "qwen3",
            "opt",
            "gpt_neox",
            "bloom",
            "gemma",
        )
        decoder = decoder and self.config.get("model_type") not in ("bert", "roberta")
        transposed = self.config.get("model_type") in ("gpt2", "openai-gpt", "imagegpt")
        return {"text", "transformer"} | ({"decoder"} if decoder else set()) | ({"transposed"} if transposed else set())

    def open(self) -> nn.Module:
        import torch

        transformers = require("transformers", "text backbones")
        config = transformers.AutoConfig.from_pretrained(str(self.folder))
        family = transformers.AutoModelForTextEncoding if config.is_encoder_decoder else transformers.AutoModel
        if self.scratch or self.weights:
            network = family.from_config(config, dtype=torch.float32)
            loaded = _checkpoints.Loaded("random weights", 0, [], [])
            if self.weights:
                loaded = _checkpoints.fill(network, _renamed(network, self.weights), self.weights)
        else:
            network, loaded = _checkpoints.hub_network(self.folder, family, self.source)
        if getattr(network, "pooler", None) is not None:
            network.pooler = None
        self.__dict__["_loaded"] = loaded
        module: nn.Module = network
        return module

    def _text(self, row: Row) -> list[str]:
        return [str(row[c]) for c in self.columns if row.get(c) is not None and str(row[c]).strip()]

    def check(self, row: Row) -> str | None:
        texts = self._text(row)
        if not texts:
            raise RowError("the text is empty", ", ".join(self.columns))
        if sum(map(len, texts)) > self.length:
            tokens = len(self.tokenizer(*texts[:2] if len(texts) == 2 else ["\n".join(texts)], verbose=False)["input_ids"])
            if tokens > self.length:
                return f"texts longer than {self.length} tokens, of which the rest is not read (--set backbone.max_length=N reads more)"
        return None

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        texts = self._text(row)
        if not texts:
            raise RowError("the text is empty", ", ".join(self.columns))
        return {"text": texts if len(self.columns) == 2 else ["\n".join(texts)]}

    def collate(self, items: Sequence[Encoded]) -> Batch:
        texts = [item["text"] for item in items]
        if len(self.columns) == 2:
            # the tokenizer's two segments; a row in which one column is empty has an empty second segment
            pairs = [(t[0], t[1] if len(t) > 1 else "") for t in texts]
            given = [list(side) for side in zip(*pairs, strict=True)]
            # only the longer segment is cut, so that a short title survives a long text
            encoded = self.tokenizer(*given, truncation="longest_first", max_length=self.length, padding=True, return_tensors="pt")
        else:
            encoded = self.tokenizer([t[0] for t in texts], truncation=True, max_length=self.length, padding=True, return_tensors="pt")
        return {key: encoded[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in encoded}

    def features(self, network: nn.Module, batch: Batch) -> Features:
        import torch

        tokens: torch.Tensor = network(**batch).last_hidden_state  # (batch, length, width)
        mask = batch["attention_mask"]
        if tokens.shape[1] > mask.shape[1]:  # prompt tuning puts its own tokens in front
            mask = torch.cat([mask.new_ones(len(mask), tokens.shape[1] - mask.shape[1]), mask], dim=1)
        return Features(pooled=pooled(tokens, mask, self.pooled_by, batch["attention_mask"].shape[1]), tokens=tokens, mask=mask)

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        from tunesmith.backbones._blocks import layers

        return layers(network)

    def width(self, network: nn.Module) -> int:
        config: Any = network.config
        return int(config.hidden_size)

    def input_spec(self) -> list[InputSpec]:
        return [InputSpec(column, "text", f"text, up to about {self.length} tokens") for column in self.columns]

    def size_of_row(self, row: Row) -> int:
        return sum(len(text) for text in self._text(row))

    def save_memory(self, network: nn.Module) -> None:
        model: Any = network
        if not getattr(model, "supports_gradient_checkpointing", False):
            raise BackboneError(f"{self.source} cannot compute activations again; leave --gradient-checkpointing out")
        model.gradient_checkpointing_enable({"use_reentrant": False})

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        model: Any = network
        with _checkpoints.quiet():
            model.save_pretrained(str(folder), state_dict=dict(weights))
        self.tokenizer.save_pretrained(str(folder))

    def moved(self, folder: Path) -> Text:
        return dataclasses.replace(self, source=str(folder), weights=None, scratch=False)

    def settings(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "pooling": self.pooled_by, "max_length": self.length}

    def origin(self) -> dict[str, Any]:
        loaded: _checkpoints.Loaded | None = self.__dict__.get("_loaded")
        return loaded.plain() if loaded else {"source": self.source}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        words = [*WORDS[code % len(WORDS)].split(), "the", "a", "of", "and"]
        return {column: " ".join(rng.choice(words) for _ in range(rng.randint(4, 12))) + f" {words[0]}" for column in self.columns}


def pooled(tokens: torch.Tensor, mask: torch.Tensor, by: str, text_length: int) -> torch.Tensor:
    """One vector for each text.

    Args:
        tokens: (batch, length, width).
        mask: (batch, length), 1 where there is a token.
        by: `mean`, `cls` or `last`.
        text_length: tokens of the text proper; those in front belong to a learned prompt.

    Returns:
        (batch, width).
    """
    if by == "cls":
        return tokens[:, tokens.shape[1] - text_length]
    if by == "last":
        import torch

        last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)  # position of the last 1
        return tokens[torch.arange(len(tokens), device=tokens.device), last]
    weight = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weight).sum(1) / weight.sum(1).clamp(min=1e-9)


def _renamed(network: nn.Module, path: str) -> dict[str, torch.Tensor]:
    """Weights of a file, without the prefix (`bert.`) that a checkpoint with a head puts before the network's names."""
    weights = _checkpoints.read_weights(Path(path))
    prefix = str(getattr(network, "base_model_prefix", "")) + "."
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
