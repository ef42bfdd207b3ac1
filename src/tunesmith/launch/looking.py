"""Where a model is weak: scores by slices, and the mistakes it is surest of, with texts, pictures and spectra of sounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Row, Task
from tunesmith.core.errors import require
from tunesmith.core.files import atomic
from tunesmith.core.kinds import PATHS
from tunesmith.core.outcomes import Outcome, Statistic
from tunesmith.core.pictures import read_picture
from tunesmith.core.run import Run
from tunesmith.core.sounds import outline, read_sound
from tunesmith.core.spectra import log_mel
from tunesmith.data.prepare import Read
from tunesmith.data.split import Rows
from tunesmith.evaluate import fairness, slices
from tunesmith.launch.outcome import Predicted
from tunesmith.launch.preparing import Ready
from tunesmith.launch.resolve import Parts

SHOWN = 400
"""Characters of a text that are shown."""

THUMBNAIL = 192
DERIVED = " ("
"""What stands between the name of an input column and what was worked out of it."""

DECODED = 4096
"""Rows that are decoded at once."""

MOST_PICTURES = 2000
"""Pictures that are decoded for slices."""

HIGHEST_RATE, MOST_SECONDS = 16_000, 10
"""What is shown of a sound: no higher tones, and its beginning."""

RANGE = 14.0
"""Natural logarithms of power (60 decibels) from the loudest place of a spectrum to what is left white."""


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


def fair(ready: Ready, task: Task, outcome: Outcome) -> list[dict[str, Any]] | None:
    """The key `fairness` of metrics.json: groups of the columns that the recipe names; None where it names none."""
    named = ready.parts.recipe.proof.fairness
    if not named:
        return None
    places = {name: place for place, name in enumerate(task.labels())}
    said = np.concatenate(
        [
            np.asarray([places[item["label"]] for item in task.decode(outcome.outputs[start : start + DECODED])], np.int64)
            for start in range(0, len(outcome), DECODED)
        ]
    )
    columns: dict[str, list[Any]] = {name: [] for name in named}
    for row in ready.was.table.rows(outcome.numbers, named):
        for name in named:
            columns[name].append(row[name])
    return fairness.fairness(said, np.asarray(outcome.truth, np.int64), task.labels(), columns, ready.parts.recipe.seed)


def _columns(ready: Ready, numbers: Rows) -> dict[str, list[Any]]:
    """Values of the columns that are no labels; of texts their number of words, of sounds their length, of pictures size and brightness.

    Pictures are not decoded where they are many.
    """
    kinds = {spec.column: spec.kind for spec in ready.parts.backbone.input_spec()}
    table, label = ready.was.table, ready.parts.recipe.data.label or []
    plain = [name for name in table.columns if kinds.get(name) not in PATHS and name not in label]
    found: dict[str, list[Any]] = {}
    for row in table.rows(numbers, plain):
        for name in plain:
            text = kinds.get(name) == "text"
            value = len(str(row[name] or "").split()) if text else row[name]
            found.setdefault(f"{name}{DERIVED}words)" if text else name, []).append(value)
    sounds = [name for name, kind in kinds.items() if kind == "audio"]
    for row in table.rows(numbers, sounds) if sounds else ():
        for name in sounds:
            length = None if row[name] is None else round(outline(row[name], name).seconds, 2)
            found.setdefault(f"{name}{DERIVED}seconds)", []).append(length)
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
        shown = " | ".join(text for column, kind in kinds.items() if (text := _shown(row.get(column), kind)))
        file, where = was.table.origin(number)
        found.append(
            {
                "row": number,
                "file": file,
                "where": where,
                "target": target,
                "prediction": next((prediction[key] for key in ("label", "labels", "value", "text") if key in prediction), None),
                "confidence": None if "value" in prediction or "forecast" in prediction else prediction.get("confidence", bad),
                "shown": shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + "...",
                "picture": _picture(run, row, {column: kind for column, kind in kinds.items() if kind in PATHS}, rank),
            }
        )
    return found


def _shown(value: Any, kind: str) -> str:
    """A cell as a text: of a sound the name of its file; a picture is shown itself."""
    if value is None or kind == "image" or isinstance(value, bytes):
        return ""
    return Path(value).name if kind == "audio" else str(value)


def _picture(run: Run, row: Row, columns: Mapping[str, str], rank: int) -> str | None:
    """Name of a file that shows the row's first picture, or the spectrum of its first sound, small."""
    column = next((name for name in columns if row.get(name) is not None), None)
    if column is None:
        return None
    picture = _spectrum(row[column], column) if columns[column] == "audio" else read_picture(row[column], column)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    run.report.mkdir(parents=True, exist_ok=True)
    path = run.report / f"mistake-{rank:02d}.png"
    with atomic(path) as part:
        picture.save(part, "PNG")
    return path.name


def _spectrum(value: Any, column: str) -> Any:
    """A picture of a sound's spectrum: time from left to right, frequency upwards on the mel scale, dark where it is loud."""
    pillow = require("PIL.Image", "pictures of spectra")
    rate = min(HIGHEST_RATE, outline(value, column).rate)
    levels = log_mel(read_sound(value, column, rate, 0, MOST_SECONDS * rate), rate, THUMBNAIL // 2)
    light = np.interp(levels, (levels.max() - RANGE, levels.max()), (255, 0)).astype(np.uint8)
    return pillow.fromarray(np.ascontiguousarray(light.T[::-1])).resize((THUMBNAIL, THUMBNAIL // 2))
