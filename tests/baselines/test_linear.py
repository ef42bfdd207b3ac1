"""The linear models against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier

from tunesmith.baselines._linear import Problem, solutions
from tunesmith.core.errors import DataError

STRENGTHS = (0.01, 0.1, 1.0)


def features(n: int = 150, width: int = 6) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, width))


def solved(x: object, problem: Problem, values: np.ndarray) -> list[np.ndarray]:
    return [problem.said(values @ weights[:-1] + weights[-1]) for weights in solutions(x, problem, STRENGTHS)]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_classes(form: object) -> None:
    x = features()
    y = (x[:, :3] + np.random.default_rng(1).standard_normal((150, 3))).argmax(axis=1)
    found = solved(form(x), Problem.of(y, 3, "classes"), x)  # type: ignore[operator]
    for strength, said in zip(STRENGTHS, found, strict=True):
        np.testing.assert_allclose(said, LogisticRegression(C=strength, tol=1e-8, max_iter=1000).fit(x, y).predict_proba(x), atol=3e-3)


def test_labels() -> None:
    x = features()
    y = (x[:, :3] + np.random.default_rng(1).standard_normal((150, 3)) > 0.3).astype(int)
    found = solved(x, Problem.of(y, 3, "labels"), x)
    for strength, said in zip(STRENGTHS, found, strict=True):
        reference = OneVsRestClassifier(LogisticRegression(C=strength, tol=1e-8, max_iter=1000)).fit(x, y)
        np.testing.assert_allclose(said, reference.predict_proba(x), atol=3e-3)


def test_numbers() -> None:
    x = features()
    y = 1e4 + 300 * x[:, 0] - 50 * x[:, 1] + np.random.default_rng(1).standard_normal(150)
    found = solved(x, Problem.of(y, 0, "numbers"), x)
    for strength, said in zip(STRENGTHS, found, strict=True):
        reference = Ridge(alpha=1 / strength).fit(x, y).predict(x)
        np.testing.assert_allclose(said[:, 0], reference, atol=0.01 * y.std())


def test_a_class_that_does_not_occur_leaves_the_others_alone() -> None:
    x = features()
    y = (x[:, 0] > 0).astype(int)
    two, three = (solved(x, Problem.of(2 * y if classes == 3 else y, classes, "classes"), x)[0] for classes in (2, 3))
    assert (three[:, 1] == 0).all()
    np.testing.assert_allclose(three[:, [0, 2]], two, atol=1e-6)


@pytest.mark.parametrize(
    ("y", "classes", "kind"), [(np.zeros(9, int), 2, "classes"), (np.ones((9, 2)), 2, "labels"), (np.ones(9), 0, "numbers")]
)
def test_nothing_to_learn_is_told(y: np.ndarray, classes: int, kind: str) -> None:
    with pytest.raises(DataError, match="the same"):
        Problem.of(y, classes, kind)  # type: ignore[arg-type]
