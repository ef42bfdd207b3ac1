"""Rows whose pictures are decoded once, whatever the number of epochs and runs: they stand before a table.

    rows[7] -> {"image": Picture(pixels, square), "label": "cat"}    where it is kept; {"image": "cats/7.jpg", ...} where it is not

A picture is known by the checksum of its file's bytes, and what is kept by that of the preprocessing, so a file that has changed is
decoded anew, and runs on the same pictures share them. In the store each is one array of bytes, so that its parts stay together:

    height, width, side of the square (or 0)  as int32 | pixels | square
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Backbone, Picture
from tunesmith.core.errors import OutputError
from tunesmith.core.feature_store import KEY_BYTES, FeatureStore, Writer
from tunesmith.core.files import atomic
from tunesmith.core.kinds import is_empty
from tunesmith.data.table import Table
from tunesmith.data.windows import WindowRows

Bytes = npt.NDArray[np.uint8]
HEADER = 12
SEGMENT = 32
"""Bits of a place that hold the row in its segment."""


def key_of(value: Any) -> bytes | None:
    """Checksum of a picture's bytes; None where there are none to read.

    Args:
        value: path of a file, or the bytes of one.
    """
    found = hashlib.blake2b(digest_size=KEY_BYTES)
    if isinstance(value, bytes):
        found.update(value)
        return found.digest()
    try:
        with Path(value).open("rb") as handle:
            while piece := handle.read(1 << 20):
                found.update(piece)
    except (OSError, TypeError, ValueError):
        return None
    return found.digest()


def packed(picture: Picture) -> Bytes:
    """A picture as one array of bytes."""
    height, width = picture.pixels.shape[:2]
    side = 0 if picture.square is None else len(picture.square)
    parts = [np.asarray([height, width, side], np.int32).view(np.uint8), picture.pixels.reshape(-1)]
    return np.concatenate([*parts, picture.square.reshape(-1)] if picture.square is not None else parts)


def unpacked(values: Bytes, key: bytes = b"") -> Picture:
    """The inverse of `packed`."""
    height, width, side = (int(number) for number in np.frombuffer(values[:HEADER].tobytes(), np.int32))
    end = HEADER + height * width * 3
    pixels = values[HEADER:end].reshape(height, width, 3)
    return Picture(pixels, values[end:].reshape(side, side, 3) if side else None, key)


@dataclass
class ReadyRows:
    """Rows of a table, with `Picture`s where they are kept.

    Args:
        table: the rows.
        store: keeps pictures.
        columns: columns of pictures.
        keys: (rows, columns, 16) uint8, checksum of each picture; zeros where it is not known.
    """

    table: Table
    store: FeatureStore
    columns: Sequence[str]
    keys: Bytes
    decoded: int = 0
    stopped: str = ""

    @classmethod
    def empty(cls, table: Table, store: FeatureStore, columns: Sequence[str]) -> ReadyRows:
        """Before any picture is looked at."""
        return cls(table, store, columns, np.zeros((len(table), len(columns), KEY_BYTES), np.uint8))

    def __reduce__(self) -> Any:
        return ReadyRows, (self.table, self.store, self.columns, self.keys)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self._with_pictures(number, self.table[number])

    def rows(self, numbers: Iterable[int], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """As `Table.rows`."""
        listed = [int(number) for number in numbers] if not isinstance(numbers, np.ndarray) else numbers
        for number, row in zip(listed, self.table.rows(listed, columns), strict=True):
            yield self._with_pictures(int(number), row)

    def _with_pictures(self, number: int, row: dict[str, Any]) -> dict[str, Any]:
        for place, column in enumerate(self.columns):
            key = self.keys[number, place].tobytes()
            if column in row and any(key) and (found := self.store.place(key)) is not None:
                row[column] = unpacked(self.store.at(*found), key)
        return row

    def look(self, number: int, row: dict[str, Any], backbone: Backbone) -> tuple[str | None, list[tuple[bytes, Bytes]]]:
        """Check a row's inputs, decoding only pictures that are not kept.

        Returns:
            The remark of `Backbone.check`, and what is to be kept.

        Raises:
            RowError: the row's inputs cannot be used.
        """
        keys = {column: key_of(row[column]) for column in self.columns if not is_empty(row.get(column), "image")}
        if not keys or None in keys.values():
            return backbone.check(row), []  # it says what is wrong
        known = {column: key for column, key in keys.items() if key is not None and key in self.store}
        ready = backbone.ready({**row, **{column: unpacked(self.store[key]) for column, key in known.items()}})
        remark = backbone.check(ready)
        made = []
        for column, key in keys.items():
            assert key is not None
            self.keys[number, self.columns.index(column)] = np.frombuffer(key, np.uint8)
            if column not in known:
                made.append((key, packed(ready[column])))
        return remark, made

    def keep(self, writer: Writer, made: Iterable[tuple[bytes, Bytes]]) -> None:
        """Add what `look` made to the store, unless the disk is full."""
        for key, values in made:
            self.decoded += 1
            if not self.stopped and key not in writer:
                try:
                    writer.add(key, values)
                except OutputError as error:
                    self.stopped = str(error)

    def save(self, path: Path) -> None:
        """Write the checksums, so that a resumed run need not read the files again; from then on they are mapped.

        Now that it is known which pictures the run uses, room is made of others.
        """
        with atomic(path) as part, part.open("wb") as handle:
            np.save(handle, self.keys)
        self.keys = np.load(path, mmap_mode="r", allow_pickle=False)
        self.store.uses(self.store.places(self.keys.reshape(-1, KEY_BYTES)))
        self.store.room.make()


def restored(path: Path, table: Table, store: FeatureStore, columns: Sequence[str]) -> ReadyRows | None:
    """What `save` wrote; None where nothing was."""
    if not path.is_file():
        return None
    keys = np.load(path, mmap_mode="r", allow_pickle=False)
    store.uses(store.places(keys.reshape(-1, KEY_BYTES)))
    return ReadyRows(table, store, columns, keys)


AnyRows = Table | ReadyRows | WindowRows
"""What gives rows by their numbers."""
