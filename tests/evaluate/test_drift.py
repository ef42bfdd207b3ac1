"""Linear CKA by its identities and by the other form of its definition; neighbours before and after."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.neighbors import KNeighborsClassifier

from tunesmith.evaluate import drift as module
from tunesmith.evaluate.drift import drift, knn_change, linear_cka, mean_cosine

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((60, 5)) + 3, RNG.standard_normal((60, 8)) - 1
X[:, 0] *= 4


def by_rows(x: np.ndarray, y: np.ndarray) -> float:
    """HSIC of the rows' inner products, centred (Kornblith et al. 2019, equations 2 to 4)."""
    n = len(x)
    centre = np.eye(n) - 1 / n
    k, l = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre  # noqa: E741
    return float(np.trace(k @ l) / np.sqrt(np.trace(k @ k) * np.trace(l @ l)))


@pytest.mark.parametrize("part", [7, 1000])
def test_both_forms_of_the_definition_agree(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", part)
    assert linear_cka(X, Y) == pytest.approx(by_rows(X, Y), rel=1e-10)
    assert linear_cka(Y, X) == pytest.approx(linear_cka(X, Y), rel=1e-10)
    other = X + RNG.standard_normal(X.shape)
    expected = np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(X, other, strict=True)])
    assert mean_cosine(X, other) == pytest.approx(expected, rel=1e-10)


def test_rotation_scale_and_shift_are_no_drift_but_a_linear_map_is() -> None:
    turned = 3 * X @ ortho_group.rvs(5, random_state=1) + 7
    assert drift(X, turned).drift == pytest.approx(0, abs=1e-10)
    assert drift(X, X).cosine == pytest.approx(1)
    assert drift(X, X @ np.diag([0.01, 1, 1, 1, 1])).drift > 0.3


def test_more_noise_is_more_drift() -> None:
    noise = RNG.standard_normal(X.shape)
    found = [drift(X, X + size * noise).drift for size in (0.0, 1.0, 10.0)]
    assert found == sorted(found)
    assert found[2] > 0.5


def test_features_that_do_not_vary_have_no_drift_that_could_be_told() -> None:
    assert np.isnan(drift(X, np.ones_like(X)).drift)


def test_what_neighbours_say_before_and_after() -> None:
    labels = RNG.integers(0, 3, 100)
    good = np.eye(3)[labels] + 0.3 * RNG.standard_normal((100, 3))
    bad = RNG.standard_normal((100, 3))
    found = knn_change((good[:70], good[70:]), (bad[:70], bad[70:]), (labels[:70], labels[70:]), k=5)
    for features, share in zip((good, bad), found, strict=True):
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        assert share == pytest.approx(KNeighborsClassifier(5).fit(unit[:70], labels[:70]).score(unit[70:], labels[70:]))
    assert found[0] > found[1]
