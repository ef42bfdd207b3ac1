"""The rows whose features are most alike, by cosine similarity, and what they vote for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def nearest(known: Floats, x: Floats, k: int, part: int = 512) -> npt.NDArray[np.int64]:
    """Places of the k rows of `known` that are most like each row of `x`, the most similar first.

    Args:
        known: (n, width) features of the rows that are searched.
        x: (m, width) features of the rows that are asked for; may be memory-mapped.
        k: how many; no more than n are found.
        part: rows of `x` that are compared at once: (part, n) similarities are in memory.

    Returns:
        (m, min(k, n)) places.
    """
    directions = unit(known)
    k = min(k, len(directions))
    found = np.empty((len(x), k), np.int64)
    for start in range(0, len(x), part):
        likeness = unit(x[start : start + part]) @ directions.T
        near = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(likeness, near, axis=1), axis=1, kind="stable")
        found[start : start + part] = np.take_along_axis(near, order, axis=1)
    return found


def votes(labels: Ints, near: Ints, classes: int) -> npt.NDArray[np.int64]:
    """How many of its neighbours are of each class.

    Args:
        labels: (n,) class numbers of the rows that were searched.
        near: (m, k) places among them, as `nearest` gives them.
        classes: how many classes there are.

    Returns:
        (m, classes).

    Example:
        >>> votes(np.array([0, 1, 1]), np.array([[0, 1, 2], [2, 1, 1]]), 3).tolist()
        [[1, 2, 0], [0, 3, 0]]
    """
    cells = labels[near] + classes * np.arange(len(near))[:, None]
    return np.bincount(cells.ravel(), minlength=classes * len(near)).reshape(len(near), classes)


def unit(x: Floats) -> Floats:
    """Rows of length 1; a row of zeros stays as it is."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    result: Floats = x / np.maximum(norm, 1e-12)
    return result
