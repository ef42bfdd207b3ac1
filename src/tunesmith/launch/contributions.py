"""What each modality contributes: the test rows are predicted again without it, and both predictions are compared row by row.

    test rows --without pictures--> outputs ┐
    test rows -----------------------------┴--> difference of the score, its interval and p       metrics.json, key modalities

That asks what the trained model makes of a gap, so it is fair where the model met gaps in training (the backbone's `modality_dropout`):
`prepared` says whether it did. It does not ask how well a model would do that had never seen the modality.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Floats
from tunesmith.core.contracts import Row, Task
from tunesmith.core.kinds import is_empty
from tunesmith.core.model import Model
from tunesmith.core.outcomes import Outcome
from tunesmith.engine.frozen import Frozen
from tunesmith.evaluate import intervals, paired, streaming
from tunesmith.evaluate.paired import Contender, Difference
from tunesmith.launch.preparing import Ready
from tunesmith.launch.scoreboard import weightings

MOST_ROWS = 5000
"""Test rows that are predicted again; of more some are drawn."""


def measured(ready: Ready, model: Model, task: Task, whole: Outcome) -> list[dict[str, Any]] | None:
    """The key `modalities` of metrics.json; None where the inputs are of one modality.

    Args:
        ready: the rows, and the recipe.
        model: trained.
        task: calibrated.
        whole: outputs of the test split.
    """
    every = model.backbone.modalities()
    if len(every) < 2:
        return None
    places = np.arange(len(whole))
    if len(places) > MOST_ROWS:
        places = np.sort(np.random.default_rng(ready.parts.recipe.seed).choice(places, MOST_ROWS, replace=False))
    rows = list(ready.rows.rows(whole.numbers[places]))
    kinds = {spec.column: spec.kind for spec in model.backbone.input_spec()}
    held = {name: np.asarray([any(not is_empty(row.get(c), kinds[c]) for c in columns) for row in rows]) for name, columns in every.items()}
    found = []
    for name, columns in every.items():
        others = np.any([there for other, there in held.items() if other != name], axis=0)
        line = {
            "name": name,
            "columns": list(columns),
            "kinds": sorted({kinds[c] for c in columns}),
            "rows": int(others.sum()),
            "missing": int((~held[name]).sum()),
        }
        if others.any():
            gaps: list[Row] = [{**row, **dict.fromkeys(columns)} for row, kept in zip(rows, others, strict=True) if kept]
            part = whole.take(places[others])
            line |= _difference(ready, task, part, Outcome(part.numbers, _outputs(model, task, gaps), part.truth))
        found.append({**line, "prepared": _prepared(ready)})
    return found


def _outputs(model: Model, task: Task, rows: list[Row]) -> Floats:
    """Outputs for rows with gaps, which a backbone that remembers whole rows does not know yet."""
    if isinstance(model.backbone, Frozen):
        model.backbone.remember(((row, None) for row in rows), next(model.parameters()).device)
    return np.concatenate([found for _, found in streaming.outputs(model, task.predict, enumerate(rows))])


def _prepared(ready: Ready) -> bool:
    """Whether training left modalities out at random."""
    parts = ready.parts
    return parts.recipe.training.augment and parts.adapter.penalties() is None and parts.backbone.settings().get("modality_dropout", 0) > 0


def _difference(ready: Ready, task: Task, whole: Outcome, without: Outcome) -> dict[str, Any]:
    """Scores with and without, their difference (with minus without), its interval and p."""
    metric = decisive(task)
    one, other = _contender("with", task, whole, metric), _contender("without", task, without, metric)
    groups = ready.groups(whole.numbers)
    unit = intervals.units(len(whole), groups)
    drawn, method = weightings(task.statistic(whole.outputs, whole.truth), unit, ready.parts.recipe.seed)
    sure = paired.compared(one, other, drawn, method, units=int(unit.max()) + 1)
    known = isinstance(sure, Difference)
    return {
        "metric": metric,
        "direction": task.directions()[metric],
        "score": one.test,
        "score_without": other.test,
        "difference": one.test - other.test,
        "interval": [sure.low, sure.high] if isinstance(sure, Difference) else None,
        "p": sure.p if isinstance(sure, Difference) else None,
        "note": "" if known else sure,
    }


def decisive(task: Task) -> str:
    """The score by which modalities are told apart: the first of which more is better, as it is a share of what can be had."""
    directions = task.directions()
    return next((name for name, direction in directions.items() if direction == "max"), next(iter(directions)))


def _contender(name: str, task: Task, found: Outcome, metric: str) -> Contender:
    statistic = task.statistic(found.outputs, found.truth)

    def scored(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return statistic.many(weights, [metric])[metric]

    test = statistic(np.ones(statistic.rows)).get(metric, float("nan"))
    return Contender(name=name, kind="adapter", scored=scored, test=test, validation=None, seconds=0.0, right=paired.right(task, found))
