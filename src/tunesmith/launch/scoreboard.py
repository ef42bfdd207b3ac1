"""The scoreboard: what adapting scored and cost, beside cheap ways and other adapters on the same test rows, and whether it was worth it.

Every contender gives outputs for the same rows, and goes through the same decoding, scores, intervals and comparison.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tunesmith import recipe as recipes
from tunesmith.core.contracts import Task
from tunesmith.core.files import read_json, write_text
from tunesmith.core.outcomes import Outcome, Statistic
from tunesmith.core.run import Run
from tunesmith.core.spending import Spent
from tunesmith.evaluate import intervals, paired
from tunesmith.evaluate.paired import Contender, Verdict
from tunesmith.launch import console
from tunesmith.launch.evidence import Evidence
from tunesmith.launch.resolve import Parts
from tunesmith.recipe import Choice

GB = 10**9
REPLICATES = 2000


@dataclass(frozen=True, eq=False)
class Adapted:
    """The adapter of this run, as a contender.

    Attributes:
        name: of the adapter.
        test: outputs of the whole test split.
        validation: the metric that decides, of the validation rows.
        spent: training, with features that were computed for it, and predicting the test split.
        learned: numbers that were trained.
        drift: how far the backbone's features moved (1 - CKA); None where they did not, or that is not known.
    """

    name: str
    test: Outcome
    validation: float | None
    spent: Spent
    learned: int
    drift: dict[str, Any] | None


def scored(
    plain: Task, task: Task, found: Evidence, own: Adapted, groups: npt.NDArray[Any] | None, seed: int
) -> tuple[list[dict[str, Any]], Verdict | None]:
    """The keys `scoreboard` and `verdict` of metrics.json.

    Every contender is calibrated by its own predictions of the validation rows, thresholds included, so all are treated alike.

    Args:
        plain: the task as it was before it was calibrated.
        task: the same, calibrated by the adapter's predictions.
        found: what cheap ways said.
        own: the adapter.
        groups: (n,) of the whole test split, where rows belong together.
        seed: decides what is drawn.
    """
    metric, direction = next(iter(task.directions().items()))
    places = np.searchsorted(own.test.numbers, found.rows["test"]) if found.rows else np.arange(len(own.test))
    mine, part = own.test.take(places), None if groups is None else groups[places]
    drawing = (part, seed)
    board = [_entry(task, own.name, "adapter", mine, own.spent, own.learned, drawing) | {"drift": own.drift}]
    contenders = [_contender(task, own.name, "adapter", mine, own.validation, own.spent.seconds, metric)]
    for item in found.tried:
        if item.said is None or item.spent is None:
            board.append({"name": item.name, "kind": "baseline", "skipped": item.skipped})
            continue
        checked = Outcome(found.rows["validation"], plain.outputs(item.said.validation), found.truth["validation"])
        calibrated = plain.calibrated(checked.outputs, checked.truth) if len(checked) else plain
        outcome = Outcome(mine.numbers, plain.outputs(item.said.test), mine.truth)
        line = _entry(calibrated, item.name, "baseline", outcome, item.spent, item.said.learned, drawing)
        board.append(line | {"note": item.said.note})
        validation = _statistic(calibrated, checked) if len(checked) else None
        value = validation(np.ones(validation.rows)).get(metric) if validation is not None else None
        contenders.append(_contender(calibrated, item.name, "baseline", outcome, value, item.spent.seconds, metric))
    board = ranked(board, task)
    if len(contenders) < 2:
        return board, None
    verdict = _verdict(task, contenders, own.name, (metric, direction), mine, part, seed)
    if len(mine) < len(own.test):
        verdict = dataclasses.replace(verdict, sentence=f"{verdict.sentence} (On {len(mine):,} test rows, drawn of {len(own.test):,}.)")
    return board, verdict


def ranked(board: Sequence[dict[str, Any]], task: Task) -> list[dict[str, Any]]:
    """The lines of the scoreboard, the best first and what was left out last."""
    metric, direction = next(iter(task.directions().items()))
    sign = 1 if direction == "max" else -1

    def place(item: dict[str, Any]) -> float:
        score = item.get("scores", {}).get(metric)
        return np.inf if score is None else -sign * float(score)

    return sorted(board, key=place)


def _statistic(task: Task, outcome: Outcome) -> Statistic:
    return task.statistic(outcome.outputs, outcome.truth)


def _entry(
    task: Task, name: str, kind: str, outcome: Outcome, spent: Spent, learned: int, drawing: tuple[npt.NDArray[Any] | None, int]
) -> dict[str, Any]:
    metric = next(iter(task.directions()))
    statistic = _statistic(task, outcome)
    found = intervals.intervals(statistic, statistic.rows, drawing[0], drawing[1], names=[metric])
    return {
        "name": name,
        "kind": kind,
        "metric": metric,
        "rows": len(outcome),
        "scores": statistic(np.ones(statistic.rows)),
        "interval": list(found.scores[metric]) if metric in found.scores else None,
        "seconds": round(spent.seconds, 3),
        "peak_memory_gb": round(spent.peak_bytes / GB, 3),
        "learned": learned,
        "energy_wh": round(spent.watt_hours, 5),
        "energy_source": spent.energy_source,
    }


def _contender(task: Task, name: str, kind: Any, outcome: Outcome, validation: float | None, seconds: float, metric: str) -> Contender:
    statistic = _statistic(task, outcome)
    return Contender(
        name=name,
        kind=kind,
        scored=lambda weights: statistic.many(weights, [metric])[metric],
        test=statistic(np.ones(statistic.rows)).get(metric, float("nan")),
        validation=validation,
        seconds=seconds,
        right=paired.right(task, outcome),
    )


def _verdict(
    task: Task,
    contenders: Sequence[Contender],
    name: str,
    metric: tuple[str, str],
    outcome: Outcome,
    groups: npt.NDArray[Any] | None,
    seed: int,
) -> Verdict:
    statistic = _statistic(task, outcome)
    unit = intervals.units(statistic.rows, groups)
    drawn, method = weightings(statistic, unit, seed)
    return paired.verdict(contenders, name, metric, drawn, method, units=int(unit.max()) + 1)


def weightings(
    statistic: Statistic, unit: npt.NDArray[Any], seed: int
) -> tuple[Iterable[npt.NDArray[np.float64]], Literal["bootstrap", "jackknife"]]:
    """Weightings of rows by which two contenders are compared, and what they are: a bootstrap, or a jackknife of many rows.

    Args:
        statistic: of one of both.
        unit: (rows,) unit that each belongs to.
        seed: decides what is drawn.
    """
    if REPLICATES * max(statistic.work, statistic.rows) > 2 * intervals.MOST_WORK:
        return intervals.left_out(unit, seed, intervals.AT_ONCE), "jackknife"
    return intervals.drawn(unit, REPLICATES, seed, intervals.AT_ONCE), "bootstrap"


def compared(run: Run, parts: Parts) -> list[dict[str, Any]]:
    """Train the other adapters that the recipe names, each by a run of its own in a fresh process; gives their lines of the scoreboard.

    A run that fails is a line that says why.
    """
    return [_compared(run, parts, name) for name in parts.recipe.proof.compare or []]


def _compared(run: Run, parts: Parts, name: str) -> dict[str, Any]:
    folder = run.folder / "compare" / name
    metrics = folder / "metrics.json"
    if not metrics.is_file():
        console.say(f"scoreboard: training with the adapter '{name}' in a process of its own")
        done = subprocess.run(_command(run, parts, name, folder), capture_output=True, text=True, check=False)
        if not metrics.is_file():
            reason = _reason(done)
            console.say(f"warning: the adapter '{name}' could not be trained: {reason}")
            return {"name": name, "kind": "adapter", "skipped": reason}
    line: dict[str, Any] = next(item for item in read_json(metrics)["scoreboard"] if item["kind"] == "adapter")
    return line


def _command(run: Run, parts: Parts, name: str, folder: Path) -> list[str]:
    """Train with another adapter, at its own default rates, or go on with that where it was interrupted."""
    start = [sys.executable, "-m", "tunesmith", "tune", "--json"]
    if (folder / "recipe.yaml").is_file():
        return [*start, "--resume", str(folder)]
    shutil.rmtree(folder, ignore_errors=True)  # it had not begun
    recipe, training = parts.recipe, parts.recipe.training
    others = recipe.proof.compare or []
    limit = f"{recipes.seconds(training.time_limit) / (1 + len(others)):.3f}" if training.time_limit else None
    # levers and readers were chosen for steps of this run's adapter
    training = dataclasses.replace(training, lr=None, head_lr=None, levers=None, workers=None, time_limit=limit)
    proof = dataclasses.replace(recipe.proof, gate=False, scoreboard=False, compare=None)
    changed: dict[str, Any] = {"adapter": Choice(name), "schedule": Choice(), "training": training, "proof": proof}
    file = run.work / f"compare-{name}.yaml"
    write_text(file, recipes.to_yaml(dataclasses.replace(recipe, **changed, allow_failed_checks=True, out=None)))
    return [*start, "--recipe", str(file), "--out", str(folder)]


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    try:
        told: Mapping[str, Any] = json.loads(done.stdout or "{}")
    except json.JSONDecodeError:
        told = {}
    return str(told.get("error") or (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
