"""Readers of single files and folders: each gives rows of text or bytes, one at a time, in constant memory.

Every value becomes text, bytes or None (see `values`). A row that cannot be read is reported to `BadRows` with its place; only damage
that makes the rest of a file unreadable ends the reading.

    {"text": "where is my card", "intent": "card_lost"}  at  messages.csv, line 17
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tunesmith.core.errors import DataError, require
from tunesmith.core.kinds import ENDINGS, FILE
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.fasta import FASTA, FastaReader, is_fasta
from tunesmith.data.one_file import OneFile
from tunesmith.data.text_files import CsvReader, JsonLinesReader
from tunesmith.data.ts_files import TsReader
from tunesmith.data.values import Located, distinct, located

T = TypeVar("T")

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".ts", *FASTA)


class Reader(Protocol):
    """Gives the rows of one source."""

    @property
    def label(self) -> str:
        """Name of the source in messages."""

    @property
    def root(self) -> Path:
        """Folder that relative paths in the rows start from."""

    def rows(self, bad: BadRows) -> Iterator[Located]:
        """The readable rows; the others go to `bad`."""


@dataclass(frozen=True)
class ParquetReader(OneFile):
    """A Parquet file, read in groups of rows."""

    def rows(self, bad: BadRows) -> Iterator[Located]:
        parquet = require("pyarrow.parquet", "reading Parquet")
        arrow = require("pyarrow", "reading Parquet")
        try:
            file = parquet.ParquetFile(self.path)
        except (arrow.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.path} is not a readable Parquet file: {error}") from error
        distinct(file.schema_arrow.names, str(self.path))
        number = 0
        groups = file.iter_batches(batch_size=1024)
        while True:
            try:
                group = next(groups, None)
            except (arrow.ArrowException, OSError) as error:
                raise DataError(f"{self.path} is damaged after row {number}: {error}") from error
            if group is None:
                break
            for row in group.to_pylist():
                number += 1
                yield from located(self.label, f"row {number}", row.items(), bad)


@dataclass(frozen=True)
class FolderReader:
    """A folder with one folder of files per class: rows of `image` or `audio` (a path that starts from the folder) and `label`."""

    path: Path
    kind: str = "image"

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def root(self) -> Path:
        return self.path

    def rows(self, bad: BadRows) -> Iterator[Located]:
        for place in self.places():
            name, inside, _ = place.partition("/")
            suffix = os.path.splitext(place)[1]
            if not inside:
                bad.add(self.label, place, f"a {FILE[self.kind]} that lies in no folder of a class")
            elif suffix.lower() in ENDINGS[self.kind]:
                yield from located(self.label, place, [(self.kind, place), ("label", name)], bad)
            else:
                bad.add(self.label, place, f"not a {FILE[self.kind]}: the name ends in '{suffix}'")

    def places(self) -> Iterator[str]:
        """Files that are rows or were meant to be, in order, as paths that start from the folder."""
        for entry in sorted(p for p in self.path.iterdir() if not p.name.startswith(".")):
            if entry.is_dir():
                yield from _files(self.path, entry.name)
            elif entry.suffix.lower() in ENDINGS[self.kind]:
                yield entry.name


def _files(root: Path, folder: str) -> Iterator[str]:
    """Files below a folder in order, as paths that start from `root`; the names of one folder are in memory at a time."""
    for name in sorted(os.listdir(root / folder)):
        place = f"{folder}/{name}"
        path = f"{root}/{place}"
        if os.path.isdir(path):
            if not os.path.islink(path):
                yield from _files(root, place)
        elif not name.startswith(".") and os.path.isfile(path):
            yield place


@dataclass(frozen=True)
class FilesReader:
    """Files of pictures or sounds, each a row of the one column `column`, placed by its name."""

    files: tuple[Path, ...]
    column: str
    label: str
    root: Path = Path()

    def rows(self, bad: BadRows) -> Iterator[Located]:
        for file in self.files:
            yield file.name, {self.column: str(file.absolute())}


@dataclass(frozen=True)
class MemoryReader:
    """Rows that are in memory already, or come from an iterable made anew for each reading."""

    make: Callable[[], Iterable[dict[str, Any]]]
    label: str = "rows"
    root: Path = Path()

    def rows(self, bad: BadRows) -> Iterator[Located]:
        for number, row in enumerate(self.make(), start=1):
            yield from located(self.label, f"row {number}", row.items(), bad)


def readable(label: str, items: Iterable[T]) -> Iterator[T]:
    """The items of a reader; failing to read is told apart from failing to write.

    Raises:
        DataError: the system cannot read what is called `label`.
    """
    try:
        yield from items
    except OSError as error:
        raise DataError(f"{label} cannot be read: {error}") from error


def ending_of(path: Path) -> str:
    """How a file's name ends, in small letters; of packed FASTA how it ends before `.gz`.

    Example:
        >>> ending_of(Path("a.FASTA.gz")), ending_of(Path("a.csv.gz"))
        ('.fasta', '.gz')
    """
    packed = is_fasta(path) and path.suffix.lower() == ".gz"
    return (Path(path.stem) if packed else path).suffix.lower()


def reader_of(path: Path, encoding: str = "utf-8", delimiter: str | None = None) -> Reader:
    """The reader of a table file, by the ending of its name.

    Raises:
        DataError: no such file, an empty one, or an ending that is not known.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; check the name and the folder ({path.absolute().parent})")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes)")
    ending = ending_of(path)
    if ending in FASTA:
        return FastaReader(path, encoding)
    if ending in (".csv", ".tsv"):
        return CsvReader(path, encoding, delimiter)
    if ending in (".jsonl", ".ndjson"):
        return JsonLinesReader(path, encoding)
    if ending == ".parquet":
        return ParquetReader(path)
    if ending == ".ts":
        return TsReader(path, encoding)
    raise DataError(f"{path}: no way to read a file ending in '{ending}'; tables end in {', '.join(TABLES)}")
