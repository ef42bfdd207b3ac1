"""The Arrow table gives back every row by its number, wherever in its chunks it lies, with the place it came from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.errors import DataError
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.readers import MemoryReader
from tunesmith.data.sources import Part, Source, open_source
from tunesmith.data.table import CHUNK, Table, build, open_table


def _build(data: Any, tmp_path: Path) -> tuple[Table, list[str | None], BadRows]:
    bad = BadRows()
    table, splits = build(data if isinstance(data, Source) else open_source(data), tmp_path / "rows.arrow", bad)
    return table, splits, bad


def test_random_access_over_chunks_and_parts(tmp_path: Path) -> None:
    sizes = (2 * CHUNK + 17, CHUNK, 1)
    rows = [[{"text": f"{part}:{i}", "n": i if i % 7 else None} for i in range(size)] for part, size in enumerate(sizes)]
    table, splits, _ = _build(dict(zip(("train", "validation", "test"), rows, strict=True)), tmp_path)
    assert splits == ["train", "validation", "test"]
    flat = [(part, i, row) for part, given in enumerate(rows) for i, row in enumerate(given)]
    assert len(table) == len(flat)
    edges = [0, CHUNK - 1, CHUNK, 2 * CHUNK, sizes[0] - 1, sizes[0], len(flat) - 2, len(flat) - 1]
    for number in edges + random.Random(0).sample(range(len(flat)), 300):
        part, i, row = flat[number]
        expected = {"text": row["text"], "n": None if row["n"] is None else str(row["n"])}
        assert table[number] == expected
        assert table.cell(number, "n") == expected["n"]
        assert table.part(number) == part
        assert table.origin(number) == ("rows", f"row {i + 1}")
    assert list(table.column("text")) == [row["text"] for _, _, row in flat]
    again = open_table(table.path, table.columns, table.files, [])
    assert (len(again), again[CHUNK]) == (len(table), table[CHUNK])


def test_columns_called_like_our_own(tmp_path: Path) -> None:
    rows = [{"#file": "mine", "#where": "too", "": "no name", "text": "x"}, {"#file": None, "#where": "a", "": None, "text": "y"}]
    table, _, _ = _build(rows, tmp_path)
    assert [table[i] for i in range(2)] == rows
    assert list(table.column("#file")) == ["mine", None]
    assert table.origin(1) == ("rows", "row 2")


def test_relative_pictures_start_from_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("image,label\npictures/ü.png,a\n/elsewhere/b.png,b\n")
    monkeypatch.chdir(tmp_path)
    table, _, _ = _build("data/a.csv", tmp_path)
    assert table[0]["image"] == "pictures/ü.png"
    table.path_columns = ["image"]
    monkeypatch.chdir("/")
    assert [table[i]["image"] for i in range(2)] == [f"{tmp_path}/data/pictures/ü.png", "/elsewhere/b.png"]


def test_folder_of_pictures_given_by_a_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    table, _, _ = _build("pets", tmp_path)
    table.path_columns = ["image"]
    assert Path(table[0]["image"]).read_bytes() == b"x"


def test_columns_that_differ(tmp_path: Path) -> None:
    table, _, bad = _build({"train": [{"text": "a", "label": "x"}], "test": [{"extra": "1", "text": "b"}]}, tmp_path)
    assert [table[i] for i in range(2)] == [{"text": "a", "label": "x"}, {"text": "b", "label": None}]
    assert table.notes == ["column 'extra' first appears in rows and is not used"]
    assert bad.total == 0


def test_bytes_among_texts_are_named(tmp_path: Path) -> None:
    table, _, bad = _build({"train": [{"image": b"picture"}], "test": [{"image": "a.png"}, {"image": b"other"}]}, tmp_path)
    assert [table[i]["image"] for i in range(len(table))] == [b"picture", b"other"]
    assert [(item.where, item.reason) for item in bad.named] == [("row 1", "column 'image' holds text, unlike the rows before")]


def test_no_rows_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=r"a\.csv holds no rows"):
        _build(str(tmp_path / "a.csv"), tmp_path)
    (tmp_path / "b.csv").write_text("text,label\nonly\n")
    with pytest.raises(DataError, match=r"b\.csv holds no usable row; 1 row.* line 2: 1 values where the header has 2"):
        _build(str(tmp_path / "b.csv"), tmp_path)
    with pytest.raises(DataError, match="mapping of splits is empty"):
        _build({}, tmp_path)
    assert not list(tmp_path.glob("*rows.arrow*"))


def test_failing_to_read_is_not_reported_as_failing_to_write(tmp_path: Path) -> None:
    def broken() -> Any:
        yield {"text": "a"}
        raise PermissionError(13, "Permission denied", "/mnt/share/a.csv")

    with pytest.raises(DataError, match=r"shared cannot be read: .*Permission denied"):
        _build(Source([Part(MemoryReader(broken, label="shared"))], "", ""), tmp_path)
    assert not list(tmp_path.iterdir())
