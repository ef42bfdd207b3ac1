"""What a finished run proves about itself. Each check is `passed`, `failed`, or `not_applicable` with the reason.

A check compares what happened with what must hold; it never repairs anything.
"""

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
from tunesmith.core.contracts import Check, Prediction, Row
from tunesmith.core.errors import BundleError, require
from tunesmith.core.fitting import Progress
from tunesmith.core.model import Model

TOLERANCE = 1e-3


def check(name: str, passed: bool, detail: str) -> Check:
    """A check that applies."""
    return Check(name, "passed" if passed else "failed", detail)


def weights_moved(before: Mapping[str, int], after: Mapping[str, int], trainable: set[str], may_rest: set[str] | None = None) -> Check:
    """Trainable weights moved, frozen ones did not.

    Args:
        before, after: checksums of all parameters before the first and after the last step.
        trainable: names of those that should move.
        may_rest: those of them that the method itself may leave as they were.
    """
    still = sorted(name for name in trainable - (may_rest or set()) if before[name] == after[name])
    moved = sorted(name for name in before if name not in trainable and before[name] != after[name])
    if still:
        detail = f"{len(still)} of {len(trainable)} trainable tensors did not move, for example {still[0]}"
    elif moved:
        detail = f"{len(moved)} frozen tensors moved, for example {moved[0]}"
    else:
        detail = f"{len(trainable)} trainable tensors moved, {len(before) - len(trainable)} frozen ones did not"
    return check("weights_moved", bool(trainable) and not still and not moved, detail)


def loss_and_gradient(progress: Progress) -> Check:
    """The loss was finite throughout, and gradients were not zero."""
    finite = progress.first_loss is not None and math.isfinite(progress.first_loss)
    detail = f"{progress.step} steps, first loss {progress.first_loss or math.nan:.4g}, largest gradient norm {progress.largest_norm:.3g}"
    return check("loss_finite_gradient_nonzero", finite and progress.largest_norm > 0, detail)


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


def better_than_constant(scores: Mapping[str, Any], constant: Mapping[str, Any], monitor: tuple[str, str]) -> Check:
    """The model scores better than the best constant prediction, by more than one row of the test split could make."""
    name, direction = monitor
    own, other = float(scores[name]), float(constant[name])
    margin = 1 / float(scores["rows"])
    better = own > other + margin if direction == "max" else own < other * (1 - margin)
    return check("better_than_constant", better, f"test {name} {own:.4f}, constant prediction {other:.4f} (margin {margin:.2g})")
