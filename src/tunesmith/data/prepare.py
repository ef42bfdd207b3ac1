"""From what the user brought to rows that are read, understood, audited and divided.

    source -> Table (Arrow) -> infer: inputs, label, task -> audit: every row's label and input -> split -> task.fit

The audit reads every input once (a picture fully), so that nothing surprises the training loop an hour later; a row that cannot be
used goes to `BadRows`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.contracts import Backbone, Task
from tunesmith.core.errors import DataError, RowError
from tunesmith.core.files import sha256
from tunesmith.data import split as splitting
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.cutter import Cutter
from tunesmith.data.infer import Decision
from tunesmith.data.sources import SPLITS, open_source
from tunesmith.data.split import NAMES, Rows
from tunesmith.data.table import Table, build, note_bad, open_table
from tunesmith.recipe import DataRecipe, shares

DEFAULT_SHARES = (0.8, 0.1, 0.1)


@dataclass
class Read:
    """A table, the split each of its parts was given for, and what reading met."""

    table: Table
    part_splits: list[str | None]
    bad: BadRows
    described: str
    name: str


@dataclass
class Divided:
    """Row numbers of each split, the task fitted on the training rows, and the targets of all used rows."""

    splits: dict[str, Rows]
    task: Task
    targets: dict[int, Any]
    decisions: list[Decision] = field(default_factory=list)


def read(recipe: DataRecipe, data: Any, path: Path) -> Read:
    """Read what the user brought into an Arrow file at `path`."""
    source = open_source(data, recipe.encoding, recipe.delimiter)
    bad = BadRows()
    table, part_splits = build(source, path, bad)
    return Read(table, part_splits, bad, source.described, source.name)


def facts(was: Read) -> dict[str, Any]:
    """What `restored` needs beside the Arrow file, as plain JSON."""
    return {
        "columns": was.table.columns,
        "files": [[name, str(root)] for name, root in was.table.files],
        "path_columns": was.table.path_columns,
        "part_splits": was.part_splits,
        "described": was.described,
        "name": was.name,
        "notes": was.table.notes,
        "bad_rows": [dataclasses.asdict(bad) for bad in was.bad.named],
    }


def restored(path: Path, stored: dict[str, Any]) -> Read:
    """What `read` gave, from its Arrow file and what `facts` gave."""
    bad = BadRows()
    for item in stored["bad_rows"]:
        bad.add(**item)
    table = open_table(path, stored["columns"], [(name, Path(root)) for name, root in stored["files"]], stored["path_columns"])
    table.notes.extend(stored["notes"])
    return Read(table, stored["part_splits"], bad, stored["described"], stored["name"])


def division_facts(divided: Divided) -> dict[str, Any]:
    """What `restored_division` needs, as plain JSON."""
    return {
        "splits": {name: [int(n) for n in rows] for name, rows in divided.splits.items()},
        "targets": [[number, target] for number, target in divided.targets.items()],
        "task": divided.task.settings(),
    }


def restored_division(stored: dict[str, Any], task: Task) -> Divided:
    """The division a run began with: rows are never divided anew, as files that have changed since would move them between splits."""
    splits = {name: np.asarray(rows, np.int64) for name, rows in stored["splits"].items()}
    return Divided(splits, task, {int(number): target for number, target in stored["targets"]})


def audit(table: Table, task: Task, backbone: Backbone, bad: BadRows, threads: int = 2) -> tuple[list[int], list[Any]]:
    """Check the label and the input of every row.

    Returns:
        The usable rows' numbers, and their raw labels.
    """

    def look(number: int) -> tuple[int, Any, RowError | str | None]:
        row = table[number]
        try:
            raw = task.raw(row)
            return number, raw, backbone.check(row)
        except RowError as error:
            return number, None, error

    same: dict[Any, Any] = {}
    remarks: Counter[str] = Counter()
    rows: list[int] = []
    raws: list[Any] = []
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(table), 4096):
            for number, raw, found in pool.map(look, range(start, min(start + 4096, len(table)))):
                if isinstance(found, RowError):
                    note_bad(table, number, found, bad)
                    continue
                if found is not None:
                    remarks[found] += 1
                rows.append(number)
                raws.append(same.setdefault(raw, raw))
    table.notes.extend(f"{count} row(s): {remark}" for remark, count in remarks.items())
    return rows, raws


def divide(was: Read, split_column: str | None, recipe: DataRecipe, task: Task, backbone: Backbone, seed: int) -> Divided:
    """Audit the rows, divide them, and fit the task on the training part.

    Raises:
        DataError: too many unusable rows, a split that would be empty, classes too small to divide.
    """
    table, bad = was.table, was.bad
    rows, raws = audit(table, task, backbone, bad)
    _keep_placed(table, rows, raws, split_column, recipe, bad)
    if not rows:
        raise DataError(f"no usable row is left; {bad.summary()}")
    _no_part_lost(table, rows, bad)
    bad.check(len(rows), recipe.max_bad_rows)
    decisions: list[Decision] = []
    names = _given(was, rows, split_column, recipe)
    if names is None:
        rows, raws = _without_rare(table, rows, raws, task, recipe, bad)
    cutter = Cutter(table, recipe, task, seed, np.asarray(rows), raws)
    if names is not None:
        cutter.check_given({n: np.flatnonzero(names == n) for n in NAMES})
        splits = cutter.complete({n: np.flatnonzero(names == n) for n in NAMES}, decisions)
    else:
        wanted = shares(recipe.split) if recipe.split else DEFAULT_SHARES
        splits = dict(zip(NAMES, cutter.cut(np.arange(len(rows)), wanted), strict=True))
        decisions.append(Decision("split", cutter.shown(wanted), cutter.why(), "--split, --group, --time"))
    if recipe.limit is not None and len(splits["train"]) > recipe.limit:
        splits["train"] = cutter.limited(splits["train"], recipe.limit)
    fitted = task.fit([raws[i] for i in splits["train"]])
    targets: dict[int, Any] = {}
    result: dict[str, Rows] = {}
    for name in NAMES:
        keep = []
        for i in splits[name]:
            try:
                targets[rows[i]] = fitted.target(raws[i])
                keep.append(rows[i])
            except RowError as error:
                note_bad(table, rows[i], error, bad)
        result[name] = np.asarray(keep, np.int64)
        if not keep:
            raise DataError(
                f"the {name} split is empty" + (f"; {bad.summary()}" if bad.total else "; give more rows, or other --split shares")
            )
    counted = ", ".join(f"{len(result[name])} {name}" for name in NAMES)
    decisions.append(Decision("rows", counted, "limited" if recipe.limit else "all usable ones", "--limit, --max-bad-rows"))
    bad.check(sum(map(len, result.values())), recipe.max_bad_rows)
    _note_shared(table, result, backbone.columns)
    return Divided(result, fitted, targets, decisions)


def _no_part_lost(table: Table, rows: list[int], bad: BadRows) -> None:
    """Refuse a file or folder without any usable row: as a rule it lacks a column."""
    used = {table.part(number) for number in rows} if len(table.files) > 1 else {0}
    for name in (name for part, (name, _) in enumerate(table.files) if part not in used):
        reason = next((item.reason for item in bad.named if item.file == name), "they say no split, group or time")
        raise DataError(f"no row of {name} can be used ({reason}); does it have the columns {', '.join(table.columns)}?")


def _note_shared(table: Table, splits: dict[str, Rows], columns: Sequence[str]) -> None:
    """Note how many test rows repeat a training row: the same text, the same bytes of a picture."""

    def values(number: int) -> int:
        row = table[number]
        found = []
        for column in columns:
            value = row[column]
            is_path = column in table.path_columns and isinstance(value, str)
            found.append(sha256(Path(value)) if is_path else value)
        return hash(tuple(found))

    known = {values(int(number)) for number in splits["train"]}
    shared = sum(values(int(number)) in known for number in splits["test"])
    if shared:
        table.notes.append(
            f"{shared} of {len(splits['test'])} test rows hold the same input as a training row, so the test flatters the model; "
            "take repeated rows out, or keep them on one side with --group"
        )


def _keep_placed(table: Table, rows: list[int], raws: list[Any], split_column: str | None, recipe: DataRecipe, bad: BadRows) -> None:
    """Take rows out of the lists, and report them, that do not say which split, group or time they belong to."""
    if not (split_column or recipe.group or recipe.time):
        return
    keep = 0
    for number, raw in zip(list(rows), list(raws), strict=True):
        try:
            if split_column:
                _split_named(table.cell(number, split_column), split_column)
            if recipe.group and table.cell(number, recipe.group) is None:
                raise RowError("the group is missing", recipe.group)
            if recipe.time:
                splitting.moment(table.cell(number, recipe.time), recipe.time)
        except RowError as error:
            note_bad(table, number, error, bad)
            continue
        rows[keep], raws[keep] = number, raw
        keep += 1
    del rows[keep:], raws[keep:]


def _split_named(value: Any, column: str) -> str:
    name = str(value or "").strip().lower()
    if name not in SPLITS:
        raise RowError(f"{value!r} is no split; splits are train, validation and test", column)
    return SPLITS[name]


def _given(was: Read, rows: list[int], split_column: str | None, recipe: DataRecipe) -> Any:
    """Name of the split of each row where the data came divided, else None."""
    if split_column:
        return np.asarray([_split_named(was.table.cell(n, split_column), split_column) for n in rows])
    if any(was.part_splits) and recipe.split in (None, "given"):
        return np.asarray([was.part_splits[was.table.part(n)] for n in rows])
    if recipe.split == "given":
        raise DataError("field 'split' is 'given', but the data has neither train/test files or folders nor a column called split")
    return None


def _without_rare(
    table: Table, rows: list[int], raws: list[Any], task: Task, recipe: DataRecipe, bad: BadRows
) -> tuple[list[int], list[Any]]:
    counts = Counter(task.stratum(raw) for raw in raws)
    rare = {name: count for name, count in counts.items() if count < len(NAMES)}
    if not rare or recipe.group or recipe.time:
        return rows, raws
    if len(counts) == 1:
        raise DataError(f"{len(rows)} usable row{'s' * (len(rows) > 1)} cannot make train, validation and test; collect more")
    if len(counts) - len(rare) < 2 or recipe.rare_classes == "error":
        shown = ", ".join(f"{name!r} ({count} row{'s' * (count > 1)})" for name, count in sorted(rare.items())[:5])
        raise DataError(
            f"{len(rare)} of {len(counts)} classes are too small to appear in train, validation and test: {shown}; each needs at least "
            f"{len(NAMES)} rows. Collect more, merge them with another class, or leave them out with --rare-classes drop"
        )
    keep = []
    for i, raw in enumerate(raws):
        if task.stratum(raw) in rare:
            error = RowError(f"class {task.stratum(raw)!r} is too small and was dropped (--rare-classes drop)")
            note_bad(table, rows[i], error, bad, asked=True)
        else:
            keep.append(i)
    return [rows[i] for i in keep], [raws[i] for i in keep]
