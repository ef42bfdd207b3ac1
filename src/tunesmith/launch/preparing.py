"""From what a recipe names to rows that are understood and divided, and to the model before an adapter touches it."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith import recipe as recipes
from tunesmith.core import registry
from tunesmith.core import run as runs
from tunesmith.core.contracts import Row
from tunesmith.core.errors import UnknownNameError, UsageError, require
from tunesmith.core.files import read_json, write_json, write_text
from tunesmith.core.kinds import PATHS
from tunesmith.core.model import Model
from tunesmith.core.run import Run
from tunesmith.data import long, points, prepare, purge, rolling
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.infer import infer
from tunesmith.data.prepare import Divided, Read
from tunesmith.data.ready import AnyRows, ReadyRows
from tunesmith.data.split import Rows, moment
from tunesmith.data.table import Table
from tunesmith.data.windows import WindowRows
from tunesmith.launch import console, pictures, training
from tunesmith.launch.resolve import Parts, resolve, with_epochs
from tunesmith.recipe import Recipe

FEW = 3
"""Columns up to which the decisions alone say what each is."""


@dataclass
class Ready:
    """A recipe without gaps and its rows, before a network is opened.

    Attributes:
        parts: implementations; the task is fitted.
        was: what was read.
        divided: row numbers of the splits, and targets.
        split_column: column that names each row's split, where there is one.
        kept: what stands before the table: pictures that were decoded while rows were read, windows of time points.
    """

    parts: Parts
    was: Read
    divided: Divided
    split_column: str | None
    kept: ReadyRows | WindowRows | None = None

    @property
    def rows(self) -> AnyRows:
        """The rows, with pictures decoded where they are kept so."""
        return self.was.table if self.kept is None else self.kept

    def given(self, number: int) -> Row:
        """The inputs of a row as its owner has them: pictures as files, windows as lists."""
        row = self.kept.given(number) if isinstance(self.kept, WindowRows) else self.was.table[number]
        return {column: row.get(column) for column in self.parts.backbone.columns}

    def groups(self, numbers: Rows) -> npt.NDArray[Any] | None:
        """(n,) values that are equal for rows that err together: of one group, of one stretch of time; None where each stands alone."""
        if isinstance(self.kept, WindowRows):
            return rolling.blocks(self.kept, numbers)
        data = self.parts.recipe.data
        if data.group:
            return self.was.table.ranks(data.group)[numbers]
        if not (data.time and data.purge):
            return None
        ahead = purge.span(data.purge)  # labels of one stretch of time overlap

        def moments(column: str) -> npt.NDArray[np.float64]:
            return np.fromiter((moment(row[column], column) for row in self.was.table.rows(numbers, [column])), np.float64, len(numbers))

        found: npt.NDArray[Any] = purge.blocks(moments(data.time), moments(ahead.column) if ahead.column else None, ahead)
        return found


def prepared(recipe: Recipe, source: Any, run: Run) -> Ready:
    """Read, understand and divide the data.

    Args:
        recipe: what is wanted; gaps are filled.
        source: what the user brought.
        run: whose folder is given the rows.
    """
    answers = registry.find("tasks", recipe.task.name).load().answers if recipe.task.name else ""
    data, told = long.filled(recipe.data, answers)
    recipe = dataclasses.replace(recipe, data=data)
    was = prepare.read(recipe.data, source, run.work / "rows.arrow", answers)
    console.say(f"data: {was.described}: {len(was.table)} rows")
    columns = infer(was.table, recipe.data, recipe.task.name)
    was.table.path_columns = [name for name in columns.inputs if columns.kinds[name] in PATHS]
    for name in recipe.proof.slices or []:
        if name not in was.table.columns:
            raise UnknownNameError("column to show scores by (--slices) called", name, was.table.columns)
    for name in recipe.proof.fairness or []:
        if name not in was.table.columns:
            raise UnknownNameError("column of groups (--fairness) called", name, was.table.columns)
    parts = resolve(recipe, columns)
    if recipe.proof.fairness and parts.task.answers != "classes":
        raise UsageError(f"--fairness compares which class groups are given; the task {parts.task.name} gives none: leave it out")
    if len(columns.every) > FEW:
        console.columns(columns.every)
    console.decisions([*was.decisions, *told, *columns.decisions, *parts.decisions])
    if columns.windows is not None:
        return _windowed(recipe, was, parts, columns.split, run)
    kept = pictures.kept(parts, was.table)
    divided = prepare.divide(was, columns.split, parts.recipe.data, parts.task, parts.backbone, recipe.seed, kept)
    parts = dataclasses.replace(parts, task=divided.task, backbone=divided.backbone, decisions=[])
    parts = with_epochs(parts, len(divided.splits["train"]))
    console.decisions([*divided.decisions, *parts.decisions])
    pictures.stored(run, kept)
    return Ready(parts, was, divided, columns.split, kept)


def _windowed(recipe: Recipe, was: Read, parts: Parts, split_column: str | None, run: Run) -> Ready:
    """`prepared` where the rows are time points."""
    rows = _windows(recipe, was.table, parts, run, was.bad)
    backbone = parts.backbone.over(rows.spec)
    divided = rolling.divide(was, split_column, recipe.data, parts.task, backbone, recipe.seed, rows)
    console.decisions(divided.decisions)
    return Ready(dataclasses.replace(parts, task=divided.task, backbone=divided.backbone), was, divided, split_column, rows)


def _windows(recipe: Recipe, table: Table, parts: Parts, run: Run, bad: BadRows) -> WindowRows:
    spec = parts.backbone.over_time()
    assert spec is not None, "it was made to read windows"
    found = points.read(table, spec.columns, spec.time, spec.series, run.work / "points.npy", bad, order=recipe.data.stamps == "order")
    return WindowRows(table, found, dataclasses.replace(spec, step=str(found.step), form=found.form))


def opened(ready: Ready) -> Model:
    """The model with its pretrained weights, which tells different rows apart; no adapter has touched it."""
    model = training.opened(ready.parts)
    training.check_features(model, ready.rows, ready.divided)
    return model


def store(run: Run, ready: Ready) -> None:
    """Write what a resumed run needs, recipe last: its presence says that there is something to resume."""
    write_json(run.work / "data.json", {**prepare.facts(ready.was), "split_column": ready.split_column})
    prepare.store_division(ready.divided, run.work)
    write_json(run.folder / "environment.json", runs.environment())
    write_text(run.recipe, recipes.to_yaml(dataclasses.replace(ready.parts.recipe, out=None)))


def restored(run: Run, recipe: Recipe) -> Ready:
    """What `store` wrote; rows are neither read nor divided anew."""
    stored = read_json(run.work / "data.json")
    was = prepare.restored(run.work / "rows.arrow", stored)
    split_column = stored["split_column"]
    columns = dataclasses.replace(infer(was.table, recipe.data, recipe.task.name), split=split_column)
    parts = resolve(recipe, columns)
    windows = None if columns.windows is None else _windows(recipe, was.table, parts, run, BadRows())
    divided: Divided = prepare.restored_division(run.work, parts.task.name, parts.backbone.name, windows)
    parts = dataclasses.replace(parts, task=divided.task, backbone=divided.backbone)
    return Ready(parts, was, divided, split_column, windows or pictures.restored(run, parts, was.table))


def prepare_process(seed: int) -> None:
    """Seed everything."""
    import numpy as np

    torch: Any = require("torch", "training")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
