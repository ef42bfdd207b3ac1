"""How far adapting moved the features: what the backbone knew before and may have forgotten.

Linear centred kernel alignment (Kornblith et al. 2019) is 1 where the features are the same up to rotation and scale, as a linear head
sees them, and near 0 where they have nothing in common; the drift is 1 minus it. With fewer rows than features it comes out too high
(two random matrices of n rows and n features have about 0.5), so drifts of different numbers of rows do not compare.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.neighbours import nearest, unit, votes

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
PART = 8192
"""Rows that are gone through at once: memory holds these and (width, width) sums."""


@dataclass(frozen=True)
class Drift:
    """How far features moved.

    Attributes:
        drift: 1 - linear CKA.
        cosine: mean cosine between a row's features before and after; it sees rotations, which CKA does not.
        rows: how many were compared.
    """

    drift: float
    cosine: float
    rows: int

    def plain(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def drift(before: Floats, after: Floats) -> Drift:
    """Compare the features of the same rows before and after.

    Args:
        before: (n, width); may be memory-mapped.
        after: (n, width).

    Example:
        >>> x = np.random.default_rng(0).standard_normal((50, 3))
        >>> round(drift(x, 2 * x).drift, 6), round(drift(x, -x).cosine, 6)
        (0.0, -1.0)
    """
    return Drift(1 - linear_cka(before, after), mean_cosine(before, after), len(before))


def linear_cka(x: Floats, y: Floats) -> float:
    """Linear CKA of (n, p) and (n, q) features: |Y'X|^2 / (|X'X| |Y'Y|), all centred; NaN where one of them does not vary."""
    means = [values.mean(axis=0, dtype=np.float64) for values in (x, y)]
    across, first, second = (np.zeros((a, b)) for a, b in ((y.shape[1], x.shape[1]), (x.shape[1],) * 2, (y.shape[1],) * 2))
    for start in range(0, len(x), PART):
        one = np.asarray(x[start : start + PART], np.float64) - means[0]
        other = np.asarray(y[start : start + PART], np.float64) - means[1]
        across += other.T @ one
        first += one.T @ one
        second += other.T @ other
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.square(across).sum()) / size if size > 0 else float("nan")


def mean_cosine(x: Floats, y: Floats) -> float:
    """Mean over rows of the cosine between (n, width) features."""
    total = 0.0
    for start in range(0, len(x), PART):
        total += float((unit(x[start : start + PART]) * unit(y[start : start + PART])).sum())
    return total / len(x)


def knn_change(before: tuple[Floats, Floats], after: tuple[Floats, Floats], labels: tuple[Ints, Ints], k: int = 10) -> tuple[float, float]:
    """Share of test rows whose nearest training rows are mostly of their class, before and after.

    Args:
        before: (n, width) and (m, width) features of training and test rows.
        after: the same.
        labels: (n,) and (m,) class numbers; of other classes than those adapted to, a loss is what was forgotten.
        k: how many neighbours vote.
    """
    classes = int(max(labels[0].max(), labels[1].max())) + 1
    said = [votes(labels[0], nearest(train, test, k), classes).argmax(axis=1) for train, test in (before, after)]
    return float((said[0] == labels[1]).mean()), float((said[1] == labels[1]).mean())
