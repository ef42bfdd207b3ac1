"""Functions of networks in numpy alone: what decoding needs, and what predicts a few rows without loading torch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Arrays = dict[str, Floats]
"""Weights by their name in the network or head they belong to."""
Outputs = npt.NDArray[Any]
"""What a model gives for rows: (rows, ...) float32; where rows differ in shape (rows,) objects, each what one row gives (`ragged`)."""


def ragged(items: Sequence[Any]) -> npt.NDArray[np.object_]:
    """(rows,) objects, whatever they are: numpy would make one array of arrays that happen to have the same shape.

    Example:
        >>> ragged([np.zeros(2), np.zeros(2)]).shape
        (2,)
    """
    found = np.empty(len(items), np.object_)
    for place, item in enumerate(items):
        found[place] = item
    return found


def stored(values: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """An array as arrays that hold no objects, by the endings of their names: texts as their bytes and where each ends.

    Example:
        >>> restored(stored(ragged(["é", ""]))).tolist()
        ['é', '']
    """
    if values.dtype != np.object_:
        return {"": values}
    texts = [text.encode() for text in values]
    return {".bytes": np.frombuffer(b"".join(texts), np.uint8), ".ends": np.cumsum([len(text) for text in texts], dtype=np.int64)}


def restored(parts: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The array that `stored` took apart."""
    if "" in parts:
        return parts[""]
    whole, ends = parts[".bytes"].tobytes(), parts[".ends"].tolist()
    return ragged([whole[start:end].decode() for start, end in itertools.pairwise([0, *ends])])


# erf(x) = x P(x^2) / Q(x^2) on [-4, 4]: the rational approximation of erf in Eigen (MathFunctionsImpl.h) and XLA, highest power first
_P = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_Q = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02)


def erf(x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The error function of each value, within 1e-7.

    In double precision: in single precision rounding alone would make it 5e-7.

    Example:
        >>> import math
        >>> bool(abs(erf(np.array([0.5]))[0] - math.erf(0.5)) < 1e-7)
        True
    """
    x = np.clip(x, -4, 4, dtype=np.float64)
    square = x * x
    x *= _polynomial(square, _P)
    x /= _polynomial(square, _Q)
    return x


def _polynomial(x: npt.NDArray[np.float64], coefficients: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Horner's rule, in place."""
    total = coefficients[0] * x
    for coefficient in coefficients[1:-1]:
        total += coefficient
        total *= x
    total += coefficients[-1]
    return total


def gelu(x: Floats) -> Floats:
    """x times the standard normal distribution function of x (Hendrycks and Gimpel 2016), in its exact form, not that of tanh."""
    share = erf(x * np.sqrt(0.5, dtype=np.float32))
    share += 1
    share *= 0.5
    return x * share.astype(np.float32)


def linear(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """(..., inputs) by torch's (outputs, inputs) weight: (..., outputs)."""
    return x @ weight.T + bias


def softmax(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Softmax over the last axis, which no size of the values lets overflow.

    Example:
        >>> softmax(np.array([1000.0, 1000.0])).tolist()
        [0.5, 0.5]
    """
    powers: npt.NDArray[Any] = np.exp(x - x.max(axis=-1, keepdims=True))
    total: npt.NDArray[Any] = powers.sum(axis=-1, keepdims=True)
    powers /= total
    return powers


def sigmoid(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """1 / (1 + exp(-x)), which no size of the values lets overflow.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    power: npt.NDArray[Any] = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, power) / (1 + power))


def log(share: npt.NDArray[Any]) -> Floats:
    """Natural logarithm of shares between 0 and 1, of which those below 1e-12 count as 1e-12: a logit is finite.

    Example:
        >>> log(np.array([1.0, 0.0])).round(2).tolist()
        [0.0, -27.6299991607666]
    """
    logarithm: Floats = np.log(np.clip(share, 1e-12, 1)).astype(np.float32)
    return logarithm
