"""Cuts rows into parts by the way a recipe asks for: stratified, by group, by time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Task
from tunesmith.core.errors import DataError
from tunesmith.data import purge as purging
from tunesmith.data import split as splitting
from tunesmith.data.decisions import Decision
from tunesmith.data.labels import Labels, ranks
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
    labels: Labels

    def cut(self, where: Rows, wanted: Sequence[float]) -> list[Rows]:
        """Parts of the positions `where` with the wanted shares."""
        strata = self._strata[where]
        if self.recipe.group:
            return splitting.grouped(where, strata, self.table.ranks(self.recipe.group)[self.rows[where]], wanted, self.seed)
        if self.recipe.time:
            return splitting.by_time(where, self._moments(where), wanted)
        return splitting.stratified(where, strata, wanted, self.seed)

    def check_given(self, splits: dict[str, Rows]) -> None:
        """Refuse splits that came with the data and break what `group` or `time` asks for.

        Raises:
            DataError: a group on two sides, or training rows later than test rows.
        """
        if self.recipe.group:
            column = self.recipe.group
            groups = self.table.ranks(column)
            held = {name: groups[self.rows[where]] for name, where in splits.items()}
            both = np.intersect1d(held["train"], np.concatenate([held["validation"], held["test"]]))
            if len(both):
                example = self.table.cell(int(np.argmax(groups == both[0])), column)
                raise DataError(
                    f"the data came divided, and {len(both)} value(s) of '{column}' stand on both sides, for example {example!r}; "
                    "divide it anew with --split 0.8,0.1,0.1, or leave --group out"
                )
        if self.recipe.time and len(splits["train"]) and len(splits["test"]):
            column = self.recipe.time
            if self._moments(splits["train"]).max() > self._moments(splits["test"]).min():
                raise DataError(
                    f"the data came divided, and training rows are later than test rows by '{column}'; divide it anew with "
                    "--split 0.8,0.1,0.1, or leave --time out"
                )

    def limited(self, where: Rows, limit: int) -> Rows:
        """At most `limit` of the positions `where`, every class in proportion and none left out."""
        strata = self._strata[where]
        classes = len(np.unique(strata))
        if limit < classes:
            raise DataError(f"--limit {limit} is less than one training row for each of the {classes} classes; allow at least {classes}")
        return splitting.stratified(where, strata, (limit / len(where), 1 - limit / len(where)), self.seed)[0]

    @functools.cached_property
    def _strata(self) -> npt.NDArray[np.int32]:
        """(positions,) of each row's stratum its place among the different ones."""
        return ranks(map(self.task.stratum, self.labels), len(self.labels))

    def apart(self, splits: dict[str, Rows], decisions: list[Decision]) -> dict[str, Rows]:
        """The splits without rows by which one would know of the next, where the recipe asks for that.

        Raises:
            DataError: nothing of a split is left.
        """
        if not (self.recipe.purge or self.recipe.embargo):
            return splits
        purge = purging.span(self.recipe.purge) if self.recipe.purge else None
        embargo = purging.span(self.recipe.embargo) if self.recipe.embargo else None
        if embargo and embargo.kind == "column":
            raise DataError(f"field 'embargo' is a number of different times, such as 5, or a time such as 2d (got {embargo.column!r})")
        known = {name: self._moments(where, purge.column) for name, where in splits.items()} if purge and purge.column else None
        keep = purging.kept({name: self._moments(where) for name, where in splits.items()}, known, purge, embargo)
        counted = ", ".join(f"{int((~flags).sum())} of {name}" for name, flags in keep.items() if not flags.all())
        why = "labels known too late, and rows too near to the split before" if purge and embargo else "as asked"
        decisions.append(Decision("left out", counted or "nothing", why, "--purge, --embargo"))
        for name, flags in keep.items():
            if len(flags) and not flags.any():
                raise DataError(f"--purge and --embargo leave nothing of the {name} split; give more rows, or other --split shares")
        return {name: where[keep[name]] for name, where in splits.items()}

    def _moments(self, where: Rows, column: str | None = None) -> npt.NDArray[np.float64]:
        column = column or self.recipe.time
        assert column is not None
        cells = self.table.rows(self.rows[where], [column])
        return np.fromiter((splitting.moment(row[column], column) for row in cells), np.float64, len(where))

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
        if len(self._strata) and self._strata.max() > 0:
            return "every class in proportion, drawn by the seed"
        return "drawn by the seed"

    @staticmethod
    def shown(wanted: Sequence[float]) -> str:
        return ", ".join(f"{share:.0%} {name}" for share, name in zip(wanted, NAMES, strict=True))
