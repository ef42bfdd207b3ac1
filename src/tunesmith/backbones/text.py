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
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from tunesmith.backbones import _checkpoints, _towers
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Row
from tunesmith.core.errors import BackboneError, RowError, require

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.core.arrays import Arrays, Floats

Mode = Literal["mean", "cls", "last"]

POOLING = Path("1_Pooling", "config.json")
"""Where sentence-transformers keeps how tokens become one vector."""

SENTENCE_MODES: dict[str, Mode] = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last"}
PADDED_POSITIONS = ("camembert", "data2vec-text", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl")
"""Networks that number positions from the one after the padding token's number."""

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
        path = self.folder / "config.json"
        if not path.is_file():
            raise BackboneError(f"{self.folder} holds no config.json, so it is no checkpoint in hub format")
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return values

    @functools.cached_property
    def tower(self) -> _towers.Tower | None:
        """The tower of texts of a CLIP or SigLIP; None for other checkpoints."""
        if str(self.config.get("model_type")).split("_")[0] not in _towers.FAMILIES:
            return None  # without loading a library
        return _towers.tower(self.architecture, "text")

    @functools.cached_property
    def architecture(self) -> Any:
        """config.json as transformers reads it, with all defaults filled in."""
        _ = self.config  # tells better of a missing file than transformers does
        try:
            return require("transformers", "text backbones").AutoConfig.from_pretrained(str(self.folder), trust_remote_code=False)
        except (ValueError, OSError) as error:
            raise BackboneError(f"{self.folder}/config.json describes no network that transformers knows: {str(error)[:200]}") from error

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer, padding on the right."""
        transformers = require("transformers", "text backbones")
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(self.folder), trust_remote_code=False)
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
        positions = self.config.get("max_position_embeddings") or self.config.get("n_positions") or 0
        if self.tower is not None:
            positions = self.tower.config.max_position_embeddings
        if self.config.get("model_type") in PADDED_POSITIONS:
            positions -= 1 + int(self.config.get("pad_token_id") or 0)
        return int(told or min(256, positions if positions > 0 else 256))

    @functools.cached_property
    def pooled_by(self) -> Mode:
        """Resolved pooling: `mean`, `cls` or `last`."""
        if self.pooling:
            return self.pooling
        own = self.folder / POOLING
        if own.is_file():
            return _pooling_of(json.loads(own.read_text(encoding="utf-8")), own)
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
        import torch

        transformers = require("transformers", "text backbones")
        config = self.architecture
        if self.tower is not None:
            return self._opened_tower(self.tower)
        encoder = type(config) in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING  # of T5 and kin the encoder alone
        if config.is_encoder_decoder and not encoder:
            raise BackboneError(f"{self.source} is an encoder with a decoder, of which the encoder cannot be taken alone; choose another")
        family = transformers.AutoModelForTextEncoding if encoder else transformers.AutoModel
        loaded = _checkpoints.Loaded("random weights", 0, [], [])
        if self.weights:
            network, loaded = _checkpoints.hub_filled(config, family, self.weights)
        elif self.scratch:
            network = family.from_config(config, dtype=torch.float32)
        else:
            network, loaded = _checkpoints.hub_network(self.folder, family, self.source)
        if getattr(network, "pooler", None) is not None:
            network.pooler = None
        positions = _positions(network)
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
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        return [row[:length] for row, length in zip(state, lengths, strict=True)]

    def together(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        from torch.nn.utils.rnn import pad_sequence

        return pad_sequence(list(states), batch_first=True)

    def save_memory(self, network: nn.Module) -> None:
        model: Any = network
        if not getattr(model, "supports_gradient_checkpointing", False):
            raise BackboneError(f"{self.source} cannot compute activations again; leave --gradient-checkpointing out")
        model.activation_checkpointing_enable({"use_reentrant": False})

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        _checkpoints.save_hub(network, weights, folder)
        self.tokenizer.save_pretrained(str(folder))
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": self.length}), encoding="utf-8")
        if self.tower is not None:
            return
        (folder / POOLING).parent.mkdir(exist_ok=True)
        flags = {f"pooling_mode_{name}": mode == self.pooled_by for name, mode in SENTENCE_MODES.items()}
        told = {"word_embedding_dimension": self.width(network), **flags}
        (folder / POOLING).write_text(json.dumps(told, indent=2), encoding="utf-8")

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


def pooled(tokens: Any, mask: Any, by: str, text_length: int) -> Any:
    """One vector for each text; of torch tensors or of numpy arrays, whose common methods it keeps to.

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
        return tokens[range(len(tokens)), mask.cumsum(1).argmax(1)]  # argmax gives the first of equals: the position of the last 1
    weight = mask[..., None]
    return (tokens * weight).sum(1) / weight.sum(1).clip(min=1)


def _pooling_of(told: Mapping[str, Any], path: Path) -> Mode:
    """Our word for the pooling a sentence-transformers folder asks for, in its older form (flags) or its newer one (a name)."""
    modes: dict[str, Mode] = {**SENTENCE_MODES, "cls": "cls", "mean": "mean"}
    wanted = told.get("pooling_mode") or [
        key.removeprefix("pooling_mode_") for key in told if key.startswith("pooling_mode_") and told[key]
    ]
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    if len(wanted) != 1 or wanted[0] not in modes:
        raise BackboneError(f"{path} asks for the pooling {', '.join(wanted) or 'none'}, which is not known; choose backbone.pooling")
    return modes[wanted[0]]


def _positions(network: nn.Module) -> int | None:
    """Tokens a network has learned positions for; None where positions are computed."""
    for name, module in network.named_modules():
        if name.rsplit(".", 1)[-1] in ("position_embeddings", "wpe") and hasattr(module, "num_embeddings"):
            padding = getattr(module, "padding_idx", None)  # RoBERTa and kin count from the one after it
            return int(module.num_embeddings) - (0 if padding is None else int(padding) + 1)
    return None
