"""How well features suit labels, without training: a vote of neighbours, and the evidence of a linear model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunesmith.core.neighbours import nearest, votes

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def nearest_neighbours(train: Floats, labels: Ints, x: Floats, k: int = 10, part: int = 512) -> Ints:
    """The class most of the k most similar training rows have (cosine similarity; of equal votes the lower class number).

    Args:
        train: (n, width) features of the training rows.
        labels: (n,) their class numbers.
        x: (m, width) features of the rows to be judged.
        k: how many neighbours vote.
        part: rows of `x` that are compared at once.

    Returns:
        (m,) class numbers.
    """
    found: Ints = votes(labels, nearest(train, x, k, part), int(labels.max()) + 1).argmax(axis=1)
    return found


def logme(features: Floats, targets: Floats, rounds: int = 100, tolerance: float = 1e-6) -> float:
    """Logarithm of the maximum evidence of a Bayesian linear model, a row (LogME, You et al. 2021): higher is more suitable.

    Args:
        features: (n, width).
        targets: (n,) class numbers (integers), of which each class is a problem of its own and the mean is given, or numbers to regress.
        rounds: most rounds of the fixed point.
        tolerance: relative change at which it has been reached.
    """
    centred = np.asarray(features, np.float64)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    columns = np.eye(int(targets.max()) + 1)[targets] if np.issubdtype(targets.dtype, np.integer) else targets[:, None].astype(np.float64)
    return float(np.mean([_evidence(u, s**2, y, centred.shape[1], rounds, tolerance) for y in columns.T]))


def _evidence(u: Floats, squares: Floats, y: Floats, width: int, rounds: int, tolerance: float) -> float:
    """Evidence a row for one target, by MacKay's fixed point on prior precision alpha and noise precision beta."""
    n = len(y)
    z = u.T @ y
    rest = float(y @ y - z @ z)  # what no weights can explain
    alpha = beta = 1.0
    for _ in range(rounds):
        gamma = float((beta * squares / (alpha + beta * squares)).sum())
        weights = float((beta**2 * squares * z**2 / (alpha + beta * squares) ** 2).sum())
        error = float((z**2 * (alpha / (alpha + beta * squares)) ** 2).sum()) + max(rest, 0.0)
        new = gamma / max(weights, 1e-300), (n - gamma) / max(error, 1e-300)
        done = abs(new[0] / alpha - 1) < tolerance and abs(new[1] / beta - 1) < tolerance
        alpha, beta = new
        if done:
            break
    weights = float((beta**2 * squares * z**2 / (alpha + beta * squares) ** 2).sum())
    error = float((z**2 * (alpha / (alpha + beta * squares)) ** 2).sum()) + max(rest, 0.0)
    spread = float(np.log(alpha + beta * squares).sum()) + (width - len(squares)) * np.log(alpha)
    return float(n * np.log(beta) + width * np.log(alpha) - n * np.log(2 * np.pi) - beta * error - alpha * weights - spread) / (2 * n)
