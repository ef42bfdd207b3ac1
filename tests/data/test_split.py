"""Splits against proportions worked out by hand, scikit-learn, and properties over random seeds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from tunesmith.core.errors import DataError, RowError
from tunesmith.data.split import by_time, grouped, moment, quotas, stratified

SHARES = (0.8, 0.1, 0.1)


def _whole(parts: list[np.ndarray], rows: np.ndarray) -> None:
    """The parts hold every row once."""
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.sort(rows))


def test_stratified_proportions_by_hand() -> None:
    classes = np.asarray(["a"] * 100 + ["b"] * 50 + ["c"] * 10)
    rows = np.arange(1000, 1160)
    parts = stratified(rows, classes, SHARES, seed=3)
    _whole(parts, rows)
    counted = [dict(sorted(Counter(classes[part - 1000]).items())) for part in parts]
    assert counted == [{"a": 80, "b": 40, "c": 8}, {"a": 10, "b": 5, "c": 1}, {"a": 10, "b": 5, "c": 1}]


def test_stratified_totals_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    classes = rng.permutation(np.repeat(np.arange(77), 13))  # 1.3 rows of each class for validation
    rows = np.arange(len(classes))
    parts = stratified(rows, classes, (0.9, 0.1), seed=0)
    sk_train, sk_test = train_test_split(rows, train_size=len(parts[0]), stratify=classes, random_state=0)
    assert abs(len(parts[1]) - 0.1 * len(rows)) <= 1  # rounding down each class would give 77 rows instead of 100
    for ours, theirs in zip(parts, (sk_train, sk_test), strict=True):
        difference = np.bincount(classes[ours], minlength=77) - np.bincount(classes[theirs], minlength=77)
        assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("seed", range(40))
def test_stratified_properties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet((4, 1, 1))
    sizes = rng.integers(3, 40, rng.integers(2, 12))
    classes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = rng.permutation(10_000)[: len(classes)]
    parts = stratified(rows, classes, shares, seed)
    _whole(parts, rows)
    of = dict(zip(rows.tolist(), classes.tolist(), strict=True))
    for part in parts:
        assert {of[row] for row in part.tolist()} == set(range(len(sizes)))  # every class in every part
    counts = quotas(sizes, shares)
    np.testing.assert_array_equal(counts.sum(axis=1), sizes)
    if (np.outer(sizes, shares) >= 1).all():
        assert np.abs(counts - np.outer(sizes, shares)).max() < 2
        assert np.abs(counts.sum(axis=0) - shares * sizes.sum()).max() < 1 + 1e-9


def test_stratified_small_classes_stay_in_train_first() -> None:
    assert quotas([1, 2, 3, 4], (0.1, 0.1, 0.8)).min(axis=0).tolist() == [1, 0, 0]
    assert quotas([3], (0.01, 0.01, 0.98)).tolist() == [[1, 1, 1]]
    assert quotas([], SHARES).shape == (0, 3)


@pytest.mark.parametrize("seed", range(30))
def test_first_quota_never_exceeds_what_was_asked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 50, rng.integers(1, 30))
    total = int(sizes.sum())
    for limit in range(len(sizes), total, max(1, total // 20)):
        counts = quotas(sizes, (limit / total, 1 - limit / total))
        assert len(sizes) <= counts[:, 0].sum() <= limit
        assert counts[:, 0].min() >= 1


def test_seed_decides() -> None:
    rows, classes = np.arange(100), np.arange(100) % 2
    first, again, other = (stratified(rows, classes, SHARES, seed)[2].tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("seed", range(40))
def test_grouped_properties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, rng.integers(30, 80))
    groups = np.repeat([f"g{i}" for i in range(len(sizes))], sizes)
    classes = np.repeat(rng.integers(0, 3, len(sizes)), sizes)
    rows = rng.permutation(5000)[: len(groups)]
    parts = grouped(rows, classes, groups, SHARES, seed)
    _whole(parts, rows)
    of = dict(zip(rows.tolist(), groups.tolist(), strict=True))
    held = [{of[row] for row in part.tolist()} for part in parts]
    assert sum(map(len, held)) == len(set.union(*held))
    for part, share in zip(parts, SHARES, strict=True):
        assert abs(len(part) / len(rows) - share) < 0.06


def test_grouped_extremes() -> None:
    groups = np.asarray(["big"] * 97 + ["x", "y", "z"])
    parts = grouped(np.arange(100), np.zeros(100), groups, SHARES, 0)
    assert all(len(part) for part in parts)
    with pytest.raises(DataError, match="2 different values; 3 parts need at least 3"):
        grouped(np.arange(4), np.zeros(4), np.asarray(["a", "a", "b", "b"]), SHARES, 0)


@pytest.mark.parametrize("seed", range(40))
def test_by_time_properties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 200))
    times = rng.integers(0, rng.integers(3, 100), n).astype(float)
    times[:3] = (0, 1, 2)  # at least three different times
    parts = by_time(np.arange(n), times, SHARES)
    _whole(parts, np.arange(n))
    assert all(len(part) for part in parts)
    assert times[parts[0]].max() < times[parts[1]].min()  # so ties stay together too
    assert times[parts[1]].max() < times[parts[2]].min()


def test_by_time_by_hand() -> None:
    times = np.asarray([9, 0, 1, 2, 3, 4, 5, 6, 7, 8], float)
    assert [part.tolist() for part in by_time(np.arange(10), times, SHARES)] == [[1, 2, 3, 4, 5, 6, 7, 8], [9], [0]]
    tied = np.asarray([1, 2, 3, 4, 5, 5, 5, 5], float)  # most rows share the last time, and yet three parts can be cut
    assert [part.tolist() for part in by_time(np.arange(8), tied, SHARES)] == [[0, 1, 2], [3], [4, 5, 6, 7]]
    with pytest.raises(DataError, match=r"too few different values \(2\) to cut 3 parts"):
        by_time(np.arange(4), np.asarray([1.0, 1, 2, 2]), SHARES)


def test_moment() -> None:
    assert moment("1970-01-02", "t") == 86400
    assert moment("1970-01-01T01:00+01:00", "t") == 0
    assert moment("1970-01-01T00:00:01Z", "t") == 1
    assert moment("2024", "t") == 2024
    assert moment("-1.5e3", "t") == -1500
    assert moment("2024-02-29 10:30", "t") < moment("2024-03-01", "t")
    for value, message in {"": "missing", "31.01.2024": "neither a number nor a date", "nan": "no moment", "inf": "no moment"}.items():
        with pytest.raises(RowError, match=f"column 't': .*{message}"):
            moment(value, "t")
