"""Two runs on the same test rows: their predictions.parquet paired by row, and how sure the difference of their scores is.

    {file: test.csv, where: line 2, target: World, label: World, ...}   1.0 in the first run
    {file: test.csv, where: line 2, target: World, label: Sports, ...}  0.0 in the second

The score is one that is a mean over rows: accuracy, all labels right, the absolute error, or the row's own word error
rate. What makes a row easy or hard for both falls out of the difference, so a smaller difference can be told from chance than by two
intervals side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import DataError, require
from tunesmith.evaluate.paired import mcnemar
from tunesmith.evaluate.transcripts import edits, row_wer

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
METRICS = {"label": "accuracy", "labels": "subset_accuracy", "value": "mae", "text": "row_wer"}
"""What a prediction says -> the score that is a mean over rows."""


@final
@dataclass(frozen=True, eq=False)
class Predicted:
    """The predictions of a run's test split.

    Attributes:
        keys: (rows,) Arrow strings that name each row: its file and its place there.
        targets: (rows,) Arrow values.
        said: (rows,) Arrow values.
        metric: the score of a row.
    """

    keys: Any
    targets: Any
    said: Any
    metric: str

    def __len__(self) -> int:
        return len(self.keys)

    def by_row(self) -> Floats:
        """(rows,) the score of each row."""
        if self.metric == "mae":
            error: Floats = np.abs(self.said.to_numpy(zero_copy_only=False) - self.targets.to_numpy(zero_copy_only=False))
            return error
        if self.metric == "accuracy":
            right: Floats = (
                require("pyarrow.compute", "comparing runs")
                .equal(self.said, self.targets)
                .to_numpy(zero_copy_only=False)
                .astype(np.float64)
            )
            return right
        if self.metric == "row_wer":
            return row_wer(edits(self.targets.to_pylist(), self.said.to_pylist()).words)
        pairs = zip(self.said.to_pylist(), self.targets.to_pylist(), strict=True)
        return np.asarray([set(said or ()) == set(true or ()) for said, true in pairs], np.float64)


def read(path: Path) -> Predicted:
    """Read a run's predictions.parquet.

    Raises:
        DataError: it is missing, damaged, or holds predictions of another kind.
    """
    parquet, compute = require("pyarrow.parquet", "comparing runs"), require("pyarrow.compute", "comparing runs")
    if not path.is_file():
        raise DataError(f"{path} is missing; run the recipe again")
    try:
        held = set(parquet.read_schema(path).names)
        said = next((name for name in METRICS if name in held), None)
        if said is None or not {"file", "where", "target"} <= held:
            raise DataError(f"{path} holds no predictions that can be compared (columns: {', '.join(sorted(held)) or 'none'})")
        table = parquet.read_table(path, columns=["file", "where", "target", said]).combine_chunks()
    except (OSError, ValueError) as error:  # Arrow's own errors are ValueErrors
        raise DataError(f"{path} cannot be read ({error}); run the recipe again") from error
    keys = compute.binary_join_element_wise(table["file"], table["where"], "\t")
    whole, targets, values = (column.combine_chunks() for column in (keys, table["target"], table[said]))
    return Predicted(whole, targets, values, METRICS[said])


def matched(one: Predicted, other: Predicted) -> tuple[Places, Places]:
    """Places, in the one and in the other, of the rows that both have: the same file and place, with the same target."""
    compute = require("pyarrow.compute", "comparing runs")
    found = compute.index_in(other.keys, value_set=one.keys)
    inside = np.flatnonzero(compute.is_valid(found).to_numpy(zero_copy_only=False))
    places = found.take(inside).to_numpy(zero_copy_only=False).astype(np.int64)
    mine, theirs = one.targets.take(places).to_pylist(), other.targets.take(inside).to_pylist()
    same = np.asarray([a == b for a, b in zip(mine, theirs, strict=True)], bool)
    return places[same], inside[same].astype(np.int64)


@final
@dataclass(frozen=True)
class Difference:
    """How far two runs are apart on the same rows.

    Attributes:
        difference: mean of the second minus mean of the first.
        interval: of it.
        p: two-sided, of the difference being nothing.
        test: how p was found.
    """

    difference: float
    interval: tuple[float, float]
    p: float
    test: str


def difference(first: Floats, second: Floats, level: float = 0.95) -> Difference:
    """How far two runs are apart, with an interval and p.

    Where rows are right or wrong: McNemar's exact test (1947) and the adjusted interval of Bonett and Price (2012).
    Else Student's paired t.

    Args:
        first, second: (rows,) scores of the same rows.
        level: of the interval.

    Example:
        >>> found = difference(np.array([0.0] * 6 + [1.0] * 14), np.ones(20))
        >>> found.difference, found.p
        (0.3, 0.03125)
    """
    special = require("scipy.special", "comparing runs")
    rows, gap = len(first), second - first
    mean = float(gap.mean())
    if bool(np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        gained, lost = int((gap > 0).sum()), int((gap < 0).sum())
        p = mcnemar(first == 1, second == 1)
        up, down = (gained + 1) / (rows + 2), (lost + 1) / (rows + 2)
        reach = float(special.ndtri((1 + level) / 2)) * math.sqrt((up + down - (up - down) ** 2) / (rows + 2))
        return Difference(mean, (max(-1.0, up - down - reach), min(1.0, up - down + reach)), p, "McNemar, exact")
    if rows < 2:
        return Difference(mean, (-math.inf, math.inf), 1.0, "Student's t, paired")
    error = float(gap.std(ddof=1)) / math.sqrt(rows)
    reach = float(special.stdtrit(rows - 1, (1 + level) / 2)) * error
    p = 2 * float(special.stdtr(rows - 1, -abs(mean) / error)) if error else float(mean == 0)
    return Difference(mean, (mean - reach, mean + reach), p, "Student's t, paired")


def holm(ps: list[float]) -> list[float]:
    """Each p for as many comparisons at once (Holm 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    found, least = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        least = max(least, min(1.0, (len(ps) - rank) * ps[place]))
        found[place] = least
    return found
