"""From what the user brought to rows that are read, understood, audited and divided.

    source -> Table (Arrow) -> infer: inputs, label, task -> audit: every row's label and input -> split -> task.fit

The audit reads every input once (a picture fully), so that nothing surprises the training loop an hour later; a row that cannot be
used goes to `BadRows`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core import registry
from tunesmith.core.contracts import Backbone, Task
from tunesmith.core.errors import DataError, RowError
from tunesmith.core.files import atomic, read_json, write_json
from tunesmith.data import long
from tunesmith.data import purge as purging
from tunesmith.data import split as splitting
from tunesmith.data.audit import Audited, audit
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.cutter import Cutter
from tunesmith.data.decisions import Decision
from tunesmith.data.labels import Labels, Targets
from tunesmith.data.long import Shape
from tunesmith.data.ready import ReadyRows
from tunesmith.data.sources import SPLITS, open_source
from tunesmith.data.split import NAMES, Rows
from tunesmith.data.table import Table, build, note_bad, open_table
from tunesmith.data.windows import WindowRows, WindowTargets
from tunesmith.recipe import DataRecipe, shares

AnyTargets = Targets | WindowTargets
"""Row number -> target of all used rows, with their `numbers`."""

DEFAULT_SHARES = (0.8, 0.1, 0.1)

UNSEEN = 8
"""Things that no training row holds, of which is told at most."""


@dataclass
class Read:
    """A table, the split each of its parts was given for, and what reading met.

    Attributes:
        shape: how rows were put together to series; None where they stand as they were.
        decisions: what was decided for that.
    """

    table: Table
    part_splits: list[str | None]
    bad: BadRows
    described: str
    name: str
    shape: Shape | None = None
    decisions: list[Decision] = field(default_factory=list)


@dataclass
class Divided:
    """Row numbers of each split, task and backbone fitted on the training rows, and the targets of all used rows.

    Attributes:
        marks: (n,) of each used row, as `targets.numbers` has them, a number that tells its inputs apart: equal inputs have equal ones.
        settled: whether a time limit has been asked which training rows there is time for; a resumed run does not ask it again.
    """

    splits: dict[str, Rows]
    task: Task
    backbone: Backbone
    targets: AnyTargets
    marks: Rows
    decisions: list[Decision] = field(default_factory=list)
    settled: bool = False

    def marks_of(self, name: str) -> Rows:
        """(n,) marks of a split's rows."""
        return self.marks[np.searchsorted(self.targets.numbers, self.splits[name])]


def read(recipe: DataRecipe, data: Any, path: Path, answers: str = "") -> Read:
    """Read what the user brought into an Arrow file at `path`.

    Args:
        recipe: what the user said.
        data: what the user brought.
        path: the file.
        answers: of the task that was asked for, as `Task.answers`; empty where none was.
    """
    source = open_source(data, recipe.encoding, recipe.delimiter)
    bad = BadRows()
    shape, decisions = None, []
    if long.is_long(recipe, answers):
        shape, decision = long.shape_of(source, recipe)
        decisions.append(decision)
        source = long.shaped(source, shape)
    table, part_splits = build(source, path, bad)
    return Read(table, part_splits, bad, source.described, source.name, shape, decisions)


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
        "shape": dataclasses.asdict(was.shape) if was.shape else None,
        "bad_rows": [dataclasses.asdict(bad) for bad in was.bad.named],
    }


def restored(path: Path, stored: dict[str, Any]) -> Read:
    """What `read` gave, from its Arrow file and what `facts` gave."""
    bad = BadRows()
    for item in stored["bad_rows"]:
        bad.add(**item)
    table = open_table(path, stored["columns"], [(name, Path(root)) for name, root in stored["files"]], stored["path_columns"])
    table.notes.extend(stored["notes"])
    shape = long.Shape.stored(stored["shape"])
    return Read(table, stored["part_splits"], bad, stored["described"], stored["name"], shape)


def store_division(divided: Divided, folder: Path) -> None:
    """Write what `restored_division` needs: rows and labels as arrays, the rest as JSON."""
    network: Any = divided.backbone  # a dataclass, as every implementation is
    backbone = dataclasses.asdict(network)
    arrays, names = divided.targets.stored()
    with atomic(folder / "division.npz") as part, part.open("wb") as handle:
        np.savez(handle, **arrays, **divided.splits, marks=divided.marks)  # type: ignore[arg-type]
    stored = {"task": divided.task.settings(), "backbone": backbone, "names": names, "settled": divided.settled}
    write_json(folder / "division.json", stored)


def restored_division(folder: Path, task: str, backbone: str, windows: WindowRows | None = None) -> Divided:
    """The division a run began with: rows are never divided anew, as files that have changed since would move them between splits.

    Args:
        folder: where `store_division` wrote.
        task, backbone: names of the implementations.
        windows: the rows, where they are windows of a table of time points.
    """
    stored = read_json(folder / "division.json")
    fitted: Task = registry.create("tasks", task, stored["task"])
    network: Backbone = registry.create("backbones", backbone, stored["backbone"])
    with np.load(folder / "division.npz", allow_pickle=False) as arrays:
        splits: dict[str, Rows] = {name: arrays[name] for name in NAMES}
        targets: AnyTargets
        if windows is None:
            targets = Targets(fitted, arrays["numbers"], Labels(stored["names"], arrays["values"], arrays.get("starts")))
        else:
            targets = WindowTargets(fitted, arrays["numbers"], windows)
        return Divided(splits, fitted, network, targets, arrays["marks"], settled=stored["settled"])


def divide(
    was: Read, split_column: str | None, recipe: DataRecipe, task: Task, backbone: Backbone, seed: int, pictures: ReadyRows | None = None
) -> Divided:
    """Audit the rows, divide them, and fit task and backbone on the training part.

    Args:
        was: what was read.
        split_column: column that names each row's split, where there is one.
        recipe: how to divide.
        task: reads the labels.
        backbone: checks the inputs.
        seed: decides the order.
        pictures: keeps the pictures that the audit decodes.

    Raises:
        DataError: too many unusable rows, a split that would be empty, classes too small to divide.
    """
    table, bad = was.table, was.bad
    found = audit(table, task, backbone, bad, pictures)
    found = found.take(_placed(table, found.rows, split_column, recipe, bad))
    if not len(found.rows):
        raise DataError(f"no usable row is left; {bad.summary()}")
    _no_part_lost(table, found.rows, bad)
    bad.check(len(found.rows), recipe.max_bad_rows)
    decisions: list[Decision] = []
    given = given_splits(was, found.rows, split_column, recipe)
    if given is None:
        found = found.take(_frequent(table, found, task, recipe, bad))
    cutter = Cutter(table, recipe, task, seed, found.rows, found.labels)
    if given is not None:
        parts = {name: np.flatnonzero(given == code) for code, name in enumerate(NAMES)}
        cutter.check_given(parts)
        splits = cutter.complete(parts, decisions)
    else:
        wanted = shares(recipe.split) if recipe.split else DEFAULT_SHARES
        splits = dict(zip(NAMES, cutter.cut(np.arange(len(found.rows)), wanted), strict=True))
        decisions.append(Decision("split", cutter.shown(wanted), cutter.why(), "--split, --group, --time"))
    splits = cutter.apart(splits, decisions)
    if recipe.limit is not None and len(splits["train"]) > recipe.limit:
        splits["train"] = cutter.limited(splits["train"], recipe.limit)
    fitted = task.fit(found.labels.take(splits["train"]))
    for name in NAMES:
        splits[name] = splits[name][_known(table, found, splits[name], fitted, bad)]
        if not len(splits[name]):
            raise DataError(
                f"the {name} split is empty" + (f"; {bad.summary()}" if bad.total else "; give more rows, or other --split shares")
            )
    counted = ", ".join(f"{len(splits[name])} {name}" for name in NAMES)
    decisions.append(Decision("rows", counted, "limited" if recipe.limit else "all usable ones", "--limit, --max-bad-rows"))
    bad.check(sum(map(len, splits.values())), recipe.max_bad_rows)
    _note_shared(table, found.marks[splits["train"]], found.marks[splits["test"]])
    used = np.sort(np.concatenate([splits[name] for name in NAMES]))
    result = {name: found.rows[splits[name]] for name in NAMES}
    targets = Targets(fitted, found.rows[used].astype(np.int32), found.labels.take(used))
    rows = table if pictures is None else pictures
    network = backbone.fit(lambda: rows.rows(result["train"]), seed)
    _note_unseen(table, network, result)
    return Divided(result, fitted, network, targets, found.marks[used], decisions)


def _note_unseen(table: Table, backbone: Backbone, splits: dict[str, Rows]) -> None:
    """Note what validation and test rows hold that no training row does, where the backbone can tell."""
    if type(backbone).unseen is Backbone.unseen:
        return
    counts = Counter(remark for name in NAMES[1:] for row in table.rows(splits[name]) for remark in backbone.unseen(row))
    table.notes.extend(f"{count} validation or test row(s): {remark}" for remark, count in counts.most_common(UNSEEN))
    if len(counts) > UNSEEN:
        table.notes.append(f"and {len(counts) - UNSEEN} more of the kind")


def _known(table: Table, found: Audited, where: Rows, fitted: Task, bad: BadRows) -> npt.NDArray[np.bool_]:
    """Which of the positions hold a label that the fitted task knows; the others are reported."""
    keep = np.ones(len(where), np.bool_)
    for place, raw in enumerate(found.labels.take(where)):
        try:
            fitted.target(raw)
        except RowError as error:
            note_bad(table, int(found.rows[where[place]]), error, bad)
            keep[place] = False
    return keep


def _no_part_lost(table: Table, rows: Rows, bad: BadRows) -> None:
    """Refuse a file or folder without any usable row: as a rule it lacks a column."""
    used = set(np.unique(table.parts()[rows]).tolist())
    for name in (name for part, (name, _) in enumerate(table.files) if part not in used):
        reason = next((item.reason for item in bad.named if item.file == name), "they say no split, group or time")
        raise DataError(f"no row of {name} can be used ({reason}); does it have the columns {', '.join(table.columns)}?")


def _note_shared(table: Table, train: Rows, test: Rows) -> None:
    """Note how many test rows repeat a training row, by the marks of their inputs."""
    known = np.sort(train)  # np.isin would sort several copies: 50 bytes a row
    shared = int((known[np.minimum(np.searchsorted(known, test), len(known) - 1)] == test).sum())
    if shared:
        table.notes.append(
            f"{shared} of {len(test)} test rows hold the same input as a training row, so the test flatters the model; "
            "take repeated rows out, or keep them on one side with --group"
        )


def _placed(table: Table, rows: Rows, split_column: str | None, recipe: DataRecipe, bad: BadRows) -> npt.NDArray[np.bool_]:
    """Which rows say what split, group or time they belong to; the others are reported."""
    keep = np.ones(len(rows), np.bool_)
    known = purging.span(recipe.purge).column if recipe.purge else ""
    columns = [name for name in (split_column, recipe.group, recipe.time, known) if name]
    for place, row in enumerate(table.rows(rows, columns) if columns else ()):
        try:
            if split_column:
                _split_named(row[split_column], split_column)
            if recipe.group and row[recipe.group] is None:
                raise RowError("the group is missing", recipe.group)
            if recipe.time:
                splitting.moment(row[recipe.time], recipe.time)
            if known:
                splitting.moment(row[known], known)
        except RowError as error:
            note_bad(table, int(rows[place]), error, bad)
            keep[place] = False
    return keep


def _split_named(value: Any, column: str) -> str:
    name = str(value or "").strip().lower()
    if name not in SPLITS:
        raise RowError(f"{value!r} is no split; splits are train, validation and test", column)
    return SPLITS[name]


def given_splits(was: Read, rows: Rows, split_column: str | None, recipe: DataRecipe) -> npt.NDArray[np.int8] | None:
    """(n,) place in NAMES of the split of each row where the data came divided (-1: of none), else None.

    Args:
        was: what was read.
        rows: (n,) row numbers.
        split_column: column that names each row's split, where there is one.
        recipe: may ask for another division.

    Raises:
        DataError: the division of the data was asked for, and there is none.
        RowError: a cell of the column names no split.
    """
    if split_column:
        cells = was.table.rows(rows, [split_column])
        return np.fromiter((NAMES.index(_split_named(row[split_column], split_column)) for row in cells), np.int8, len(rows))
    if any(was.part_splits) and recipe.split in (None, "given"):
        codes = np.asarray([NAMES.index(name) if name else -1 for name in was.part_splits], np.int8)
        return codes[was.table.parts()[rows]]
    if recipe.split == "given":
        raise DataError("field 'split' is 'given', but the data has neither train/test files or folders nor a column called split")
    return None


def _frequent(table: Table, found: Audited, task: Task, recipe: DataRecipe, bad: BadRows) -> npt.NDArray[np.bool_]:
    """Which rows are of classes large enough to be divided; the others are refused, or left out where that is asked for."""
    keep = np.ones(len(found.rows), np.bool_)
    counts = Counter(map(task.stratum, found.labels))
    rare = {name: count for name, count in counts.items() if count < len(NAMES)}
    if not rare or recipe.group or recipe.time:
        return keep
    if len(counts) == 1:
        count = len(found.rows)
        raise DataError(f"{count} usable row{'s' * (count > 1)} cannot make train, validation and test; collect more")
    if len(counts) - len(rare) < 2 or recipe.rare_classes == "error":
        shown = ", ".join(f"{name!r} ({count} row{'s' * (count > 1)})" for name, count in sorted(rare.items())[:5])
        raise DataError(
            f"{len(rare)} of {len(counts)} classes are too small to appear in train, validation and test: {shown}; each needs at least "
            f"{len(NAMES)} rows. Collect more, merge them with another class, or leave them out with --rare-classes drop"
        )
    for place, raw in enumerate(found.labels):
        if task.stratum(raw) in rare:
            error = RowError(f"class {task.stratum(raw)!r} is too small and was dropped (--rare-classes drop)")
            note_bad(table, int(found.rows[place]), error, bad, asked=True)
            keep[place] = False
    return keep
