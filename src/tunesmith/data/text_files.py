"""Readers of text files: CSV and its kin, and JSON lines.

An empty cell of a CSV file is None, and so is `NaN`, which pandas writes for a missing number where it is asked to. A line with broken
quoting, with more or fewer cells than the header, or with half a JSON object is named and the rest is read; a quotation mark that is
never closed and a wrong encoding end the reading, because no row after them can be trusted.

Readers cut the text of a file into pieces, each of them a row or no row, and lose nothing of it: together they are the file.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.one_file import InPieces, Piece
from tunesmith.data.values import Value, distinct, located


@dataclass(frozen=True)
class CsvReader(InPieces):
    """CSV or TSV with a header line.

    Args:
        path: the file.
        encoding: text encoding.
        delimiter: column separator; None finds it in the header line.
    """

    encoding: str = "utf-8"
    delimiter: str | None = None

    def pieces(self, bad: BadRows) -> Iterator[Piece]:
        """The whole text in pieces; what is no row but should be one goes to `bad`."""
        csv.field_size_limit(1 << 26)
        with open_text(self.path, self.encoding) as handle, decoding(self.path, self.encoding):
            before, first, told = _first_line(handle)
            skipped = len(before)
            yield "line 1", "".join(before), None
            delimiter = _separator(self.delimiter) or told or _delimiter(self.path, first)
            lines: list[str] = []
            reader = csv.reader(_noted(first, handle, lines), delimiter=delimiter, strict=True)
            header: list[str] | None = None
            while True:
                start = skipped + reader.line_num + 1
                lines.clear()
                try:
                    cells = next(reader)
                except StopIteration:
                    break
                except csv.Error as error:
                    end = skipped + reader.line_num
                    if header is None or "unexpected end of data" in str(error):
                        raise _unreadable(self.path, start, error) from error
                    where = f"line {start}" if end <= start else f"lines {start} to {end}"
                    bad.add(self.label, where, f"broken quoting: {error}", max(1, end - start + 1))
                    yield where, "".join(lines), None
                    continue
                row: dict[str, Value] | None = None
                if not cells or (len(cells) == 1 and cells[0].isspace()):  # `""` is a value, a blank line is none
                    pass
                elif header is None:
                    header = _header(self.path, cells)
                elif len(cells) != len(header):
                    bad.add(self.label, f"line {start}", f"{len(cells)} values where the header has {len(header)} columns")
                elif any("\0" in cell for cell in cells):
                    bad.add(self.label, f"line {start}", "a NUL character: the file is damaged here, or in another encoding")
                else:
                    row = {key: _cell(cell) for key, cell in zip(header, cells, strict=True)}
                yield f"line {start}", "".join(lines), row


def _noted(first: str, rest: Iterable[str], lines: list[str]) -> Iterator[str]:
    """The lines, each added to `lines` when it is asked for."""
    lines.append(first)
    yield first
    for line in rest:
        lines.append(line)
        yield line


def _cell(text: str) -> Value:
    return None if text in ("", "nan", "NaN") else text


def _first_line(handle: Any) -> tuple[list[str], str, str | None]:
    """The lines before the header, the header line, and the separator that a line such as `sep=;` (Excel) names."""
    told = None
    before: list[str] = []
    for line in handle:
        mark = re.fullmatch(r"sep=(.)", line.rstrip("\r\n"))
        if mark and not before:
            told = mark[1]
        elif line.strip():
            return before, line, told
        before.append(line)
    return [], "", None


def _separator(given: str | None) -> str | None:
    mark = {"\\t": "\t", "tab": "\t"}.get(given or "", given)
    if mark and len(mark) != 1:
        raise DataError(f"field 'delimiter' is one character, such as ';' or tab (got {given!r})")
    return mark


def _delimiter(path: Path, first: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    bare = re.sub(r'"[^"]*"', "", first)
    return max(",;\t|", key=lambda mark: (bare.count(mark), mark == ","))


def _unreadable(path: Path, line: int, error: csv.Error) -> DataError:
    if "unexpected end of data" in str(error):
        return DataError(
            f"{path}: a quotation mark opened in line {line} is never closed, so the rows after it cannot be told "
            'apart; close it, or write a quotation mark inside a value twice ("")'
        )
    return DataError(f"{path}: the header in line {line} cannot be read (broken quoting: {error}); mend it, or name its --delimiter")


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if any("\0" in name for name in names):
        raise DataError(f"{path}: the header holds NUL characters, as if it were utf-16 text; try --encoding utf-16-le, or mend the file")
    return distinct(names, str(path))


def open_text(path: Path, encoding: str) -> Any:
    """Open a text file strictly, without its byte-order mark."""
    try:
        return path.open(encoding=_codec(encoding), newline="")
    except LookupError as error:
        raise DataError(f"there is no text encoding {encoding!r}; examples: utf-8, latin-1, cp1252, utf-16, gb18030") from error


def _codec(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding


_NATIVE = "le" if sys.byteorder == "little" else "be"
_MARKED = {
    "utf-8-sig": ("utf-8", {codecs.BOM_UTF8: "utf-8"}),
    "utf-16": (f"utf-16-{_NATIVE}", {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}),
    "utf-32": (f"utf-32-{_NATIVE}", {codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be"}),
}
"""Encodings that swallow a byte-order mark: what the text is encoded in without one, and after each."""


def as_written(path: Path, encoding: str) -> tuple[bytes, str]:
    """The byte-order mark that `open_text` hides, and the encoding of what follows it."""
    bare, marks = _MARKED.get(codecs.lookup(_codec(encoding)).name, (encoding, {}))
    with path.open("rb") as handle:
        begin = handle.read(4)
    return next(((mark, codec) for mark, codec in marks.items() if begin.startswith(mark)), (b"", bare))


@contextlib.contextmanager
def decoding(path: Path, encoding: str) -> Iterator[None]:
    """Turn a failure to decode into a DataError that names the place."""
    try:
        yield
    except UnicodeError as error:
        raise _undecodable(path, encoding) from error


def _undecodable(path: Path, encoding: str) -> DataError:
    with path.open("rb") as handle:
        if handle.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return DataError(f"{path} is not {encoding} text: it begins like utf-16; try --encoding utf-16")
        handle.seek(0)
        if b"\0" in handle.read(4096):
            return DataError(f"{path} is not {encoding} text: it holds zero bytes, like utf-16; try --encoding utf-16-le or utf-16-be")
        handle.seek(0)
        for number, line in enumerate(
            handle if not encoding.lower().startswith(("utf-16", "utf-32", "utf16", "utf32", "utf_16", "utf_32")) else (), start=1
        ):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return DataError(
                    f"{path} is not {encoding} text: byte 0x{line[error.start]:02x} in line {number}; "
                    "name its encoding, for example --encoding cp1252 (Windows, western Europe), latin-1 or gb18030 (Chinese)"
                )
    return DataError(f"{path} is not {encoding} text; name its encoding with --encoding, for example --encoding utf-8")


@dataclass(frozen=True)
class JsonLinesReader(InPieces):
    """One JSON object a line."""

    encoding: str = "utf-8"

    def pieces(self, bad: BadRows) -> Iterator[Piece]:
        """The whole text in pieces; what is no row but should be one goes to `bad`."""
        with open_text(self.path, self.encoding) as handle, decoding(self.path, self.encoding):
            begun = False
            for number, line in enumerate(handle, start=1):
                where = f"line {number}"
                if not line.strip():
                    yield where, line, None
                    continue
                if not begun and line.lstrip().startswith("["):
                    raise DataError(
                        f"{self.path} is one JSON list; write one object a line (pandas: to_json(orient='records', lines=True))"
                    )
                begun = True
                value = self._object(line, where, bad)
                row: dict[str, Value] | None = None
                if value is not None:
                    for _, found in located(self.label, where, value.items(), bad):
                        row = found
                yield where, line, row

    def _object(self, line: str, where: str, bad: BadRows) -> dict[str, Any] | None:
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            bad.add(self.label, where, f"not JSON: {error.msg} at character {error.pos + 1}")
            return None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in thousands of brackets
            bad.add(self.label, where, f"JSON beyond what can be read: {error}")
            return None
        if not isinstance(value, dict):
            bad.add(self.label, where, "not a JSON object with one value a column")
            return None
        return value
