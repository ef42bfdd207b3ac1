"""What the test split says of a trained model, beyond its scores: how sure they are, where they are low, and what they are worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from tunesmith.core.arrays import Floats
from tunesmith.core.contracts import Batch, Task
from tunesmith.core.model import Model
from tunesmith.core.run import Run
from tunesmith.core.spending import Spent
from tunesmith.evaluate import streaming
from tunesmith.evaluate.calibration import abstention
from tunesmith.evaluate.drift import drift
from tunesmith.evaluate.intervals import intervals
from tunesmith.launch import forecasts, looking, scoreboard
from tunesmith.launch.evidence import DRIFT_ROWS, Evidence
from tunesmith.launch.outcome import Predicted
from tunesmith.launch.preparing import Ready
from tunesmith.launch.training import Trained


def judged(run: Run, ready: Ready, trained: Trained, task: Task, predicted: Predicted, found: Evidence, spent: Spent) -> dict[str, Any]:
    """The keys of metrics.json that say what the scores are worth.

    Args:
        run: is given pictures of mistakes.
        ready: the rows, and the recipe.
        trained: the model.
        task: calibrated.
        predicted: the test split.
        found: what was known before training.
        spent: what training and predicting the test split cost.
    """
    parts, whole = ready.parts, predicted.outcome
    seed = parts.recipe.seed
    statistic = task.statistic(whole.outputs, whole.truth)
    groups = ready.groups(whole.numbers)
    sure = task.confidence(whole.outputs)
    name = trained.monitor[0]
    own = scoreboard.Adapted(
        name=parts.adapter.name,
        test=whole,
        validation=trained.validation.get(next(iter(task.directions())), trained.validation.get(name)),
        spent=spent,
        learned=trained.trainable,
        drift=_drift(ready, trained, found),
    )
    board, verdict = scoreboard.scored(parts.task, task, found, own, groups, seed)
    return {
        "intervals": intervals(statistic, statistic.rows, groups, seed).plain(),
        "calibration": task.calibration(whole.outputs, whole.truth, groups),
        "abstention": None if sure is None else abstention(sure, statistic),
        **looking.sliced(ready, whole, statistic, groups),
        "fairness": looking.fair(ready, task, whole),
        "scoreboard": board,
        "verdict": None if verdict is None else verdict.plain(),
        "gate": found.gate,
        "mistakes": looking.mistakes(run, parts, ready.was, predicted),
        "forecasts": forecasts.shown(ready, task, whole),
    }


def _drift(ready: Ready, trained: Trained, found: Evidence) -> dict[str, Any] | None:
    """How far features of test rows moved; None where nothing but the head was trained, or they were not known before."""
    if found.before is None or trained.model.frozen_blocks() is None:
        return None
    numbers = found.rows["test"][:DRIFT_ROWS]

    def pooled(model: Model, batch: Batch) -> Floats:
        vectors = model.backbone.as_it_came().features(model.network, batch["inputs"]).pooled
        assert vectors is not None, "they were known before"
        found: Floats = vectors.float().cpu().numpy()
        return found

    windows = streaming.outputs(trained.model, pooled, enumerate(ready.rows.rows(numbers)))
    return drift(found.before, np.concatenate([after for _, after in windows])).plain()
