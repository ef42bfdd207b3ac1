"""The scikit-learn estimators: scikit-learn's own checks that apply to texts, and use inside scikit-learn."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils import estimator_checks

from tunesmith import TunesmithClassifier, TunesmithRegressor
from tunesmith.estimator import rows_of

# Checks of scikit-learn's suite that fit nothing; those that do take some ten seconds a fit.
APPLY = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_get_params_invariance",
    "check_set_params",
    "check_mixin_order",
    "check_estimators_unfitted",
    "check_complex_data",
    "check_estimator_sparse_tag",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimators_empty_data_messages",
    "check_fit1d",
    "check_requires_y_none",
]

FIT = ["check_estimators_pickle", "check_fit2d_predict1d", "check_n_features_in"]
"""Checks on matrices of numbers with gaps, fitted once each."""


@pytest.mark.parametrize("kind", [TunesmithClassifier, TunesmithRegressor])
@pytest.mark.parametrize("check", APPLY)
def test_scikit_learns_own_check(kind: Any, check: str) -> None:
    function = getattr(estimator_checks, check)
    assert function(kind.__name__, kind()) is None  # each raises what it finds


@pytest.mark.slow
@pytest.mark.parametrize("check", FIT)
def test_scikit_learns_own_check_on_matrices(check: str) -> None:
    proof = {"trackers": [], "gate": False, "scoreboard": False, "tuning": "off"}
    tiny = TunesmithClassifier(epochs=2, lr=1e-3, backbone={"name": "small", "hidden": 8, "heads": 1, "depth": 1}, options=proof)
    assert getattr(estimator_checks, check)("TunesmithClassifier", tiny) is None


def texts(n: int) -> tuple[list[str], list[str]]:
    words = {"spam": "market price bond", "ham": "river stone bright"}
    rng = np.random.default_rng(0)
    labels = [["spam", "ham"][i % 2] for i in range(n)]
    return [" ".join(rng.choice(words[label].split(), 6)) for label in labels], labels


def estimator(checkpoints: Path, **given: Any) -> TunesmithClassifier:
    values = {"backbone": str(checkpoints / "bert"), "adapter": "full", "epochs": 3, "batch_size": 8, "lr": 3e-3, **given}
    return TunesmithClassifier(**values, options={"trackers": []})


@pytest.fixture(scope="module")
def fitted(checkpoints: Path) -> TunesmithClassifier:
    x, y = texts(80)
    return estimator(checkpoints).fit(x, y)


@pytest.mark.slow
def test_a_fitted_classifier_predicts_as_scikit_learn_expects(fitted: TunesmithClassifier) -> None:
    x, y = texts(20)
    probabilities = fitted.predict_proba(x)
    assert list(fitted.classes_) == ["ham", "spam"]
    assert probabilities.shape == (20, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert list(fitted.predict(x)) == [fitted.classes_[i] for i in probabilities.argmax(axis=1)]
    assert fitted.score(x, y) == np.mean(fitted.predict(x) == np.asarray(y))
    assert fitted.score(x, y) > 0.8
    frame = pd.DataFrame({"input": x})
    np.testing.assert_allclose(fitted.predict_proba(frame), probabilities, atol=1e-6)
    with pytest.raises(NotFittedError):
        clone(fitted).predict(x)
    with pytest.raises(ValueError, match="X has 2 features, but TunesmithClassifier is expecting 1"):
        fitted.predict(pd.DataFrame({"a": x, "b": x}))


@pytest.mark.slow
def test_a_classifier_in_cross_val_score(checkpoints: Path) -> None:
    x, y = texts(80)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = cross_val_score(estimator(checkpoints, epochs=8), np.asarray(x), [label == "spam" for label in y], cv=2)
    assert scores.shape == (2,)
    assert scores.min() > 0.5


@pytest.mark.slow
def test_a_regressor(checkpoints: Path) -> None:
    x, y = texts(60)
    target = np.asarray([1000.0 if label == "spam" else 1010.0 for label in y])
    model = TunesmithRegressor(
        backbone=str(checkpoints / "bert"), adapter="full", epochs=10, batch_size=8, lr=3e-3, options={"trackers": []}
    ).fit(x, target)
    assert model.predict(x).shape == (60,)
    assert model.score(x, target) > 0.5


def test_what_is_no_text_is_refused(checkpoints: Path) -> None:
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        estimator(checkpoints).fit([1.0, 2.0], ["a", "b"])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        rows_of([])
    with pytest.raises(ValueError, match="one class only"):
        estimator(checkpoints).fit(["a", "b"], ["x", "x"])
    with pytest.raises(ValueError, match="X has 1 rows and y has 2"):
        estimator(checkpoints).fit(["a"], ["x", "y"])
    with pytest.raises(ValueError, match="requires y to be passed"):
        estimator(checkpoints).fit(["a"], None)
