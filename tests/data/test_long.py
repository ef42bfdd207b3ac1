"""Long tables put together, against pandas."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tunesmith.core.errors import DataError, UnknownNameError, UsageError
from tunesmith.data import long
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.sources import open_source
from tunesmith.recipe import DataRecipe


def rows_of(path: Path, labelled: bool = True, **given: Any) -> tuple[list[tuple[str, dict[str, Any]]], BadRows]:
    recipe, _ = long.filled(DataRecipe(path=[str(path)], **given), "")
    source = open_source(path)
    shape, _ = long.shape_of(source, recipe)
    bad = BadRows()
    return list(long.shaped(source, shape, labelled).parts[0].reader.rows(bad)), bad


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    """Three machines, sorted by time and not by machine; the second one pauses and the third lacks a value."""
    rows = []
    for second in range(10):
        for name in "abc":
            if name == "b" and second in (4, 5):
                continue
            value = "" if name == "c" and second == 2 else second + ord(name)
            rows.append(
                {"machine": name, "sec": second, "x": value, "y": -second, "hall": "north", "state": "ok" if name == "a" else "worn"}
            )
    return written(tmp_path / "machines.csv", rows)


def test_a_series_of_each_machine_whatever_the_order_of_the_rows(machines: Path) -> None:
    found, bad = rows_of(machines, series_id="machine", order="sec", label=["state"])
    assert not bad.total
    assert [where for where, _ in found] == ["a", "b", "c"]
    a, b, c = (row for _, row in found)
    assert json.loads(a["series"]) == [[97 + i for i in range(10)], [-i for i in range(10)]]
    assert json.loads(b["series"])[0] == [98, 99, 100, 101, None, None, 104, 105, 106, 107]
    assert json.loads(c["series"])[0][2] is None
    assert [row["stamps"] for row in (a, b, c)] == ["even", "uneven", "even"]
    assert (a["state"], b["state"], a["hall"], a["sec"]) == ("ok", "worn", "north", "9")


def test_windows_have_the_label_of_their_last_step(tmp_path: Path) -> None:
    rows = [{"t": i, "x": i * i, "activity": "rest" if i < 6 else "run"} for i in range(12)]
    found, _ = rows_of(written(tmp_path / "w.csv", rows), time="t", window=4, stride=2)
    assert [(json.loads(row["series"]), row["activity"]) for _, row in found] == [
        ([(end - 3 + i) ** 2 for i in range(4)], "rest" if end < 6 else "run") for end in range(3, 12, 2)
    ]


def test_different_labels_in_one_series_are_told(tmp_path: Path) -> None:
    rows = [{"id": i // 6, "x": i, "label": "a" if i < 9 else "b"} for i in range(12)]
    found, bad = rows_of(written(tmp_path / "w.csv", rows), series_id="id")
    assert len(found) == 1
    assert "2 different labels in one series" in bad.summary()


def prices(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    rng = np.random.default_rng(0)
    days = pd.bdate_range("2020-01-01", periods=40).strftime("%Y-%m-%d")
    frame = pd.concat(
        pd.DataFrame({"date": days, "close": 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 40))).round(4), "Name": name})
        for name in ("A", "B")
    )
    path = tmp_path / "prices.csv"
    frame.sample(frac=1, random_state=1).to_csv(path, index=False)
    return path, frame


@pytest.mark.parametrize("labelled", [True, False])
def test_directions_are_those_that_pandas_finds(tmp_path: Path, labelled: bool) -> None:
    path, frame = prices(tmp_path)
    found, bad = rows_of(path, labelled, series_id="Name", time="date", direction="close", window=5, horizon=3)
    assert not bad.total
    expected = []
    for name, group in frame.groupby("Name"):
        returns, ahead = np.log(group.close).diff(), group.close.shift(-3)
        for end in range(5, len(group) - (3 if labelled else 0)):
            known = end + 3 < len(group)
            direction = ("up" if ahead.iloc[end] > group.close.iloc[end] else "down") if known else None
            until = group.date.iloc[end + 3] if known else None
            expected.append((name, group.date.iloc[end], direction, until, returns.iloc[end - 4 : end + 1].tolist()))
    assert len(found) == len(expected)
    for (where, row), (name, date, direction, until, returns) in zip(found, expected, strict=True):
        assert where == f"{name} until {date}"
        assert (row["Name"], row["date"], row["direction"], row["until"]) == (name, date, direction, until)
        np.testing.assert_allclose(json.loads(row["series"]), returns, rtol=1e-5)


def test_what_the_recipe_lacks_is_filled_or_asked_for(tmp_path: Path) -> None:
    path, _ = prices(tmp_path)
    recipe, told = long.filled(DataRecipe(series_id="Name", time="date", direction="close", horizon=3), "")
    assert (recipe.purge, recipe.embargo, recipe.label, recipe.inputs) == ("until", "3", ["direction"], ["series"])
    assert {item.flag for item in told} == {"--purge", "--embargo"}
    assert long.filled(DataRecipe(series_id="Name", window=4), "")[0].group == "Name"
    assert long.filled(DataRecipe(time="date", window=60, stride=20), "")[0].embargo == "3"
    assert long.filled(DataRecipe(series_id="Name", time="date"), "series")[0] == DataRecipe(series_id="Name", time="date")
    with pytest.raises(UsageError, match="--time"):
        long.filled(DataRecipe(direction="close"), "")
    with pytest.raises(UsageError, match="overlap"):
        long.filled(DataRecipe(window=4), "")
    with pytest.raises(DataError, match="--series-id"):
        rows_of(path, time="date", direction="close")
    with pytest.raises(UnknownNameError, match="'clse'"):
        rows_of(path, time="date", direction="clse", series_id="Name")


def test_unusable_cells_are_named(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": "a", "t": i, "p": 1 + i % 3} for i in range(12)]
    rows[4]["p"], rows[7]["t"], rows[8]["id"] = 0, "soon", ""
    rows += [{"id": "b", "t": i, "p": 1} for i in range(3)]
    rows += [{"id": "c", "t": 0, "p": "high"}]
    found, bad = rows_of(written(tmp_path / "p.csv", rows), series_id="id", time="t", direction="p", window=3)
    reasons = " | ".join(f"{item.where}: {item.reason}" for item in bad.named)
    for told in (
        "'soon' is neither",
        "which series it is of",
        "not above 0 has no direction",
        "shorter than a window of 4",
        "'high' is no number",
    ):
        assert told in reasons
    assert len(found) == 4  # of 10 usable steps, 3 begin the first window, one has nothing after it, two meet the price of 0
    assert all(len(json.loads(row["series"])) == 3 for _, row in found)
