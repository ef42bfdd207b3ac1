"""A recipe becomes a run in this process, or in the processes that torchrun started.

Of several processes the first prepares the rows, writes everything and reports; the others read what it prepared, train their share of
each batch, and leave.

    prepare -> inspect -> try cheap ways -> train -> calibrate -> evaluate -> judge -> bundle -> check -> report

Until training begins nothing is lost by starting anew; from then on `--resume` goes on at the last checkpoint. What follows training
is done again after an interruption: it is short, and each of its files appears whole or not at all.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith import recipe as recipes
from tunesmith.core import bundle as bundles
from tunesmith.core import registry
from tunesmith.core import run as runs
from tunesmith.core.contracts import Check
from tunesmith.core.errors import UsageError
from tunesmith.core.files import read_json, write_json
from tunesmith.core.model import Model
from tunesmith.core.run import Run
from tunesmith.core.spending import Meter
from tunesmith.data.prepare import Read
from tunesmith.engine import checkpoints
from tunesmith.launch import console, contributions, evidence, judging, outcome, planning, proving, scoreboard, training
from tunesmith.launch.estimate import Estimate
from tunesmith.launch.preparing import Ready, opened, prepare_process, prepared, restored, store
from tunesmith.launch.remembering import remembering
from tunesmith.launch.remembering_parts import remembering_parts
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
    _check_processes(recipe, processes.num_processes)
    if processes.num_processes > 1:
        if recipe.out is None or data is not None:
            raise UsageError("several processes need data from files and a folder that all of them know: name it with --out")
        if not processes.is_main_process:
            processes.wait_for_everyone()
            return _go_on(Run(Path(recipe.out)))
    source = data if data is not None else recipe.data.path
    if data is None and not recipe.data.path:
        raise UsageError("no data was named: give a file, a folder, or a dataset id")
    if data is not None and recipe.proof.compare:
        raise UsageError("compare trains in processes of its own, which cannot read rows in memory: give data from files")
    name = Path(recipe.data.path[0]).stem if recipe.data.path else "rows"
    run = runs.new(recipe.out, name)
    try:
        ready = prepared(recipe, source, run)
        model = opened(ready)
        evidence.gathered(run, ready, model, deadline).save(run.work)
        training.adapted(ready.parts, model)
        if data is not None:
            ready.parts.recipe.data.path = []
        store(run, ready)
    except BaseException:
        _remove_if_empty(run)
        raise
    processes.wait_for_everyone()
    return _run(run, ready, model, None, deadline)


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
        model = training.adapted(ready.parts, opened(ready))
        return planning.plan(ready.parts, model, ready.rows, ready.divided, run.work).expected


def _deadline(recipe: Recipe) -> float | None:
    """When the run is to have ended, by `time.monotonic`; the runs that it is compared with have equal shares of the limit."""
    limit = recipe.training.time_limit
    return None if limit is None else time.monotonic() + recipes.seconds(limit) / (1 + len(recipe.proof.compare or []))


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
    _check_processes(recipe, planning.processes().num_processes)
    ready = restored(run, recipe)
    model = training.adapted(ready.parts, training.opened(ready.parts))
    found = checkpoints.latest(run.checkpoints)
    console.say(f"resuming {run.folder} " + (f"from {found.name}" if found else "from the start: no checkpoint had been written"))
    return _run(run, ready, model, found, deadline)


def _check_processes(recipe: Recipe, processes: int) -> None:
    """Refuse what only one process can do, in all of them and before any work.

    Raises:
        UsageError: with what to do instead.
    """
    if processes == 1:
        return
    if recipe.proof.compare:
        raise UsageError("--compare trains in processes of its own: compare without torchrun")
    if recipe.training.time_limit is not None:
        raise UsageError("--time-limit works in one process: several would not agree on when to stop")
    name = recipe.adapter.name
    if name is not None and registry.create("adapters", name, recipe.adapter.options).penalties() is not None:
        raise UsageError(f"--adapter {name} is fitted in one process; start it without torchrun")


def _announced(run: Run, was: Read, main: bool) -> None:
    """Tell which rows cannot be used, and what reading met."""
    if was.bad.total:
        if main:
            was.bad.write(run.bad_rows)
        console.say(f"warning: {was.bad.summary()} (all of them: {run.bad_rows})")
    for note in was.table.notes:
        console.say(f"note: {note}")


def _run(run: Run, ready: Ready, model: Model, checkpoint: Path | None, deadline: float | None) -> Result | None:
    started = time.perf_counter()
    parts, was, divided, rows = ready.parts, ready.was, ready.divided, ready.rows
    main = planning.processes().is_main_process
    known = evidence.restored(run.work)
    earlier = checkpoints.seconds_of(checkpoint) if checkpoint else 0.0
    _announced(run, was, main)
    with remembering_parts(parts, model, rows, divided, planning.processes(), deadline) as kept:
        planned = training.settled(run, parts, model, rows, divided, deadline)
        with Meter() as meter, remembering(parts, model, rows, divided, planned.bench.device, planned.stand_in) as spared:
            features_seconds = time.perf_counter() - meter.began + kept.seconds
            trained = training.train(run, parts, model, rows, divided, planned, checkpoint)
            if not main:
                return None
            console.say("evaluating on the test split")
            task = outcome.calibrated(model, parts.task, rows, divided)
            test = task.metrics()
            predicted = outcome.predict_split(run, ready, model, task, test)
        judging_began = time.perf_counter()
        contributed = contributions.measured(ready, model, task, predicted.outcome)
    judged = judging.judged(run, ready, trained, task, predicted, known, meter.spent.longer(spared + earlier + kept.seconds + kept.spared))
    judged["modalities"] = contributed
    known.seconds["judging"] = time.perf_counter() - judging_began
    comparing_began = time.perf_counter()
    judged["scoreboard"] = scoreboard.ranked([*judged["scoreboard"], *scoreboard.compared(run, parts)], task)
    if parts.recipe.proof.compare:
        known.seconds["compare"] = time.perf_counter() - comparing_began
    constant, plain = outcome.constant(task, divided), outcome.plain(parts.task, predicted)
    tested = proving.Scored(test.compute(), test.tables(), constant, predicted.first, plain)
    samples = outcome.samples(model, task)
    about = outcome.about(parts) | ({"shape": dataclasses.asdict(was.shape)} if was.shape else {})
    from tunesmith.report import files, page

    name, data = f"{task.name} with {about['backbone']}", Path((parts.recipe.data.path or ["rows"])[0]).stem
    card = partial(files.card, name=name, about=about, test=tested.scores, classes=task.labels(), data=data)
    bundles.save(run.bundle, model=model, task=task, adapter=parts.adapter, about=about, card=card(found=judged), samples=samples)
    console.say("checking the bundle in a fresh process")
    with ThreadPoolExecutor(1) as pool:  # the check waits for a process of its own, while the report is drawn in this one
        checking = pool.submit(proving.checks, run, ready, trained, tested, task)
        report = files.write(run.report, test, trained.progress.history, run.log, trained.monitor[0])
        checks = checking.result()
    metrics = {
        "test": tested.scores,
        "unscored": test.notes(),
        "validation": trained.validation,
        "constant": tested.constant,
        **judged,
        "chance": outcome.chance(task, tested.scores, constant, judged["intervals"]),
        "checks": [dataclasses.asdict(check) for check in checks],
        "expected": dataclasses.asdict(planned.expected),
        "tuning": planned.tuning.plain(),
        "cost": outcome.cost(trained, features_seconds, time.perf_counter() - started - known.seconds.get("compare", 0.0))
        | outcome.spent(known, meter.spent),
        "data": {**{name: len(numbers) for name, numbers in divided.splits.items()}, "bad_rows": was.bad.total, "notes": was.table.notes},
        "backbone": model.backbone.origin(),
        "report": [path.name for path in report],
    }
    bundles.describe(run.bundle, card(found=metrics))
    page.write(run.folder, metrics)
    write_json(run.metrics, metrics)
    shutil.rmtree(run.work)
    return Result(run.folder, metrics, checks)
