"""Neighbours against scikit-learn, evidence against scikit-learn's evidence maximisation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import BayesianRidge
from sklearn.neighbors import KNeighborsClassifier

from tunesmith.evaluate.transfer import logme, nearest_neighbours


def rows(seed: int, n: int = 120, width: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return rng.standard_normal((n, width)) + labels[:, None] * rng.standard_normal(width), labels


@pytest.mark.parametrize("k", [1, 5, 10])
def test_neighbours_are_scikit_learns(k: int) -> None:
    x, y = rows(0)
    other, _ = rows(1, n=53)
    unit = [values / np.linalg.norm(values, axis=1, keepdims=True) for values in (x, other)]
    expected = KNeighborsClassifier(k).fit(unit[0], y).predict(unit[1])
    np.testing.assert_array_equal(nearest_neighbours(x, y, other, k, part=20), expected)


@pytest.mark.parametrize("shape", [(120, 7), (30, 40)])
def test_the_evidence_is_scikit_learns(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal(shape)
    y = x[:, 0] * 2 - x[:, 1] + rng.standard_normal(shape[0])
    flat = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0}
    model = BayesianRidge(fit_intercept=False, compute_score=True, tol=1e-10, max_iter=2000, alpha_init=1, lambda_init=1, **flat).fit(x, y)
    assert logme(x, y, rounds=2000, tolerance=1e-10) == pytest.approx(model.scores_[-1] / len(x), rel=1e-4)


def test_better_features_have_more_evidence() -> None:
    x, y = rows(3)
    noise = np.random.default_rng(4).standard_normal(x.shape)
    assert logme(x, y) > logme(noise, y)
