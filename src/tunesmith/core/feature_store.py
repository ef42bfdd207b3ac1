"""Arrays on disk by the checksum of what they were computed from: memory-mapped, shared by runs, bounded in size.

    ROOT/<what computes them>/<segment>/values.bin   one row's values after another
                                        keys.npy     (rows, 16) checksums of the rows, ascending
                                        places.npy   (rows, 1 + axes) for each key where its values begin, and their shape
                                        about.json   number type of the values

A segment is written beside its place and renamed when it is complete, so that any number of runs may read and write at once and a killed
run leaves nothing half-written in sight. Segments that have not been used for longest go first when the limit is reached (`core/cache.py`).
All files are mapped, so a store takes no memory that grows with its rows; a process that is handed one maps them anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tunesmith.core.cache import PART, VALUES, Room, entries, in_use
from tunesmith.core.errors import OutputError
from tunesmith.core.files import disk_errors

KEY_BYTES = 16
SEGMENT_ROWS = 1 << 16
"""Rows of a segment at most: what a writer must remember until a segment is complete."""

RECENT = 1 << 12
"""Keys that a writer has in a set, of a hundred bytes each; the others it has sorted, of 16 bytes."""

Array = npt.NDArray[Any]


class Keys:
    """Ascending checksums, found by halving.

    Args:
        keys: (n, 16) uint8, ascending.
    """

    def __init__(self, keys: npt.NDArray[np.uint8]) -> None:
        self.keys = keys
        self.heads = np.ndarray(len(keys), ">u8", keys, strides=keys.strides[:1])  # the first half of each

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, key: bytes) -> int | None:
        """Place of a key; None if it is not there."""
        head = int.from_bytes(key[:8], "big")
        place, end = 0, len(self.heads)
        while place < end:
            middle = (place + end) // 2
            if self.heads[middle] < head:
                place = middle + 1
            else:
                end = middle
        while place < len(self.heads) and self.heads[place] == head:
            if self.keys[place].tobytes() == key:
                return place
            place += 1
        return None

    def find_all(self, keys: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """(m,) places of (m, 16) keys; -1 for those that are not there."""
        if not len(self):
            return np.full(len(keys), -1)
        heads = np.ndarray(len(keys), ">u8", keys, strides=keys.strides[:1]).astype(np.uint64)
        places = np.minimum(np.searchsorted(self.heads.astype(np.uint64), heads), len(self) - 1)
        found = np.where((self.keys[places] == keys).all(axis=1), places, -1)
        for i in np.flatnonzero((found < 0) & (self.heads[places] == heads)):  # two keys with the same first half
            found[i] = -1 if (place := self.find(keys[i].tobytes())) is None else place
        return found


def ascending(keys: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Order in which (n, 16) checksums ascend."""
    return np.lexsort(keys.T[::-1])


@dataclass
class FeatureStore:
    """Arrays of one computation.

    Args:
        root: folder of all computations.
        computation: name of this one: a checksum of weights and settings.
        limit: bytes that all computations together may take.
    """

    root: Path
    computation: str
    limit: int
    _open_segments: dict[int, _Segment] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for path in entries(self.folder):
            self._open(path)

    @property
    def folder(self) -> Path:
        """Where this computation's segments are."""
        return self.root / self.computation

    @property
    def room(self) -> Room:
        """What all computations share."""
        return Room(self.root, self.limit)

    def __contains__(self, key: bytes) -> bool:
        return self.place(key) is not None

    def __len__(self) -> int:
        return sum(len(segment.keys) for segment in self._open_segments.values())

    def __getitem__(self, key: bytes) -> Array:
        place = self.place(key)
        if place is None:
            raise KeyError(key)
        return self.at(*place)

    def place(self, key: bytes) -> tuple[int, int] | None:
        """Number of the segment and of the row in it that hold a key's values."""
        for number, segment in self._open_segments.items():
            if (row := segment.keys.find(key)) is not None:
                return number, row
        return None

    def places(self, keys: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
        """(n, 2) as `place`, of (n, 16) keys; -1 for those that are not there."""
        found = np.full((len(keys), 2), -1, np.int32)
        for start in range(0, len(keys), SEGMENT_ROWS):  # so that little but the result takes memory
            part = found[start : start + SEGMENT_ROWS]
            for number, segment in self._open_segments.items():
                rows = segment.keys.find_all(keys[start : start + SEGMENT_ROWS])
                new = (part[:, 0] < 0) & (rows >= 0)
                part[new, 0], part[new, 1] = number, rows[new]
        return found

    def at(self, segment: int, row: int) -> Array:
        """The values at a place that `place` gave."""
        return self._open_segments[segment].row(row)

    def uses(self, places: npt.NDArray[np.int32]) -> None:
        """Go on with the segments of (n, 2) places only: they count as used now, and of the others room may be made."""
        kept = set(np.unique(places[:, 0]).tolist())
        self._open_segments = {number: segment for number, segment in self._open_segments.items() if number in kept}
        for segment in self._open_segments.values():
            with contextlib.suppress(OSError):  # another user's: what is mapped stays readable
                os.utime(segment.path)

    def writer(self) -> Writer:
        """Segments to come; what is added can be read after the `with` block. Room is made by who then knows what it `uses`.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        return Writer(self)

    def _open(self, path: Path) -> None:
        segment = _Segment.read(path)
        if segment is None:  # damaged: it can be computed again
            shutil.rmtree(path, ignore_errors=True)
            return
        self._open_segments[max(self._open_segments, default=-1) + 1] = segment


@dataclass
class _Segment:
    """One complete segment, in use while it is mapped."""

    path: Path
    keys: Keys
    places: npt.NDArray[np.int64]
    values: Array

    @classmethod
    def read(cls, path: Path) -> _Segment | None:
        """The segment of a folder; None if its files do not belong together."""
        try:
            with (path / VALUES).open("rb") as handle:
                in_use(handle)
                keys = np.load(path / "keys.npy", mmap_mode="r", allow_pickle=False)
                places = np.load(path / "places.npy", mmap_mode="r", allow_pickle=False)
                dtype = np.dtype(json.loads((path / "about.json").read_text())["dtype"])
                values: Any = np.memmap(handle, dtype, mode="r")
        except (FileNotFoundError, EOFError, ValueError, KeyError, TypeError):
            return None
        whole = keys.ndim == places.ndim == 2 and len(keys) == len(places) and keys.shape[1] == KEY_BYTES and keys.dtype == np.uint8
        return cls(path, Keys(keys), places, values) if whole and len(values) == int(places[:, 1:].prod(axis=1).sum()) else None

    def __reduce__(self) -> Any:
        return _reopened, (self.path,)

    def row(self, number: int) -> Array:
        start, *shape = self.places[number].tolist()
        size = 1
        for axis in shape:
            size *= axis
        return self.values[start : start + size].reshape(shape)


def _reopened(path: Path) -> _Segment:
    """A segment in another process."""
    found = _Segment.read(path)
    if found is None:
        raise OutputError(f"{path} is no longer there; start again, and what it held is computed again")
    return found


class Writer:
    """Segments that are being written, one after another."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store

    def __enter__(self) -> Self:
        self._begin()
        return self

    def _begin(self) -> None:
        self.keys = bytearray()
        self.sorted = Keys(np.empty((0, KEY_BYTES), np.uint8))
        self.recent: set[bytes] = set()
        self.places = array("q")
        self.axes = 0
        self.end = 0
        self.dtype: np.dtype[Any] | None = None
        self.path, self.handle = self.store.room.begin(self.store.folder)

    def __contains__(self, key: bytes) -> bool:
        return key in self.recent or self.sorted.find(key) is not None or key in self.store

    def add(self, key: bytes, values: Array) -> None:
        """Add a row's values: of any shape, with as many axes and of the same number type as the rows before."""
        if len(self.keys) == SEGMENT_ROWS * KEY_BYTES:
            self._complete()
            self._begin()
        if self.dtype is None:
            self.dtype, self.axes = values.dtype, values.ndim
        if values.dtype != self.dtype or values.ndim != self.axes:
            raise ValueError(f"values of shape {values.shape} and type {values.dtype} among others of {self.dtype}")
        with disk_errors(self.path):
            self.handle.write(np.ascontiguousarray(values).data)
        self.keys += key
        self.recent.add(key)
        if len(self.recent) == RECENT:
            keys = self._keys()
            self.sorted = Keys(keys[ascending(keys)])
            self.recent.clear()
        self.places.extend((self.end, *values.shape))
        self.end += values.size

    def _keys(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer(bytes(self.keys), np.uint8).reshape(-1, KEY_BYTES)

    def _complete(self) -> None:
        """Give the segment its place."""
        with disk_errors(self.path):
            self.handle.flush()
            if self.dtype is not None:
                keys = self._keys()
                order = ascending(keys)
                np.save(self.path / "keys.npy", keys[order])
                np.save(self.path / "places.npy", np.frombuffer(self.places, np.int64).reshape(len(keys), -1)[order])
                (self.path / "about.json").write_text(json.dumps({"dtype": self.dtype.str}))
                final = self.path.with_name(self.path.name.removeprefix(PART))
                self.path.rename(final)
                self.store._open(final)
        self._put_away()

    def _put_away(self) -> None:
        """Let go of the part last, so that it is in use until the store has it open."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # of a full disk, told before: what was not flushed is thrown away
            self.handle.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._complete()
        finally:
            self._put_away()
