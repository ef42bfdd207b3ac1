"""FASTA as it is written by hand and by databases: headers, lines, labels, folders, damage."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.errors import DataError
from tunesmith.data import cleaned
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.fasta import FastaReader
from tunesmith.data.infer import infer
from tunesmith.data.sources import open_source
from tunesmith.data.table import build
from tunesmith.recipe import DataRecipe

EXAMPLE = """>seq1 kinase, exon 3 label=EI
ACGTACGTACGT
ACGT
; a comment of the old kind
>seq2 label=IE strand='minus one'

ggggcccc
; within a record
aaaatttt
>seq3
ACGTNNNNACGTAC
"""


def read(path: Path) -> tuple[list[dict[str, Any]], list[str], BadRows]:
    bad = BadRows()
    found = list(FastaReader(path).rows(bad))
    return [row for _, row in found], [where for where, _ in found], bad


def test_headers_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    path.write_text(EXAMPLE)
    rows, places, bad = read(path)
    assert rows == [
        {"id": "seq1", "description": "kinase, exon 3", "sequence": "ACGTACGTACGTACGT", "label": "EI", "strand": None},
        {"id": "seq2", "description": None, "sequence": "ggggccccaaaatttt", "label": "IE", "strand": "minus one"},
        {"id": "seq3", "description": None, "sequence": "ACGTNNNNACGTAC", "label": None, "strand": None},
    ]
    assert places == ["line 1", "line 5", "line 10"]
    assert bad.total == 0


def test_a_packed_file_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.fasta").write_text(EXAMPLE)
    with gzip.open(tmp_path / "a.fasta.gz", "wt") as handle:
        handle.write(EXAMPLE)
    assert read(tmp_path / "a.fasta") == read(tmp_path / "a.fasta.gz")


def test_last_part_of_ids_is_a_label_only_where_there_are_few(tmp_path: Path) -> None:
    path = tmp_path / "a.fna"
    path.write_text("".join(f">chr{i}|{'EI' if i % 2 else 'IE'} x\nACGT\n" for i in range(20)))
    rows, _, _ = read(path)
    assert [(row["id"], row["label"]) for row in rows[:2]] == [("chr0", "IE"), ("chr1", "EI")]
    path.write_text("".join(f">gi|{i}|ref|NM_{i} x\nACGT\n" for i in range(20)))
    rows, _, _ = read(path)
    assert "label" not in rows[0]
    assert rows[0]["id"] == "gi|0|ref|NM_0"


def test_bad_records_are_named_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    path.write_text("ACGT\n>\nACGT\n>empty\n>good\nACGT\n>last\n")
    rows, places, bad = read(path)
    assert [row["id"] for row in rows] == ["good"]
    assert places == ["line 5"]
    assert [(item.where, item.reason) for item in bad.named] == [
        ("line 1", "letters before the first header (a line that begins with '>')"),
        ("line 2", "a header without a name"),
        ("line 4", "a header without a sequence"),
        ("line 7", "a header without a sequence"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.fa", b"ACGT\n", "holds no record"),
        ("a.fa", b"", "is empty"),
        ("a.fa", b">a\xff\nACGT\n", "not utf-8 text"),
        ("a.fa.gz", gzip.compress(b">a\nACGT\n" * 5000, mtime=0)[:-20], "is damaged"),
        ("a.fa.gz", b">a\nACGT\n", "is damaged"),
    ],
)
def test_damage_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told):
        build(open_source(tmp_path / name), tmp_path / "rows.arrow", BadRows())


def record(name: str, i: int) -> str:
    return f">{name}{i} of {name}\n{'ACGT' * (3 + i)}\n"


def labels(folder: Path) -> list[tuple[str, Any, Any]]:
    source = open_source(folder)
    return [(where, row["id"], row["label"]) for part in source.parts for where, row in part.reader.rows(BadRows())]


def test_a_file_or_a_folder_per_class(tmp_path: Path) -> None:
    for name in ("EI", "IE"):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / f"{name}.fa").write_text(record(name, 0) + record(name, 1))
        (tmp_path / "folders" / name).mkdir(parents=True)
        (tmp_path / "folders" / name / "one.fa").write_text(record(name, 0))
        with gzip.open(tmp_path / "folders" / name / "two.fa.gz", "wt") as handle:
            handle.write(record(name, 1))
    names = [("EI0", "EI"), ("EI1", "EI"), ("IE0", "IE"), ("IE1", "IE")]
    files, folders = labels(tmp_path / "files"), labels(tmp_path / "folders")
    assert [found[1:] for found in files] == names
    assert [found[0] for found in files[:2]] == ["EI.fa, line 1", "EI.fa, line 3"]
    assert [found[1:] for found in folders] == names
    assert folders[1][0] == "EI/two.fa.gz, line 1"


def test_split_folders_and_split_files(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "a" / split).mkdir(parents=True)
        (tmp_path / "a" / split / "x.fa").write_text(record("x", 0))
        (tmp_path / "a" / split / "y.fa").write_text(record("y", 0))
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / f"{split}.fa").write_text(record("x", 0))
    for folder in ("a", "b"):
        assert sorted(part.split or "" for part in open_source(tmp_path / folder).parts) == ["test", "train"]
    assert [found[2] for found in labels(tmp_path / "a")] == ["x", "y", "x", "y"]


def test_what_a_header_says_is_no_input(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    path.write_text("".join(f">s{i} of organism {i} label={'ab'[i % 2]}\n{'ACGTTGCAACGT'}\n" for i in range(30)))
    table, _ = build(open_source(path), tmp_path / "rows.arrow", BadRows())
    columns = infer(table, DataRecipe(), None)
    assert (columns.inputs, columns.kinds, columns.modality, columns.label) == (["sequence"], {"sequence": "dna"}, "dna", ["label"])


@pytest.mark.parametrize("kind", ["file", "packed", "folder"])
def test_a_cleaned_copy_lacks_the_records_that_go(tmp_path: Path, kind: str) -> None:
    content = EXAMPLE + ">seq4 label=EI\nACGT\n"
    path = tmp_path / {"file": "a.fa", "packed": "a.fa.gz", "folder": "classes"}[kind]
    if kind == "folder":
        path.mkdir()
        (path / "x.fa").write_text(content)
        (path / "y.fa").write_text(content)
    elif kind == "packed":
        path.write_bytes(gzip.compress(content.encode()))
    else:
        path.write_text(content)
    source = open_source(path)
    table, _ = build(source, tmp_path / "rows.arrow", BadRows())
    written = cleaned.write(table, source, {1: "why"}, tmp_path / "copy")
    again, _ = build(open_source(written.data), tmp_path / "again.arrow", BadRows())
    ids = [row["id"] for row in table.rows(range(len(table)), ["id"])]
    assert [row["id"] for row in again.rows(range(len(again)), ["id"])] == [name for place, name in enumerate(ids) if place != 1]
