"""Checkpoints in hub format that read sequences of tokens: configuration, tokenizer, network, and one vector of many tokens.

What texts and DNA share. Code that a checkpoint brings along (`auto_map` in its config.json) is never executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.backbones import _checkpoints
from tunesmith.core.errors import BackboneError, require

if TYPE_CHECKING:
    import torch
    from torch import nn

Mode = Literal["mean", "cls", "last"]

POOLING = Path("1_Pooling", "config.json")

SENTENCE_MODES: dict[str, Mode] = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last"}
PADDED_POSITIONS = (
    "camembert",
    "data2vec-text",
    "esm",
    "longformer",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
)
"""Networks that number positions from the one after the padding token's number."""


UNREAD = ("pooler.", "contact_head.")
"""Parts of encoders that no vector of ours is made of."""
OWN_CODE = "The checkpoint brings code of its own (auto_map in its config.json), which is never executed"


def config_of(folder: Path) -> dict[str, Any]:
    """The checkpoint's config.json.

    Raises:
        BackboneError: there is none.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise BackboneError(f"{folder} holds no config.json, so it is no checkpoint in hub format")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def architecture_of(folder: Path) -> Any:
    """config.json as transformers reads it, with all defaults filled in.

    Raises:
        BackboneError: transformers does not know the architecture.
    """
    own = config_of(folder)
    try:
        return require("transformers", "checkpoints in hub format").AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except (ValueError, OSError) as error:
        code = f". {OWN_CODE}" if "auto_map" in own else ""
        raise BackboneError(f"{folder}/config.json describes no network that transformers knows: {str(error)[:200]}{code}") from error


def tokenizer_of(folder: Path) -> Any:
    """The checkpoint's tokenizer, padding on the right.

    Raises:
        BackboneError: there is none that can be read.
    """
    transformers = require("transformers", "checkpoints in hub format")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise BackboneError(f"{folder} holds no tokenizer that can be read: {error}") from error
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def length_of(folder: Path, config: Mapping[str, Any], most: int) -> int:
    """Tokens that are read where nobody says: what the folder tells, else what the network has positions for, at most `most`."""
    own = folder / "sentence_bert_config.json"
    told = json.loads(own.read_text(encoding="utf-8")).get("max_seq_length") if own.is_file() else None
    positions = config.get("max_position_embeddings") or config.get("n_positions") or 0
    if config.get("model_type") in PADDED_POSITIONS:
        positions -= 1 + int(config.get("pad_token_id") or 0)
    return int(told or min(most, positions if positions > 0 else most))


def opened(folder: Path, architecture: Any, source: str, weights: str | None, scratch: bool) -> tuple[Any, _checkpoints.Loaded]:
    """The encoder of a checkpoint without its pooler (and ESM's head for contacts), with its weights, those of a file, or random ones.

    Raises:
        BackboneError: an encoder with a decoder, or weights that do not fit.
    """
    import torch

    transformers = require("transformers", "checkpoints in hub format")
    encoder = type(architecture) in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING  # of T5 and kin the encoder alone
    if architecture.is_encoder_decoder and not encoder:
        raise BackboneError(f"{source} is an encoder with a decoder, of which the encoder cannot be taken alone; choose another")
    family = transformers.AutoModelForTextEncoding if encoder else transformers.AutoModel
    loaded = _checkpoints.Loaded("random weights", 0, [], [])
    if weights:
        network, loaded = _checkpoints.hub_filled(architecture, family, weights, UNREAD)
    elif scratch:
        network = family.from_config(architecture, dtype=torch.float32)
    else:
        network, loaded = _checkpoints.hub_network(folder, family, source, UNREAD)
    for part in UNREAD:
        if getattr(network, part.rstrip("."), None) is not None:
            setattr(network, part.rstrip("."), None)
    return network, loaded


def pooling_told(folder: Path) -> Mode | None:
    """The pooling that a sentence-transformers folder asks for; None where it asks for none.

    Raises:
        BackboneError: it asks for one that is not known.
    """
    own = folder / POOLING
    return _pooling_of(json.loads(own.read_text(encoding="utf-8")), own) if own.is_file() else None


def save_reading(folder: Path, pooling: Mode | None, width: int, length: int) -> None:
    """Write how tokens become a vector (None where the network does that) and how many are read, as sentence-transformers does."""
    if pooling is not None:
        (folder / POOLING).parent.mkdir(exist_ok=True)
        flags = {f"pooling_mode_{name}": mode == pooling for name, mode in SENTENCE_MODES.items()}
        (folder / POOLING).write_text(json.dumps({"word_embedding_dimension": width, **flags}, indent=2), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}), encoding="utf-8")


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


def positions(network: nn.Module) -> int | None:
    """Tokens a network has learned positions for; None where positions are computed."""
    for name, module in network.named_modules():
        if name.rsplit(".", 1)[-1] in ("position_embeddings", "wpe") and hasattr(module, "num_embeddings"):
            padding = getattr(module, "padding_idx", None)  # RoBERTa and kin count from the one after it
            return int(module.num_embeddings) - (0 if padding is None else int(padding) + 1)
    return None


def save_memory(network: nn.Module, source: str) -> None:
    """Compute activations again in the backward pass.

    Raises:
        BackboneError: the network has no such mode.
    """
    model: Any = network
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise BackboneError(f"{source} cannot compute activations again; leave --gradient-checkpointing out")
    model.activation_checkpointing_enable({"use_reentrant": False})


def apart(state: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
    """Hidden values (batch, length, width) row by row and without padding."""
    return [row[:length] for row, length in zip(state, mask.sum(dim=1).tolist(), strict=True)]


def together(states: Sequence[torch.Tensor]) -> torch.Tensor:
    """The inverse of `apart`."""
    from torch.nn.utils.rnn import pad_sequence

    return pad_sequence(list(states), batch_first=True)
