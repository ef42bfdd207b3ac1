"""From what a recipe names to rows that are understood and divided, and to the model before an adapter touches it."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Any

from tunesmith import recipe as recipes
from tunesmith.core import registry
from tunesmith.core import run as runs
from tunesmith.core.errors import UnknownNameError, UsageError, require
from tunesmith.core.files import read_json, write_json, write_text
from tunesmith.core.kinds import PATHS
from tunesmith.core.model import Model
from tunesmith.core.run import Run
from tunesmith.data import long, prepare
from tunesmith.data.infer import infer
from tunesmith.data.prepare import Divided, Read
from tunesmith.data.ready import AnyRows, ReadyRows
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
        kept: pictures that were decoded while rows were read, where they are kept.
    """

    parts: Parts
    was: Read
    divided: Divided
    split_column: str | None
    kept: ReadyRows | None = None

    @property
    def rows(self) -> AnyRows:
        """The rows, with pictures decoded where they are kept so."""
        return self.was.table if self.kept is None else self.kept


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
    kept = pictures.kept(parts, was.table)
    divided = prepare.divide(was, columns.split, recipe.data, parts.task, parts.backbone, recipe.seed, kept)
    parts = dataclasses.replace(parts, task=divided.task, backbone=divided.backbone, decisions=[])
    parts = with_epochs(parts, len(divided.splits["train"]))
    console.decisions([*divided.decisions, *parts.decisions])
    pictures.stored(run, kept)
    return Ready(parts, was, divided, columns.split, kept)


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
    divided: Divided = prepare.restored_division(run.work, parts.task.name, parts.backbone.name)
    parts = dataclasses.replace(parts, task=divided.task, backbone=divided.backbone)
    return Ready(parts, was, divided, split_column, pictures.restored(run, parts, was.table))


def prepare_process(seed: int) -> None:
    """Seed everything."""
    import numpy as np

    torch: Any = require("torch", "training")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
