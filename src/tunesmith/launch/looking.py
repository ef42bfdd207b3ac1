"""Where a model is weak: scores by slices, and the mistakes it is surest of, with texts and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Row
from tunesmith.core.files import atomic
from tunesmith.core.outcomes import Outcome, Statistic
from tunesmith.core.pictures import read_picture
from tunesmith.core.run import Run
from tunesmith.data.prepare import Read
from tunesmith.data.split import Rows
from tunesmith.evaluate import slices
from tunesmith.launch.outcome import Predicted
from tunesmith.launch.preparing import Ready
from tunesmith.launch.resolve import Parts

SHOWN = 400
"""Characters of a text that are shown."""

THUMBNAIL = 192
DERIVED = " ("
"""What stands between the name of an input column and what was worked out of it."""

MOST_PICTURES = 2000
"""Pictures that are decoded for slices."""


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


def mistakes(run: Run, parts: Parts, was: Read, predicted: Predicted) -> list[dict[str, Any]]:
    """The key `mistakes` of metrics.json; pictures are written into the report's folder. Forecasts are shown by `forecasts`."""
    if parts.task.answers == "series":
        return []
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
                "prediction": next((prediction[key] for key in ("label", "labels", "value") if key in prediction), None),
                "confidence": None if "value" in prediction or "forecast" in prediction else bad,
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
