"""Cells with series, columns that are steps, and uneven moments."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tunesmith.core.errors import RowError
from tunesmith.core.series import MOMENTS, evenly, read_series, series_of, steps_of, to_cell


def test_what_is_written_is_read_again() -> None:
    values = np.random.default_rng(0).normal(size=(3, 20)).astype(np.float32)
    values[1, 4] = np.nan
    np.testing.assert_array_equal(read_series(to_cell(values), "s"), values)
    assert json.loads(to_cell(values))[1][4] is None


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (None, "missing"),
        ("  ", "missing"),
        ("[]", "empty"),
        ("[null, null]", "holds no value"),
        ("[1, 2", "no JSON list"),
        ('[1, "a"]', "no number"),
        ("[[[1]]]", "list of numbers"),
        ("[1, 1e40]", "too large"),
        ("[1, Infinity]", "too large"),
        ("7", "no list"),
        ('{"a": 1}', "no list"),
        ("[[1, 2], 3]", "list of channels"),
    ],
)
def test_what_is_no_series_is_told(cell: str | None, told: str) -> None:
    with pytest.raises(RowError, match=told):
        read_series(cell, "s")


def test_a_wide_row_ends_with_its_last_value_and_keeps_gaps() -> None:
    row = {"t0": "1", "t1": "", "t2": "3", "t3": None}
    np.testing.assert_array_equal(series_of(row, ["t0", "t1", "t2", "t3"], wide=True), [[1, np.nan, 3]])
    with pytest.raises(RowError, match="'x' is no number"):
        series_of({"t0": "x"}, ["t0"], wide=True)


def test_columns_of_series_stand_side_by_side() -> None:
    found = series_of({"a": "[1, 2, 3]", "b": "[[4, 5], [6, 7]]"}, ["a", "b"], wide=False)
    np.testing.assert_array_equal(found, [[1, 2, 3], [4, 5, np.nan], [6, 7, np.nan]])


def test_steps_are_told_by_names_that_go_on_and_features_are_not() -> None:
    assert steps_of([f"t_{i}" for i in range(12)], MOMENTS) == [f"t_{i}" for i in range(12)]
    assert steps_of([str(i) for i in (9, 3, 4, 5, 6, 7, 8, 10)], MOMENTS)[:2] == ["3", "4"]
    assert not steps_of([f"V{i}" for i in range(28)], MOMENTS)
    assert not steps_of([f"t{i}" for i in range(0, 40, 2)], MOMENTS)
    assert not steps_of(["t1", "t2"], MOMENTS)


def test_uneven_moments_go_to_their_nearest_step_and_nothing_is_made_up() -> None:
    grid, uneven = evenly(np.asarray([0.0, 1, 2, 3, 6.2, 6.4]), np.asarray([[1.0, 2, 3, 4, 6, 8]]))
    assert uneven
    np.testing.assert_array_equal(grid, [[1, 2, 3, 4, np.nan, np.nan, 7]])
    same, uneven = evenly(np.arange(5.0), np.asarray([[1.0, 2, 3, 4, 5]]))
    assert not uneven
    assert same.tolist() == [[1, 2, 3, 4, 5]]
    with pytest.raises(RowError, match="too uneven"):
        evenly(np.asarray([0.0, 1, 2, 1e9]), np.ones((1, 4)))
