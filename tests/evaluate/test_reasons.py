"""Reason codes against closed forms: linear scores, pairs that act together, and Shapley values by all orders."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from tunesmith.evaluate.reasons import effects, told

COLUMNS = ["a", "b", "c", "d", "e"]
ROW = {"a": 1.0, "b": 2.0, "c": -1.0, "d": 3.0, "e": 0.3}
TYPICAL = {"a": 0.0, "b": 1.0, "c": 1.0, "d": 3.0, "e": -0.2}


def table(rows: list[Any]) -> np.ndarray:
    return np.asarray([[row[column] for column in COLUMNS] for row in rows])


def exactly(score: Any) -> dict[str, float]:
    """Shapley values by the definition: the mean over all orders."""
    found = dict.fromkeys(COLUMNS, 0.0)
    for order in itertools.permutations(COLUMNS):
        row = dict(TYPICAL)
        for column in order:
            before = float(score([row])[0])
            row = {**row, column: ROW[column]}
            found[column] += (float(score([row])[0]) - before) / math.factorial(len(COLUMNS))
    return found


def test_of_a_linear_score_the_effects_are_its_terms() -> None:
    weights = np.asarray([2.0, -1.0, 0.5, 7.0, 1.0])
    found = effects(lambda rows: table(rows) @ weights, ROW, TYPICAL, COLUMNS, pairs=1)
    assert found == pytest.approx({c: w * (ROW[c] - TYPICAL[c]) for c, w in zip(COLUMNS, weights, strict=True)})


def test_of_columns_that_act_in_pairs_one_pair_of_orders_is_exact() -> None:
    def score(rows: list[Any]) -> np.ndarray:
        x = table(rows)
        return x[:, 0] * x[:, 1] + x[:, 1] * x[:, 2] + 3 * x[:, 3] * x[:, 4]

    assert effects(score, ROW, TYPICAL, COLUMNS, pairs=1) == pytest.approx(exactly(score))


def test_effects_add_up_and_come_near_the_exact_ones() -> None:
    def score(rows: list[Any]) -> np.ndarray:
        return np.tanh(table(rows).prod(axis=1) + table(rows).sum(axis=1))

    found = effects(score, ROW, TYPICAL, COLUMNS, pairs=2)
    assert found != pytest.approx(exactly(score))
    assert sum(found.values()) == pytest.approx(float(score([ROW])[0] - score([TYPICAL])[0]))
    every = effects(score, ROW, TYPICAL, COLUMNS, pairs=12)  # four columns differ: 24 orders
    assert every == pytest.approx(exactly(score))
    assert every["d"] == 0.0


def test_only_what_speaks_for_it_is_told() -> None:
    assert told({"a": 0.5, "b": -2.0, "c": 1.0, "d": 0.0, "e": 0.0}, ROW, 3) == [
        {"column": "c", "value": -1.0, "effect": 1.0},
        {"column": "a", "value": 1.0, "effect": 0.5},
    ]
    assert effects(lambda rows: table(rows).sum(axis=1), TYPICAL, TYPICAL, COLUMNS) == dict.fromkeys(COLUMNS, 0.0)
