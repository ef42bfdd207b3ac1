"""Hands the checks of `evaluate/checks` what they compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.coincidence import by_chance
from tunesmith.core.contracts import Check, Prediction, Row, ScoreTable, Task
from tunesmith.core.kinds import MODALITY
from tunesmith.core.model import Model
from tunesmith.core.run import Run
from tunesmith.data.split import moment
from tunesmith.evaluate import checks as proofs
from tunesmith.launch import training
from tunesmith.launch.preparing import Ready

ACCUMULATED_ROWS = (4, 8)
"""Least and most training rows whose gradients are compared: each takes about four times a prediction, twice."""


@dataclass(frozen=True)
class Scored:
    """What came of the test split.

    Attributes:
        scores: of the split.
        tables: its scores that are more than one number.
        constant: scores of the best constant prediction.
        shown: the first rows as the user has them, with their predictions.
        plain: scores without what was calibrated: a threshold that finds nearly all positives may well score below a constant.
    """

    scores: dict[str, Any]
    tables: list[ScoreTable]
    constant: dict[str, Any]
    shown: Sequence[tuple[Row, Prediction]]
    plain: dict[str, Any]


def checks(run: Run, ready: Ready, trained: training.Trained, tested: Scored, task: Task) -> list[Check]:
    """All that the run proves about itself; the arguments are those of `checks_here`."""
    said = [prediction for _, prediction in tested.shown]
    reloaded = proofs.reloaded(run.bundle, [row for row, _ in tested.shown], said)
    return [*checks_here(run, ready, trained, tested, task), reloaded]


def checks_here(run: Run, ready: Ready, trained: training.Trained, tested: Scored, task: Task) -> list[Check]:
    """What can be proved without a fresh process.

    Args:
        run: its bundle and predictions are written.
        ready: the rows as they were divided, and what was trained, with the task as it was trained.
        trained: the model whose best weights are in it.
        tested: what came of the test split.
        task: as the bundle holds it, calibrated where it can be.
    """
    rows = [row for row, _ in tested.shown]
    count = proofs.affordable(trained.model, rows, of=ready.parts.task.predict)
    scores = {"test": tested.scores, "validation": trained.validation, "constant": tested.constant}
    return [
        *_training_checks(run, ready, trained, count),
        *_prediction_checks(run, ready, trained.model, rows[:count], task),
        proofs.scores_finite(scores, tested.tables, run.predictions, ready.divided.splits["test"]),
        proofs.better_than_constant(tested.plain, tested.constant, next(iter(task.directions().items()))),
    ]


def _training_checks(run: Run, ready: Ready, trained: training.Trained, count: int) -> list[Check]:
    divided = ready.divided
    model, numbers = trained.model, divided.splits["train"][: int(np.clip(count // 3, *ACCUMULATED_ROWS))].tolist()
    some = list(zip(map(ready.given, numbers), map(divided.targets.__getitem__, numbers), strict=True))
    buffers = [name for name, _ in model.named_buffers()]
    return [
        proofs.weights_moved(trained.before, trained.after, trained.names, trained.may_rest, model.added(), buffers),
        proofs.loss_and_gradient(trained.progress),
        proofs.loss_independent_of_accumulation(model, ready.parts.task, some),
        _division_check(ready),
        proofs.head_saved(model, run.bundle, trained.before),
    ]


def _division_check(ready: Ready) -> Check:
    recipe, table, divided = ready.parts.recipe.data, ready.was.table, ready.divided
    marks = {name: divided.marks_of(name) for name in divided.splits}
    groups = times = None
    if recipe.group:
        codes = table.ranks(recipe.group)
        groups = {name: codes[numbers] for name, numbers in divided.splits.items()}
    if column := recipe.time:
        times = {
            name: np.fromiter((moment(row[column], column) for row in table.rows(numbers, [column])), np.float64, len(numbers))
            for name, numbers in divided.splits.items()
        }
    backbone = ready.parts.backbone
    inputs = list(backbone.columns)

    def chance(rows: npt.NDArray[np.integer[Any]]) -> bool:
        return by_chance(lambda: table.rows(divided.splits["train"], inputs), table.rows(rows.tolist(), inputs), inputs)

    table_only = all(MODALITY[spec.kind] == "tabular" for spec in backbone.input_spec())
    return proofs.no_test_row_in_training(divided.splits, marks, table.origin, groups, times, chance if table_only else None)


def _prediction_checks(run: Run, ready: Ready, model: Model, rows: list[Row], task: Task) -> list[Check]:
    """Checks on the first test rows, of which the outputs are computed once for all of them."""
    parts, targets = ready.parts, ready.divided.targets
    numbers = ready.divided.splits["test"][: len(rows)].tolist()
    passed = proofs.outputs_of(model, rows, of=parts.task.one_pass)
    outputs = proofs.outputs_of(model, rows, of=parts.task.predict)
    truth, raws = [targets[number] for number in numbers], [task.raw(ready.rows[number]) for number in numbers]
    return [
        proofs.metrics_independent_of_batch_size(model, rows, passed, parts.task.one_pass),
        proofs.merged_equals_adapted(model, parts.adapter, rows, passed, parts.task.one_pass),
        proofs.labels_in_order(run.bundle, task, outputs, truth, raws),
        proofs.calibration_kept_predictions(parts.task, task, outputs),
    ]
