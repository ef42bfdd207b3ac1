"""Readers of single files and folders: each gives rows of text or bytes, one at a time, in constant memory.

Every value becomes text, bytes or None (a number its shortest exact decimal, a list or mapping its JSON), so that what follows
need not know the format. A row that cannot be read is reported to `BadRows` with its place; only damage that makes the rest of
a file unreadable ends the reading.

    {"text": "where is my card", "intent": "card_lost"}  at  messages.csv, line 17
"""

from __future__ import annotations

import csv
import datetime
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tunesmith.core.errors import DataError, require
from tunesmith.data.bad_rows import BadRows

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

Value = str | bytes | None
Located = tuple[str, dict[str, Value]]
"""Where a row stands in its file (`line 17`, `row 3`), and its values."""


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


def plain(value: Any) -> Value:
    """A value as text, bytes or None.

    Example:
        >>> plain(3.0), plain(float("nan")), plain(["a", "b"]), plain(True)
        ('3', None, '["a", "b"]', 'true')
    """
    if value is None or isinstance(value, str | bytes):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, dict) and set(value) == {"bytes", "path"}:  # a picture as Hugging Face stores it
        return plain(value["bytes"] if value["bytes"] is not None else value["path"])
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "save") and hasattr(value, "mode"):  # a PIL picture
        return _png(value)
    if hasattr(value, "tolist"):  # numpy
        return _array_png(value) if getattr(value, "ndim", 0) >= 2 else plain(value.tolist())
    text = str(value)
    return None if text in ("NaT", "<NA>", "nan") else text


def _png(picture: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _array_png(array: Any) -> bytes:
    if array.dtype != "uint8":
        raise DataError(f"pictures given as arrays must hold numbers of type uint8 between 0 and 255 (got {array.dtype})")
    return _png(require("PIL.Image", "pictures as arrays").fromarray(array))


@dataclass(frozen=True)
class CsvReader:
    """CSV or TSV with a header line.

    Args:
        path: the file.
        encoding: text encoding.
        delimiter: column separator; None finds it in the header line.
    """

    path: Path
    encoding: str = "utf-8"
    delimiter: str | None = None

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def root(self) -> Path:
        return self.path.parent

    def rows(self, bad: BadRows) -> Iterator[Located]:
        csv.field_size_limit(1 << 26)
        with open_text(self.path, self.encoding) as handle:
            first = handle.readline()
            handle.seek(0)
            reader = csv.reader(handle, delimiter=self.delimiter or _delimiter(self.path, first), strict=True)
            header: list[str] | None = None
            while True:
                start = reader.line_num + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    break
                except UnicodeDecodeError as error:
                    raise _undecodable(self.path, self.encoding) from error
                except csv.Error as error:
                    if "unexpected end of data" in str(error):
                        raise DataError(
                            f"{self.path}: a quotation mark opened in line {start} is never closed, so the rows after it cannot be told "
                            'apart; close it, or write a quotation mark inside a value twice ("")'
                        ) from error
                    end = reader.line_num
                    where = f"line {start}" if end <= start else f"lines {start} to {end}"
                    bad.add(self.label, where, f"broken quoting: {error}", max(1, end - start + 1))
                    continue
                if not cells or (len(cells) == 1 and not cells[0].strip()):
                    continue
                if header is None:
                    header = _header(self.path, cells)
                elif len(cells) != len(header):
                    bad.add(self.label, f"line {start}", f"{len(cells)} values where the header has {len(header)} columns")
                else:
                    yield f"line {start}", {key: cell or None for key, cell in zip(header, cells, strict=True)}


def _delimiter(path: Path, first: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",;\t|", key=lambda mark: (first.count(mark), mark == ","))


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: the header has two columns called {name!r}; give every column a name of its own")
    return names


def open_text(path: Path, encoding: str) -> Any:
    """Open a text file strictly, without its byte-order mark."""
    try:
        return path.open(encoding="utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding, newline="")
    except LookupError as error:
        raise DataError(f"there is no text encoding {encoding!r}; examples: utf-8, latin-1, cp1252, utf-16, gb18030") from error


def _undecodable(path: Path, encoding: str) -> DataError:
    with path.open("rb") as handle:
        head = handle.read(4)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return DataError(f"{path} is not {encoding} text: it begins like utf-16; try --encoding utf-16")
        handle.seek(0)
        for number, line in enumerate(handle, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return DataError(
                    f"{path} is not {encoding} text: byte 0x{line[error.start]:02x} in line {number}; "
                    "name its encoding, for example --encoding cp1252 or --encoding gb18030"
                )
    return DataError(f"{path} is not {encoding} text; name its encoding with --encoding")


@dataclass(frozen=True)
class JsonLinesReader:
    """One JSON object a line."""

    path: Path
    encoding: str = "utf-8"

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def root(self) -> Path:
        return self.path.parent

    def rows(self, bad: BadRows) -> Iterator[Located]:
        with open_text(self.path, self.encoding) as handle:
            lines = enumerate(handle, start=1)
            while True:
                try:
                    number, line = next(lines)
                except StopIteration:
                    break
                except UnicodeDecodeError as error:
                    raise _undecodable(self.path, self.encoding) from error
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except json.JSONDecodeError as error:
                    bad.add(self.label, f"line {number}", f"not JSON: {error.msg} at character {error.pos + 1}")
                    continue
                if not isinstance(value, dict):
                    bad.add(self.label, f"line {number}", "not a JSON object with one value a column")
                    continue
                yield f"line {number}", {str(key): plain(item) for key, item in value.items()}


@dataclass(frozen=True)
class ParquetReader:
    """A Parquet file, read in groups of rows."""

    path: Path

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def root(self) -> Path:
        return self.path.parent

    def rows(self, bad: BadRows) -> Iterator[Located]:
        parquet = require("pyarrow.parquet", "reading Parquet")
        arrow = require("pyarrow", "reading Parquet")
        try:
            file = parquet.ParquetFile(self.path)
        except (arrow.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.path} is not a readable Parquet file: {error}") from error
        number = 0
        for group in file.iter_batches(batch_size=1024):
            for row in group.to_pylist():
                number += 1
                yield f"row {number}", {key: plain(value) for key, value in row.items()}


@dataclass(frozen=True)
class FolderReader:
    """A folder with one folder of pictures per class: rows of `image` and `label`."""

    path: Path

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def root(self) -> Path:
        return self.path

    def rows(self, bad: BadRows) -> Iterator[Located]:
        for folder in sorted(p for p in self.path.iterdir() if p.is_dir() and not p.name.startswith(".")):
            for file in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
                place = str(file.relative_to(self.path))
                if file.suffix.lower() in PICTURES:
                    yield place, {"image": str(file), "label": folder.name}
                else:
                    bad.add(self.label, place, f"not a picture: the name ends in '{file.suffix}'")


@dataclass(frozen=True)
class MemoryReader:
    """Rows that are in memory already, or come from an iterable made anew for each reading."""

    make: Callable[[], Iterable[dict[str, Any]]]
    label: str = "rows"
    root: Path = Path()

    def rows(self, bad: BadRows) -> Iterator[Located]:
        for number, row in enumerate(self.make(), start=1):
            yield f"row {number}", {str(key): plain(value) for key, value in row.items()}


def reader_of(path: Path, encoding: str = "utf-8", delimiter: str | None = None) -> Reader:
    """The reader of a table file, by the ending of its name.

    Raises:
        DataError: no such file, an empty one, or an ending that is not known.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; check the name and the folder ({path.absolute().parent})")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes)")
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv"):
        return CsvReader(path, encoding, delimiter)
    if ending in (".jsonl", ".ndjson"):
        return JsonLinesReader(path, encoding)
    if ending == ".parquet":
        return ParquetReader(path)
    raise DataError(f"{path}: no way to read a file ending in '{ending}'; tables end in {', '.join(TABLES)}")
