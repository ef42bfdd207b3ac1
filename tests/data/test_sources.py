"""What a user may bring: files, folders, saved datasets and rows in memory; each comes out as the rows and splits it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from PIL import Image

from tunesmith.core.errors import DataError
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.sources import Source, open_source


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def _csv(path: Path, *texts: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text,label\n" + "".join(f"{text},a\n" for text in texts))
    return str(path)


def _rows(source: Source) -> dict[str | None, list[dict[str, Any]]]:
    bad = BadRows()
    found: dict[str | None, list[dict[str, Any]]] = {}
    for part in source.parts:
        found.setdefault(part.split, []).extend(row for _, row in part.reader.rows(bad))
    assert bad.total == 0
    return found


def _texts(source: Source) -> dict[str | None, list[str]]:
    return {split: [row["text"] for row in rows] for split, rows in _rows(source).items()}


def test_folders_of_splits_with_pictures_per_class(tmp_path: Path) -> None:
    for split, names in {"train": ("cat/1", "dog/2"), "val": ("cat/3",), "test": ("dog/4",), "rest": ("dog/5",)}.items():
        for name in names:
            _picture(tmp_path / split / f"{name}.png")
    (tmp_path / "train" / "fish").mkdir()
    source = open_source(tmp_path)
    found = {split: [row["label"] for row in rows] for split, rows in _rows(source).items()}
    assert found == {"train": ["cat", "dog"], "validation": ["cat"], "test": ["dog"]}
    assert any("rest" in note for note in source.notes)
    assert any("train/fish" in note for note in source.notes)


def test_folder_of_classes_notes_the_empty_one(tmp_path: Path) -> None:
    _picture(tmp_path / "cat" / "1.png")
    _picture(tmp_path / "dog" / "2.png")
    (tmp_path / "fish").mkdir()
    source = open_source(tmp_path)
    assert [row["label"] for row in _rows(source)[None]] == ["cat", "dog"]
    assert [note for note in source.notes if "/fish" in note]


def test_folder_of_named_tables(tmp_path: Path) -> None:
    for name in ("train", "dev", "test", "lexicon"):
        _csv(tmp_path / f"{name}.csv", name)
    source = open_source(str(tmp_path))
    assert _texts(source) == {"train": ["train"], "validation": ["dev"], "test": ["test"]}
    assert "train.csv for train" in source.described
    assert source.notes == ["not used, because the name says no split: lexicon.csv"]


def test_folder_of_shards(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        pd.DataFrame({"text": [name]}).to_parquet((tmp_path / name).with_suffix(".parquet"))
    assert _texts(open_source(tmp_path)) == {
        "train": ["train-00000-of-00002", "train-00001-of-00002"],
        "test": ["test-00000-of-00001"],
    }


def test_folder_with_one_table(tmp_path: Path) -> None:
    _csv(tmp_path / "data" / "messages.csv", "x")
    assert _texts(open_source(tmp_path)) == {None: ["x"]}


def test_folder_with_several_unnamed_tables_is_refused(tmp_path: Path) -> None:
    _csv(tmp_path / "a.csv", "x")
    _csv(tmp_path / "b.csv", "y")
    with pytest.raises(DataError, match=r"holds 2 tables \(a\.csv, b\.csv\) and none is called train"):
        open_source(tmp_path)


def test_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it holds nothing"):
        open_source(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"it holds notes\.txt"):
        open_source(tmp_path)


def test_one_two_and_three_files(tmp_path: Path) -> None:
    paths = [_csv(tmp_path / f"{name}.csv", name) for name in "abcd"]
    assert _texts(open_source(paths[0])) == {None: ["a"]}
    assert _texts(open_source(paths[:2])) == {"train": ["a"], "test": ["b"]}
    assert _texts(open_source(paths[:3])) == {"train": ["a"], "validation": ["b"], "test": ["c"]}
    with pytest.raises(DataError, match="at most three"):
        open_source(paths)
    with pytest.raises(DataError, match="one file was given for two splits"):
        open_source([paths[0], f"{tmp_path}/../{tmp_path.name}/a.csv"])


def test_mapping_of_splits(tmp_path: Path) -> None:
    path = _csv(tmp_path / "a.csv", "c")
    source = open_source({"train": [{"text": "a"}], "dev": pd.DataFrame({"text": ["b"]}), "test": path})
    assert _texts(source) == {"train": ["a"], "validation": ["b"], "test": ["c"]}
    with pytest.raises(DataError, match="no split called 'extra'"):
        open_source({"extra": [{"text": "a"}]})


@pytest.mark.parametrize(("data", "message"), [([], "list of rows is empty"), (7, "no way to read rows from int"), ([1, 2], "from list")])
def test_memory_that_holds_no_rows(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(data)


def test_frame_with_two_columns_of_one_name() -> None:
    with pytest.raises(DataError, match="two columns are called 'text'"):
        open_source(pd.DataFrame([["a", "b"]], columns=["text", "text"]))


@pytest.fixture
def dataset() -> datasets.Dataset:
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "tags": datasets.List(datasets.ClassLabel(names=["big", "small"])),
        }
    )
    pictures = [Image.new("RGB", (4, 3), (n, 0, 0)) for n in range(3)]
    return datasets.Dataset.from_dict(
        {"image": pictures, "text": ["a", "b", "c"], "label": [1, 0, None], "tags": [[0, 1], [], [1]]}, features=features
    )


def _check(rows: list[dict[str, Any]]) -> None:
    import io

    assert [row["text"] for row in rows] == ["a", "b", "c"]
    assert [row["label"] for row in rows] == ["dog", "cat", None]
    assert [row["tags"] for row in rows] == ['["big", "small"]', "[]", '["small"]']
    opened = [Image.open(io.BytesIO(row["image"])) for row in rows]
    assert [picture.size for picture in opened] == [(4, 3)] * 3
    assert [picture.getpixel((0, 0))[0] for picture in opened] == [0, 1, 2]  # type: ignore[index]


def test_dataset_in_memory_and_saved(tmp_path: Path, dataset: datasets.Dataset) -> None:
    _check(_rows(open_source(dataset))[None])
    _check(_rows(open_source(dataset.with_format("numpy")))[None])
    dataset.save_to_disk(str(tmp_path / "one"))
    source = open_source(tmp_path / "one")
    assert "saved Hugging Face dataset" in source.described
    _check(_rows(source)[None])


def test_dataset_dict_in_memory_and_saved(tmp_path: Path, dataset: datasets.Dataset) -> None:
    both = datasets.DatasetDict({"train": dataset, "validation": dataset.select([0]), "test": dataset.select([1])})
    for source in (open_source(both), _saved(both, tmp_path / "both")):
        found = _rows(source)
        _check(found["train"])
        assert [len(found[name]) for name in ("train", "validation", "test")] == [3, 1, 1]
    source = _saved(datasets.DatasetDict({"train": dataset, "test": dataset, "unsupervised": dataset}), tmp_path / "more")
    assert set(_rows(source)) == {"train", "test"}
    assert source.notes == ["not used, because the name says no split: unsupervised"]
    with pytest.raises(DataError, match="holds en, de and none is called train"):
        _saved(datasets.DatasetDict({"en": dataset, "de": dataset}), tmp_path / "languages")
    _check(_rows(_saved(datasets.DatasetDict({"only": dataset}), tmp_path / "only"))[None])


def _saved(data: Any, folder: Path) -> Source:
    data.save_to_disk(str(folder))
    return open_source(folder)


def test_dataset_id_without_a_network() -> None:
    with pytest.raises(DataError, match=r"nobody/nothing is no file or folder here, and the dataset could not be read from the hub"):
        open_source("nobody/nothing")
    with pytest.raises(DataError, match="does not exist; check the name"):
        open_source("nothing")
