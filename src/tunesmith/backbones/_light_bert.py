"""BERT (Devlin et al. 2019) in numpy, for a few texts: importing torch and transformers takes longer than predicting them.

A configuration, a tokenizer or a set of weights that is not known in every detail has no such form. Texts go through one by one, so
nothing is padded and no mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Arrays, Floats, gelu, linear, softmax
from tunesmith.core.errors import require
from tunesmith.core.files import read_json

SIZES = (
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "type_vocab_size",
    "vocab_size",
)
FIXED = {"model_type": "bert", "hidden_act": "gelu"}
ALLOWED = {"dtype": "float32", "torch_dtype": "float32", "position_embedding_type": "absolute"}
WITHOUT_EFFECT = {
    "_name_or_path",
    "architectures",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "directionality",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "label2id",
    "layer_norm_eps",
    "pad_token_id",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "problem_type",
    "tie_word_embeddings",
    "transformers_version",
    "use_cache",
}
"""Settings that do not change the vectors of texts in prediction (or, as the norms' epsilon, are read by themselves)."""


def is_known(config: Mapping[str, Any]) -> bool:
    """Whether config.json describes just this network; a setting it does not know must be off."""
    if any(config.get(key) != value for key, value in FIXED.items()) or any(not isinstance(config.get(key), int) for key in SIZES):
        return False
    if config["hidden_size"] % config["num_attention_heads"] or config["type_vocab_size"] < 2:
        return False
    if not isinstance(config.get("layer_norm_eps"), float):
        return False
    others = {key: value for key, value in config.items() if key not in {*FIXED, *SIZES, *WITHOUT_EFFECT}}
    return all(not value or ALLOWED.get(key) == value for key, value in others.items())


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight of the network."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
    }
    matrices = {f"attention.self.{name}": (width, width) for name in ("query", "key", "value")}
    matrices |= {"attention.output.dense": (width, width), "intermediate.dense": (inner, width), "output.dense": (width, inner)}
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{i}" for i in range(config["num_hidden_layers"])):
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        for name, shape in matrices.items():
            found |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
    return found | {f"{norm}.{part}": (width,) for norm in norms for part in ("weight", "bias")}


def weights_of(folder: Path, config: Mapping[str, Any]) -> Arrays | None:
    """The network's weights; None where the folder holds others, or holds them in other files or in another precision."""
    from safetensors import safe_open

    path = folder / "model.safetensors"
    if not path.is_file():
        return None
    wanted = shapes(config)
    with safe_open(str(path), "np") as file:
        if set(file.keys()) != set(wanted):
            return None
        if any(file.get_slice(name).get_dtype() != "F32" for name in wanted):
            return None
        found: Arrays = {name: file.get_tensor(name) for name in wanted}
    return found if all(found[name].shape == shape for name, shape in wanted.items()) else None


def tokenizer_of(folder: Path, length: int) -> Any | None:
    """The checkpoint's tokenizer without transformers, cutting texts (of two segments the longer one) to `length` tokens."""
    path, told = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if not path.is_file() or not told.is_file():
        return None
    settings = read_json(told)
    if settings.get("truncation_side", "right") != "right" or settings.get("split_special_tokens"):
        return None
    tokenizer = require("tokenizers", "reading texts").Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(length, strategy="longest_first")
    tokenizer.no_padding()
    return tokenizer


def opened(folder: Path, config: Mapping[str, Any], length: int, fold: Callable[[Arrays], Arrays | None]) -> LightBert | None:
    """The encoder of a folder in hub format, its weights changed by `fold`; None where anything about it is not known."""
    if not is_known(config) or length > config["max_position_embeddings"]:
        return None
    tokenizer = tokenizer_of(folder, length)
    weights = weights_of(folder, config) if tokenizer is not None else None
    folded = fold(weights) if weights is not None else None
    return LightBert(config, folded, tokenizer) if folded is not None else None


@final
@dataclass(frozen=True)
class LightBert:
    """The encoder.

    Args:
        config: one that `is_known`.
        weights: as `shapes` names them.
        tokenizer: what `tokenizer_of` gives.
    """

    config: Mapping[str, Any]
    weights: Arrays
    tokenizer: Any

    def __call__(self, text: Sequence[str]) -> Floats:
        """The last hidden states, (length, width), of a text of one or two segments."""
        encoded = self.tokenizer.encode(*text)
        ids, segments = np.array(encoded.ids), np.array(encoded.type_ids)
        w = self.weights
        states = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][segments]
        states = self._norm("embeddings.LayerNorm", states + w["embeddings.position_embeddings.weight"][: len(ids)])
        for i in range(self.config["num_hidden_layers"]):
            states = self._layer(f"encoder.layer.{i}", states)
        return states

    def _layer(self, name: str, states: Floats) -> Floats:
        heads = self.config["num_attention_heads"]

        def projected(which: str) -> Floats:  # (heads, length, width of a head)
            return self._linear(f"{name}.attention.self.{which}", states).reshape(len(states), heads, -1).transpose(1, 0, 2)

        query, key, value = projected("query"), projected("key"), projected("value")
        scores = query @ key.transpose(0, 2, 1) * np.float32(query.shape[-1] ** -0.5)  # (heads, length, length)
        attended = (softmax(scores) @ value).transpose(1, 0, 2).reshape(states.shape)
        states = self._norm(f"{name}.attention.output.LayerNorm", self._linear(f"{name}.attention.output.dense", attended) + states)
        inner = gelu(self._linear(f"{name}.intermediate.dense", states))
        return self._norm(f"{name}.output.LayerNorm", self._linear(f"{name}.output.dense", inner) + states)

    def _linear(self, name: str, x: Floats) -> Floats:
        return linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: Floats) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(self.config["layer_norm_eps"]))
        result: npt.NDArray[np.float32] = centred / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return result
