"""Views of rows in memory, as inspections get them of a divided table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunesmith.core.findings import SPLITS, View


def view_of(
    rows: Sequence[dict[str, Any]],
    inputs: dict[str, str],
    splits: Sequence[str],
    targets: Any,
    classes: Sequence[str] = (),
    features: Any = None,
) -> View:
    """A view in which row i belongs to `splits[i]`, with `targets[i]` and `features[i]`."""
    places = {split: np.flatnonzero(np.asarray(splits) == split) for split in SPLITS}
    return View(
        columns=(*inputs, "label"),
        inputs=inputs,
        label=("label",),
        group=None,
        time=None,
        splits=places,
        answers="numbers" if not classes else "labels" if np.ndim(targets) == 2 else "classes",
        targets={split: np.asarray(targets)[found] for split, found in places.items()},
        classes=classes,
        read=lambda numbers, columns: (dict(rows[int(number)]) for number in numbers),
        raw=lambda numbers, columns: (dict(rows[int(number)]) for number in numbers),
        origin=lambda number: ("rows.csv", str(number)),
        rows=len(rows),
        features=lambda split: None if features is None else np.asarray(features)[places[split]],
    )


def divided(count: int, seed: int = 0) -> list[str]:
    """Splits of `count` rows at random: 60% training, 20% validation, 20% test."""
    return np.random.default_rng(seed).choice(SPLITS, count, p=[0.6, 0.2, 0.2]).tolist()
