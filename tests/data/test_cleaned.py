"""A cleaned copy, read again, is the original without the rows that were left out: same order, same splits, same bytes."""

from __future__ import annotations

import codecs
import csv
import datetime
import io
import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tunesmith.core.errors import DataError, OutputError
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.cleaned import Cleaned, write
from tunesmith.data.sources import open_source
from tunesmith.data.table import CHUNK, Table, build

TEXTS = [
    "plain",
    'a "quoted" word',
    "two\nlines",
    "two\r\nlines",
    "a,b;c\td|e",
    "ü 漢字 🙂",
    "  spaces  ",
    "0042",
    "1e5",
    "NULL",
    "\\N",
    "'",
]


def _read(data: Any, path: Path, **options: Any) -> tuple[Table, list[str | None]]:
    return build(open_source(data, **options), path, BadRows())


def _split_rows(table: Table, splits: list[str | None]) -> list[tuple[str | None, dict[str, Any]]]:
    return [(splits[table.part(number)], table[number]) for number in range(len(table))]


def _clean(data: Any, tmp_path: Path, leave_out: list[int], **options: Any) -> Cleaned:
    """Write a cleaned copy, and check that it reads as the original without these rows and that the original is untouched."""
    before = _content(tmp_path)
    table, splits = _read(data, tmp_path / "rows.arrow", **options)
    rows = _split_rows(table, splits)
    out = tmp_path / "copy"
    cleaned = write(table, open_source(data, **options), dict.fromkeys(leave_out, "why"), out, inputs=table.columns[:1])
    again, splits_again = _read(cleaned.data, tmp_path / "again.arrow", **options)
    assert _split_rows(again, splits_again) == [row for number, row in enumerate(rows) if number not in leave_out]
    assert (cleaned.kept, cleaned.left_out) == (len(rows) - len(leave_out), len(leave_out))
    assert all(path.exists() for path in cleaned.files)
    with (out / "cleaning_log.csv").open(encoding="utf-8", newline="") as handle:
        assert [int(line["row"]) for line in csv.DictReader(handle)] == leave_out
    assert {path: content for path, content in _content(tmp_path).items() if path in before} == before
    assert not list(tmp_path.glob(".*"))
    return cleaned


def _content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".arrow"}


def _drawn(count: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    return sorted(rng.sample(range(count), rng.randint(0, count - 1)))


def _csv_records(rng: random.Random, end: str, delimiter: str) -> tuple[str, list[str]]:
    """Header and records of a CSV file as text, quoted this way and that."""
    records = []
    for number in range(rng.randint(2, 40)):
        buffer = io.StringIO()
        quoting = rng.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC])
        csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator=end).writerow(
            [rng.choice(TEXTS), rng.choice(["a", "b", ""]), number]
        )
        records.append(buffer.getvalue())
    return delimiter.join(["text", "label", "n"]) + end, records


@pytest.mark.parametrize("seed", range(12))
def test_csv_keeps_the_bytes_of_the_rows_that_stay(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    name, delimiter = rng.choice([("data.csv", ","), ("data.csv", ";"), ("data.tsv", "\t")])
    header, records = _csv_records(rng, rng.choice(["\n", "\r\n"]), delimiter)
    if rng.random() < 0.5:
        records[-1] = records[-1].rstrip("\r\n")
    encoding, mark = rng.choice(
        [("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16", codecs.BOM_UTF16_LE), ("utf-16", codecs.BOM_UTF16_BE), ("gb18030", b"")]
    )
    codec = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}.get(mark, encoding)
    before = rng.choice(["", "\n", f"sep={delimiter}\n"])
    (tmp_path / name).write_bytes(mark + (before + header + "".join(records)).encode(codec))
    leave_out = _drawn(len(records), seed)
    cleaned = _clean(tmp_path / name, tmp_path, leave_out, encoding=encoding)
    stays = "".join(record for number, record in enumerate(records) if number not in leave_out)
    assert cleaned.files == [tmp_path / "copy" / name, tmp_path / "copy" / "cleaning_log.csv"]
    assert cleaned.files[0].read_bytes() == mark + (before + header + stays).encode(codec)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf8", "utf_8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "shift_jis", "iso2022_jp"]
)
def test_every_encoding_comes_back_byte_by_byte(tmp_path: Path, encoding: str) -> None:
    word = {"cp1252": "größer €", "shift_jis": "日本語", "iso2022_jp": "日本語"}.get(encoding, "ü 漢字 🙂")
    rows = [f"{word} {number},a\r\n" for number in range(5)]
    (tmp_path / "data.csv").write_bytes(("text,label\r\n" + "".join(rows)).encode(encoding))
    cleaned = _clean(tmp_path / "data.csv", tmp_path, [0, 3], encoding=encoding)
    expected = ("text,label\r\n" + "".join(rows[number] for number in (1, 2, 4))).encode(encoding)
    assert cleaned.files[0].read_bytes() == expected


def test_unreadable_lines_stay_for_their_owner_to_mend(tmp_path: Path) -> None:
    lines = [b"text,label\n", b"one,a\n", b"\n", b"two,b,c\n", b'"thr"ee,a\n', b"four,a\n", b"   \n", b"\0,a\n", b"five,b\n"]
    (tmp_path / "data.csv").write_bytes(b"".join(lines))
    cleaned = _clean(tmp_path / "data.csv", tmp_path, [1])
    assert cleaned.files[0].read_bytes() == b"".join(line for line in lines if b"four" not in line)
    bad = BadRows()
    build(open_source(cleaned.data), tmp_path / "third.arrow", bad)
    assert bad.total == 3


@pytest.mark.parametrize("seed", range(4))
def test_json_lines_keep_types_and_spelling(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    lines = []
    for number in range(rng.randint(2, 30)):
        row = {"text": rng.choice(TEXTS), "tags": rng.choice([["a", "b"], [], None]), "more": {"n": number, "deep": [{"x": 1.50}]}}
        if rng.random() < 0.3:
            row["sometimes"] = True
        lines.append(json.dumps(row, ensure_ascii=rng.random() < 0.5, separators=rng.choice([(",", ":"), (" , ", " : ")])) + "\n")
    mark = rng.choice([b"", codecs.BOM_UTF8])
    (tmp_path / "data.jsonl").write_bytes(mark + "{broken\n\n".join(lines).encode())
    leave_out = _drawn(len(lines), seed)
    if not any("sometimes" in line for number, line in enumerate(lines) if number not in leave_out):
        leave_out = []  # a column that no row has is no column
    cleaned = _clean(tmp_path / "data.jsonl", tmp_path, leave_out)
    pieces = [b"" if number in leave_out else line.encode() for number, line in enumerate(lines)]
    assert cleaned.files[0].read_bytes() == mark + b"{broken\n\n".join(pieces)


def _typed(count: int) -> pa.Table:
    day = datetime.date(2024, 1, 1)
    return pa.table(
        {
            "text": [f"row {number}" for number in range(count)],
            "label": pa.array(["ab"[number % 2] for number in range(count)]).dictionary_encode(),
            "small": pa.array(range(count), pa.int16()),
            "moment": pa.array([datetime.datetime(2024, 1, 1, 0, 0, number % 60) for number in range(count)], pa.timestamp("us", "UTC")),
            "day": [day if number % 3 else None for number in range(count)],
            "price": pa.array([None if number % 5 else number for number in range(count)], pa.decimal128(12, 2)),
            "vector": pa.array([[0.5 * number] * 3 for number in range(count)], pa.list_(pa.float32(), 3)),
            "picture": [{"bytes": b"\x00\xff", "path": f"{number}.png"} for number in range(count)],
        }
    ).replace_schema_metadata({"huggingface": "{}", "mine": "kept"})


def test_parquet_keeps_its_schema(tmp_path: Path) -> None:
    table = _typed(3000)
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=700, compression="zstd")
    leave_out = _drawn(3000, 1)
    cleaned = _clean(tmp_path / "data.parquet", tmp_path, leave_out)
    found = pq.read_table(cleaned.files[0])
    assert found.schema.equals(pq.read_schema(tmp_path / "data.parquet"), check_metadata=True)
    assert found.to_pylist() == [row for number, row in enumerate(table.to_pylist()) if number not in set(leave_out)]
    group = pq.ParquetFile(cleaned.files[0]).metadata.row_group(0)
    assert (group.num_rows, group.column(0).compression) == (cleaned.kept, "ZSTD")


def test_parquet_of_pandas_keeps_its_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"text": list("abcd"), "month": pd.period_range("2024-01", periods=4, freq="M"), "kind": pd.Categorical(list("xyxx"))}
    )
    frame.to_parquet(tmp_path / "data.parquet")
    cleaned = _clean(tmp_path / "data.parquet", tmp_path, [0, 2])
    pd.testing.assert_frame_equal(pd.read_parquet(cleaned.files[0]), frame.iloc[[1, 3]].reset_index(drop=True))


def _picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2), shade).save(path)


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".arrow"}


def test_folder_of_pictures(tmp_path: Path) -> None:
    for shade, name in enumerate(["cat/1.png", "cat/deep/2.png", "cat/3.JPG", "dog/1.png", "dog/2.png", "fish/1.png"]):
        _picture(tmp_path / "pets" / name, shade)
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("mine")
    (tmp_path / "pets" / "cat" / ".hidden").write_text("")
    (tmp_path / "pets" / "LICENSE").write_text("")
    _picture(tmp_path / "pets" / "stray.png", 9)
    cleaned = _clean(tmp_path / "pets", tmp_path, [2, 3, 5])
    assert cleaned.data == tmp_path / "copy"
    assert _names(tmp_path / "copy") == {"cat/1.png", "cat/3.JPG", "cat/notes.txt", "dog/2.png", "stray.png", "cleaning_log.csv"}
    assert (tmp_path / "copy/dog/2.png").read_bytes() == (tmp_path / "pets/dog/2.png").read_bytes()
    assert (tmp_path / "copy/dog/2.png").stat().st_nlink == 1
    again, _ = _read(cleaned.data, tmp_path / "third.arrow")
    second = write(again, open_source(cleaned.data), {0: "more"}, tmp_path / "second")  # the log of the first is no picture of the second
    assert second.kept == 2


@pytest.mark.parametrize("given", ["folder", "files", "apart"])
def test_split_folders_of_pictures(tmp_path: Path, given: str) -> None:
    roots = [tmp_path / "pets" / name for name in ("train", "test")]
    if given == "apart":
        roots = [tmp_path / "here" / "pets", tmp_path / "there" / "pets"]
    for root in roots:
        for shade, name in enumerate(["cat/1.png", "dog/1.png", "dog/2.png"]):
            _picture(root / name, shade + 10 * roots.index(root))
    cleaned = _clean(
        tmp_path / "pets" if given == "folder" else [str(root) for root in roots], tmp_path, [0, 4] if given != "folder" else [0, 5]
    )
    assert sorted(path.relative_to(tmp_path / "copy").as_posix() for path in cleaned.files) == {
        "apart": ["cleaning_log.csv", "test/pets", "train/pets"],
    }.get(given, ["cleaning_log.csv", "test", "train"])


@pytest.mark.parametrize("seed", range(3))
def test_up_to_three_files_and_a_folder_of_them(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    folder = tmp_path / "data"
    folder.mkdir()
    files, count = [], 0
    for name in ("train", "validation", "test"):
        header, records = _csv_records(rng, "\n", ",")
        (folder / f"{name}.csv").write_text(header + "".join(records), newline="")
        files.append(str(folder / f"{name}.csv"))
        count += len(records)
    (folder / "lexicon.csv").write_text("word\nx\n")
    leave_out = [number for number in _drawn(count, seed) if number % 2]  # half of each stays
    assert _clean(files, tmp_path, leave_out).data == [str(tmp_path / "copy" / Path(file).name) for file in files]
    shutil.rmtree(tmp_path / "copy")
    assert _clean(folder, tmp_path, leave_out).data == tmp_path / "copy"
    shutil.rmtree(tmp_path / "copy")
    _clean(files[:1], tmp_path, [0])
    (tmp_path / "other").mkdir()
    shutil.copy(files[0], tmp_path / "other")
    shutil.rmtree(tmp_path / "copy")
    both = _clean([files[2], str(tmp_path / "other/train.csv")], tmp_path, [0])
    assert both.data == [str(tmp_path / "copy/train/test.csv"), str(tmp_path / "copy/test/train.csv")]


def test_a_shard_without_a_row_goes_and_a_split_without_one_is_refused(tmp_path: Path) -> None:
    for name in ("train-0", "train-1", "test-0"):
        pd.DataFrame({"text": [name, f"{name} more"]}).to_parquet((tmp_path / name).with_suffix(".parquet"))
    table, splits = _read(tmp_path, tmp_path / "rows.arrow")
    order = [table[number]["text"] for number in range(6)]
    gone = {number: "why" for number, text in enumerate(order) if text.startswith("train-0")}
    cleaned = write(table, open_source(tmp_path), gone, tmp_path / "copy")
    assert _names(tmp_path / "copy") == {"train-1.parquet", "test-0.parquet", "cleaning_log.csv"}
    again = _split_rows(*_read(cleaned.data, tmp_path / "again.arrow"))
    assert again == [row for number, row in enumerate(_split_rows(table, splits)) if number not in gone]
    gone = {number: "why" for number, text in enumerate(order) if text.startswith("test")}
    with pytest.raises(DataError, match=r"every row of test-0\.parquet would be left out"):
        write(table, open_source(tmp_path), gone, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_folder_with_one_table_in_data(tmp_path: Path) -> None:
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / "m.csv").write_text("text,label\na,x\nb,y\n")
    assert _clean(tmp_path / "set", tmp_path, [0]).files[0] == tmp_path / "copy" / "data" / "m.csv"


@pytest.mark.parametrize("named", ["pictures/{}.png", "../pictures/{}.png", "../../{}.png", "./pictures/../pictures/{}.png"])
@pytest.mark.parametrize("given", ["file", "folder"])
def test_pictures_that_a_table_names_come_along(tmp_path: Path, named: str, given: str) -> None:
    tables = tmp_path / "a" / "tables"
    tables.mkdir(parents=True)
    for number in range(4):
        _picture(tables / named.format(number), number)
    _picture(tmp_path / "elsewhere" / "5.png", 5)
    rows = [f"{named.format(number)},{'xy'[number % 2]}\n" for number in (0, 1, 2, 3, 0)]
    rows += [f"{tmp_path}/elsewhere/5.png,x\n", "pictures/gone.png,y\n", "https://example.org/x.png,x\n", "../../../../../../x.png,y\n"]
    (tables / "labels.csv").write_text("image,label\n" + "".join(rows))
    data = tables / "labels.csv" if given == "file" else tables
    before = _pictures_of(data, tmp_path / "one.arrow", 6)
    table, _ = _read(data, tmp_path / "rows.arrow")
    table.path_columns = ["image"]
    cleaned = write(table, open_source(data), {1: "why", 2: "why"}, tmp_path / "copy", inputs=["image"])
    shutil.rmtree(tmp_path / "a")
    assert _pictures_of(cleaned.data, tmp_path / "two.arrow", 4) == [before[number] for number in (0, 3, 4, 5)]
    assert sorted(path.name for path in (tmp_path / "copy").rglob("*.png")) == ["0.png", "3.png"]


def _pictures_of(data: Any, path: Path, count: int) -> list[tuple[str, bytes]]:
    table, _ = _read(data, path)
    table.path_columns = ["image"]
    return [(row["label"], Path(row["image"]).read_bytes()) for row in table.rows(range(count))]


def test_rows_in_memory_become_parquet(tmp_path: Path) -> None:
    rows = [{"text": text, "n": number * 0.5, "b": number.to_bytes(2), "": number % 2 == 0} for number, text in enumerate(TEXTS * 400)]
    rows[3]["text"] = None
    assert len(rows) > 2 * CHUNK
    cleaned = _clean(rows, tmp_path, _drawn(len(rows), 2))
    assert cleaned.files[0] == tmp_path / "copy" / "rows.parquet"
    shutil.rmtree(tmp_path / "copy")
    _clean(pd.DataFrame({"text": list("abc"), "day": pd.to_datetime(["2024-01-01", None, "2024-01-03"])}), tmp_path, [0])


def test_a_saved_dataset_with_splits(tmp_path: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    parts = {
        name: datasets.Dataset.from_dict({"text": [f"{name} {n}" for n in range(4)], "label": [0, 1, 0, 1]}, features)
        for name in ("train", "dev", "test")
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    table, splits = _read(tmp_path / "saved", tmp_path / "rows.arrow")
    cleaned = write(table, open_source(tmp_path / "saved"), {1: "why", 6: "why"}, tmp_path / "copy")
    assert _names(tmp_path / "copy") == {"train.parquet", "dev.parquet", "test.parquet", "cleaning_log.csv"}
    again = _split_rows(*_read(str(cleaned.data), tmp_path / "again.arrow"))
    expected = [row for number, row in enumerate(_split_rows(table, splits)) if number not in (1, 6)]
    assert sorted(again, key=str) == sorted(expected, key=str)
    for split in ("train", "validation", "test"):  # a folder is read in the order of its names; rows of a split keep theirs
        assert [row for row in again if row[0] == split] == [row for row in expected if row[0] == split]
    shutil.rmtree(tmp_path / "saved")
    datasets.DatasetDict({"train": parts["train"]}).save_to_disk(str(tmp_path / "saved"))
    shutil.rmtree(tmp_path / "copy")
    one = _clean(tmp_path / "saved", tmp_path, [1])
    assert one.files[0].name == "rows.parquet"  # no split was given, so the copy names none


def test_a_mapping_of_anything(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,x\nb,y\nc,x\n")
    data = {
        "train": tmp_path / "a.csv",
        "dev": [{"text": "d", "label": "x"}, {"text": "e", "label": "y"}],
        "val": tmp_path / "a.csv",
        "test": pd.DataFrame({"text": ["f", "g"], "label": ["x", "y"]}),
    }
    cleaned = _clean(data, tmp_path, [0, 4, 7, 8])
    assert isinstance(cleaned.data, dict)
    assert list(cleaned.data) == ["train", "dev", "val", "test"]


def test_what_the_log_says(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text('text,label,other\n"one\n  two",x,o\n' + "long " * 50 + ",y,o\nc,x,o\n=d,y,o\n")
    table, _ = _read(tmp_path / "data.csv", tmp_path / "rows.arrow")
    write(
        table,
        open_source(tmp_path / "data.csv"),
        {3: "near_texts", 0: "a, b", 1: "label_noise"},
        tmp_path / "copy",
        inputs=["text", "label"],
    )
    frame = pd.read_csv(tmp_path / "copy" / "cleaning_log.csv")
    assert frame.to_dict("records") == [
        {"row": 0, "file": "data.csv", "where": "line 2", "reason": "a, b", "shown": "one two | x"},
        {"row": 1, "file": "data.csv", "where": "line 4", "reason": "label_noise", "shown": ("long " * 20)},
        {"row": 3, "file": "data.csv", "where": "line 6", "reason": "near_texts", "shown": "=d | y"},
    ]


def test_folders_that_are_refused(tmp_path: Path) -> None:
    _picture(tmp_path / "pets" / "cat" / "1.png", 1)
    _picture(tmp_path / "pets" / "cat" / "2.png", 2)
    table, _ = _read(tmp_path / "pets", tmp_path / "rows.arrow")
    for folder, message in [
        (tmp_path / "pets", "exists and is not empty"),
        (tmp_path / "rows.arrow", "exists"),
        (tmp_path / "pets/cat/new", "lies among"),
    ]:
        with pytest.raises(OutputError, match=message):
            write(table, open_source(tmp_path / "pets"), {0: "why"}, folder)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert write(table, open_source(tmp_path / "pets"), {0: "why"}, tmp_path / "link").kept == 1
    assert _names(tmp_path / "empty") == {"cat/2.png", "cleaning_log.csv"}


def test_data_that_changed_since_it_was_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,label\na,x\nb,y\nc,x\n")
    table, _ = _read(tmp_path / "data.csv", tmp_path / "rows.arrow")
    (tmp_path / "data.csv").write_text("text,label\na,x\n")
    with pytest.raises(DataError, match=r"data\.csv has changed since it was read"):
        write(table, open_source(tmp_path / "data.csv"), {2: "why"}, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "rows.arrow"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    mount, folder = shutil.which("mount"), tmp_path / "disk"
    folder.mkdir()
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _as_csv(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path / "data.csv", index=False)
    return path / "data.csv"


def _as_parquet(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(path / "data.parquet")
    return path / "data.parquet"


def _as_pictures(path: Path, frame: pd.DataFrame) -> Path:
    (path / "pets" / "cat").mkdir(parents=True)
    for number, text in enumerate(frame["text"]):
        (path / "pets" / "cat" / f"{number}.png").write_text(text)
    return path / "pets"


@pytest.mark.parametrize("made", [_as_csv, _as_parquet, _as_pictures])
def test_a_full_disk_leaves_nothing(tmp_path: Path, small_disk: Path, made: Callable[[Path, pd.DataFrame], Path]) -> None:
    rng = random.Random(0)
    data = made(tmp_path, pd.DataFrame({"text": [rng.randbytes(1500).hex() for _ in range(1000)]}))
    table, _ = _read(data, tmp_path / "rows.arrow")
    with pytest.raises(OutputError, match="the disk is full while writing"):
        write(table, open_source(data), {0: "why"}, small_disk / "copy")
    assert not list(small_disk.iterdir())


def test_a_picture_that_is_gone_since_is_missed(tmp_path: Path) -> None:
    for number in range(3):
        _picture(tmp_path / "pets" / "cat" / f"{number}.png", number)
    table, _ = _read(tmp_path / "pets", tmp_path / "rows.arrow")
    (tmp_path / "pets" / "cat" / "2.png").unlink()
    for leave_out in (1, 2):
        with pytest.raises(DataError, match="pets has changed since it was read"):
            write(table, open_source(tmp_path / "pets"), {leave_out: "why"}, tmp_path / "copy")
