"""Tables of time points: steps and gaps, several series, what is wrong with them, and that no window looks ahead."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.core import registry
from tunesmith.core.errors import DataError, UnknownNameError, UsageError
from tunesmith.core.windows import FUTURE, SERIES, START
from tunesmith.data import points, prepare, rolling, stamps
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.infer import infer
from tunesmith.data.prepare import Divided, Read
from tunesmith.data.windows import WindowRows, told
from tunesmith.recipe import DataRecipe

HOUR = 3600.0


def hour(step: int) -> str:
    return (datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=step)).isoformat(sep=" ")


def rows_of(count: int, series: tuple[str, ...] = ("",), start: int = 0) -> list[dict[str, Any]]:
    """Hourly rows; the number says series and step: 1000 a series."""
    return [
        {"when": hour(start + step), "load": str(1000 * at + step), "heat": str(step % 7), **({"site": name} if name else {})}
        for at, name in enumerate(series)
        for step in range(count)
    ]


def windows(tmp_path: Path, rows: list[dict[str, Any]], context: int = 4, horizon: int = 2, **fields: Any) -> tuple[Read, WindowRows]:
    recipe = DataRecipe(**fields)
    was = prepare.read(recipe, rows, tmp_path / "rows.arrow", "series")
    columns = infer(was.table, recipe, "forecasting")
    backbone = registry.create("backbones", "forecaster", {"context": context, "hidden": 4})
    assert columns.windows is not None
    spec = backbone.over(columns.windows).over_time()
    assert spec is not None
    order = recipe.stamps == "order"
    found = points.read(was.table, spec.columns, spec.time, spec.series, tmp_path / "points.npy", was.bad, order=order)
    import dataclasses

    return was, WindowRows(was.table, found, dataclasses.replace(spec, horizon=horizon, step=str(found.step), form=found.form))


def divided(tmp_path: Path, rows: list[dict[str, Any]], context: int = 4, horizon: int = 2, **fields: Any) -> tuple[WindowRows, Divided]:
    was, made = windows(tmp_path, rows, context, horizon, **fields)
    task = registry.create("tasks", "forecasting", {"label": list(made.spec.targets), "horizon": horizon})
    backbone = registry.create("backbones", "forecaster", {"context": context, "hidden": 4}).over(made.spec)
    return made, rolling.divide(was, None, DataRecipe(**fields), task, backbone, 0, made)


def test_a_row_stands_for_the_window_that_ends_there(tmp_path: Path) -> None:
    _, made = windows(tmp_path, rows_of(20), label=["load"], known=["heat"])
    row = made[9]
    assert row["load"].tolist() == [6, 7, 8, 9]
    assert row["heat"].tolist() == [6, 0, 1, 2, 3, 4]  # of the horizon too, as it is known in advance
    assert row[FUTURE].tolist() == [[10], [11]]
    assert made.stamp(row[START]) == hour(10)
    numbers, short = made.usable()
    assert numbers.tolist() == list(range(3, 18))
    assert short == {}
    assert made.given(9)["load"] == [6.0, 7.0, 8.0, 9.0]
    assert told(made.spec, row) == {"stamps": [hour(10), hour(11)]}


def test_series_are_told_apart_and_rows_may_come_in_any_order(tmp_path: Path) -> None:
    rows = rows_of(12, ("b", "a"))
    order = np.random.default_rng(0).permutation(len(rows))
    _, made = windows(tmp_path, [rows[at] for at in order], label=["load"], series_id="site")
    assert made.points.names == ["a", "b"]
    numbers, _ = made.usable()
    assert len(numbers) == 2 * (12 - 4 - 2 + 1)
    for number in numbers.tolist():
        last = rows[order[number]]
        row = made[number]
        assert row[SERIES] == last["site"]
        assert row["load"].tolist() == [float(last["load"]) + step for step in (-3, -2, -1, 0)]
        assert row[FUTURE][:, 0].tolist() == [float(last["load"]) + step for step in (1, 2)]


def test_steps_that_are_absent_count_as_missing(tmp_path: Path) -> None:
    rows = [row for step, row in enumerate(rows_of(20)) if step not in (7, 8)]
    _, made = windows(tmp_path, rows, label=["load"])
    assert made.points.absent == 2
    assert made[7]["load"].tolist()[0] == 6  # row 7 holds step 9
    assert np.isnan(made[7]["load"]).tolist() == [False, True, True, False]
    assert np.isnan(made[5][FUTURE][:, 0]).tolist() == [False, True]
    numbers, _ = made.usable()
    assert 6 not in numbers  # both steps after step 6 are absent, so nothing could be scored
    assert made.given(7)["load"] == [6.0, None, None, 9.0]


@pytest.mark.parametrize(
    ("days", "unit"),
    [
        ([f"2024-{month:02d}-01" for month in range(1, 13)], "1 months"),
        (["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"], "1 months"),
        (["2023-03-31", "2023-06-30", "2023-09-30", "2023-12-31", "2024-03-31"], "3 months"),
        ([str(datetime.date(2024, 1, 1) + datetime.timedelta(days=day)) for day in range(30) if day % 7 < 5 and day != 9], "1 weekdays"),
        ([str(datetime.date(2024, 1, 1) + datetime.timedelta(days=day)) for day in range(30)], "86400 s"),
    ],
)
def test_the_step_is_read_off_the_stamps(tmp_path: Path, days: list[str], unit: str) -> None:
    rows = [{"when": day, "load": str(at)} for at, day in enumerate(days)]
    was = prepare.read(DataRecipe(), rows, tmp_path / "rows.arrow", "series")
    found = points.read(was.table, ["load"], "when", None, tmp_path / "points.npy", was.bad)
    assert str(found.step) == unit
    assert stamps.step(unit) == found.step
    assert [stamps.written(found.form, moment) for moment in found.moments[found.row_of >= 0]] == days
    assert len(found) - len(days) == found.absent == (1 if unit == "1 weekdays" else 0)  # 2024-01-10 is a Wednesday
    first = float(found.moments[0])
    assert [stamps.written(found.form, found.step.after(first, at)) for at in range(len(found))] == [
        stamps.written(found.form, moment) for moment in found.moments
    ]


def test_irregular_stamps_are_counted_and_refused(tmp_path: Path) -> None:
    rows = rows_of(40)
    for step in range(0, 40, 3):
        rows[step]["when"] = (datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=step, minutes=17)).isoformat(sep=" ")
    with pytest.raises(DataError, match=r"irregular: 26 of 39 steps are no multiple of the median step.*--stamps order"):
        windows(tmp_path, rows, label=["load"])
    _, made = windows(tmp_path, rows, label=["load"], stamps="order")
    assert made[9]["load"].tolist() == [6, 7, 8, 9]
    assert told(made.spec, made[9]) == {}


def test_a_stamp_far_away_does_not_make_a_grid_of_nothing(tmp_path: Path) -> None:
    rows = [*rows_of(20), {"when": "2031-01-01 00:00:00", "load": "1", "heat": "1"}]
    with pytest.raises(DataError, match="steps of 1 hour are missing beside 21"):
        windows(tmp_path, rows, label=["load"])


def test_rows_without_use_are_named(tmp_path: Path) -> None:
    rows = rows_of(40)
    rows[5]["when"] = "soon"
    rows[9]["when"] = rows[8]["when"]
    rows[12]["load"] = "many"
    was, made = windows(tmp_path, rows, label=["load"], time="when")
    reasons = " | ".join(f"{bad.where}: {bad.reason}" for bad in was.bad.named)
    assert was.bad.total == 3
    assert "'soon' is neither a number nor a date" in reasons
    assert "occurs twice" in reasons
    assert "'many' is not a number" in reasons
    assert np.isnan(made[13]["load"]).tolist() == [False, False, True, False]
    assert made.points.absent == 2


def test_several_series_without_a_name_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"12 of 24 rows repeat the stamp.*--series-id \(columns: when, load, heat, site\)"):
        windows(tmp_path, rows_of(12, ("a", "b")), label=["load"])


def test_short_series_are_named_and_counted(tmp_path: Path) -> None:
    rows = [*rows_of(60, ("long",)), *rows_of(5, ("brief",))]
    was, made = windows(tmp_path, rows, label=["load"], series_id="site")
    assert made.usable()[1] == {"brief": "it holds 5 points, fewer than context 4 + horizon 2"}
    divided(tmp_path, rows, label=["load"], series_id="site")
    with pytest.raises(DataError, match=r"2 of 2 series too short for a window .*backbone.context"):
        divided(tmp_path, rows, context=70, label=["load"], series_id="site")
    assert was.bad.total == 0


def test_columns_that_stand_still_are_named(tmp_path: Path) -> None:
    rows = [{**row, "flat": "7"} for row in rows_of(60)]
    with pytest.raises(DataError, match=r"1 of 2 columns to forecast hold the same number in the whole training part \(flat\)"):
        divided(tmp_path, rows, label=["load", "flat"])


def test_the_columns_are_understood(tmp_path: Path) -> None:
    rows = [{**row, "note": "calm"} for row in rows_of(30, ("a", "b"))]
    table = prepare.read(DataRecipe(), rows, tmp_path / "rows.arrow", "series").table
    found = infer(table, DataRecipe(series_id="site"), "forecasting")
    assert (found.label, found.inputs, found.modality) == (["load", "heat"], ["load", "heat"], "forecaster")
    assert found.windows is not None
    assert (found.windows.time, found.windows.series) == ("when", "site")
    some = infer(table, DataRecipe(series_id="site", label=["load"], known=["heat"]), "forecasting")
    assert some.windows is not None
    assert (some.label, some.inputs, some.windows.known) == (["load"], ["load", "heat"], ("heat",))
    with pytest.raises(UnknownNameError, match="lod"):
        infer(table, DataRecipe(label=["lod"]), "forecasting")
    with pytest.raises(UsageError, match="--series-id"):
        infer(table, DataRecipe(group="site"), "forecasting")
    with pytest.raises(DataError, match="'note' holds"):
        infer(table, DataRecipe(label=["note"]), "forecasting")
    with pytest.raises(DataError, match="--task forecasting"):
        infer(table, DataRecipe(), None)


def test_splits_follow_one_another_and_no_horizon_crosses(tmp_path: Path) -> None:
    made, found = divided(tmp_path, rows_of(100, ("a", "b")), label=["load"], series_id="site", split="0.6,0.2,0.2")
    ahead = {}
    for name, numbers in found.splits.items():
        ends = made.points.place_of[numbers]
        ahead[name] = (made.points.moments[ends + 1].min(), made.points.moments[ends + 2].max())
    assert ahead["train"][1] < ahead["validation"][0] <= ahead["validation"][1] < ahead["test"][0]
    first = made.points.moments[0]
    assert (ahead["validation"][0], ahead["test"][0]) == (first + 60 * HOUR, first + 80 * HOUR)
    assert {name: len(numbers) for name, numbers in found.splits.items()} == {"train": 2 * 55, "validation": 2 * 19, "test": 2 * 19}
    whole = sorted(int(number) for numbers in found.splits.values() for number in numbers)
    assert whole == found.targets.numbers.tolist()
    assert len(set(whole)) == len(whole)


def test_nothing_that_is_learned_looks_ahead(tmp_path: Path) -> None:
    """What comes after the first cut may be anything: training windows, scales and the measured columns stay as they are."""
    rows = rows_of(100)
    changed = [{**row, "load": "-5000"} if step >= 60 else row for step, row in enumerate(rows)]
    made, one = divided(tmp_path / "one", rows, label=["load"], split="0.6,0.2,0.2")
    other, two = divided(tmp_path / "two", changed, label=["load"], split="0.6,0.2,0.2")
    assert one.splits["train"].tolist() == two.splits["train"].tolist()
    for number in one.splits["train"].tolist():
        for key in ("load", "heat", FUTURE):
            np.testing.assert_array_equal(made[number][key], other[number][key])
    assert one.task == two.task
    assert one.backbone == two.backbone
    assert int(one.splits["validation"][0]) in two.splits["validation"]
    assert made[int(one.splits["validation"][0])][FUTURE].min() == 60  # the first number after the cut


def test_data_that_came_divided_is_kept_so_if_time_allows(tmp_path: Path) -> None:
    names = ["train"] * 60 + ["validation"] * 20 + ["test"] * 20
    rows = [{**row, "split": name} for row, name in zip(rows_of(100), names, strict=True)]

    def cut(rows: list[dict[str, Any]]) -> Divided:
        was, made = windows(tmp_path, rows, label=["load"])
        task = registry.create("tasks", "forecasting", {"label": ["load"], "horizon": 2})
        return rolling.divide(
            was, "split", DataRecipe(label=["load"]), task, registry.create("backbones", "forecaster", {}).over(made.spec), 0, made
        )

    assert [len(numbers) for numbers in cut(rows).splits.values()] == [55, 19, 19]
    rows[10]["split"] = "test"
    with pytest.raises(DataError, match="no later than"):
        cut(rows)


def test_origins_roll_by_the_stride(tmp_path: Path) -> None:
    was, made = windows(tmp_path, rows_of(100), label=["load"])
    task = registry.create("tasks", "forecasting", {"label": ["load"], "horizon": 2, "every": 5})
    found = rolling.divide(
        was, None, DataRecipe(label=["load"]), task, registry.create("backbones", "forecaster", {}).over(made.spec), 0, made
    )
    assert np.diff(found.splits["test"]).tolist() == [5] * (len(found.splits["test"]) - 1)
    blocks = rolling.blocks(made, found.splits["test"])
    assert len(np.unique(blocks)) == len(found.splits["test"])


def test_the_latest_window_ends_where_numbers_end(tmp_path: Path) -> None:
    rows = [*rows_of(10, ("a",)), *rows_of(3, ("b",))]
    rows[9]["load"] = None
    _, made = windows(tmp_path, rows, label=["load"], inputs=[], series_id="site")
    assert made.latest() == ([8], {12: "the series 'b' holds 3 steps; the model reads 4"})
    _, knowing = windows(tmp_path, rows, label=["load"], known=["heat"], series_id="site")
    assert knowing.latest()[1][8] == "the series 'a' goes on for 1 rows after its last number; 'heat' must be told for 2"


def test_reading_the_same_table_again_reports_nothing_twice(tmp_path: Path) -> None:
    was, made = windows(tmp_path, rows_of(20), label=["load"])
    again = points.read(was.table, ["load"], "when", None, tmp_path / "again.npy", BadRows(), step=made.points.step)
    np.testing.assert_array_equal(again.values[:, 0], made.points.values[:, 0])
