"""Logistic (of numbers: ridge) regression on a table: numbers scaled, categories one-hot, gaps as columns of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import numpy as np

from tunesmith.baselines._cells import NO_TABLE, cells, codes_of, numbers_of
from tunesmith.baselines._kinds import drawn, parts_of, picked
from tunesmith.baselines._linear import NEEDS, Matrix, chosen
from tunesmith.core.arrays import Floats
from tunesmith.core.cells import is_missing
from tunesmith.core.contracts import Row
from tunesmith.core.errors import require
from tunesmith.core.outcomes import Baseline, Given, Said

MOST_ROWS = 100_000
MOST_CATEGORIES = 1_000
PART = 4096
"""Rows that are predicted at once."""


@final
@dataclass(frozen=True)
class Logistic(Baseline):
    """Logistic or ridge regression on scaled numbers and one-hot categories."""

    name: ClassVar[str] = "logistic"
    needs: ClassVar[tuple[str, ...]] = NEEDS
    strengths: tuple[float, ...] = field(
        default=(0.01, 0.1, 1.0, 10.0), metadata={"help": "C, the inverse of the penalty; validation chooses from these"}
    )

    def __post_init__(self) -> None:
        if not self.strengths or min(self.strengths) <= 0:
            raise ValueError("field 'strengths' must hold numbers above 0")

    def fits(self, given: Given) -> str | None:
        return None if cells(given) else NO_TABLE

    def said(self, given: Given) -> Said:
        places, note = drawn(given, MOST_ROWS)
        table = _Table.of(list(picked(given.rows("train"), places)), cells(given))

        def parts(split: str) -> Iterator[Matrix]:
            return map(table.matrix, parts_of(given.rows(split), PART))

        x = table.matrix(list(picked(given.rows("train"), places)))
        said = chosen(given, places, x, parts, self.strengths)
        return replace(said, note="; ".join(part for part in (f"{x.shape[1]:,} columns", said.note, note) if part))


@dataclass(frozen=True, eq=False)
class _Table:
    """How rows become a matrix.

    Attributes:
        kinds: column -> its kind.
        codes: column of categories -> number of each that is known.
        means, spreads: column of numbers or dates -> of its values in training rows; spread 1 where they are all the same.
    """

    kinds: dict[str, str]
    codes: dict[str, dict[str, int]]
    means: dict[str, Floats]
    spreads: dict[str, Floats]

    @staticmethod
    def of(rows: list[Row], kinds: dict[str, str]) -> _Table:
        codes = {column: codes_of(rows, column, MOST_CATEGORIES) for column, kind in kinds.items() if kind == "category"}
        means, spreads = {}, {}
        for column, kind in kinds.items():
            if kind != "category":
                values = numbers_of(rows, column, kind)
                there = np.where(np.isnan(values).all(axis=0), 0.0, values)  # a column of gaps alone has no mean
                means[column] = np.nanmean(there, axis=0).astype(np.float32)
                spread = np.nanstd(there, axis=0)
                spreads[column] = np.where(spread > 0, spread, 1.0).astype(np.float32)
        return _Table(kinds, codes, means, spreads)

    def matrix(self, rows: list[Row]) -> Matrix:
        """(rows, width) sparse: numbers, 1 where one is missing, 1 for each category or its gap; a category that is new is all 0."""
        sparse = require("scipy.sparse", "linear baselines")
        blocks = []
        for column, kind in self.kinds.items():
            if kind != "category":
                values = numbers_of(rows, column, kind)
                gone = np.isnan(values)
                scaled = np.where(gone, 0.0, (values - self.means[column]) / self.spreads[column])
                blocks.append(sparse.csr_matrix(np.concatenate([scaled, gone[:, :1]], axis=1, dtype=np.float32)))
                continue
            known = self.codes[column]
            found = [len(known) if is_missing(row.get(column)) else known.get(str(row[column]).strip(), -1) for row in rows]
            there = np.asarray(found, np.int64)
            at = np.flatnonzero(there >= 0)
            blocks.append(sparse.csr_matrix((np.ones(len(at), np.float32), (at, there[at])), shape=(len(rows), len(known) + 1)))
        return sparse.hstack(blocks, format="csr")
