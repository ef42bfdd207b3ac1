"""Whether the model says the same of a row whatever stands beside it, merged or not, calibrated or not."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tunesmith.core.arrays import Floats, Outputs
from tunesmith.core.contracts import Adapter, Batch, Check, Row, Task
from tunesmith.core.model import Model, to_device
from tunesmith.evaluate.checks._made import TOLERANCE, answer, apart, check, not_applicable

MERGED_TOLERANCE = 1e-4
"""As TOLERANCE; merging rounds once, so a smaller one holds, and an adapter that changed little is still told from a wrong scale."""

MOST_BYTES = 2 * 10**9
"""Bytes of parameters up to which a copy of the model is made."""

SECONDS = 0.1
"""About what one pass over the rows of these checks may take."""

LEAST = 4
FEW = 3
Of = Callable[[Model, Batch], Outputs]


def outputs_of(model: Model, rows: Sequence[Row], batch_size: int | None = None, of: Of | None = None) -> Outputs:
    """(rows, ...) outputs of the model in the mode that predictions are made in.

    Rows stay in their order, so that short texts stand beside long ones: padding that leaks shows here before it does in the stream of
    predictions, which sorts them.

    Args:
        model: its mode is put back.
        rows: usable ones.
        batch_size: rows of a forward pass; None for all of them.
        of: what is asked of the model for a batch, such as `Task.predict`; None for its own outputs.
    """
    import torch

    device, step, before = next(model.parameters()).device, batch_size or len(rows), model.training
    model.eval()
    try:
        with torch.inference_mode():
            encoded = [model.backbone.encode(row) for row in rows]
            parts = [model.backbone.collate(encoded[start : start + step]) for start in range(0, len(rows), step)]
            found = [(of or _own)(model, {"inputs": to_device(part, device)}) for part in parts]
    finally:
        model.train(before)
    return np.concatenate(found)


def _own(model: Model, batch: Batch) -> Outputs:
    found: Floats = model(batch).float().cpu().numpy()
    return found


def affordable(model: Model, rows: Sequence[Row], seconds: float = SECONDS, of: Of | None = None) -> int:
    """How many of the rows the model passes in about so many seconds; at least LEAST, so that there is something to compare."""
    if len(rows) <= LEAST:
        return len(rows)
    outputs_of(model, rows[:1], of=of)  # the first pass of all takes longer
    began = time.perf_counter()
    outputs_of(model, rows[:LEAST], of=of)
    each = (time.perf_counter() - began) / LEAST
    return max(LEAST, min(len(rows), int(seconds / each)))


def metrics_independent_of_batch_size(model: Model, rows: Sequence[Row], outputs: Outputs, of: Of | None = None) -> Check:
    """The model gives the same outputs, and so the same scores, in small batches.

    Args:
        model: the trained model.
        rows: held-out rows.
        outputs: (rows, ...) what it gave for them in one batch.
        of: what that was asked by, as for `outputs_of`.
    """
    name = "metrics_independent_of_batch_size"
    if len(rows) < 2:
        return not_applicable(name, "one row makes one batch")
    worst = apart(outputs, outputs_of(model, rows, FEW, of))
    told = f"{len(rows)} rows at once and {FEW} at a time: outputs differ by {worst:.2g} (at most {TOLERANCE:g} allowed)"
    return check(name, worst <= TOLERANCE, told)


def merged_equals_adapted(model: Model, adapter: Adapter, rows: Sequence[Row], outputs: Outputs, of: Of | None = None) -> Check:
    """With the adapter folded into the network's own weights the outputs stay the same; tried on a copy.

    Args:
        model: the trained model.
        adapter: what was applied to it.
        rows: held-out rows.
        outputs: (rows, ...) what the adapted model gave for them.
        of: what that was asked by, as for `outputs_of`.
    """
    name = "merged_equals_adapted"
    if not model.added():
        return not_applicable(name, f"{adapter.name} adds nothing to the network's own weights, so there is nothing to fold")
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    if size > MOST_BYTES:
        return not_applicable(name, f"a copy of {size / 1e9:.1f} GB to fold it in would be too large (at most {MOST_BYTES / 1e9:g} GB)")
    folded = copy.deepcopy(model, {id(model.backbone): model.backbone})
    if not adapter.merge(folded):
        return not_applicable(name, f"what {adapter.name} adds cannot be folded into the network's own weights")
    worst = apart(outputs, outputs_of(folded, rows, of=of))
    told = f"{len(rows)} rows, outputs differ by {worst:.2g} (at most {MERGED_TOLERANCE:g} allowed)"
    return check(name, worst <= MERGED_TOLERANCE, told)


def calibration_kept_predictions(plain: Task, calibrated: Task, outputs: Outputs) -> Check:
    """Calibration changed how sure predictions are, and none of them.

    Args:
        plain: the task as it was trained.
        calibrated: what `Task.calibrated` made of it.
        outputs: (rows, outputs) of test rows.
    """
    name = "calibration_kept_predictions"
    was, now = plain.settings(), calibrated.settings()
    changed = sorted(key for key in now if now[key] != was.get(key))
    if not changed:
        return not_applicable(name, "nothing was calibrated")
    if any(key.startswith("threshold") for key in changed):
        return not_applicable(name, "a recall or a cost was asked for, and the threshold that keeps it changes predictions on purpose")
    pairs = zip(plain.decode(outputs), calibrated.decode(outputs), strict=True)
    other: list[Any] = [(answer(one), answer(two)) for one, two in pairs if answer(one) != answer(two)]
    if other:
        return check(name, False, f"{len(other)} of {len(outputs)} predictions changed, for example {other[0][0]!r} to {other[0][1]!r}")
    return check(name, True, f"{len(outputs)} predictions stayed as they were while {', '.join(changed)} changed")
