"""What follows training: predictions of the test split, what the bundle says of itself, checks, cost."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from tunesmith.core import bundle as bundles
from tunesmith.core import run as runs
from tunesmith.core.arrays import Outputs
from tunesmith.core.contracts import Metrics, Prediction, Row, Task
from tunesmith.core.kinds import EXAMPLE
from tunesmith.core.model import Model
from tunesmith.core.outcomes import Outcome
from tunesmith.core.run import Run
from tunesmith.core.spending import Spent
from tunesmith.data.prepare import Divided
from tunesmith.data.ready import AnyRows
from tunesmith.data.split import Rows
from tunesmith.evaluate import streaming
from tunesmith.evaluate.chance import no_better
from tunesmith.evaluate.transcripts import edits, row_wer
from tunesmith.launch import features, training
from tunesmith.launch.estimate import peak_memory
from tunesmith.launch.evidence import Evidence
from tunesmith.launch.preparing import Ready
from tunesmith.launch.resolve import Parts

RELOAD_ROWS = 32
MISTAKES = 12


def _rows(rows: AnyRows, numbers: Any) -> Iterator[tuple[int, Row]]:
    yield from zip(map(int, numbers), rows.rows(numbers), strict=True)


@dataclass(frozen=True, eq=False)
class Predicted:
    """What came of predicting the test split.

    Attributes:
        outcome: outputs and truth of all rows.
        first: the first rows as the user has them, with their predictions.
        mistakes: the surest wrong predictions, or the largest errors, the worst first: (row number, target, prediction, how bad).
    """

    outcome: Outcome
    first: Sequence[tuple[Row, Prediction]]
    mistakes: Sequence[tuple[int, Any, Prediction, float]]


def predict_split(run: Run, ready: Ready, model: Model, task: Task, metrics: Metrics) -> Predicted:
    """Predict the test split into predictions.parquet."""
    was, rows, divided = ready.was, ready.rows, ready.divided
    numbers = divided.splits["test"]
    first: list[tuple[Row, Prediction]] = []
    worst: list[tuple[float, int, Any, Prediction]] = []
    found: Outputs | None = None
    done = 0
    with streaming.PredictionFile(run.predictions, like=task.example()) as file:
        for window, outputs in streaming.outputs(model, task.predict, _rows(rows, numbers)):
            if found is None:
                found = _room(run, outputs, len(numbers))
            found[done : done + len(window)] = outputs
            done += len(window)
            predictions = task.decode(outputs)
            targets = [divided.targets[number] for number, _ in window]
            metrics.update(predictions, targets)
            for (number, _), prediction, target in zip(window, predictions, targets, strict=True):
                place, where = was.table.origin(number)
                shown = task.shown(target)
                file.write({"row": number, "file": place, "where": where, "target": shown, **prediction})
                bad = _badness(prediction, shown)
                if bad > 0:
                    worst.append((bad, number, shown, prediction))
                if len(first) < RELOAD_ROWS:
                    first.append((ready.given(number), prediction))  # the check decodes pictures itself
            worst = heapq.nlargest(MISTAKES, worst, key=lambda item: (item[0], -item[1]))
    assert found is not None
    outcome = Outcome(numbers, found, features.targets(divided, numbers))
    return Predicted(outcome, first, [(number, target, prediction, bad) for bad, number, target, prediction in worst])


def _room(run: Run, like: Outputs, rows: int) -> Outputs:
    """Room for the outputs of so many rows: on disk, but for those that differ in shape from row to row."""
    if like.dtype == np.object_:
        return np.empty(rows, np.object_)
    found: Outputs = np.lib.format.open_memmap(run.work / "test.npy", "w+", like.dtype, (rows, *like.shape[1:]))
    return found


def _badness(prediction: Prediction, target: Any) -> float:
    """How sure a wrong prediction is, how far a number is off, or the word error rate; 0 where nothing is wrong."""
    if "value" in prediction:
        return abs(float(prediction["value"]) - float(target))
    if "text" in prediction:
        return float(row_wer(edits([str(target)], [prediction["text"]]).words)[0])
    if "forecast" in prediction:
        return off(prediction["forecast"], target)
    if "label" in prediction:
        return 0.0 if prediction["label"] == target else float(prediction.get("probability", 1.0))
    if "labels" not in prediction:  # vectors are neither right nor wrong by themselves
        return 0.0
    said, p = set(prediction["labels"]), prediction["probabilities"]
    return max((p[name] if name in said else 1 - p[name] for name in said ^ set(target)), default=0.0)


def off(forecast: Mapping[str, Sequence[float]], truth: Mapping[str, Sequence[float | None]]) -> float:
    """Mean distance of a forecast from what came, as a share of its size, over columns; 0 where nothing is known.

    Example:
        >>> off({"load": [1.0, 2.0]}, {"load": [1.0, None]})
        0.0
    """
    found = []
    for column, values in truth.items():
        true = np.asarray([np.nan if value is None else value for value in values])
        known = np.isfinite(true)
        if known.any():
            scale = np.abs(true[known]).mean() or 1.0
            found.append(float(np.abs(np.asarray(forecast[column])[known] - true[known]).mean() / scale))
    return float(np.mean(found)) if found else 0.0


def calibrated(model: Model, task: Task, rows: AnyRows, divided: Divided) -> Task:
    """The task with what the validation rows tell of how sure predictions can be."""
    numbers = divided.splits["validation"]
    outputs = np.concatenate([found for _, found in streaming.outputs(model, task.predict, _rows(rows, numbers))])
    return task.calibrated(outputs, features.targets(divided, numbers))


def chance(task: Task, scores: dict[str, Any], constant: dict[str, Any], intervals: dict[str, Any]) -> str | None:
    """The key `chance` of metrics.json: a sentence where one of several classes is told no better than by chance."""
    return no_better(scores, constant, intervals["scores"], intervals["level"]) if task.answers == "classes" else None


@dataclass(frozen=True)
class Shown(Sequence[Any]):
    """Targets of rows as people read them, each made when it is asked for."""

    task: Task
    divided: Divided
    numbers: Rows

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> Shown: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return dataclasses.replace(self, numbers=self.numbers[place])
        return self.task.shown(self.divided.targets[int(self.numbers[place])])


def constant(task: Task, divided: Divided) -> dict[str, Any]:
    """Test scores of the best constant prediction."""
    said = task.baseline(Shown(task, divided, divided.splits["train"]))
    metrics = task.metrics()
    test = divided.splits["test"]
    for start in range(0, len(test), 1024):
        part = [divided.targets[int(number)] for number in test[start : start + 1024]]
        metrics.update([said] * len(part), part)
    return metrics.compute()


def plain(task: Task, predicted: Predicted) -> dict[str, Any]:
    """Test scores by a task that was not calibrated."""
    statistic = task.statistic(predicted.outcome.outputs, predicted.outcome.truth)
    return {**statistic(np.ones(statistic.rows)), "rows": statistic.rows}


def samples(model: Model, task: Task) -> list[tuple[Row, Prediction]]:
    """Made-up inputs with the model's own predictions."""
    rows: list[tuple[None, Row]] = [(None, row) for row in bundles.sample_rows(model.backbone)]
    return [(row, prediction) for _, row, prediction in streaming.predict(model, task, rows)]


def about(parts: Parts) -> dict[str, Any]:
    """What the bundle says of itself, without paths of this machine."""
    inputs = list(parts.backbone.columns)
    example = ", ".join(f'"{spec.column}": {EXAMPLE[spec.kind]}' for spec in parts.backbone.input_spec())
    return {
        "tunesmith": runs.environment()["packages"].get("tunesmith", "unknown"),
        "modality": parts.recipe.data.modality,
        "inputs": inputs,
        "label": ", ".join(parts.recipe.data.label or []),
        "example": "{" + example + "}",
        "backbone": _public(parts.recipe.backbone.name or ""),
        "task": parts.task.name,
        "adapter": parts.recipe.adapter.name,
    }


def _public(source: str) -> str:
    """A source without the folders of the machine that trained."""
    return Path(source).name if Path(source).is_dir() else source


def cost(trained: training.Trained, features_seconds: float, seconds: float) -> dict[str, Any]:
    """Seconds (of what is frozen, of the steps, of all), steps, parameters, peak memory in GB (of training, and in all), device."""
    parameters = list(trained.model.parameters())
    return {
        "features_seconds": round(features_seconds, 3),
        "train_seconds": round(trained.progress.seconds, 3),
        "total_seconds": round(seconds, 3),
        "steps": trained.progress.step,
        "epochs": trained.progress.epoch,
        "stopped": trained.progress.stop,
        "parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": trained.trainable,
        "train_peak_memory_gb": round(trained.peak_memory / 2**30, 3),
        "peak_memory_gb": round(peak_memory() / 2**30, 3),
        "device": str(trained.device),
    }


def spent(known: Evidence, used: Spent) -> dict[str, Any]:
    """What was spent on training, in energy, and on proving what it is worth, in seconds."""
    seconds = {f"{name}_seconds": round(value, 3) for name, value in known.seconds.items()}
    return {"proof": seconds, "energy_wh": round(used.watt_hours, 5), "energy_source": used.energy_source}
