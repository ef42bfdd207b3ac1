"""Readers against what pandas, json and pyarrow read from the same bytes, and damage that must be named."""

from __future__ import annotations

import csv
import datetime
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tunesmith.core.errors import DataError
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.readers import FolderReader, MemoryReader, reader_of
from tunesmith.data.values import plain


def _write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _read(reader: Any) -> tuple[list[dict[str, Any]], list[str], BadRows]:
    bad = BadRows()
    rows = list(reader.rows(bad))
    return [row for _, row in rows], [where for where, _ in rows], bad


def _named(bad: BadRows) -> list[tuple[str, str]]:
    return [(item.where, item.reason) for item in bad.named]


TRICKY = [
    ["plain", "a"],
    ["comma, and; semicolon\tand tab", "b"],
    ['a "quoted" word', "c"],
    ["two\nlines", "a"],
    ["", "b"],
    [" spaces kept ", "c"],
    ["ünïcödé 漢字 🙂", "a"],
    ['5" pipe', "b"],
]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_is_read_as_pandas_reads_it(tmp_path: Path, delimiter: str, ends: str, encoding: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ends)
    writer.writerow(["text", "label"])
    writer.writerows(TRICKY)
    path = _write(tmp_path / ("a.tsv" if delimiter == "\t" else "a.csv"), text.getvalue().encode(encoding))
    rows, places, bad = _read(reader_of(path))
    expected = pd.read_csv(path, sep=delimiter, encoding=encoding, dtype=str, keep_default_na=False)
    assert rows == [{key: value or None for key, value in row.items()} for row in expected.to_dict("records")]
    assert places == ["line 2", "line 3", "line 4", "line 5", "line 7", "line 8", "line 9", "line 10"]  # one value spans two lines
    assert bad.total == 0


def test_csv_values_that_say_nothing_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pd.DataFrame({"text": ["a", None], "label": [1.0, float("nan")]}).to_csv(path, index=False, na_rep="NaN")
    rows, _, _ = _read(reader_of(path))
    assert rows == [{"text": "a", "label": "1.0"}, {"text": None, "label": None}]


def test_csv_blank_lines_anywhere_are_skipped_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    rows, places, bad = _read(reader_of(_write(tmp_path / "a.csv", "\n\ntext;label\n\na;b\n   \nc;d\n\n")))
    assert (rows, places, bad.total) == ([{"text": "a", "label": "b"}, {"text": "c", "label": "d"}], ["line 5", "line 7"], 0)


def test_csv_of_one_column_keeps_its_empty_values(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pd.DataFrame({"text": ["a", "", "b"]}).to_csv(path, index=False)
    rows, places, _ = _read(reader_of(path))
    assert ([row["text"] for row in rows], places) == (["a", None, "b"], ["line 2", "line 3", "line 4"])


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("sep=;\ntext;label\na;b\n", ["text", "label"]),
        ('"text, or so";label\na;b\n', ["text, or so", "label"]),
        (" text , label\na,b\n", ["text", "label"]),
        ("text\na\n", ["text"]),
        ("text,label\ra,b\r", ["text", "label"]),
    ],
)
def test_csv_header_and_delimiter_are_found(tmp_path: Path, content: str, columns: list[str]) -> None:
    rows, _, bad = _read(reader_of(_write(tmp_path / "a.csv", content)))
    assert rows == [dict(zip(columns, ["a", "b"], strict=False))]
    assert bad.total == 0


@pytest.mark.parametrize(("given", "mark"), [("\\t", "\t"), ("tab", "\t"), ("^", "^")])
def test_csv_delimiter_as_given(tmp_path: Path, given: str, mark: str) -> None:
    rows, _, _ = _read(reader_of(_write(tmp_path / "a.csv", f"te,xt{mark}label\na,b{mark}c\n"), delimiter=given))
    assert rows == [{"te,xt": "a,b", "label": "c"}]


def test_csv_delimiter_of_two_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'delimiter' is one character"):
        _read(reader_of(_write(tmp_path / "a.csv", "a||b\n1||2\n"), delimiter="||"))


def test_csv_broken_quoting_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    content = 'text,label\nfirst,a\n"closed"too early,b\nsecond,a\n"open,b\n"swallowed",a\nthird,b\n'
    rows, places, bad = _read(reader_of(_write(tmp_path / "a.csv", content)))
    assert [row["text"] for row in rows] == ["first", "second", "third"]
    assert places == ["line 2", "line 4", "line 7"]
    assert [where for where, _ in _named(bad)] == ["line 3", "lines 5 to 6"]
    assert bad.total == 3  # every line that is lost counts


def test_csv_quote_that_is_never_closed_names_the_line_it_opens_in(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="opened in line 3 is never closed"):
        _read(reader_of(_write(tmp_path / "a.csv", 'text,label\na,b\n"c,d\n' + "e,f\n" * 50)))


def test_csv_header_with_broken_quoting_does_not_make_the_first_row_the_header(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="header in line 1 cannot be read"):
        _read(reader_of(_write(tmp_path / "a.csv", '"text"x,label\na,b\nc,d\n')))


def test_csv_rows_of_another_width_are_named(tmp_path: Path) -> None:
    rows, _, bad = _read(reader_of(_write(tmp_path / "a.csv", "text,label\na,b\nc\nd,e,f\ng,h\n")))
    assert [row["text"] for row in rows] == ["a", "g"]
    assert _named(bad) == [
        ("line 3", "1 values where the header has 2 columns"),
        ("line 4", "3 values where the header has 2 columns"),
    ]


def test_csv_nul_characters(tmp_path: Path) -> None:
    rows, _, bad = _read(reader_of(_write(tmp_path / "a.csv", "text,label\na\0b,c\nd,e\n")))
    assert rows == [{"text": "d", "label": "e"}]
    assert "NUL" in _named(bad)[0][1]
    with pytest.raises(DataError, match="utf-16"):
        _read(reader_of(_write(tmp_path / "b.csv", "text,label\na,b\n".encode("utf-16-le"))))


def test_csv_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two columns are called 'text'"):
        _read(reader_of(_write(tmp_path / "a.csv", "text,label, text\na,b,c\n")))


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("written", "told", "message"),
    [
        ("latin-1", "utf-8", "byte 0xe9 in line 3"),
        ("utf-16", "utf-8", "try --encoding utf-16"),
        ("utf-16-le", "utf-8", "zero bytes, like utf-16"),
        ("utf-8", "utf-16", "is not utf-16 text"),
        ("utf-8", "utf-99", "no text encoding 'utf-99'"),
    ],
)
def test_wrong_encoding(tmp_path: Path, ending: str, written: str, told: str, message: str) -> None:
    lines = ["text,label", "a,b", "café,c"] if ending == "csv" else ['{"text": "a"}', '{"text": "b"}', '{"text": "café"}']
    path = _write(tmp_path / f"a.{ending}", ("\n".join(lines) + "\n").encode(written))
    with pytest.raises(DataError, match=message):
        _read(reader_of(path, told))
    assert _read(reader_of(path, written))[0][-1]["text"] == "café"


def test_wrong_encoding_far_into_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", b"text,label\n" + b"a,b\n" * 20_000 + b"caf\xe9,c\n")
    with pytest.raises(DataError, match="byte 0xe9 in line 20002"):
        _read(reader_of(path))


def test_json_lines(tmp_path: Path) -> None:
    good = [
        {"text": "a", "n": 1, "x": 2.5, "flag": True, "tags": ["a", "ü"], "none": None, "nan": float("nan"), "big": 10**40},
        {"text": "b", "n": -3, "deep": {"k": [1]}},
    ]
    damaged = ["{", '["a", "list"]', "7", '{"text": "\\ud83d"}', '{"n": ' + "1" * 5000 + "}", '{"n": ' + "[" * 100_000]
    content = "\n".join([json.dumps(good[0]), "", *damaged, json.dumps(good[1], ensure_ascii=False)]) + "\n"
    rows, places, bad = _read(reader_of(_write(tmp_path / "a.jsonl", content)))
    assert rows[0] == {
        "text": "a",
        "n": "1",
        "x": "2.5",
        "flag": "true",
        "tags": '["a", "ü"]',
        "none": None,
        "nan": None,
        "big": "1" + "0" * 40,
    }
    assert rows[1] == {"text": "b", "n": "-3", "deep": '{"k": [1]}'}
    assert places == ["line 1", "line 9"]
    assert [where for where, _ in _named(bad)] == [f"line {n}" for n in range(3, 9)]
    assert "column 'text': half a character" in _named(bad)[3][1]


def test_json_list_is_no_json_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one JSON list; write one object a line"):
        _read(reader_of(_write(tmp_path / "a.jsonl", json.dumps([{"a": 1}, {"a": 2}], indent=1))))


def test_parquet_round_trip(tmp_path: Path) -> None:
    picture = b"\x89PNG and so on"
    frame = {
        "i": pa.array([1, None, 3]),
        "f": pa.array([0.1, float("nan"), None]),
        "big": pa.array([2**62, -1, 0]),
        "b": pa.array([True, False, None]),
        "s": pa.array(["a", "", None]),
        "l": pa.array([["x", "y"], [], None]),
        "t": pa.array([datetime.datetime(2024, 1, 31, 12), None, None], pa.timestamp("us", tz="UTC")),
        "d": pa.array([datetime.date(2024, 1, 31), None, None]),
        "c": pa.array(["u", "v", "u"]).dictionary_encode(),
        "bytes": pa.array([picture, b"", None]),
        "hf": pa.array([{"bytes": picture, "path": "a.png"}, {"bytes": None, "path": "b.png"}, {"bytes": None, "path": None}]),
    }
    pq.write_table(pa.table(frame), tmp_path / "a.parquet")
    rows, places, bad = _read(reader_of(tmp_path / "a.parquet"))
    assert places == ["row 1", "row 2", "row 3"]
    assert bad.total == 0
    assert rows[0] == {
        "i": "1",
        "f": "0.1",
        "big": str(2**62),
        "b": "true",
        "s": "a",
        "l": '["x", "y"]',
        "t": "2024-01-31T12:00:00+00:00",
        "d": "2024-01-31",
        "c": "u",
        "bytes": picture,
        "hf": picture,
    }
    assert rows[1] == {**dict.fromkeys(frame), "big": "-1", "b": "false", "l": "[]", "c": "v", "hf": "b.png"}
    assert rows[2] == {**dict.fromkeys(frame), "i": "3", "big": "0", "c": "u"}


def test_parquet_numbers_come_back_exactly(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-250, 250)
    pq.write_table(pa.table({"x": numbers}), tmp_path / "a.parquet")
    rows, _, _ = _read(reader_of(tmp_path / "a.parquet"))
    np.testing.assert_array_equal([float(row["x"]) for row in rows], numbers)


def test_parquet_damage(tmp_path: Path) -> None:
    table = pa.table({"t": [f"text {i * 7919}" for i in range(20_000)]})
    pq.write_table(table, tmp_path / "a.parquet", compression="snappy", use_dictionary=False)
    whole = (tmp_path / "a.parquet").read_bytes()
    with pytest.raises(DataError, match="not a readable Parquet file"):
        _read(reader_of(_write(tmp_path / "short.parquet", whole[: len(whole) // 2])))
    hurt = bytearray(whole)
    hurt[len(whole) // 2 : len(whole) // 2 + 2000] = b"\xff" * 2000
    with pytest.raises(DataError, match=r"hurt\.parquet is damaged after row \d+"):
        _read(reader_of(_write(tmp_path / "hurt.parquet", bytes(hurt))))
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "twice.parquet")
    with pytest.raises(DataError, match="two columns are called 'a'"):
        _read(reader_of(tmp_path / "twice.parquet"))


def test_folder_of_classes_with_stray_files(tmp_path: Path) -> None:
    for name in ("cat/a.png", "cat/deeper/ü 漢.JPG", "dog/b.gif", "stray.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("cat/Thumbs.db", "cat/.hidden.png", "README.md", ".git/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    rows, places, bad = _read(FolderReader(tmp_path))
    assert rows == [
        {"image": "cat/a.png", "label": "cat"},
        {"image": "cat/deeper/ü 漢.JPG", "label": "cat"},
        {"image": "dog/b.gif", "label": "dog"},
    ]
    assert places == [row["image"] for row in rows]
    assert sorted(_named(bad)) == [
        ("cat/Thumbs.db", "not a picture: the name ends in '.db'"),
        ("stray.png", "a picture that lies in no folder of a class"),
    ]


def test_file_name_in_another_encoding_is_named_not_fatal(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    try:
        Path(bytes(tmp_path / "cat").decode() + "/caf\udce9.png").write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    rows, _, bad = _read(FolderReader(tmp_path))
    assert rows == []
    bad.write(tmp_path / "bad.csv")
    assert "caf\\udce9.png" in (tmp_path / "bad.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(1.5), "1.5"),
        (np.float32(0.5), "0.5"),
        (np.int64(7), "7"),
        (np.bool_(True), "true"),
        (np.str_("a"), "a"),
        (np.datetime64("2024-01-31"), "2024-01-31"),
        (np.datetime64("NaT"), None),
        (np.array([1.5, 2.0]), "[1.5, 2.0]"),
        ([np.float32(0.5), np.int64(1)], "[0.5, 1]"),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timestamp("2024-01-31 12:00"), "2024-01-31T12:00:00"),
        (float("inf"), "inf"),
        (1e22, "1e+22"),
        (3.0, "3"),
        (False, "false"),
        ("", None),
        (b"", None),
        (Path("a/b.png"), "a/b.png"),
        (("a", "b"), '["a", "b"]'),
    ],
)
def test_plain(value: Any, expected: Any) -> None:
    assert plain(value) == expected


def test_memory_of_pandas() -> None:
    frame = pd.DataFrame(
        {
            "f": [1.5, None],
            "category": pd.Categorical(["x", "y"]),
            "t": pd.to_datetime(["2024-01-31", None]),
            "b": pd.array([True, None], "boolean"),
            "i": pd.array([1, None], "Int64"),
            "s": pd.array(["a", None], "string"),
            7: ["name is a number", ""],
        },
        index=[5, 5],
    )
    from tunesmith.data.sources import open_source

    rows, _, _ = _read(open_source(frame).parts[0].reader)
    assert rows == [
        {"f": "1.5", "category": "x", "t": "2024-01-31T00:00:00", "b": "true", "i": "1", "s": "a", "7": "name is a number"},
        {"f": None, "category": "y", "t": None, "b": None, "i": None, "s": None, "7": None},
    ]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1", "P", "CMYK", "YCbCr", "I;16", "F"])
def test_memory_of_pictures(mode: str) -> None:
    picture = Image.new("RGB", (5, 4), (200, 100, 50)).convert(mode) if mode != "I;16" else Image.new("I;16", (5, 4), 40_000)
    rows, _, bad = _read(MemoryReader(lambda: [{"image": picture}]))
    assert bad.total == 0
    back = Image.open(io.BytesIO(rows[0]["image"]))
    assert back.size == (5, 4)
    expected = picture.convert("RGB") if mode in ("CMYK", "YCbCr") else picture
    assert back.getpixel((2, 2)) == expected.getpixel((2, 2))


def test_memory_of_arrays() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    values = [colours, colours[:, :, 0], colours[:, :, :1], colours.astype(float), colours.transpose(2, 0, 1)]
    rows, places, bad = _read(MemoryReader(lambda: [{"image": value} for value in values]))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(rows[0]["image"]))), colours)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(rows[1]["image"]))), colours[:, :, 0])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(rows[2]["image"]))), colours[:, :, 0])
    assert places == ["row 1", "row 2", "row 3"]
    assert "uint8" in _named(bad)[0][1]
    assert "(3, 4, 5)" in _named(bad)[1][1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("gone.csv", None, "does not exist"), ("a.csv", "", "empty"), ("a.json", "[]", "no way to read a file ending in '.json'")],
)
def test_files_that_cannot_be_opened(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        _write(tmp_path / name, content)
    with pytest.raises(DataError, match=message):
        reader_of(tmp_path / name)
