"""What follows training: predictions of the test split, what the bundle says of itself, checks, cost."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from tunesmith.core import bundle as bundles
from tunesmith.core import run as runs
from tunesmith.core.contracts import Check, Metrics, Prediction, Row, ScoreTable, Task
from tunesmith.core.files import atomic
from tunesmith.core.model import Model
from tunesmith.core.outcomes import Outcome, Statistic
from tunesmith.core.pictures import read_picture
from tunesmith.core.run import Run
from tunesmith.core.spending import Spent
from tunesmith.data.prepare import Divided, Read
from tunesmith.data.ready import AnyRows
from tunesmith.data.split import Rows, moment
from tunesmith.evaluate import checks as proofs
from tunesmith.evaluate import slices, streaming
from tunesmith.launch import features, training
from tunesmith.launch.estimate import peak_memory
from tunesmith.launch.evidence import Evidence
from tunesmith.launch.preparing import Ready
from tunesmith.launch.resolve import Parts

RELOAD_ROWS = 32
MISTAKES = 12
SHOWN = 400
"""Characters of a text that are shown."""

THUMBNAIL = 192
DERIVED = " ("
"""What stands between the name of an input column and what was worked out of it."""

MOST_PICTURES = 2000
"""Pictures that are decoded for slices."""
ACCUMULATED_ROWS = (4, 8)
"""Least and most training rows whose gradients are compared: each takes about four times a prediction, twice."""


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


def predict_split(run: Run, model: Model, task: Task, was: Read, rows: AnyRows, divided: Divided, metrics: Metrics) -> Predicted:
    """Predict the test split into predictions.parquet."""
    numbers = divided.splits["test"]
    first: list[tuple[Row, Prediction]] = []
    worst: list[tuple[float, int, Any, Prediction]] = []
    found: npt.NDArray[np.float32] | None = None
    done = 0
    with streaming.PredictionFile(run.predictions) as file:
        for window, outputs in streaming.outputs(model, _rows(rows, numbers)):
            if found is None:
                found = np.lib.format.open_memmap(run.work / "test.npy", "w+", np.float32, (len(numbers), *outputs.shape[1:]))
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
                    raw = was.table[number]  # the check decodes pictures itself
                    first.append(({c: raw.get(c) for c in model.backbone.columns}, prediction))
            worst = heapq.nlargest(MISTAKES, worst, key=lambda item: (item[0], -item[1]))
    assert found is not None
    outcome = Outcome(numbers, found, features.targets(divided, numbers))
    return Predicted(outcome, first, [(number, target, prediction, bad) for bad, number, target, prediction in worst])


def _badness(prediction: Prediction, target: Any) -> float:
    """How sure a wrong prediction is, or how far a number is off; 0 where nothing is wrong."""
    if "value" in prediction:
        return abs(float(prediction["value"]) - float(target))
    if "label" in prediction:
        return 0.0 if prediction["label"] == target else float(prediction.get("probability", 1.0))
    said, p = set(prediction["labels"]), prediction["probabilities"]
    return max((p[name] if name in said else 1 - p[name] for name in said ^ set(target)), default=0.0)


def mistakes(run: Run, parts: Parts, was: Read, predicted: Predicted) -> list[dict[str, Any]]:
    """The key `mistakes` of metrics.json; pictures are written into the report's folder."""
    kinds = {spec.column: spec.kind for spec in parts.backbone.input_spec()}
    found = []
    for rank, (number, target, prediction, bad) in enumerate(predicted.mistakes, start=1):
        row = was.table[number]
        texts = [str(row[column]) for column, kind in kinds.items() if kind != "image" and row.get(column) is not None]
        shown = " | ".join(texts)
        file, where = was.table.origin(number)
        found.append(
            {
                "row": number,
                "file": file,
                "where": where,
                "target": target,
                "prediction": prediction.get("label", prediction.get("labels", prediction.get("value"))),
                "confidence": None if "value" in prediction else bad,
                "shown": shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + "...",
                "picture": _thumbnail(run, row, [column for column, kind in kinds.items() if kind == "image"], rank),
            }
        )
    return found


def _thumbnail(run: Run, row: Row, columns: Sequence[str], rank: int) -> str | None:
    """Name of a small copy of the row's first picture."""
    column = next((name for name in columns if row.get(name) is not None), None)
    if column is None:
        return None
    picture = read_picture(row[column], column)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    run.report.mkdir(parents=True, exist_ok=True)
    path = run.report / f"mistake-{rank:02d}.png"
    with atomic(path) as part:
        picture.save(part, "PNG")
    return path.name


def calibrated(model: Model, task: Task, rows: AnyRows, divided: Divided) -> Task:
    """The task with what the validation rows tell of how sure predictions can be."""
    numbers = divided.splits["validation"]
    outputs = np.concatenate([found for _, found in streaming.outputs(model, _rows(rows, numbers))])
    return task.calibrated(outputs, features.targets(divided, numbers))


def groups_of(parts: Parts, was: Read, numbers: Rows) -> npt.NDArray[Any] | None:
    """(n,) values that are equal for rows that belong together; None where the recipe names no such column."""
    column = parts.recipe.data.group
    return was.table.ranks(column)[numbers] if column else None


def sliced(ready: Ready, outcome: Outcome, statistic: Statistic, groups: npt.NDArray[Any] | None) -> dict[str, Any]:
    """The keys of metrics.json about slices: scores by the columns that the recipe names, or by those that are worth it."""
    seed, named = ready.parts.recipe.seed, ready.parts.recipe.proof.slices
    places = np.arange(len(outcome))
    if len(outcome) > slices.MOST_ROWS:
        places = np.sort(np.random.default_rng(seed).choice(len(outcome), slices.MOST_ROWS, replace=False))
        statistic, groups = statistic.take(places), None if groups is None else groups[places]
    columns = _columns(ready, outcome.numbers[places])
    chosen = slices.propose(columns) if named is None else [name for name in columns if name.split(DERIVED)[0] in named]
    return slices.by_columns(statistic, {name: columns[name] for name in chosen}, groups, seed).plain()


def _columns(ready: Ready, numbers: Rows) -> dict[str, list[Any]]:
    """Values of the columns that are no labels; of texts their number of words, of pictures (unless they are many) size and brightness."""
    kinds = {spec.column: spec.kind for spec in ready.parts.backbone.input_spec()}
    table, label = ready.was.table, ready.parts.recipe.data.label or []
    plain = [name for name in table.columns if kinds.get(name) != "image" and name not in label]
    found: dict[str, list[Any]] = {}
    for row in table.rows(numbers, plain):
        for name in plain:
            text = kinds.get(name) == "text"
            value = len(str(row[name] or "").split()) if text else row[name]
            found.setdefault(f"{name}{DERIVED}words)" if text else name, []).append(value)
    pictures = [name for name, kind in kinds.items() if kind == "image"] if len(numbers) <= MOST_PICTURES else []
    for row in ready.rows.rows(numbers, pictures) if pictures else ():
        for name in pictures:
            pixels = None if row[name] is None else np.asarray(read_picture(row[name], name))
            bright = None if pixels is None else round(float(pixels.mean()) / 255, 3)
            shape = None if pixels is None else f"{pixels.shape[1]} x {pixels.shape[0]}"
            found.setdefault(f"{name}{DERIVED}brightness)", []).append(bright)
            found.setdefault(f"{name}{DERIVED}size)", []).append(shape)
    return found


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
    shown = {"text": "...", "image": "picture.png"}
    example = ", ".join(f'"{spec.column}": "{shown[spec.kind]}"' for spec in parts.backbone.input_spec())
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


def checks(run: Run, parts: Parts, trained: training.Trained, was: Read, divided: Divided, tested: Scored, task: Task) -> list[Check]:
    """All that the run proves about itself; the arguments are those of `checks_here`."""
    said = [prediction for _, prediction in tested.shown]
    reloaded = proofs.reloaded(run.bundle, [row for row, _ in tested.shown], said)
    return [*checks_here(run, parts, trained, was, divided, tested, task), reloaded]


def checks_here(run: Run, parts: Parts, trained: training.Trained, was: Read, divided: Divided, tested: Scored, task: Task) -> list[Check]:
    """What can be proved without a fresh process.

    Args:
        run: its bundle and predictions are written.
        parts: what was trained, with the task as it was trained.
        trained: the model whose best weights are in it.
        was: what was read.
        divided: the rows as they were divided.
        tested: what came of the test split.
        task: as the bundle holds it, calibrated where it can be.
    """
    rows = [row for row, _ in tested.shown]
    count = proofs.affordable(trained.model, rows)
    scores = {"test": tested.scores, "validation": trained.validation, "constant": tested.constant}
    return [
        *_training_checks(run, parts, trained, was, divided, count),
        *_prediction_checks(run, parts, trained.model, was, divided, rows[:count], task),
        proofs.scores_finite(scores, tested.tables, run.predictions, divided.splits["test"]),
        proofs.better_than_constant(tested.plain, tested.constant, next(iter(task.directions().items()))),
    ]


def _training_checks(run: Run, parts: Parts, trained: training.Trained, was: Read, divided: Divided, count: int) -> list[Check]:
    model, numbers = trained.model, divided.splits["train"][: int(np.clip(count // 3, *ACCUMULATED_ROWS))].tolist()
    some = list(zip(_as_given(was, model, numbers), map(divided.targets.__getitem__, numbers), strict=True))
    buffers = [name for name, _ in model.named_buffers()]
    return [
        proofs.weights_moved(trained.before, trained.after, trained.names, trained.may_rest, model.added(), buffers),
        proofs.loss_and_gradient(trained.progress),
        proofs.loss_independent_of_accumulation(model, parts.task, some),
        _division_check(parts, was, divided),
        proofs.head_saved(model, run.bundle, trained.before),
    ]


def _division_check(parts: Parts, was: Read, divided: Divided) -> Check:
    recipe, table = parts.recipe.data, was.table
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
    return proofs.no_test_row_in_training(divided.splits, marks, table.origin, groups, times)


def _prediction_checks(run: Run, parts: Parts, model: Model, was: Read, divided: Divided, rows: list[Row], task: Task) -> list[Check]:
    """Checks on the first test rows, of which the outputs are computed once for all of them."""
    numbers = divided.splits["test"][: len(rows)].tolist()
    outputs = proofs.outputs_of(model, rows)
    truth, raws = [divided.targets[number] for number in numbers], [task.raw(was.table[number]) for number in numbers]
    return [
        proofs.metrics_independent_of_batch_size(model, rows, outputs),
        proofs.merged_equals_adapted(model, parts.adapter, rows, outputs),
        proofs.labels_in_order(run.bundle, task, outputs, truth, raws),
        proofs.calibration_kept_predictions(parts.task, task, outputs),
    ]


def _as_given(was: Read, model: Model, numbers: Sequence[int]) -> list[Row]:
    """Inputs of rows as the user has them, so that a check decodes pictures itself."""
    return [{column: raw.get(column) for column in model.backbone.columns} for raw in map(was.table.__getitem__, numbers)]


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


def proving(known: Evidence, spent: Spent) -> dict[str, Any]:
    """What was spent on training, in energy, and on proving what it is worth, in seconds."""
    seconds = {f"{name}_seconds": round(value, 3) for name, value in known.seconds.items()}
    return {"proof": seconds, "energy_wh": round(spent.watt_hours, 5), "energy_source": spent.energy_source}
