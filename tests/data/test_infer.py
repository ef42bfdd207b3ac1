"""What columns mean, read off their values; a tie is refused, and every decision tells its reason and flag."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.errors import DataError, UnknownNameError, UsageError
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.column_kinds import kind_of
from tunesmith.data.columns import Column
from tunesmith.data.columns import table as table_of
from tunesmith.data.decisions import Columns
from tunesmith.data.infer import infer
from tunesmith.data.sources import open_source
from tunesmith.data.table import build
from tunesmith.recipe import DataRecipe

N = 60
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "my"]


def _texts() -> list[str]:
    rng = random.Random(0)
    return [f"{' '.join(rng.choices(WORDS, k=5))} {i}" for i in range(N)]


def _infer(tmp_path: Path, columns: dict[str, list[Any]], task: str | None = None, **recipe: Any) -> Columns:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    table, _ = build(open_source(rows), tmp_path / "rows.arrow", BadRows())
    return infer(table, DataRecipe(**recipe), task)


def _cycle(*values: Any) -> list[Any]:
    return [values[i % len(values)] for i in range(N)]


def _told(columns: Columns, what: str) -> tuple[str, str, str]:
    decision = next(d for d in columns.decisions if d.what == what)
    return decision.value, decision.why, decision.flag


def test_label_by_name(tmp_path: Path) -> None:
    found = _infer(tmp_path, {"message": _texts(), "kind": _cycle("x", "y"), "Intent": _cycle("a", "b", "c")})
    assert (found.inputs, found.modality, found.label, found.task) == (["message", "kind"], "fusion", ["Intent"], "classification")
    assert _told(found, "label") == ("Intent", "its name says so", "--label")


def test_label_by_few_values(tmp_path: Path) -> None:
    found = _infer(tmp_path, {"message": _texts(), "id": list(range(N)), "kind": _cycle("x", "y", "z")})
    assert (found.inputs, found.label) == (["message"], ["kind"])
    assert _told(found, "label") == ("kind", "the only column of few different values (3)", "--label")


def test_label_that_two_columns_could_be_is_asked_for(tmp_path: Path) -> None:
    columns = {"message": _texts(), "kind": _cycle("x", "y"), "tone": _cycle(0, 1, 2)}
    with pytest.raises(DataError, match=r"which column is the label\? Columns: message, kind, tone; several could be.*--label"):
        _infer(tmp_path, columns)
    assert _infer(tmp_path, columns, label=["tone"]).label == ["tone"]
    assert _infer(tmp_path, columns, group="kind").label == ["tone"]


def test_no_label(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none is called label, target, class"):
        _infer(tmp_path, {"message": _texts()})


def test_inputs_and_label_as_given(tmp_path: Path) -> None:
    columns = {"title": _texts(), "body": _texts()[::-1], "label": _cycle("a", "b"), "kind": _cycle("x", "y")}
    assert _infer(tmp_path, columns).inputs == ["title", "body", "kind"]
    found = _infer(tmp_path, columns, inputs=["body"], label=["kind"])
    assert (found.inputs, found.label) == (["body"], ["kind"])
    assert _told(found, "label")[1] == "as given"


@pytest.mark.parametrize("named", [{"inputs": ["text", "label"], "label": ["label"]}, {"inputs": ["text", "text"]}])
def test_column_named_twice(tmp_path: Path, named: dict[str, list[str]]) -> None:
    with pytest.raises(DataError, match="is named twice in --inputs and --label"):
        _infer(tmp_path, {"text": _texts(), "label": _cycle("a", "b")}, **named)


@pytest.mark.parametrize("flag", ["inputs", "label", "group", "time"])
def test_unknown_column_is_answered_with_the_nearest(tmp_path: Path, flag: str) -> None:
    value: Any = "mesage" if flag in ("group", "time") else ["mesage"]
    with pytest.raises(UnknownNameError, match=r"no column 'mesage'; did you mean 'message'\? Known: label, message"):
        _infer(tmp_path, {"message": _texts(), "label": _cycle("a", "b")}, **{flag: value})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (_texts(), "text"),
        ([f"p/{i}.JPG" for i in range(N)], "image"),
        ([b"x", None], "image"),
        ([f"p/{i}.WAV" for i in range(N)], "audio"),
        ([b"RIFF\x24\x08\x00\x00WAVEfmt ", None], "audio"),
        ([b"ID3\x03", b"fLaC\x00", b"OggS\x00"], "audio"),
        (["[0.5, 1, -2e3, null]", "[[1, 2], [3, 4]]"], "series"),
        (["ACGTACGTACGTNN", "acgtacgtacgtac"], "dna"),
        (["1", "-2.5e3", None, ""], "number"),
        (["2024-01-31", "2024-02-01T12:00:00"], "date"),
        (_cycle("red", "green"), "category"),
        ([None, ""], "empty"),
        (_cycle("x" * 61, "y"), "text"),
        (["1", "?", "3", "NA", "-", "null"], "number"),
        (["?", "red", "red", "blue", "blue"], "category"),
        ([*map(str, range(99)), "x"], "number"),
        ([*map(str, range(9)), "x"], "text"),
        (["?", "n/a"], "empty"),
        ([f"town {i % 25}" for i in range(N)], "category"),
    ],
)
def test_kinds(values: list[Any], kind: str) -> None:
    assert kind_of(values) == kind


def test_numbers_are_read_beside_texts_and_what_tells_where_a_row_comes_from_is_not(tmp_path: Path) -> None:
    days = [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)]
    asides = {"day": days, "listing": [2 * i + i % 2 for i in range(N)], "speaker": _cycle("ann", "bob"), "batch_id": _cycle(1, 2, 3)}
    columns = {**asides, "same": ["x"] * N, "price": [i + 0.5 for i in range(N)], "text": _texts(), "label": _cycle("a", "b")}
    found = _infer(tmp_path, columns)
    assert (found.inputs, found.modality) == (["text", "price"], "fusion")
    assert found.kinds == {"text": "text", "price": "number"}
    every = {column.name: column for column in found.every}
    assert list(every) == list(columns)
    assert {name: column.use for name, column in every.items()} == {
        **dict.fromkeys([*asides, "same"], "not read"),
        "price": "read",
        "text": "read",
        "label": "label",
    }
    for name, why in {
        "day": "a date says",
        "listing": "counting up",
        "speaker": "--group",
        "batch_id": "comes from",
        "same": "the same",
    }.items():
        assert why in every[name].why
    assert every["price"].why == "numbers, such as '0.5'"
    assert table_of(found.every)[0].split() == ["day", "date", "not", "read", *every["day"].why.split()]
    asked = _infer(tmp_path, columns, inputs=["text", "day", "speaker"])
    assert asked.kinds == {"text": "text", "day": "date", "speaker": "category"}
    only = _infer(tmp_path, {"id": _cycle(7, 9, 4), "text": _texts(), "label": _cycle("a", "b")})
    assert (only.inputs, only.modality) == (["text"], "text")
    other = _infer(tmp_path, columns, modality="text")
    assert (other.inputs, other.modality) == (["text"], "text")


def test_what_a_file_is_like_is_not_read_beside_it(tmp_path: Path) -> None:
    columns = {
        "path": [f"{i}.wav" for i in range(N)],
        "seconds": [i / 7 for i in range(N)],
        "label": _cycle("a", "b"),
        "room": _cycle("x", "y"),
    }
    assert _infer(tmp_path, columns).inputs == ["path", "room"]
    columns["path"] = [f"house {i} is {' '.join(_texts()[i].split()[:3])}" for i in range(N)]
    assert _infer(tmp_path, columns).inputs == ["path", "seconds", "room"]


def test_many_columns_are_told_in_few_lines() -> None:
    lines = table_of([Column(f"c{i}", "number", "read", "") for i in range(100)])
    assert len(lines) == 30
    assert lines[-1] == "and 71 more"


def test_columns_that_name_rows_or_never_change_are_no_inputs(tmp_path: Path) -> None:
    columns = {
        "no": list(range(1, N + 1)),
        "customer_id": [1000 + 7 * (i * i % 997) for i in range(N)],
        "order": [f"A-{i:05d}" for i in range(N)],
        "day": [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(N)],
        "country": ["NZ"] * N,
        "pay": [1000 + 7 * i for i in range(N)],
        "grade": _cycle("1", "?", "3"),
        "label": _cycle("a", "b"),
    }
    found = _infer(tmp_path, columns)
    assert found.kinds == {"day": "date", "pay": "number", "grade": "number"}
    why = _told(found, "inputs")[1]
    assert "no (an identifier: a different whole number in every row, counting up)" in why
    assert "customer_id (an identifier: a different whole number in every row)" in why
    assert "order (an identifier: a different word in every row)" in why
    assert "country (the same in every row)" in why
    assert "grade holds numbers ('?' is read as missing)" in why
    assert _infer(tmp_path, columns, inputs=["no", "country"]).inputs == ["no", "country"]
    assert _infer(tmp_path, {"order": columns["order"], "label": columns["label"]}).inputs == ["order"]


def test_numbers_among_which_some_are_none_are_told(tmp_path: Path) -> None:
    found = _infer(tmp_path, {"pay": [*(str(100 + 3 * i) for i in range(N - 1)), "much"], "label": _cycle("a", "b")})
    assert found.kinds == {"pay": "number"}
    assert f"1 of the first {N} rows hold none, such as 'much'" in _told(found, "inputs")[1]


def test_a_task_without_labels_takes_no_column_for_one(tmp_path: Path) -> None:
    found = _infer(tmp_path, {"age": _cycle(*range(20, 60)), "kind": _cycle("x", "y")}, task="masked_cells")
    assert (found.label, found.modality, found.inputs) == ([], "tabular", ["age", "kind"])
    assert _told(found, "label")[:2] == ("none", "task 'masked_cells' makes it of the inputs")


def test_pictures(tmp_path: Path) -> None:
    columns = {"file": [f"{i}.png" for i in range(N)], "caption": _texts(), "label": _cycle("a", "b")}
    assert _infer(tmp_path, columns, modality="image").inputs == ["file"]
    assert _infer(tmp_path, columns, modality="text").inputs == ["caption"]
    assert _infer(tmp_path, columns).inputs == ["file", "caption"]
    found = _infer(tmp_path, {"image": [b"bytes"] * N, "label": _cycle(0, 1)})
    assert (found.modality, found.inputs, found.task) == ("image", ["image"], "classification")


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no input column was found. Columns: x \(empty\), label \(category\)"):
        _infer(tmp_path, {"x": [None] * N, "label": _cycle("a", "b")})


def test_kinds_are_overruled(tmp_path: Path) -> None:
    columns = {"zip": [str(10000 + i % 7) for i in range(N)], "age": _cycle(*range(20, 70)), "label": _cycle("a", "b")}
    found = _infer(tmp_path, columns, kinds=["zip=category"])
    assert (found.modality, found.kinds) == ("tabular", {"zip": "category", "age": "number"})
    assert _infer(tmp_path, columns, modality="text", inputs=["zip"]).kinds == {"zip": "text"}
    with pytest.raises(UnknownNameError, match="no kind of column 'categorie'; did you mean 'category'"):
        _infer(tmp_path, columns, kinds=["zip=categorie"])
    with pytest.raises(UnknownNameError, match="no column 'zap'"):
        _infer(tmp_path, columns, kinds=["zap=category"])
    with pytest.raises(UsageError, match="COLUMN=KIND"):
        _infer(tmp_path, columns, kinds=["zip"])


@pytest.mark.parametrize(
    ("label", "task"),
    [
        (_cycle("a", "b"), "classification"),
        (_cycle(0, 1), "classification"),
        (_cycle(True, False), "classification"),
        (_cycle(1.0, 2.0, None), "classification"),
        ([i / 7 for i in range(N)], "regression"),
        (list(range(N)), "regression"),
        (_cycle("a|b", "b", "a", "c|a"), "multilabel"),
        (_cycle("a; b", "b", "c"), "multilabel"),
        (_cycle(["a", "b"], ["b"], []), "multilabel"),
    ],
)
def test_task_of_a_label_column(tmp_path: Path, label: list[Any], task: str) -> None:
    assert _infer(tmp_path, {"text": _texts(), "label": label}).task == task


def test_task_as_given_and_of_several_columns(tmp_path: Path) -> None:
    columns = {"text": _texts(), "late": _cycle(0, 1), "broken": _cycle(1, 0, 0)}
    assert _infer(tmp_path, columns, label=["late", "broken"]).task == "multilabel"
    assert _infer(tmp_path, columns, "regression", label=["late"]).task == "regression"


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([None] * N, "label column 'label' is empty in every row"),
        (["a"] * N, r"one class only \('a' in all 60 rows\)"),
        ([f"row {i}" for i in range(N)], "a different value in each of its 60 rows"),
    ],
)
def test_labels_that_teach_nothing(tmp_path: Path, label: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _infer(tmp_path, {"text": _texts(), "label": label})


def test_split_column(tmp_path: Path) -> None:
    columns = {"text": _texts(), "label": _cycle("a", "b", "c"), "Split": _cycle("train", "DEV", "test")}
    found = _infer(tmp_path, columns)
    assert found.split == "Split"
    assert _told(found, "split") == ("column 'Split'", "it holds dev, test, train", "--split 0.8,0.1,0.1")
    assert _infer(tmp_path, columns, split="0.8,0.1,0.1").split is None
    assert _infer(tmp_path, {**columns, "Split": _cycle("A", "B")}).split is None


@pytest.mark.parametrize("name", ["transcript", "text", "Sentence"])
def test_sounds_beside_what_they_say_are_speech(tmp_path: Path, name: str) -> None:
    sounds = [f"{i}.wav" for i in range(N)]
    found = _infer(tmp_path, {"file": sounds, name: _texts(), "seconds": [i / 7 for i in range(N)], "speaker": _cycle("x", "y")})
    assert (found.inputs, found.kinds, found.modality, found.label, found.task) == (["file"], {"file": "audio"}, "audio", [name], "ctc")
    assert "its name says that it is what they say" in _told(found, "label")[1]
    assert f"column '{name}' holds what is said in the sounds" in _told(found, "task")[1]
    assert _told(found, "modality")[1] == "task 'ctc' reads it"


def test_sounds_with_a_label_or_another_task_are_not_taken_for_speech(tmp_path: Path) -> None:
    columns = {"file": [f"{i}.wav" for i in range(N)], "text": _texts(), "label": _cycle("x", "y")}
    assert (_infer(tmp_path, columns).task, _infer(tmp_path, columns).label) == ("classification", ["label"])
    assert _infer(tmp_path, columns, label=["text"]).task == "ctc"
    assert _infer(tmp_path, columns, task="transcription", label=["text"]).task == "transcription"
