"""Whether the bundle is the model that was trained: its head, its labels, and what a fresh process makes of it."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from tunesmith.core import bundle as bundles
from tunesmith.core import registry
from tunesmith.core.arrays import Outputs
from tunesmith.core.contracts import Check, Prediction, Row, Task
from tunesmith.core.errors import BundleError, RowError, TunesmithError, require
from tunesmith.core.files import read_json
from tunesmith.core.model import Model
from tunesmith.evaluate.checks._made import TOLERANCE, answer, check, named, not_applicable


def head_saved(model: Model, bundle: Path, before: Mapping[str, int]) -> Check:
    """The bundle holds the head as it was trained, not as it started."""
    from safetensors.torch import load_file

    own = model.head.state_dict()
    path = bundle / "head.safetensors"
    if not path.is_file():
        return check("head_saved", False, "head.safetensors is missing from the bundle")
    stored = load_file(path)
    wrong = [n for n in own if n not in stored or not torch.equal(stored[n], own[n].cpu())]
    if wrong:
        return check(
            "head_saved",
            False,
            f"{len(wrong)} of {len(own)} tensors of the head are missing or differ in the bundle, for example {wrong[0]}",
        )
    now = model.fingerprints()
    same = [n for n in now if n.startswith("head.") and now[n] == before.get(n)]
    detail = f"{len(own)} tensors" if not same else f"{same[0]} is what it was before training"
    return check("head_saved", not same, detail)


def labels_in_order(bundle: Path, task: Task, outputs: Outputs, truth: Sequence[Any], raws: Sequence[Any]) -> Check:
    """The bundle's label map is the one that was trained with, and the one of the table.

    It numbers the table's own labels as training did, and where the model is right, the bundle says the table's own label.

    Args:
        bundle: its folder.
        task: as the model is scored with.
        outputs: (rows, outputs) of the model in memory for some test rows.
        truth: (rows,) their targets as training numbered them.
        raws: (rows,) their labels as the table has them, by `Task.raw`.
    """
    name = "labels_in_order"
    if not task.labels():
        return not_applicable(name, f"the task predicts {task.answers}, and names no classes")
    try:
        about = read_json(bundle / "bundle.json")["task"]
        stored: Task = registry.create("tasks", about["name"], about["settings"])
    except (OSError, ValueError, KeyError, TunesmithError) as error:
        return check(name, False, f"the bundle's labels cannot be read: {error}")
    if stored.labels() != task.labels():
        place = next((i for i, pair in enumerate(zip(stored.labels(), task.labels(), strict=False)) if pair[0] != pair[1]), -1)
        told = f"class {place} is {stored.labels()[place]!r} in the bundle and {task.labels()[place]!r} in training" if place >= 0 else ""
        return check(name, False, told or f"the bundle has {len(stored.labels())} labels, training {len(task.labels())}")
    for raw, target in zip(raws, truth, strict=True):
        if _numbered(stored, raw) != target:
            return check(name, False, f"the table's label {raw!r} is {_numbered(stored, raw)} in the bundle and was {target} in training")
    right = [named(task.shown(target)) == answer(said) for target, said in zip(truth, task.decode(outputs), strict=True)]
    said = [answer(prediction) for prediction in stored.decode(outputs)]
    other = [place for place, raw in enumerate(raws) if right[place] and said[place] != named(raw)]
    if other:
        return check(name, False, f"where the model is right, the bundle says {said[other[0]]!r} of a row labelled {raws[other[0]]!r}")
    return check(
        name, True, f"{len(task.labels())} labels; the bundle says the table's own in all {sum(right)} of {len(raws)} rows that are right"
    )


def _numbered(task: Task, raw: Any) -> Any:
    try:
        return task.target(raw)
    except RowError:
        return "unknown"


def differences(first: Any, second: Any) -> float:
    """Largest difference between two plain predictions: of their numbers; infinite where anything else differs.

    Example:
        >>> differences({"label": "a", "p": [0.5]}, {"label": "a", "p": [0.25]})
        0.25
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if set(first) != set(second):
            return math.inf
        return max((differences(first[key], second[key]) for key in first), default=0.0)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        if len(first) != len(second):
            return math.inf
        return max((differences(a, b) for a, b in zip(first, second, strict=True)), default=0.0)
    numbers = isinstance(first, int | float) and isinstance(second, int | float)
    if numbers:
        return float(abs(first - second) / max(1.0, abs(first)))
    return 0.0 if first == second else math.inf


def reloaded(bundle: Path, rows: Sequence[Row], expected: Sequence[Prediction]) -> Check:
    """The bundle, read by a fresh process, predicts what the model in memory does; also in numpy where it has such a form.

    Labels may differ only where their probabilities tie within the tolerance.
    """
    name = "reloaded_predicts_same"
    try:
        runtimes = ["torch", "numpy"] if bundles.load(bundle).light is not None else ["torch"]
        with ThreadPoolExecutor(len(runtimes)) as pool:
            worst = pool.map(lambda runtime: _largest_difference(bundle, rows, expected, runtime), runtimes)
            found = dict(zip(runtimes, worst, strict=True))
    except BundleError as error:
        return check(name, False, str(error))
    told = ", ".join(f"{worst:.2g} in {runtime}" for runtime, worst in found.items())
    return check(name, max(found.values()) <= TOLERANCE, f"{len(rows)} rows, largest difference {told} (at most {TOLERANCE:g} allowed)")


def _largest_difference(bundle: Path, rows: Sequence[Row], expected: Sequence[Prediction], runtime: str) -> float:
    """Between the predictions of a fresh process and those expected.

    Raises:
        BundleError: it did not predict every row.
    """
    arrow = require("pyarrow", "checking the bundle")
    parquet = require("pyarrow.parquet", "checking the bundle")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "rows.parquet", Path(folder) / "predictions.parquet"
        parquet.write_table(arrow.Table.from_pylist([dict(row) for row in rows]), source)
        command = [sys.executable, "-m", "tunesmith", "predict", str(bundle), str(source), "--out", str(target), "--runtime", runtime]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise BundleError(f"a fresh process could not predict with the bundle in {runtime}: {last}")
        found = parquet.read_table(target).to_pylist()
    if len(found) != len(expected):
        raise BundleError(f"a fresh process gave {len(found)} predictions for {len(expected)} rows in {runtime}")
    pairs = zip(found, expected, strict=True)
    return max(_tied({key: given.get(key) for key in wanted}, dict(wanted)) for given, wanted in pairs)


def _tied(given: dict[str, Any], wanted: dict[str, Any]) -> float:
    """Difference of two predictions, forgiving a label that changed because two probabilities tie."""
    numbers = differences(given.get("probabilities", {}), wanted.get("probabilities", {}))
    return numbers if "probabilities" in wanted and numbers <= TOLERANCE else differences(given, wanted)
