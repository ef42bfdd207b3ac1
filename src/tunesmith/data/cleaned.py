"""A copy of the data without the rows that inspections leave out; the original is only read.

    messages.csv     --> COPY/messages.csv      the bytes of the rows that stay: quotation, types and order as they were
    rows.parquet     --> COPY/rows.parquet      the same schema
    pets/cat/1.jpg   --> COPY/cat/1.jpg         copies, no links: the copy stays as it is when the original changes
    rows in memory   --> COPY/rows.parquet      as text, or bytes of pictures: what tunesmith makes of them
                         COPY/cleaning_log.csv  what was left out, and why

What could not be read as a row stays as it is (a broken line, a text among pictures): it is for its owner to mend. Rows in memory that
could not be read are not in the copy. Pictures that a table names by relative paths come along, so that the paths still hold; a table
that names `../pictures/1.jpg` lies one folder deeper for that. Pictures named by absolute paths stay where they are. In encodings that
spell some characters in two ways (cp932, big5, utf-7) the copy may hold the other spelling; the text is the same.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import DataError, OutputError, require
from tunesmith.core.files import atomic
from tunesmith.core.kinds import ENDINGS
from tunesmith.core.kinds import SHOWN as KINDS
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.fasta import FastaFolderReader, FastaReader
from tunesmith.data.readers import FolderReader, ParquetReader, Reader, readable
from tunesmith.data.sources import CLEANING_LOG, Source
from tunesmith.data.table import Table
from tunesmith.data.text_files import CsvReader, JsonLinesReader, as_written
from tunesmith.data.values import Value

SHOWN = 100
"""How many characters of a row the log shows."""

GROUP_ROWS, GROUP_BYTES = 1 << 17, 1 << 26
"""A group of rows in a Parquet file ends with the first of these."""

FILES = CsvReader | JsonLinesReader | ParquetReader | FastaReader
FOLDERS = FolderReader | FastaFolderReader

Kept = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cleaned:
    """A copy that was written.

    Attributes:
        kept: rows of the table that are in the copy.
        left_out: rows that are not.
        files: the copy of each part, a file or a folder, and the log.
        data: what `open_source` reads the copy from, with the encoding and the delimiter of the original: a path, paths, or a mapping of
            splits to paths where the original was one.
    """

    kept: int
    left_out: int
    files: list[Path]
    data: Path | list[str] | dict[str, Path]


@dataclass(frozen=True)
class _Place:
    """Where a part goes: what lies below `base` in the original lies below `under` in the copy."""

    base: str
    under: str

    def of(self, path: str) -> Path:
        return Path(self.under, os.path.relpath(path, self.base))


def write(table: Table, source: Source, leave_out: Mapping[int, str], folder: Path, *, inputs: Sequence[str] = ()) -> Cleaned:
    """Write a copy of the data without some of its rows; it appears whole or not at all.

    Args:
        table: the rows, as `build` read them from `source`; files named in its `path_columns` come along.
        source: what was read.
        leave_out: number of a row in the table -> why it goes.
        folder: where the copy goes: not there yet, or empty.
        inputs: columns that the log shows.

    Raises:
        OutputError: the folder holds something or lies among the pictures it is a copy of, or the disk is full.
        DataError: no row would be left of a split, or the data is not what was read.
    """
    _refuse(folder, source)
    numbers = np.fromiter(sorted(leave_out), np.int64, len(leave_out))
    kept = np.ones(len(table), np.bool_)
    kept[numbers] = False
    stay = np.bincount(table.parts()[kept], minlength=len(source.parts))
    _none_lost(source, stay)
    places = _places(table, source, kept)
    origins = [os.path.join(_start(part.reader), _name(part.reader, part.split)) for part in source.parts]
    relative = [place.of(origin) for place, origin in zip(places, origins, strict=True)]
    without = _wheres(table, numbers, len(source.parts))
    target = folder.resolve()
    with atomic(target) as copy:
        copy.mkdir()
        for number, part in enumerate(source.parts):
            if not stay[number]:
                continue
            (copy / relative[number]).parent.mkdir(parents=True, exist_ok=True)
            goes, stays = _write_part(table, number, part.reader, without[number], kept, copy / relative[number])
            if goes != len(without[number]) or stays < stay[number]:  # more may stay: the table lacks what it could not hold
                raise DataError(f"{part.reader.label} has changed since it was read; read it again")
            _bring(table, number, part.reader, kept, copy / places[number].of(_root(table, number)))
        _log(copy / CLEANING_LOG, table, numbers, leave_out, inputs)
    written = [folder / path for path, count in zip(relative, stay, strict=True) if count]
    return Cleaned(int(kept.sum()), len(numbers), [*written, folder / CLEANING_LOG], _opened(source, folder, places, relative, stay))


def _refuse(folder: Path, source: Source) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"the folder {folder} exists and is not empty; nothing is overwritten: choose another --out or remove it")
    for part in source.parts:
        if isinstance(part.reader, FOLDERS) and folder.resolve().is_relative_to(part.reader.path.resolve()):
            files = KINDS[part.reader.kind] if isinstance(part.reader, FolderReader) else "FASTA files"
            raise OutputError(f"{folder} lies among the {files} of {part.reader.path}, which stays as it is; choose another --out")


def _none_lost(source: Source, stay: npt.NDArray[np.int64]) -> None:
    """Refuse to leave a split without a row. A file without one goes where its split has others."""
    for number, part in enumerate(source.parts):
        if not sum(int(count) for other, count in zip(source.parts, stay, strict=True) if other.split == part.split):
            raise DataError(f"every row of {source.parts[number].reader.label} would be left out; there would be nothing to work with")


def _start(reader: Reader) -> str:
    """The folder that a part lies in."""
    return os.path.abspath(reader.root.parent if isinstance(reader, FOLDERS) else reader.root)


def _root(table: Table, part: int) -> str:
    """The folder that relative paths in a part's rows start from, as it was when they were read."""
    return os.path.abspath(table.files[part][1])


def _name(reader: Reader, split: str | None) -> str:
    if isinstance(reader, FILES | FOLDERS):
        return Path(os.path.abspath(reader.path)).name
    return f"{reader.label if split else 'rows'}.parquet"  # a name that says a split where none was given would divide the rows


def _places(table: Table, source: Source, kept: Kept) -> list[_Place]:
    """Where each part goes. Parts of one folder stay together; parts from anywhere get a folder of their split each."""
    starts = [os.path.abspath(source.folder) if source.folder else _start(part.reader) for part in source.parts]
    together = not source.keys and len(set(starts)) == 1
    under = [""] * len(starts) if together else source.keys or [str(part.split) for part in source.parts]
    bases: dict[str, str] = {}
    for number, (name, start) in enumerate(zip(under, starts, strict=True)):
        root, base = _root(table, number), bases.get(name, start)
        for value in _relative(table, number, source.parts[number].reader, kept):
            if os.pardir in value and os.path.isfile(os.path.join(root, value)):
                base = os.path.commonpath([base, os.path.dirname(os.path.normpath(os.path.join(root, value)))])
        bases[name] = base
    return [_Place(bases[name], name) for name in under]


def _relative(table: Table, part: int, reader: Reader, kept: Kept) -> Iterator[str]:
    """The relative paths that a part's remaining rows name; those of a folder of pictures are its own files."""
    if isinstance(reader, FOLDERS) or not table.path_columns:
        return
    for start, batch in table.batches(part):
        for column in table.path_columns:
            values = batch.column(table.columns.index(column)).to_pylist()
            for value, stays in zip(values, kept[start : start + len(values)], strict=True):
                if stays and isinstance(value, str) and not os.path.isabs(value):
                    yield value


def _wheres(table: Table, numbers: npt.NDArray[np.int64], parts: int) -> list[set[str]]:
    """Of each part the places of the rows that go."""
    found: list[set[str]] = [set() for _ in range(parts)]
    for number in numbers.tolist():
        found[table.part(number)].add(table.origin(number)[1])
    return found


def _write_part(table: Table, number: int, reader: Reader, without: Collection[str], kept: Kept, target: Path) -> tuple[int, int]:
    """Write one part; gives how many rows were met that go, and how many that stay."""
    match reader:
        case CsvReader() | JsonLinesReader() | FastaReader():
            return _write_text(reader, without, target)
        case FastaFolderReader():
            return _write_fasta(reader, without, target)
        case ParquetReader():
            return _write_parquet(reader, without, target)
        case FolderReader():
            return _write_files(reader, without, target)
        case _:
            return _write_rows(table, number, kept, target)


def _write_text(reader: CsvReader | JsonLinesReader | FastaReader, without: Collection[str], target: Path) -> tuple[int, int]:
    goes = stays = 0
    mark, codec = as_written(reader.path, reader.encoding)
    with gzip.open(target, "wb") if target.suffix.lower() == ".gz" else target.open("wb") as raw:
        raw.write(mark)
        with io.TextIOWrapper(raw, codec, newline="") as out:
            for where, text, row in readable(reader.label, reader.pieces(BadRows(keep=0))):
                if row is not None and where in without:
                    goes += 1
                else:
                    stays += row is not None
                    out.write(text)
    return goes, stays


def _write_fasta(reader: FastaFolderReader, without: Collection[str], target: Path) -> tuple[int, int]:
    """Each file of a folder without the records that go."""
    goes = stays = 0
    for place, file in reader.files():
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        counted = _write_text(file, without, target / place)
        goes, stays = goes + counted[0], stays + counted[1]
    return goes, stays


def _write_parquet(reader: ParquetReader, without: Collection[str], target: Path) -> tuple[int, int]:
    arrow = require("pyarrow", "writing Parquet")
    parquet = require("pyarrow.parquet", "writing Parquet")
    number = goes = 0

    def remaining() -> Iterator[Any]:
        nonlocal number, goes
        for batch in readable(reader.label, file.iter_batches(batch_size=1024)):
            stays = [f"row {place}" not in without for place in range(number + 1, number + batch.num_rows + 1)]
            number += batch.num_rows
            goes += stays.count(False)
            yield batch if all(stays) else batch.filter(arrow.array(stays))

    with parquet.ParquetFile(reader.path) as file:
        compression = file.metadata.row_group(0).column(0).compression
        _write_batches(target, file.schema_arrow, remaining(), "none" if compression == "UNCOMPRESSED" else compression)
    return goes, number - goes


def _write_rows(table: Table, part: int, kept: Kept, target: Path) -> tuple[int, int]:
    arrow = require("pyarrow", "writing Parquet")
    number = goes = 0

    def remaining() -> Iterator[Any]:
        nonlocal number, goes
        for start, batch in table.batches(part):
            stays = kept[start : start + batch.num_rows]
            number, goes = number + batch.num_rows, goes + int((~stays).sum())
            yield batch if stays.all() else batch.filter(arrow.array(stays))

    first = next(batch for _, batch in table.batches(part))
    _write_batches(target, first.schema, remaining(), "snappy")
    return goes, number - goes


def _write_batches(target: Path, schema: Any, batches: Iterable[Any], compression: str) -> None:
    arrow = require("pyarrow", "writing Parquet")
    parquet = require("pyarrow.parquet", "writing Parquet")
    with parquet.ParquetWriter(target, schema, compression=compression) as writer:
        group: list[Any] = []
        rows = size = 0
        for batch in batches:
            group.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= GROUP_ROWS or size >= GROUP_BYTES:
                writer.write_table(arrow.Table.from_batches(group, schema))
                group, rows, size = [], 0, 0
        if rows:
            writer.write_table(arrow.Table.from_batches(group, schema))


def _write_files(reader: FolderReader, without: Collection[str], target: Path) -> tuple[int, int]:
    goes = stays = 0
    for place in readable(reader.label, reader.places()):
        if place in without:
            goes += 1
        else:
            stays += place.lower().endswith(ENDINGS[reader.kind])
            _copy_file(reader.path / place, target / place)
    return goes, stays


def _bring(table: Table, part: int, reader: Reader, kept: Kept, root: Path) -> None:
    """Copy the files that a part's remaining rows name to where they are found from the copy; what is not there is not missed here."""
    for value in _relative(table, part, reader, kept):
        origin = os.path.join(_root(table, part), value)
        if os.path.isfile(origin) and not os.path.exists(root / value):
            _copy_file(Path(origin), root / value)


def _copy_file(origin: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source = origin.open("rb")
    except OSError as error:
        raise DataError(f"{origin} cannot be read: {error.strerror}; a copy without it would be another data set") from error
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)


def _log(path: Path, table: Table, numbers: npt.NDArray[np.int64], leave_out: Mapping[int, str], inputs: Sequence[str]) -> None:
    with path.open("x", encoding="utf-8", errors="backslashreplace", newline="") as handle:
        log = csv.writer(handle, lineterminator="\n")
        log.writerow(["row", "file", "where", "reason", "shown"])
        for number, row in zip(numbers.tolist(), table.rows(numbers.tolist(), inputs), strict=True):
            log.writerow([number, *table.origin(number), leave_out[number], _shown(row.values())])


def _shown(values: Iterable[Value]) -> str:
    words = (f"{len(value)} bytes" if isinstance(value, bytes) else value for value in values if value is not None)
    return re.sub(r"\s+", " ", " | ".join(words))[:SHOWN]


def _opened(
    source: Source, folder: Path, places: Sequence[_Place], relative: Sequence[Path], stay: npt.NDArray[np.int64]
) -> Path | list[str] | dict[str, Path]:
    """What to read the copy from, so that its parts come in the same order with the same splits."""
    if source.keys:
        return {key: folder / path for key, path, count in zip(source.keys, relative, stay, strict=True) if count}
    if source.folder:
        return folder / places[0].of(os.path.abspath(source.folder))
    if isinstance(source.parts[0].reader, FILES | FOLDERS):
        return [str(folder / path) for path in relative]
    return folder / places[0].of(_start(source.parts[0].reader))
