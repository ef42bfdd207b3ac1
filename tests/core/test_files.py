"""A failed write leaves the old file; names and recipes answer with the nearest ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tunesmith import recipe as recipes
from tunesmith.core import registry
from tunesmith.core.errors import MissingPackageError, OutputError, RecipeError, UnknownNameError, require
from tunesmith.core.files import atomic, disk_errors, sha256, to_json, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(part: Path) -> None:
        part.write_text("half of the n")
        raise RuntimeError

    with pytest.raises(RuntimeError), atomic(path) as part:
        fail(part)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    for text in ("first", "second"):
        with atomic(folder) as part:
            part.mkdir()
            (part / text).write_text(text)
    assert [p.name for p in folder.iterdir()] == ["second"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_full_device_is_said_so() -> None:
    with pytest.raises(OutputError, match=r"the disk is full while writing .* --out"), disk_errors(Path("x")):
        Path("/dev/full").write_text("a" * 100_000)


def test_a_place_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(tmp_path / "file" / "below.txt", "x")


def test_a_missing_input_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path / "out.txt"):
        Path("/nowhere/at/all").read_text()


def test_json_has_no_nan(tmp_path: Path) -> None:
    assert json.loads(to_json({"a": float("nan"), "b": [1.5, float("inf")]})) == {"a": None, "b": [1.5, None]}
    write_json(tmp_path / "a.json", {"ä": Path("x")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"ä": "x"}
    assert sha256(tmp_path / "a.json") == hashlib.sha256((tmp_path / "a.json").read_bytes()).hexdigest()


def test_names_answer_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"there is no adapter 'lorra'; did you mean 'lora'"):
        registry.find("adapters", "lorra")
    assert registry.find("adapters", "Last-K").name == "last_k"
    with pytest.raises(UnknownNameError, match="option of adapter 'lora' called 'rnk'; did you mean 'rank'"):
        registry.create("adapters", "lora", {"rnk": 3})
    with pytest.raises(RecipeError, match="field 'rank' must be at least 1"):
        registry.create("adapters", "lora", {"rank": 0})
    with pytest.raises(RecipeError, match="field 'rank': input should be a valid integer"):
        registry.create("adapters", "lora", {"rank": "many"})


def test_presets_set_fields() -> None:
    assert registry.create("adapters", "dora", {}).decomposed is True
    assert registry.create("adapters", "dora", {"rank": 4}).rank == 4


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'tunesmith\[images\]'"):
        require("timm", "timm backbones")


def test_a_recipe_goes_through_yaml_unchanged(tmp_path: Path) -> None:
    made = recipes.from_plain({"adapter": {"name": "lora", "rank": 4}, "data": {"label": ["a"]}, "training": {"lr": 1e-5}, "seed": 3})
    path = tmp_path / "r.yaml"
    path.write_text(recipes.to_yaml(made))
    assert recipes.from_plain(recipes.read_yaml(path)) == made
    assert made.training.lr == 1e-5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {"group": "a", "time": "b"}}, "fields 'group' and 'time' exclude each other"),
        ({"scratch": True, "weights": "x"}, "fields 'scratch' and 'weights' exclude each other"),
        ({"training": {"batch_size": 2, "accumulate": 4}}, r"field 'accumulate' \(4\) is larger than field 'batch_size' \(2\)"),
        ({"training": {"epochs": 0}}, "field 'epochs' must be at least 1"),
        ({"data": {"split": "1,2"}}, "three positive shares"),
        ({"data": {"split": "nan,1,1"}}, "three positive shares"),
        ({"data": 5}, "recipe part 'data' is a mapping"),
        ({"adapter": 5}, "'adapter' is a name or a mapping"),
    ],
)
def test_contradictions_name_their_fields(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.from_plain(values)


def test_an_unknown_field_answers_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'epoch'; did you mean 'epochs'"):
        recipes.from_plain({"training": {"epoch": 3}})
    with pytest.raises(UnknownNameError, match="'adaptor'; did you mean 'adapter'"):
        recipes.from_plain({"adaptor": "lora"})
