"""Whether the scores are numbers, of all test rows, and better than no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Check, ScoreTable
from tunesmith.core.errors import require
from tunesmith.evaluate.checks._made import check, not_applicable, not_finite

FEWEST = 5
"""Test rows without which no model is held against a constant prediction."""


def scores_finite(
    scores: Mapping[str, Any], tables: Sequence[ScoreTable], predictions: Path, numbers: npt.NDArray[np.integer[Any]]
) -> Check:
    """No score is NaN or infinite, and all of them are of the test rows, each counted once.

    Args:
        scores: whatever metrics.json will hold of scores: split -> name -> score, nested as it likes.
        tables: scores of the test split that are more than one number; a confusion matrix must sum to the rows.
        predictions: predictions.parquet, with the column `row`.
        numbers: (n,) numbers of the test rows.
    """
    name = "scores_finite"
    if wrong := not_finite(dict(scores)) + not_finite({table.name: table.values for table in tables}):
        return check(name, False, f"{len(wrong)} scores are not finite, for example {wrong[0]}")
    for table in (table for table in tables if table.matrix):
        total = float(np.sum(table.values))
        if total != len(numbers):
            return check(name, False, f"{table.name} sums to {total:g} and there are {len(numbers)} test rows")
    written = require("pyarrow.parquet", "checking predictions").read_table(predictions, columns=["row"])["row"].to_numpy()
    missing, doubled = np.setdiff1d(numbers, written), len(written) - len(np.unique(written))
    strange = np.setdiff1d(written, numbers)
    if len(missing) or doubled or len(strange):
        told = f"{len(missing)} test rows are missing from {predictions.name}, {doubled} stand there twice, {len(strange)} are no test rows"
        return check(name, False, told)
    return check(name, True, f"every score is a finite number; {len(numbers)} test rows, each predicted once")


def better_than_constant(scores: Mapping[str, Any], constant: Mapping[str, Any], monitor: tuple[str, str]) -> Check:
    """The model scores better than the best constant prediction, by more than one row of the test split could make.

    Of fewer than FEWEST rows one makes so much that even a perfect model could fail.
    """
    name, direction = monitor
    rows = int(scores["rows"])
    if rows < FEWEST:
        return not_applicable("better_than_constant", f"{rows} test row{'s' * (rows != 1)}: with fewer than {FEWEST} a single one decides")
    own, other = float(scores[name]), float(constant[name])
    margin = 1 / rows
    bound = other + margin if direction == "max" else other * (1 - margin)
    better = own > bound if direction == "max" else own < bound
    wanted = f"{'above' if direction == 'max' else 'below'} {bound:.4f}"
    return check(
        "better_than_constant",
        better,
        f"test {name} {own:.4f}, constant prediction {other:.4f}; must be {wanted}, so that no single row decides",
    )
