"""What is chosen on validation: against other optimisers, all thresholds tried in turn, and coverage in simulations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tunesmith.evaluate import post_hoc


def overconfident(rows: int, seed: int = 0, factor: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits `factor` times as large as those that the truth is drawn from."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (rows, 4))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    truth = (p.cumsum(1) > rng.random((rows, 1))).argmax(1)
    return (factor * z).astype(np.float32), truth


def test_losses_are_torchs() -> None:
    z, truth = overconfident(50)
    expected = F.cross_entropy(torch.tensor(z).double() / 1.7, torch.tensor(truth))
    assert post_hoc.nll_of_classes(z.astype(float), truth, 1.7) == pytest.approx(float(expected))
    held = np.eye(4)[truth]
    expected = F.binary_cross_entropy_with_logits(torch.tensor(z).double() / 1.7, torch.tensor(held))
    assert post_hoc.nll_of_labels(z.astype(float), held.astype(bool), 1.7) == pytest.approx(float(expected))


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_temperature_is_where_the_gradient_vanishes(factor: float) -> None:
    z, truth = overconfident(4000, factor=factor)
    found = post_hoc.temperature(post_hoc.nll_of_classes, z, truth)
    assert found == pytest.approx(factor, rel=0.1)
    temperature = torch.tensor(found, dtype=torch.float64, requires_grad=True)
    F.cross_entropy(torch.tensor(z).double() / temperature, torch.tensor(truth)).backward()
    assert temperature.grad is not None
    assert abs(float(temperature.grad)) < 1e-4


def test_temperature_stays_where_rows_cannot_tell_it() -> None:
    z, truth = overconfident(post_hoc.LEAST_ROWS - 1)
    assert post_hoc.temperature(post_hoc.nll_of_classes, z, truth) == 1
    right = np.random.default_rng(0).integers(0, 4, 200)
    assert post_hoc.temperature(post_hoc.nll_of_classes, 3 * np.eye(4)[right], right) == 1  # all right: it would go to 0
    z = np.zeros((200, 4), np.float32)
    assert post_hoc.temperature(post_hoc.nll_of_classes, z, right) == 1  # nothing changes anything


def test_many_rows_are_thinned() -> None:
    z, truth = overconfident(60_000)
    assert post_hoc.temperature(post_hoc.nll_of_classes, z, truth) == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_quantiles_are_the_smallest_that_guarantee(coverage: float) -> None:
    rng = np.random.default_rng(0)
    for rows in (1, 3, 4, 9, 10, 19, 20, 57):
        scores = rng.normal(size=rows)
        found = post_hoc.conformal_quantile(scores, coverage)
        enough = [value for i, value in enumerate(sorted(scores), 1) if i / (rows + 1) >= coverage - 1e-9]
        assert found == (enough[0] if enough else None)
        assert (found is None) == (rows < post_hoc.least_rows(coverage))


def test_new_rows_are_covered_as_often_as_wanted() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        scores = rng.exponential(size=31)
        quantile = post_hoc.conformal_quantile(scores[:30], 0.9)
        assert quantile is not None
        held.append(scores[30] <= quantile)
    assert np.mean(held) == pytest.approx(28 / 31, abs=0.02)  # ceil(31 * 0.9) of 31 places


def test_recall_of_new_rows_is_at_least_the_wanted() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        truth = rng.random(200) < 0.3
        p = 1 / (1 + np.exp(-(rng.normal(size=200) + 2 * truth - 1)))
        threshold = post_hoc.threshold_for_recall(p[:100], truth[:100], 0.9)
        assert threshold is not None
        assert (p[:100][truth[:100]] >= threshold).mean() >= 0.9
        found.append((p[100:][truth[100:]] >= threshold).mean())
    assert 0.89 < np.mean(found) < 0.94


def test_thresholds_of_recall_by_hand() -> None:
    p, truth = np.array([0.9, 0.8, 0.6, 0.5, 0.2]), np.array([1, 1, 0, 1, 0])
    assert post_hoc.threshold_for_recall(p, truth, 0.5) == pytest.approx(0.7)  # 2 of 3, midway to the next
    assert post_hoc.threshold_for_recall(p, truth, 0.99) == pytest.approx(0.35)
    assert post_hoc.threshold_for_recall(p, np.zeros(5), 0.9) is None
    assert post_hoc.threshold_for_recall(np.array([0.4]), np.array([1]), 0.9) == 0.4


@pytest.mark.parametrize("cost", [0.2, 1.0, 7.0])
def test_thresholds_of_cost_are_the_cheapest_of_all(cost: float) -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(150) < 0.2
    p = (1 / (1 + np.exp(-(rng.normal(size=150) + 2 * truth - 2)))).round(2)
    found = post_hoc.threshold_for_cost(p, truth, cost)

    def price(threshold: float) -> float:
        said = p >= threshold
        return cost * float((truth & ~said).sum()) + float((~truth & said).sum())

    assert price(found) == pytest.approx(min(price(t) for t in np.linspace(-0.001, 1.001, 4009)))


def test_cost_of_one_kind_of_rows_is_that_of_calibrated_probabilities() -> None:
    assert post_hoc.threshold_for_cost(np.array([0.2, 0.9]), np.array([0, 0]), 4.0) == pytest.approx(0.2)
