"""A recipe becomes a run in this process, or in the processes that torchrun started.

Of several processes the first prepares the rows, writes everything and reports; the others read what it prepared, train their share of
each batch, and leave.

    read -> infer -> resolve -> divide -> train -> evaluate -> bundle -> check -> report

Until training begins nothing is lost by starting anew; from then on `--resume` goes on at the last checkpoint. What follows training
is done again after an interruption: it is short, and each of its files appears whole or not at all.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import recipe as recipes
from tunesmith.core import bundle as bundles
from tunesmith.core import run as runs
from tunesmith.core.contracts import Check
from tunesmith.core.errors import UsageError, require
from tunesmith.core.files import read_json, write_json, write_text
from tunesmith.core.model import Model
from tunesmith.core.run import Run
from tunesmith.data import prepare
from tunesmith.data.infer import infer
from tunesmith.data.prepare import Divided, Read
from tunesmith.launch import console, outcome, pictures, planning, training
from tunesmith.launch.estimate import Estimate
from tunesmith.launch.remembering import remembering
from tunesmith.launch.resolve import Parts, resolve
from tunesmith.recipe import Recipe


@dataclass(repr=False)
class Result:
    """A finished run.

    Attributes:
        folder: the run folder.
        metrics: what metrics.json holds.
        checks: what the run proved.
    """

    folder: Path
    metrics: dict[str, Any]
    checks: list[Check]

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics["test"].items() if isinstance(value, float))
        return f"<run {self.folder}: test {scores}; {len(self.checks) - len(self.failed)} of {len(self.checks)} checks passed>"

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""
        return self.folder / "bundle"

    @property
    def failed(self) -> list[Check]:
        """Checks that failed."""
        return [check for check in self.checks if check.status == "failed"]


def launch(recipe: Recipe, data: Any = None) -> Result | None:
    """Run a recipe.

    Args:
        recipe: what is wanted; gaps are filled.
        data: rows in memory; None reads `recipe.data.path`.

    Returns:
        The run; None in all but the first of several processes.

    Raises:
        TunesmithError: see core.errors.
    """
    deadline = _deadline(recipe)
    prepare_process(recipe.seed)
    processes = planning.processes()
    if processes.num_processes > 1:
        if deadline is not None:
            raise UsageError("--time-limit works in one process: several would not agree on when to stop")
        if recipe.out is None or data is not None:
            raise UsageError("several processes need data from files and a folder that all of them know: name it with --out")
        if not processes.is_main_process:
            processes.wait_for_everyone()
            return _go_on(Run(Path(recipe.out)))
    source = data if data is not None else recipe.data.path
    if data is None and not recipe.data.path:
        raise UsageError("no data was named: give a file, a folder, or a dataset id")
    name = Path(recipe.data.path[0]).stem if recipe.data.path else "rows"
    run = runs.new(recipe.out, name)
    try:
        ready = prepared(recipe, source, run)
        if data is not None:
            ready.parts.recipe.data.path = []
        _store(run, ready)
    except BaseException:
        _remove_if_empty(run)
        raise
    processes.wait_for_everyone()
    return _run(run, ready, None, deadline)


def estimate(recipe: Recipe, data: Any = None) -> Estimate:
    """What a run of this recipe would take, without running it; nothing is written.

    Args:
        recipe: what is wanted; gaps are filled.
        data: rows in memory; None reads `recipe.data.path`.
    """
    prepare_process(recipe.seed)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
        run = Run(Path(folder))
        ready = prepared(recipe, data if data is not None else recipe.data.path, run)
        rows = pictures.rows_of(run, ready.parts, ready.was.table)
        return planning.plan(ready.parts, ready.model, rows, ready.divided).expected


@dataclass
class Ready:
    """A recipe without gaps, its rows and its model, before anything is trained."""

    parts: Parts
    model: Model
    was: Read
    divided: Divided
    split_column: str | None


def prepared(recipe: Recipe, source: Any, run: Run) -> Ready:
    """Read, understand and divide the data, and build the model.

    Args:
        recipe: what is wanted; gaps are filled.
        source: what the user brought.
        run: whose folder is given the rows.
    """
    was = prepare.read(recipe.data, source, run.work / "rows.arrow")
    console.say(f"data: {was.described}: {len(was.table)} rows")
    columns = infer(was.table, recipe.data, recipe.task.name)
    was.table.path_columns = [name for name in columns.inputs if columns.kinds[name] == "image"]
    parts = resolve(recipe, columns)
    console.decisions([*columns.decisions, *parts.decisions])
    kept = pictures.kept(parts, was.table)
    divided = prepare.divide(was, columns.split, recipe.data, parts.task, parts.backbone, recipe.seed, kept)
    console.decisions(divided.decisions)
    parts = dataclasses.replace(parts, task=divided.task)
    model = training.build(parts)
    pictures.stored(run, kept)
    training.check_features(model, pictures.rows_of(run, parts, was.table), divided)
    return Ready(parts, model, was, divided, columns.split)


def _deadline(recipe: Recipe) -> float | None:
    """When the run is to have ended, by `time.monotonic`."""
    limit = recipe.training.time_limit
    return None if limit is None else time.monotonic() + recipes.seconds(limit)


def _remove_if_empty(run: Run) -> None:
    """Take away the folder of a run that never began, so that the same command can be given again."""
    shutil.rmtree(run.work, ignore_errors=True)
    for folder in (run.folder, run.folder.parent) if run.folder.parent == Path("runs") else (run.folder,):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def resume(folder: str) -> Result | None:
    """Go on with an interrupted run.

    Returns:
        The run; None in all but the first of several processes.

    Raises:
        UsageError: there is nothing to resume.
    """
    run = runs.existing(folder)
    if run.metrics.is_file():
        console.say(f"the run {folder} is complete; nothing is left to do")
        stored = read_json(run.metrics)
        return Result(run.folder, stored, [Check(**item) for item in stored["checks"]])
    return _go_on(run)


def _go_on(run: Run) -> Result | None:
    """Train by what a run folder holds, from its last checkpoint where there is one."""
    recipe = recipes.from_plain(recipes.read_yaml(run.recipe))
    deadline = _deadline(recipe)
    prepare_process(recipe.seed)
    was, split_column = _restored(run)
    columns = dataclasses.replace(infer(was.table, recipe.data, recipe.task.name), split=split_column)
    parts = resolve(recipe, columns)
    divided = prepare.restored_division(run.work, parts.task.name)
    parts = dataclasses.replace(parts, task=divided.task)
    model = training.build(parts)
    from tunesmith.engine.checkpoints import latest

    found = latest(run.checkpoints)
    console.say(f"resuming {run.folder} " + (f"from {found.name}" if found else "from the start: no checkpoint had been written"))
    return _run(run, Ready(parts, model, was, divided, split_column), found, deadline)


def prepare_process(seed: int) -> None:
    """Seed everything."""
    import numpy as np

    torch: Any = require("torch", "training")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _store(run: Run, ready: Ready) -> None:
    """Write what a resumed run needs, recipe last: its presence says that there is something to resume."""
    write_json(run.work / "data.json", {**prepare.facts(ready.was), "split_column": ready.split_column})
    prepare.store_division(ready.divided, run.work)
    write_json(run.folder / "environment.json", runs.environment())
    write_text(run.recipe, recipes.to_yaml(dataclasses.replace(ready.parts.recipe, out=None)))


def _restored(run: Run) -> tuple[Read, str | None]:
    stored = read_json(run.work / "data.json")
    return prepare.restored(run.work / "rows.arrow", stored), stored["split_column"]


def _run(run: Run, ready: Ready, checkpoint: Path | None, deadline: float | None) -> Result | None:
    started = time.perf_counter()
    parts, was, divided = ready.parts, ready.was, ready.divided
    main = planning.processes().is_main_process
    if was.bad.total:
        if main:
            was.bad.write(run.bad_rows)
        console.say(f"warning: {was.bad.summary()} (all of them: {run.bad_rows})")
    for note in was.table.notes:
        console.say(f"note: {note}")
    rows = pictures.rows_of(run, parts, was.table)
    planned = training.settled(run, parts, ready.model, rows, divided, deadline)
    test = parts.task.metrics()
    began = time.perf_counter()
    with remembering(run, parts, ready.model, rows, divided, planned.bench.device, planned.remembers):
        features_seconds = time.perf_counter() - began
        trained = training.train(run, parts, ready.model, rows, divided, planned, checkpoint)
        if not main:
            return None
        console.say("evaluating on the test split")
        shown = outcome.predict_split(run, trained.model, parts.task, was, rows, divided, test)
    scores = test.compute()
    constant = outcome.constant(parts.task, divided)
    samples = outcome.samples(trained.model, parts.task)
    about = outcome.about(parts)
    from tunesmith.report import files

    text = files.card(name=f"{parts.task.name} with {about['backbone']}", about=about, test=scores, classes=parts.task.labels())
    bundles.save(run.bundle, model=trained.model, task=parts.task, adapter=parts.adapter, about=about, card=text, samples=samples)
    console.say("checking the bundle in a fresh process")
    with ThreadPoolExecutor(1) as pool:  # the check waits for a process of its own, while the report is drawn in this one
        tested = outcome.Scored(scores, test.tables(), constant, shown)
        checking = pool.submit(outcome.checks, run, parts, trained, was, divided, tested, parts.task)
        report = files.write(run.report, test, trained.progress.history, run.log, trained.monitor[0])
        checks = checking.result()
    metrics = {
        "test": scores,
        "validation": trained.validation,
        "constant": constant,
        "checks": [dataclasses.asdict(check) for check in checks],
        "expected": dataclasses.asdict(planned.expected),
        "tuning": planned.tuning.plain(),
        "cost": outcome.cost(trained, features_seconds, time.perf_counter() - started),
        "data": {**{name: len(rows) for name, rows in divided.splits.items()}, "bad_rows": was.bad.total, "notes": was.table.notes},
        "backbone": trained.model.backbone.origin(),
        "report": [path.name for path in report],
    }
    write_json(run.metrics, metrics)
    shutil.rmtree(run.work)
    return Result(run.folder, metrics, checks)
