"""Which columns of a table of time points are stamps, targets and what goes with them, for a task that looks ahead."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.core.errors import DataError, UnknownNameError, UsageError
from tunesmith.core.kinds import SHOWN
from tunesmith.core.windows import Windows
from tunesmith.data.column_kinds import SAMPLE, kind_of, overruled
from tunesmith.data.decisions import Columns, Decision
from tunesmith.data.split_column import split_column_of
from tunesmith.data.table import Table
from tunesmith.data.values import Value
from tunesmith.recipe import DataRecipe

MODALITY = "forecaster"
MOSTLY = 0.9
"""Share of cells that tells what a column holds."""


def infer_windows(table: Table, recipe: DataRecipe, task: str) -> Columns:
    """Decide what the columns of a table of time points mean.

    Args:
        table: the rows.
        recipe: what the user said; it overrules.
        task: name of the task.

    Raises:
        DataError: no column of stamps or of numbers can be told.
        UnknownNameError: a named column does not exist.
        UsageError: --group was named.
    """
    if recipe.group:
        raise UsageError("--group keeps rows on one side of a split, and windows are divided by time; name several series by --series-id")
    named = [*(recipe.inputs or []), *(recipe.label or []), *(recipe.known or []), *filter(None, [recipe.time, recipe.series_id])]
    for name in named:
        if name not in table.columns:
            raise UnknownNameError("column", name, table.columns)
    sample = {name: table.sample(name, SAMPLE) for name in table.columns}
    kinds = {name: _kind(values) for name, values in sample.items()} | overruled(recipe, sample)
    decisions: list[Decision] = []
    split = split_column_of(sample, recipe, decisions)
    time = recipe.time or _time(kinds)
    decisions.append(Decision("time", time, "as given" if recipe.time else "the only column of dates", "--time"))
    if recipe.series_id:
        decisions.append(Decision("series", recipe.series_id, "as given", "--series-id"))
    taken = {time, recipe.series_id, split}
    numbers = [name for name, kind in kinds.items() if kind == "number" and name not in taken]
    known = list(recipe.known or [])
    label = recipe.label or [name for name in numbers if name not in (recipe.inputs or []) and name not in known]
    if not label:
        raise DataError(f"no column of numbers is left to forecast; name one with --label (columns: {', '.join(table.columns)})")
    decisions.append(Decision("label", ", ".join(label), "as given" if recipe.label else "all columns of numbers", "--label"))
    past = recipe.inputs if recipe.inputs is not None else [name for name in numbers if name not in known]
    shown = list(dict.fromkeys([*label, *past, *known]))
    for name in shown:
        if kinds[name] not in ("number", "empty") or name in taken:
            raise DataError(
                f"column '{name}' holds {SHOWN.get(kinds[name], kinds[name])}, not numbers, so it can be neither forecast nor shown"
            )
    if both := [name for name in known if name in label]:
        raise DataError(f"column '{both[0]}' is named in --known and --label; what is known in advance needs no forecast")
    beside = [name for name in shown if name not in label]
    if beside:
        told = ", ".join(f"{name} (known in advance)" if name in known else name for name in beside)
        why = "as given" if recipe.inputs or known else "the other columns of numbers"
        decisions.append(Decision("inputs", f"the past of the label; {told}", why, "--inputs, --known"))
    decisions.append(Decision("task", task, "as given", "--task"))
    windows = Windows(time, tuple(shown), tuple(label), tuple(known), recipe.series_id)
    return Columns(shown, dict.fromkeys(shown, "series"), recipe.modality or MODALITY, label, task, split, decisions, windows)


def _kind(values: Sequence[Value]) -> str:
    """What a column holds; a few cells that are no numbers or dates are rows to be named, and do not make it a column of texts."""
    kind = kind_of(values)
    seen = [str(value) for value in values if value not in (None, "") and not isinstance(value, bytes)]
    for wanted in ("number", "date") if kind in ("text", "category") else ():
        if sum(kind_of([value]) == wanted for value in seen) >= MOSTLY * len(seen):
            return wanted
    return kind


def _time(kinds: dict[str, str]) -> str:
    dates = [name for name, kind in kinds.items() if kind == "date"]
    if len(dates) != 1:
        what = f"several hold dates ({', '.join(dates)})" if dates else "none holds dates"
        raise DataError(f"which column holds the stamps? {what}; name it with --time COLUMN (columns: {', '.join(kinds)})")
    return dates[0]
