"""Slices against scores of the rows alone, and how often one is named where all are alike."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sk

from tunesmith.evaluate.slices import LEAST, MISSING, MOST, OTHER, by_columns, cut, propose
from tunesmith.evaluate.statistics import ClassificationStatistic, RegressionStatistic


def of(right: np.ndarray) -> ClassificationStatistic:
    truth = np.arange(len(right)) % 2
    said = np.where(right, truth, 1 - truth)
    return ClassificationStatistic(np.where(np.eye(2)[said] == 1, 0.8, 0.2), said, truth)


def test_a_planted_weakness_is_named() -> None:
    rng = np.random.default_rng(0)
    site = rng.choice(["north", "south", "east"], 600)
    words = rng.integers(3, 200, 600)
    right = rng.random(600) < np.where(site == "south", 0.7, 0.93)
    found = by_columns(of(right), {"site": site.tolist(), "words": words.tolist()})
    assert found.worst == 0
    worst = found.slices[0]
    assert (worst.column, worst.value, worst.rows) == ("site", "south", int((site == "south").sum()))
    assert worst.score == pytest.approx(right[site == "south"].mean())
    assert worst.interval is not None
    assert worst.interval[0] < worst.score < worst.interval[1]
    assert worst.p < 0.01
    scores = [item.score for item in found.slices]
    assert scores == sorted(scores)
    assert sum(item.rows for item in found.slices if item.column == "words") == 600
    assert json.loads(json.dumps(found.plain()))["worst_slice"] == 0


def test_errors_of_numbers_are_worst_where_they_are_largest() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=300)
    kind = np.arange(300) % 3
    said = truth + rng.normal(size=300) * np.where(kind == 1, 3, 1)
    found = by_columns(RegressionStatistic(said, truth), {"kind": kind.tolist()})
    assert (found.metric, found.worst, found.slices[0].value) == ("mae", 0, "1")
    assert found.slices[0].score == pytest.approx(sk.mean_absolute_error(truth[kind == 1], said[kind == 1]))


def test_where_all_are_alike_one_is_rarely_named() -> None:
    rng = np.random.default_rng(2)
    named = 0
    for _ in range(50):
        columns = {name: rng.choice(list("abcdef"), 200).tolist() for name in ("x", "y")}
        named += by_columns(of(rng.random(200) < 0.9), columns).worst is not None
    assert named <= 7  # of 50, with at most 2.5 expected


def test_groups_that_err_together_do_not_name_their_slice() -> None:
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(30), 20)
    site = np.array(["north", "south"])[patients % 2]
    alone = together = 0
    for _ in range(40):
        right = rng.random(600) < rng.choice([0.5, 1.0], 30)[patients]
        alone += by_columns(of(right), {"site": site.tolist()}).worst is not None
        together += by_columns(of(right), {"site": site.tolist()}, patients).worst is not None
    assert together <= 6
    assert alone > together


@pytest.mark.parametrize(("others", "named"), [(3, False), (40, True)])
def test_a_slice_of_few_groups_is_never_certain(others: int, named: bool) -> None:
    """All rows of its two groups are wrong and all others right: two of `others` + 2 groups are these by chance in one of so many pairs."""
    groups = np.repeat(np.arange(others + 2), 10)
    groups[:20] = np.repeat([0, 1], [5, 15])
    slow = groups < 2
    found = by_columns(of(~slow), {"site": np.where(slow, "south", "north").tolist()}, groups)
    worst = found.slices[0]
    assert (worst.value, worst.score) == ("south", 0)
    assert worst.p == pytest.approx(2 / math.comb(others + 2, 2))
    assert (found.worst is not None) == named


def test_values_are_cut_into_slices() -> None:
    names, codes = cut(["b", "a", "c"] * 20 + ["rare"] * 9)
    assert names == ["a", "b", "c"]
    assert codes[:3].tolist() == [1, 0, 2]
    assert codes[60:].tolist() == [-1] * 9
    names, codes = cut(["a"] * 20 + [f"rare {i}" for i in range(30)])
    assert names == ["a", OTHER]
    assert (codes == 1).sum() == 30
    names, _ = cut([f"v{i % 40}" for i in range(4000)])
    assert len(names) == MOST
    assert names[-1] == OTHER
    names, codes = cut([None, "", float("nan"), "  "] * 5 + ["a"] * 20)
    assert names == ["a", MISSING]
    assert (codes == 1).sum() == 20


def test_numbers_are_cut_at_their_quantiles() -> None:
    values = np.random.default_rng(0).integers(5, 500, 1000)
    names, codes = cut([str(value) for value in values])
    assert len(names) == 5
    for place, name in enumerate(names):
        inside = values[codes == place]
        assert name == f"{inside.min()} to {inside.max()}"
        assert 150 < len(inside) < 250
    assert cut([1, 2, 3] * 20)[0] == ["1", "2", "3"]
    assert len(cut([0.0] * 900 + [0.1 * i for i in range(100)])[0]) >= 1
    assert cut([*range(1000), None] + [None] * LEAST)[0][-1] == MISSING


def test_columns_worth_looking_at() -> None:
    rows = 200
    columns = {
        "site": ["a", "b", "c", "d"] * 50,
        "constant": ["a"] * rows,
        "id": list(range(rows)),
        "text": [f"text number {i}" for i in range(rows)],
        "age": [str(20 + (i * 7) % 60) for i in range(rows)],
        "flag": [i % 2 for i in range(rows)],
        "nothing": [None] * rows,
        "rare": ["x"] + ["y"] * (rows - 1),
    }
    assert propose(columns) == ["site", "age", "flag"]


def test_many_rows_are_drawn() -> None:
    right = np.random.default_rng(0).random(120_000) < 0.9
    found = by_columns(of(right), {"kind": ["a", "b"] * 60_000})
    assert found.of == 20_000
    assert [item.rows for item in found.slices] == pytest.approx([10_000, 10_000], abs=400)
    assert propose({"kind": ["a", "b", "c"] * 40_000, "id": list(range(120_000)), "text": [f"t{i}" for i in range(120_000)]}) == ["kind"]
