"""Faults of time points, planted."""

from __future__ import annotations

import dataclasses

import numpy as np
from tests.gate.views import view_of

from tunesmith.core import registry
from tunesmith.core.findings import View
from tunesmith.gate import inspect

SPLITS = ["train"] * 60 + ["validation"] * 20 + ["test"] * 20


def view(**columns: list[str | None]) -> View:
    """Time points of these columns, as the table holds them."""
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    made = view_of(rows, dict.fromkeys(columns, "series"), SPLITS, np.zeros(100))
    return dataclasses.replace(made, columns=tuple(columns), answers="series", label=("load",))


def noise(level: float = 0.0) -> list[str | None]:
    return [f"{level + value:.3f}" for value in np.random.default_rng(0).normal(0, 1, 100)]


def test_good_points_have_nothing_wrong() -> None:
    assert registry.create("inspections", "time_points", {}).inspect(view(load=noise(), heat=noise(5))) == []


def test_planted_faults_are_named_and_counted() -> None:
    moved = [f"{float(value or 0) + (4.0 if at >= 80 else 0.0)}" for at, value in enumerate(noise())]
    gaps = [None if at % 4 == 0 else value for at, value in enumerate(noise())]
    found = {item.name: item for item in inspect(view(load=moved, heat=gaps, flat=["7"] * 100), ["time_points"]).findings}
    assert set(found) == {"constant_series", "missing_numbers", "moved_level"}
    assert "'flat' holds the same number" in found["constant_series"].what
    assert (found["missing_numbers"].count, found["missing_numbers"].of, found["missing_numbers"].severity) == (15, 60, "warning")
    assert "heat (25.0%)" in found["missing_numbers"].what
    assert "load by +" in found["moved_level"].what
    assert "flat" not in found["moved_level"].what


def test_inspections_of_rows_that_stand_alone_are_skipped() -> None:
    skipped = inspect(view(load=noise())).skipped
    assert {"balance", "duplicates", "giveaway", "label_noise", "series", "shift"} <= set(skipped)
    assert "not for series" in skipped["duplicates"]
