"""Rows on disk as an Arrow file, memory-mapped: any row by its number, whatever their count, in constant memory.

Two columns of our own stand before the user's: `#file` (which part) and `#where` (line or row in it), so that every message can name
the row as its owner knows it. Columns are found by their position, so that the user's may be called the same.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import DataError, RowError, require
from tunesmith.core.files import atomic
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.readers import readable
from tunesmith.data.sources import Source
from tunesmith.data.values import Located, Value

CHUNK = 2048
CHUNK_BYTES = 1 << 24
PIECE = 256
"""How many rows are made into Python's values at once."""

START = 16
"""Bytes of a file in a column that tell what it holds."""

OWN = 2
"""How many columns of our own stand before the user's."""


def chunks(rows: Iterator[Located], size: int = CHUNK) -> Iterator[list[Located]]:
    """Rows in lists of at most `size`, or fewer where pictures among their values take much room."""
    part: list[Located] = []
    held = 0
    for row in rows:
        part.append(row)
        held += sum(len(value) for value in row[1].values() if isinstance(value, bytes))
        if len(part) == size or held >= CHUNK_BYTES:
            yield part
            part, held = [], 0
    if part:
        yield part


def with_paths(row: dict[str, Any], root: Path, columns: Sequence[str]) -> dict[str, Any]:
    """The row with relative paths in `columns` made to start from `root`."""
    for column in columns:
        value = row.get(column)
        if isinstance(value, str):
            row[column] = str(root / value)
    return row


@dataclass
class Table:
    """Memory-mapped rows.

    Attributes:
        path: the Arrow file.
        columns: the user's columns.
        files: name and root folder of each part.
        path_columns: columns whose values are paths, relative to their part's root.
        notes: what reading met that the user should know.
    """

    path: Path
    columns: list[str]
    files: list[tuple[str, Path]]
    path_columns: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _batches: list[Any] = field(default_factory=list, repr=False)
    _starts: list[int] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, number: int) -> dict[str, Any]:
        """The row's values by column."""
        batch, offset = self._find(number)
        row = {name: batch.column(place)[offset].as_py() for place, name in enumerate(self.columns, start=OWN)}
        return with_paths(row, self.files[batch.column(0)[offset].as_py()][1], self.path_columns)

    def __reduce__(self) -> Any:
        return _reopened, (self.path, self.columns, self.files, self.path_columns, self.notes)

    def rows(self, numbers: Iterable[int], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows of these numbers, in their order; ascending ones are read many at a time.

        Args:
            numbers: row numbers.
            columns: the columns to read; None for all.
        """
        names = self.columns if columns is None else list(dict.fromkeys(columns))
        paths = [name for name in names if name in self.path_columns]
        waiting: list[int] = []
        block = -1
        for number in numbers:
            if not (block >= 0 and self._starts[block] <= number < self._starts[block + 1]) or len(waiting) == PIECE:
                yield from self._read(block, waiting, names, paths)
                waiting = []
                if not (block >= 0 and self._starts[block] <= number < self._starts[block + 1]):
                    block = bisect.bisect_right(self._starts, number) - 1
            waiting.append(int(number) - self._starts[block])
        yield from self._read(block, waiting, names, paths)

    def _read(self, block: int, offsets: list[int], names: Sequence[str], paths: Sequence[str]) -> Iterator[dict[str, Any]]:
        if not offsets:
            return
        batch = self._batches[block]
        first, last = offsets[0], offsets[-1]
        whole = last - first + 1 == len(offsets) and all(b - a == 1 for a, b in itertools.pairwise(offsets))
        arrow = require("pyarrow", "reading data")
        chosen = arrow.array(offsets, arrow.int32())

        def read(place: int) -> Any:
            column = batch.column(place)
            return (column.slice(first, len(offsets)) if whole else column.take(chosen)).to_pylist()

        values = zip(*[read(self._place(name)) for name in names], strict=True) if names else iter([()] * len(offsets))
        if not paths:
            yield from (dict(zip(names, row, strict=True)) for row in values)
            return
        for row, part in zip(values, read(0), strict=True):
            yield with_paths(dict(zip(names, row, strict=True)), self.files[part][1], paths)

    def cell(self, number: int, column: str) -> Value:
        """One value."""
        batch, offset = self._find(number)
        value: Value = batch.column(self._place(column))[offset].as_py()
        return value

    def column(self, name: str) -> Iterator[Value]:
        """All values of a column, in order, one chunk in memory at a time."""
        place = self._place(name)
        for batch in self._batches:
            yield from batch.column(place).to_pylist()

    def sample(self, name: str, count: int) -> list[Value]:
        """The first values of a column; of files only their first bytes."""
        column = self.whole(name).slice(0, count)
        if "binary" in str(column.type):
            compute = require("pyarrow.compute", "reading data")
            column = compute.binary_slice(column, 0, START)
        values: list[Value] = column.to_pylist()
        return values

    def whole(self, name: str) -> Any:
        """A column as an Arrow array that stays on disk."""
        arrow = require("pyarrow", "reading data")
        return arrow.chunked_array([batch.column(self._place(name)) for batch in self._batches])

    def ranks(self, name: str) -> npt.NDArray[np.int32]:
        """(rows,) of each row's value its place among the different ones in sorted order; what is missing ranks last."""
        compute = require("pyarrow.compute", "reading data")
        coded = self.whole(name).combine_chunks().dictionary_encode()
        rank = np.empty(len(coded.dictionary) + 1, np.int32)
        rank[compute.sort_indices(coded.dictionary).to_numpy()] = np.arange(len(coded.dictionary))
        rank[-1] = len(coded.dictionary)
        found: npt.NDArray[np.int32] = rank[coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)]
        return found

    def batches(self, part: int) -> Iterator[tuple[int, Any]]:
        """Of each batch of a part's rows the number of the first one, and the user's columns as Arrow holds them."""
        for start, batch in zip(self._starts, self._batches, strict=False):
            if batch.column(0)[0].as_py() == part:  # `build` gives every part batches of its own
                yield start, batch.select(list(range(OWN, batch.num_columns)))

    def parts(self) -> npt.NDArray[np.int16]:
        """(rows,) number of the part each row came from."""
        return np.concatenate([batch.column(0).to_numpy() for batch in self._batches])

    def origin(self, number: int) -> tuple[str, str]:
        """File and place of a row."""
        batch, offset = self._find(number)
        return self.files[batch.column(0)[offset].as_py()][0], batch.column(1)[offset].as_py()

    def part(self, number: int) -> int:
        """Number of the part a row came from."""
        batch, offset = self._find(number)
        return int(batch.column(0)[offset].as_py())

    def _place(self, column: str) -> int:
        return self.columns.index(column) + OWN

    def _find(self, number: int) -> tuple[Any, int]:
        block = bisect.bisect_right(self._starts, number) - 1
        return self._batches[block], number - self._starts[block]


def build(source: Source, path: Path, bad: BadRows) -> tuple[Table, list[str | None]]:
    """Read every part of a source into one Arrow file.

    Args:
        source: what the user brought.
        path: the Arrow file to write.
        bad: receives unreadable rows.

    Returns:
        The table, and for each part the split it was given for.

    Raises:
        DataError: no readable row, or columns that differ between parts.
    """
    arrow = require("pyarrow", "reading data")
    schema: Any = None
    notes = list(source.notes)
    if not source.parts:
        raise DataError("no data was given: the mapping of splits is empty")
    with atomic(path) as part_path, arrow.OSFile(str(part_path), "wb") as sink:
        writer: Any = None
        for number, part in enumerate(source.parts):
            before = bad.total
            count = 0
            for chunk in chunks(readable(part.reader.label, part.reader.rows(bad))):
                if schema is None:
                    schema = _schema(arrow, chunk)
                    writer = arrow.ipc.new_file(sink, schema)
                chunk = _conforming(chunk, schema, part.reader.label, bad, notes)
                count += len(chunk)
                if chunk:
                    writer.write_batch(_batch(arrow, chunk, schema, number))
            if count == 0:
                raise DataError(
                    f"{part.reader.label} " + (f"holds no usable row; {bad.summary()}" if bad.total > before else "holds no rows")
                )
        writer.close()
    table = open_table(path, schema.names[OWN:], [(p.reader.label, p.reader.root.absolute()) for p in source.parts], [])
    table.notes.extend(notes)
    return table, [part.split for part in source.parts]


def _schema(arrow: Any, chunk: list[Located]) -> Any:
    kinds: dict[str, Any] = {}
    for _, row in chunk:
        for name, value in row.items():
            kinds.setdefault(name, arrow.large_string())
            if isinstance(value, bytes):
                kinds[name] = arrow.large_binary()
    return arrow.schema([("#file", arrow.int16()), ("#where", arrow.string()), *kinds.items()])


def _conforming(chunk: list[Located], schema: Any, label: str, bad: BadRows, notes: list[str]) -> list[Located]:
    kinds = {item.name: bytes if str(item.type) == "large_binary" else str for item in list(schema)[OWN:]}
    good = []
    for where, row in chunk:
        for name in row:
            if name not in kinds:
                note = f"column '{name}' first appears in {label} and is not used"
                if note not in notes:
                    notes.append(note)
        wrong = [n for n, v in row.items() if n in kinds and v is not None and not isinstance(v, kinds[n])]
        if wrong:
            bad.add(label, where, f"column '{wrong[0]}' holds {'bytes' if kinds[wrong[0]] is str else 'text'}, unlike the rows before")
        else:
            good.append((where, row))
    return good


def _batch(arrow: Any, chunk: list[Located], schema: Any, number: int) -> Any:
    arrays = [arrow.array([number] * len(chunk), arrow.int16()), arrow.array([where for where, _ in chunk], arrow.string())]
    for item in list(schema)[OWN:]:
        arrays.append(arrow.array([row.get(item.name) for _, row in chunk], item.type))
    return arrow.record_batch(arrays, schema=schema)


def open_table(path: Path, columns: list[str], files: list[tuple[str, Path]], path_columns: list[str]) -> Table:
    """Map an Arrow file that `build` wrote."""
    arrow = require("pyarrow", "reading data")
    table = Table(path, columns, files, path_columns)
    reader = arrow.ipc.open_file(arrow.memory_map(str(path)))
    table._batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    table._starts = [0]
    for batch in table._batches:
        table._starts.append(table._starts[-1] + batch.num_rows)
    return table


def _reopened(path: Path, columns: list[str], files: list[tuple[str, Path]], path_columns: list[str], notes: list[str]) -> Table:
    """A table in another process."""
    table = open_table(path, columns, files, path_columns)
    table.notes.extend(notes)
    return table


def note_bad(table: Table, number: int, error: RowError, bad: BadRows, asked: bool = False) -> None:
    """Report a row of a table as unusable, or as left out because the user `asked` for that."""
    file, where = table.origin(number)
    bad.add(file, where, str(error), asked=asked)
