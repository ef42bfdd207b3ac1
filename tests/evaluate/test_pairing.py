"""Differences of two runs beside scipy's tests, and rows paired whatever their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from scipy import stats

from tunesmith.evaluate import pairing


def written(path: Path, rows: list[dict[str, Any]]) -> pairing.Predicted:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"file": "f", "where": f"line {i}", **row} for i, row in enumerate(rows)]), path)
    return pairing.read(path)


@pytest.mark.parametrize(("gained", "lost"), [(3, 11), (7, 7), (0, 0), (40, 12)])
def test_right_and_wrong_rows_are_compared_as_scipy_does(gained: int, lost: int) -> None:
    first = np.concatenate([np.zeros(gained), np.ones(lost), np.ones(100), np.zeros(30)])
    second = np.concatenate([np.ones(gained), np.zeros(lost), np.ones(100), np.zeros(30)])
    found = pairing.difference(first, second)
    assert found.difference == pytest.approx((gained - lost) / len(first))
    assert found.p == pytest.approx(stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0)
    assert found.interval[0] < found.difference < found.interval[1]


def test_the_interval_of_right_and_wrong_rows_holds_the_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        kinds = rng.choice(4, 80, p=[0.6, 0.15, 0.05, 0.2])  # both right, only the second, only the first, none
        low, high = pairing.difference(np.isin(kinds, (0, 2)).astype(float), np.isin(kinds, (0, 1)).astype(float)).interval
        held += low <= 0.1 <= high
    assert 930 <= held <= 980


def test_numbers_are_compared_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    first = rng.gamma(2, size=50)
    second = first + rng.normal(0.1, 0.4, 50)
    found, reference = pairing.difference(first, second), stats.ttest_rel(second, first)
    assert found.p == pytest.approx(reference.pvalue)
    assert found.interval == pytest.approx(tuple(reference.confidence_interval()))
    assert pairing.difference(first, first).p == 1


def test_rows_are_paired_by_place_and_target_whatever_their_order(tmp_path: Path) -> None:
    one = written(tmp_path / "one.parquet", [{"target": t, "label": "a"} for t in ("a", "b", "a", "b")])
    rows = pyarrow.parquet.read_table(tmp_path / "one.parquet").to_pylist()[::-1]
    rows[0]["target"] = "other"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "two.parquet")
    two = pairing.read(tmp_path / "two.parquet")
    mine, theirs = pairing.matched(one, two)
    assert mine.tolist() == [2, 1, 0]
    assert theirs.tolist() == [1, 2, 3]
    assert one.by_row()[mine].tolist() == two.by_row()[theirs].tolist() == [1, 0, 1]


def test_every_task_has_its_score_of_a_row(tmp_path: Path) -> None:
    labels = written(tmp_path / "labels.parquet", [{"target": ["a", "b"], "labels": ["b", "a"]}, {"target": ["a"], "labels": []}])
    assert (labels.metric, labels.by_row().tolist()) == ("subset_accuracy", [1.0, 0.0])
    value = written(tmp_path / "value.parquet", [{"target": 2.0, "value": 2.5}, {"target": 1.0, "value": -1.0}])
    assert (value.metric, value.by_row().tolist()) == ("mae", [0.5, 2.0])
