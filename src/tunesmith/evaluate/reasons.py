"""Reason codes: which columns push a row's score, compared with a typical row.

The effect of a column is its Shapley value in the game whose players are the columns (baseline Shapley, Sundararajan and Najmi 2020, "The
many Shapley values for model explanation"): a column that plays has the row's own cell, one that does not has the typical row's.

    effect(i) = mean over orders of the columns of   score(cells before i, and i) - score(cells before i)

so the effects of a row add up to its score minus that of the typical row, exactly, however few orders are drawn. Orders are drawn in pairs
with their reverse (antithetic sampling, Mitchell et al. 2022, "Sampling permutations for Shapley value estimation"): where no more than two
columns act on each other at once, one pair already gives the exact values; of a few columns all orders are gone through. A column that
holds the typical cell has no effect.

What is told is what the model does, not what the world does: an effect is no promise that changing the cell changes the outcome.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Row

PAIRS = 8
"""Pairs of orders; more make effects of columns that act together surer."""

Scores = npt.NDArray[np.float64]


def effects(
    score: Callable[[list[Row]], Scores], row: Row, typical: Row, columns: Sequence[str], pairs: int = PAIRS, seed: int = 0
) -> dict[str, float]:
    """The effect of each column on the score of a row.

    Args:
        score: rows -> (rows,) scores.
        row: the row.
        typical: what it is compared with; its columns are those of the row.
        columns: those that are explained.
        pairs: how many orders are drawn, each with its reverse.
        seed: decides which.

    Returns:
        Column -> effect; the sum is `score(row) - score(typical)`.

    Example:
        >>> double = lambda rows: np.asarray([2.0 * r["a"] + r["b"] for r in rows])
        >>> effects(double, {"a": 3, "b": 1}, {"a": 1, "b": 1}, ["a", "b"])
        {'a': 4.0, 'b': 0.0}
    """
    playing = [column for column in columns if row.get(column) != typical.get(column)]
    found = dict.fromkeys(columns, 0.0)
    if not playing:
        return found
    random = np.random.default_rng(seed)
    orders: list[list[str]] = []
    if len(playing) < 8 and math.factorial(len(playing)) <= 2 * pairs:
        orders = [list(order) for order in itertools.permutations(playing)]
    for _ in range(0 if orders else pairs):
        order = [playing[place] for place in random.permutation(len(playing))]
        orders += [order, order[::-1]]
    made: dict[frozenset[str], int] = {}
    rows: list[Row] = []
    for order in orders:
        for length in range(len(order) + 1):
            inside = frozenset(order[:length])
            if inside not in made:
                made[inside] = len(rows)
                rows.append({**typical, **{column: row.get(column) for column in inside}})
    values = score(rows)
    for order in orders:
        for place, column in enumerate(order):
            before, after = frozenset(order[:place]), frozenset(order[: place + 1])
            found[column] += float(values[made[after]] - values[made[before]]) / len(orders)
    return found


def told(found: dict[str, float], row: Row, count: int) -> list[dict[str, Any]]:
    """The columns that push the score up the most, the strongest first: `{column, value, effect}`."""
    ranked = sorted(((effect, column) for column, effect in found.items() if effect > 0), key=lambda item: (-item[0], item[1]))
    return [{"column": column, "value": row.get(column), "effect": effect} for effect, column in ranked[:count]]
