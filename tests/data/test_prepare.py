"""From rows to audited splits, with the real text backbone and tasks; counts are worked out by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.core import registry
from tunesmith.core.errors import DataError
from tunesmith.data import prepare
from tunesmith.data.infer import infer
from tunesmith.data.prepare import Divided, Read
from tunesmith.recipe import DataRecipe


def _divide(tmp_path: Path, data: Any, seed: int = 0, **fields: Any) -> tuple[Read, Divided]:
    recipe = DataRecipe(**fields)
    was = prepare.read(recipe, data, tmp_path / "rows.arrow")
    columns = infer(was.table, recipe, None)
    task = registry.create("tasks", columns.task, {"label": columns.label})
    backbone = registry.create("backbones", columns.modality, {"columns": columns.inputs})
    return was, prepare.divide(was, columns.split, recipe, task, backbone, seed)


def _rows(**classes: int) -> list[dict[str, Any]]:
    return [{"text": f"some words about {name} number {i}", "label": name} for name, count in classes.items() for i in range(count)]


def _counts(was: Read, divided: Divided) -> dict[str, dict[str, int]]:
    return {name: dict(sorted(Counter(was.table[int(n)]["label"] for n in rows).items())) for name, rows in divided.splits.items()}


def test_stratified_by_default(tmp_path: Path) -> None:
    was, divided = _divide(tmp_path, _rows(a=40, b=20))
    assert _counts(was, divided) == {"train": {"a": 32, "b": 16}, "validation": {"a": 4, "b": 2}, "test": {"a": 4, "b": 2}}
    assert divided.task.labels() == ["a", "b"]
    assert all(divided.targets[n] == ["a", "b"].index(was.table[n]["label"]) for n in divided.targets)
    assert divided.decisions[0].why == "every class in proportion, drawn by the seed"


def test_given_test_but_no_validation(tmp_path: Path) -> None:
    was, divided = _divide(tmp_path, {"train": _rows(a=40, b=20), "test": _rows(a=3, b=3)})
    assert _counts(was, divided) == {"train": {"a": 36, "b": 18}, "validation": {"a": 4, "b": 2}, "test": {"a": 3, "b": 3}}
    assert {was.table.part(int(n)) for n in divided.splits["test"]} == {1}
    assert "the data came with train and test; validation cut from train" in divided.decisions[0].why


def test_given_split_can_be_overruled(tmp_path: Path) -> None:
    data = {"train": _rows(a=10, b=10), "test": _rows(a=10, b=10)}
    was, divided = _divide(tmp_path, data, split="0.5,0.25,0.25")
    assert _counts(was, divided) == {"train": {"a": 10, "b": 10}, "validation": {"a": 5, "b": 5}, "test": {"a": 5, "b": 5}}
    with pytest.raises(DataError, match="'split' is 'given', but the data has neither"):
        _divide(tmp_path, _rows(a=10, b=10), split="given")


def test_split_column_with_a_value_that_is_no_split(tmp_path: Path) -> None:
    rows = [{**row, "split": ("train", "dev", "test")[i % 3]} for i, row in enumerate(_rows(a=15, b=15))]
    was, divided = _divide(tmp_path, rows)
    assert [len(divided.splits[name]) for name in ("train", "validation", "test")] == [10, 10, 10]
    rows = [{**row, "split": "train"} for row in _rows(a=2600, b=2600)]  # the first values look like a split column
    rows += [{"text": "late", "label": "a", "split": value} for value in ("test", "holdout", None)]
    was, divided = _divide(tmp_path, rows)
    assert len(divided.splits["test"]) == 1
    assert [(item.where, item.reason) for item in was.bad.named] == [
        ("row 5202", "column 'split': 'holdout' is no split; splits are train, validation and test"),
        ("row 5203", "column 'split': None is no split; splits are train, validation and test"),
    ]


@pytest.mark.parametrize("limit", [2, 3, 7, 10, 31, 1000])
def test_limit_is_a_limit(tmp_path: Path, limit: int) -> None:
    was, divided = _divide(tmp_path, _rows(a=33, b=33), limit=limit)
    counts = _counts(was, divided)
    assert sum(counts["train"].values()) == min(limit, 53)  # 53, 7 and 6 of 66
    assert max(counts["train"].values()) - min(counts["train"].values()) <= 1
    assert [sum(counts[name].values()) for name in ("validation", "test")] in ([7, 6], [6, 7])


@pytest.mark.parametrize("limit", [2, 0, -5])
def test_limit_below_the_number_of_classes(tmp_path: Path, limit: int) -> None:
    with pytest.raises(DataError, match=f"--limit {limit} is less than one training row for each of the 3 classes"):
        _divide(tmp_path, _rows(a=10, b=10, c=10), limit=limit)


def test_test_file_without_the_label_column(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(40)))
    (tmp_path / "test.csv").write_text("text\nhello\n")
    with pytest.raises(
        DataError, match=r"no row of test\.csv can be used \(column 'label': the label is missing\); does it have the columns"
    ):
        _divide(tmp_path, [str(tmp_path / "train.csv"), str(tmp_path / "test.csv")])


def test_rare_classes(tmp_path: Path) -> None:
    rows = _rows(a=10, b=10, rare=2, once=1)
    with pytest.raises(DataError, match=r"2 of 4 classes are too small .*: 'once' \(1 row\), 'rare' \(2 rows\); .*--rare-classes drop"):
        _divide(tmp_path, rows)
    was, divided = _divide(tmp_path, rows, rare_classes="drop", max_bad_rows=0)  # what was asked for is no unusable row
    assert divided.task.labels() == ["a", "b"]
    assert (was.bad.total, was.bad.asked) == (3, 3)
    assert {item.where for item in was.bad.named} == {"row 21", "row 22", "row 23"}
    with pytest.raises(DataError, match="1 of 2 classes are too small"):
        _divide(tmp_path, _rows(a=10, rare=2), rare_classes="drop")


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_rows_for_numbers(tmp_path: Path, count: int) -> None:
    rows = [{"text": f"long text {i}", "label": i + 0.5} for i in range(count)]
    with pytest.raises(DataError, match=r"one class only|2 usable rows cannot make train, validation and test"):
        _divide(tmp_path, rows, inputs=["text"])


def test_unknown_label_in_the_test_split_is_a_bad_row(tmp_path: Path) -> None:
    was, divided = _divide(tmp_path, {"train": _rows(a=40, b=20), "test": _rows(a=3, new=1)})
    assert len(divided.splits["test"]) == 3
    assert [(i.where, i.reason) for i in was.bad.named] == [("row 4", "column 'label': label 'new' does not occur in the training rows")]


def test_bad_rows_as_a_share_and_as_a_number(tmp_path: Path) -> None:
    rows = _rows(a=48, b=48)
    rows[0]["text"], rows[1]["text"], rows[2]["label"], rows[3]["label"] = "", "   ", None, "  "
    was, divided = _divide(tmp_path, rows)  # 4 of 96: below 5 %
    assert {item.where: item.reason for item in was.bad.named} == {
        "row 1": "column 'text': the text is empty",
        "row 2": "column 'text': the text is empty",
        "row 3": "column 'label': the label is missing",
        "row 4": "column 'label': the label is missing",
    }
    assert sum(map(len, divided.splits.values())) == 92
    for allowed in (0.03, 3, 0):
        with pytest.raises(DataError, match=f"4 of 96 rows cannot be used, more than --max-bad-rows {allowed:g} allows:\n  rows, row 1"):
            _divide(tmp_path, rows, max_bad_rows=allowed)
    for allowed in (4 / 96, 4, 0.99):
        _divide(tmp_path, rows, max_bad_rows=allowed)


def test_no_usable_row(tmp_path: Path) -> None:
    rows = [{**row, "text": " "} for row in _rows(a=10, b=10)]
    with pytest.raises(DataError, match=r"no usable row is left; 20 row.* column 'text': the text is empty"):
        _divide(tmp_path, rows, inputs=["text"])


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_on_one_side_and_rows_without_one_are_named(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [{**row, "patient": f"p{rng.integers(25)}"} for row in _rows(a=100, b=100)]
    rows[7]["patient"] = None
    was, divided = _divide(tmp_path, rows, seed, group="patient")
    held = [{was.table[int(n)]["patient"] for n in part} for part in divided.splits.values()]
    assert sum(map(len, held)) == len(set.union(*held))
    assert [(item.where, item.reason) for item in was.bad.named] == [("row 8", "column 'patient': the group is missing")]
    assert abs(len(divided.splits["train"]) / 199 - 0.8) < 0.1


def test_time_orders_the_splits(tmp_path: Path) -> None:
    rows = [{**row, "day": f"2024-{1 + (i * 5) % 12:02d}-15"} for i, row in enumerate(_rows(a=60, b=60))]
    rows[3]["day"], rows[4]["day"] = "15.04.2024", None
    was, divided = _divide(tmp_path, rows, time="day")
    days = {name: sorted(str(was.table[int(n)]["day"]) for n in part) for name, part in divided.splits.items()}
    assert days["train"][-1] < days["validation"][0] <= days["validation"][-1] < days["test"][0]
    assert [item.where for item in was.bad.named] == ["row 4", "row 5"]
    assert "neither a number nor a date" in was.bad.named[0].reason


def test_repeated_rows_on_both_sides_are_noted(tmp_path: Path) -> None:
    was, _ = _divide(tmp_path, _rows(a=40, b=40))
    assert was.table.notes == []
    was, divided = _divide(tmp_path, {"train": _rows(a=40, b=40), "validation": _rows(a=3, b=3), "test": _rows(a=2) + _rows(c=0, b=1)})
    assert len(divided.splits["test"]) == 3
    assert was.table.notes[0].startswith("3 of 3 test rows hold the same input as a training row")


def test_long_texts_are_noted(tmp_path: Path) -> None:
    rows = _rows(a=20, b=20)
    rows[5]["text"] = "word " * 20_000
    was, divided = _divide(tmp_path, rows)
    assert sum(map(len, divided.splits.values())) == 40
    assert was.table.notes == [
        "1 row(s): texts longer than 256 tokens, of which the rest is not read (--set backbone.max_length=N reads more)"
    ]


def test_labels_with_spaces_around_are_one_class(tmp_path: Path) -> None:
    rows = _rows(a=10, b=10)
    rows[0]["label"], rows[1]["label"] = " a", "a\t"
    _, divided = _divide(tmp_path, rows)
    assert divided.task.labels() == ["a", "b"]


@pytest.mark.parametrize(("values", "classes"), [((0, 1), ["0", "1"]), ((1.0, 2.0), ["1", "2"]), ((True, False), ["false", "true"])])
def test_classes_that_are_numbers_or_booleans(tmp_path: Path, values: tuple[Any, Any], classes: list[str]) -> None:
    rows = [{"text": f"text {i}", "label": values[i % 2]} for i in range(30)]
    _, divided = _divide(tmp_path, rows)
    assert divided.task.labels() == classes


def test_restored_is_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(40)) + "too,many,cells\n")
    was, divided = _divide(tmp_path, [str(path)])
    stored = json.loads(json.dumps(prepare.facts(was)))
    again = prepare.restored(was.table.path, stored)
    assert [again.table[i] for i in range(40)] == [was.table[i] for i in range(40)]
    assert again.table.origin(3) == ("a.csv", "line 5")
    assert (again.bad.total, again.bad.named[0].where) == (1, "line 42")
    assert len(divided.targets) == 40


def test_a_picture_that_is_in_training_and_test_is_noted_by_its_bytes(tmp_path: Path, checkpoints: Path) -> None:
    """Equal names in two folders are two pictures; equal bytes under two names are one."""
    from PIL import Image

    for split, first in (("train", 0), ("test", 30)):
        for number in range(12):
            folder = tmp_path / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            colour = 0 if split == "test" and number == 0 else first + number
            Image.new("RGB", (8, 8), (colour * 5, 0, 0)).save(folder / f"{number}.png")
    was = prepare.read(DataRecipe(), [str(tmp_path)], tmp_path / "rows.arrow")
    was.table.path_columns = ["image"]
    backbone = registry.create("backbones", "image", {"source": str(checkpoints / "vit")})
    task = registry.create("tasks", "classification", {})
    prepare.divide(was, None, DataRecipe(), task, backbone, 0)
    assert any(note.startswith("1 of 12 test rows hold the same input as a training row") for note in was.table.notes)
