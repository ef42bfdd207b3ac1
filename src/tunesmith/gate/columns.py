"""Columns that say nothing: empty, of one value, or missing in many rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from tunesmith.core.contracts import Picture
from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.core.kinds import PATHS
from tunesmith.gate._rows import Rows, drawn, lines, percent, rows_said


@dataclass
class _Column:
    """What was met in a column."""

    missing: list[int]
    blank: list[int]
    first: object = None
    constant: bool = True

    def meet(self, row: int, value: object) -> None:
        """Take in the cell of a row."""
        if value is None:
            self.missing.append(row)
            return
        if isinstance(value, str) and not value.strip():
            self.blank.append(row)
        if isinstance(value, Picture):
            self.constant = False  # pictures are compared by `duplicates`
        elif self.first is None:
            self.first = value
        elif value != self.first:
            self.constant = False


@final
@dataclass(frozen=True)
class Columns(Inspection):
    """Columns that are empty, constant or full of gaps, and inputs that hold nothing."""

    name: ClassVar[str] = "columns"
    gaps: float = field(default=0.05, metadata={"help": "share of missing values in an input column from which that is a warning"})
    holes: float = field(default=0.5, metadata={"help": "share of missing values in another column from which it is named"})
    most: int = field(default=20_000, metadata={"help": "rows of a split that are looked at"})

    def applies(self, view: View) -> str | None:
        return None if set(view.columns) - set(view.label) else "there are no columns but the label"

    def inspect(self, view: View) -> list[Finding]:
        rows = np.concatenate([numbers[drawn(view, split, self.most)] for split, numbers in view.splits.items()])
        columns = [name for name in view.columns if name not in view.label and view.inputs.get(name) not in PATHS]
        met = {name: _Column([], []) for name in columns}
        for number, row in zip(rows.tolist(), view.read(rows, columns), strict=True) if columns else ():
            for name in columns:
                met[name].meet(number, row[name])
        of = len(rows)
        empty = [name for name, column in met.items() if len(column.missing) == of]
        constant = [name for name, column in met.items() if column.constant and not column.missing and name not in empty and of > 1]
        holed = [name for name, column in met.items() if self.holes * of <= len(column.missing) < of and name not in view.inputs]
        return [
            *_named(view, "empty_columns", empty, "hold nothing in any row", "holds nothing in any row"),
            *_named(view, "constant_columns", constant, "hold the same value in every row", "holds the same value in every row"),
            *_named(view, "columns_with_gaps", holed, "miss half of their values or more", "misses half of its values or more"),
            *(finding for name in view.of_kind("text") for finding in self._input(view, name, met[name], rows)),
        ]

    def _input(self, view: View, name: str, column: _Column, rows: Rows) -> list[Finding]:
        """An input that is missing or blank in some rows."""
        nothing = sorted(column.missing + column.blank)
        if not nothing or len(nothing) == len(rows):
            return []
        count, of = len(nothing), len(rows)
        shown = lines(view, nothing[:MOST_EXAMPLES])
        return [
            Finding(
                "missing_inputs",
                "warning" if count >= self.gaps * of else "info",
                count,
                of,
                f"{rows_said(count)} of {of:,} that were looked at ({percent(count, of)}) {'has' if count == 1 else 'have'} nothing in the "
                f"input column '{name}'",
                "fill them, or take these rows out; the model guesses from what is left",
                [Example(row, text or "nothing") for row, text in zip(nothing, shown, strict=False)],
            )
        ]


def _named(view: View, finding: str, names: list[str], they: str, it: str) -> list[Finding]:
    if not names:
        return []
    inputs = [name for name in names if name in view.inputs]
    shown = ", ".join(f"'{name}'" for name in names[:MOST_EXAMPLES]) + (
        f" and {len(names) - MOST_EXAMPLES} more" * (len(names) > MOST_EXAMPLES)
    )
    what = f"column {shown} {it}" if len(names) == 1 else f"{len(names)} columns ({shown}) {they}"
    advice = f"take {', '.join(inputs)} out of --inputs" if inputs else "nothing needs to be done; no input is concerned"
    examples = [Example(None, name) for name in names[:MOST_EXAMPLES]]
    return [Finding(finding, "warning" if inputs else "info", len(names), len(view.columns), what, advice, examples)]
