"""What is found in series in which something is missing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from tests.gate.views import divided, view_of

from tunesmith.core.findings import Finding
from tunesmith.core.series import to_cell
from tunesmith.gate import inspect


def looked(values: list[np.ndarray], **beside: Any) -> dict[str, Finding]:
    rows = [{"series": to_cell(one), "label": "a", **{name: cells[i] for name, cells in beside.items()}} for i, one in enumerate(values)]
    view = view_of(rows, {"series": "series", **dict.fromkeys(beside, "category")}, divided(len(rows)), [0] * len(rows), ["a"])
    return {finding.name: finding for finding in inspect(view, ["series"]).findings}


def waves(count: int = 200) -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(count, 2, 40)))


def test_clean_series_are_clean() -> None:
    assert looked(waves()) == {}


def test_each_fault_is_found_with_its_count_and_place() -> None:
    values = waves()
    for place in (3, 50):
        values[place] = np.full((2, 40), 0.1) + 1e-9 * values[place]
    values[7][:, :20] = np.nan
    values[9] = values[9][:, :5]
    found = looked(values, stamps=["uneven" if i < 60 else "even" for i in range(200)])
    assert {name: (item.count, item.of) for name, item in found.items()} == {
        "constant_series": (2, 200),
        "many_gaps": (1, 200),
        "short_series": (1, 200),
        "uneven_moments": (60, 200),
    }
    assert {example.row for example in found["constant_series"].examples} == {3, 50}
    assert found["constant_series"].severity == "warning"
    assert found["short_series"].severity == "info"
    assert "5 at least, where the median is 40" in found["short_series"].what


def test_a_channel_that_never_changes_is_named() -> None:
    values = waves()
    for one in values:
        one[1] = 3.0
    assert "number 2" in looked(values)["constant_channels"].what


def test_columns_that_are_steps_are_a_series() -> None:
    rows = [{f"t{i}": str(float(v)) for i, v in enumerate(one[0])} | {"label": "a"} for one in waves(40)]
    rows[2] |= {f"t{i}": "1" for i in range(40)}
    view = view_of(rows, {f"t{i}": "number" for i in range(40)}, divided(40), [0] * 40, ["a"])
    assert [finding.name for finding in inspect(view, ["series"]).findings] == ["constant_series"]
    assert inspect(view_of(rows, {"note": "text"}, divided(40), [0] * 40, ["a"]), ["series"]).skipped == {"series": "there are no series"}
    assert json.loads(to_cell(np.ones((1, 2)))) == [1, 1]
