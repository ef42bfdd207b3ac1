"""How a check is made, and what all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Check, Prediction

TOLERANCE = 1e-3
"""How far two numbers that should be the same may lie apart, relative to the larger of 1 and the number."""


def check(name: str, passed: bool, detail: str) -> Check:
    """A check that applies."""
    return Check(name, "passed" if passed else "failed", detail)


def not_applicable(name: str, reason: str) -> Check:
    """A check that has nothing to compare."""
    return Check(name, "not_applicable", reason)


def apart(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Largest difference of two arrays, relative to the larger of 1 and the number; infinite where a shape or a NaN differs.

    Example:
        >>> apart(np.array([0.0, 8.0]), np.array([0.25, 4.0]))
        0.5
    """
    if first.shape != second.shape:
        return float("inf")
    if first.dtype == np.object_:  # rows that differ in shape
        return max((apart(one, other) for one, other in zip(first, second, strict=True)), default=0.0)
    if not first.size:
        return 0.0
    found = np.abs(first.astype(np.float64) - second) / np.maximum(1.0, np.abs(first))
    return float("inf") if np.isnan(found).any() else float(found.max())


def answer(prediction: Prediction) -> Any:
    """What a prediction says, without how sure it is: a class, the set of labels, a number.

    Example:
        >>> answer({"label": "fee", "probability": 0.5}), answer({"labels": ["b", "a"]}), answer({"value": 2.0}), answer({"text": "a"})
        ('fee', ('a', 'b'), 2.0, 'a')
    """
    return named(next(prediction[key] for key in ("label", "labels", "value", "text", "forecast") if key in prediction))


def named(value: Any) -> Any:
    """A label, or several in an order of their own."""
    return tuple(sorted(value)) if isinstance(value, list | tuple) else value


def not_finite(value: Any, path: str = "") -> list[str]:
    """Where in nested plain values a number is NaN or infinite.

    Example:
        >>> not_finite({"accuracy": 0.5, "bins": [1.0, float("nan")]})
        ['bins[1]']
    """
    if isinstance(value, Mapping):
        return [at for key, item in value.items() for at in not_finite(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list | tuple):
        return [at for place, item in enumerate(value) for at in not_finite(item, f"{path}[{place}]")]
    return [path] if isinstance(value, float) and not np.isfinite(value) else []
