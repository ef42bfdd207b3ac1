"""Cuts rows into parts by the way a recipe asks for: stratified, by group, by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Task
from tunesmith.core.errors import DataError
from tunesmith.data import split as splitting
from tunesmith.data.infer import Decision
from tunesmith.data.split import NAMES, Rows
from tunesmith.data.table import Table
from tunesmith.recipe import DataRecipe


@dataclass
class Cutter:
    """Cuts positions (0 ... len(rows) - 1) by the way the recipe asks for."""

    table: Table
    recipe: DataRecipe
    task: Task
    seed: int
    rows: Rows
    raws: Sequence[Any]

    def cut(self, where: Rows, wanted: Sequence[float]) -> list[Rows]:
        """Parts of the positions `where` with the wanted shares."""
        strata = self._strata(where)
        if self.recipe.group:
            groups = np.asarray([str(self.table.cell(int(self.rows[i]), self.recipe.group)) for i in where])
            return splitting.grouped(where, strata, groups, wanted, self.seed)
        if self.recipe.time:
            cells = (self.table.cell(int(self.rows[i]), self.recipe.time) for i in where)
            return splitting.by_time(where, np.asarray([splitting.moment(cell, self.recipe.time) for cell in cells]), wanted)
        return splitting.stratified(where, strata, wanted, self.seed)

    def check_given(self, splits: dict[str, Rows]) -> None:
        """Refuse splits that came with the data and break what `group` or `time` asks for.

        Raises:
            DataError: a group on two sides, or training rows later than test rows.
        """
        if self.recipe.group:
            column = self.recipe.group
            groups = {name: {str(self.table.cell(int(self.rows[i]), column)) for i in where} for name, where in splits.items()}
            both = sorted(groups["train"] & (groups["validation"] | groups["test"]))
            if both:
                raise DataError(
                    f"the data came divided, and {len(both)} value(s) of '{column}' stand on both sides, for example {both[0]!r}; "
                    "divide it anew with --split 0.8,0.1,0.1, or leave --group out"
                )
        if self.recipe.time and len(splits["train"]) and len(splits["test"]):
            column = self.recipe.time
            times = {
                n: [splitting.moment(self.table.cell(int(self.rows[i]), column), column) for i in splits[n]] for n in ("train", "test")
            }
            if max(times["train"]) > min(times["test"]):
                raise DataError(
                    f"the data came divided, and training rows are later than test rows by '{column}'; divide it anew with "
                    "--split 0.8,0.1,0.1, or leave --time out"
                )

    def limited(self, where: Rows, limit: int) -> Rows:
        """At most `limit` of the positions `where`, every class in proportion and none left out."""
        strata = self._strata(where)
        classes = len(np.unique(strata))
        if limit < classes:
            raise DataError(f"--limit {limit} is less than one training row for each of the {classes} classes; allow at least {classes}")
        return splitting.stratified(where, strata, (limit / len(where), 1 - limit / len(where)), self.seed)[0]

    def _strata(self, where: Rows) -> npt.NDArray[Any]:
        return np.asarray([self.task.stratum(self.raws[i]) for i in where])

    def complete(self, splits: dict[str, Rows], decisions: list[Decision]) -> dict[str, Rows]:
        """Given splits, with the missing ones cut from the training rows."""
        missing = [name for name in NAMES if len(splits[name]) == 0]
        given = [name for name in NAMES if name not in missing]
        if "train" in missing:
            raise DataError("the data came divided, but no training rows were among it")
        why = f"the data came with {' and '.join(given)}"
        if missing:
            part = 0.1
            parts = self.cut(splits["train"], (1 - part * len(missing), *[part] * len(missing)))
            splits = {**splits, "train": parts[0], **dict(zip(missing, parts[1:], strict=True))}
            why += f"; {' and '.join(missing)} cut from train ({self.why()})"
        decisions.append(Decision("split", ", ".join(f"{len(splits[n])} {n}" for n in NAMES), why, "--split 0.8,0.1,0.1"))
        return splits

    def why(self) -> str:
        if self.recipe.group:
            return f"rows of one '{self.recipe.group}' stay together"
        if self.recipe.time:
            return f"the past by '{self.recipe.time}' trains, the future tests"
        if len({self.task.stratum(raw) for raw in self.raws}) > 1:
            return "every class in proportion, drawn by the seed"
        return "drawn by the seed"

    @staticmethod
    def shown(wanted: Sequence[float]) -> str:
        return ", ".join(f"{share:.0%} {name}" for share, name in zip(wanted, NAMES, strict=True))
