"""The FT-Transformer of `_ft_transformer.py` in numpy, for the few rows that are predicted faster than torch is loaded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Arrays, Floats, linear, softmax

EPS = 1e-5
"""Of torch's LayerNorm."""


def vectors(weights: Arrays, numbers: Floats, codes: npt.NDArray[np.int64], sizes: Sequence[int], heads: int) -> Floats:
    """(rows, width) vectors of [CLS].

    Args:
        weights: of the network, by name.
        numbers: (rows, numbers, channels) as `Scale.encoded` gives them.
        codes: (rows, categories).
        sizes: codes of each category.
        heads: of attention.
    """
    cells = []
    if numbers.shape[1]:
        cells.append(np.einsum("bnk,nkd->bnd", numbers, weights["tokenizer.weight"]))
    if codes.shape[1]:
        starts = np.cumsum([0, *sizes])[:-1]
        cells.append(weights["tokenizer.vectors.weight"][codes + starts])
    tokens = np.concatenate(cells, axis=1) + weights["tokenizer.bias"]
    cls = np.broadcast_to(weights["tokenizer.cls"], (len(tokens), *weights["tokenizer.cls"].shape))
    x = np.concatenate([cls, tokens], axis=1)  # (rows, 1 + cells, width)
    layer = 0
    while f"layers.{layer}.norm.weight" in weights:
        x = _layer(weights, f"layers.{layer}.", x, heads)
        layer += 1
    found: Floats = _norm(weights, "norm", x[:, 0])
    return found


def _layer(weights: Arrays, name: str, x: Floats, heads: int) -> Floats:
    rows, tokens, width = x.shape
    normed = _norm(weights, f"{name}attention_norm", x)
    query, key, value = (
        _linear(weights, f"{name}attention.{part}", normed).reshape(rows, tokens, heads, -1).transpose(0, 2, 1, 3)
        for part in ("query", "key", "value")
    )
    shares = softmax(query @ key.transpose(0, 1, 3, 2) / np.sqrt(np.float32(width // heads)))
    mixed = (shares @ value).transpose(0, 2, 1, 3).reshape(rows, tokens, width)
    x = x + _linear(weights, f"{name}attention.out", mixed)
    inner, gate = np.split(_linear(weights, f"{name}gated", _norm(weights, f"{name}norm", x)), 2, axis=-1)
    found: Floats = x + _linear(weights, f"{name}out", inner * np.maximum(gate, 0))
    return found


def _linear(weights: Arrays, name: str, x: Floats) -> Floats:
    return linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(weights: Arrays, name: str, x: Floats) -> Floats:
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(EPS))
    found: Floats = centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return found
