"""Arrays on disk by the checksum of what they were computed from: memory-mapped, shared by runs, bounded in size.

    ROOT/<what computes them>/<segment>/values.bin   float32, one row's values after another
                                        index.npz    checksums of the rows, where each begins, shape of what follows the first axis

A segment is written beside its place and renamed when it is complete, so that any number of runs may read and write at once and a killed
run leaves nothing half-written in sight. Segments that have not been used for longest go first when the limit is reached.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import OutputError
from tunesmith.core.files import disk_errors

PART = ".part-"
KEY_BYTES = 16

Array = npt.NDArray[np.float32]


def cache_folder() -> Path:
    """What runs share: `$TUNESMITH_CACHE`, or `tunesmith` in the user's cache folder."""
    named = os.environ.get("TUNESMITH_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else base / "tunesmith"


@dataclass
class FeatureStore:
    """Arrays of one computation.

    Args:
        root: folder of all computations; readable by its owner only, as features tell of the data.
        computation: name of this one: a checksum of weights and settings.
        limit: bytes that all computations together may take.
    """

    root: Path
    computation: str
    limit: int
    _places: dict[bytes, tuple[_Segment, int]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for path in _segments(self.folder):
            self._open(path)

    @property
    def folder(self) -> Path:
        """Where this computation's segments are."""
        return self.root / self.computation

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: bytes) -> Array:
        segment, row = self._places[key]
        return segment.row(row)

    def writer(self) -> Writer:
        """A new segment; what is added to it can be read after its `with` block.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        return Writer(self)

    def _open(self, path: Path) -> None:
        segment = _Segment.read(path)
        if segment is None:  # damaged: it can be computed again
            shutil.rmtree(path, ignore_errors=True)
            return
        os.utime(path)
        for row, key in enumerate(segment.keys):
            self._places.setdefault(key, (segment, row))

    def make_room(self) -> int:
        """Remove the segments used least lately, of any computation, until the limit holds; gives their number.

        Segments that this store has open stay.
        """
        own = {segment.path for segment, _ in self._places.values()}
        found = sorted(_all_segments(self.root), key=lambda path: path.stat().st_mtime)
        total = sum(_bytes(path) for path in found)
        removed = 0
        for path in found:
            if total <= self.limit:
                break
            if path not in own:
                total -= _bytes(path)
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
        return removed


@dataclass
class _Segment:
    """One complete segment."""

    path: Path
    keys: list[bytes]
    starts: npt.NDArray[np.int64]
    tail: tuple[int, ...]
    flat: bool
    values: Array

    @classmethod
    def read(cls, path: Path) -> _Segment | None:
        """The segment of a folder; None if its files do not belong together."""
        try:
            with np.load(path / "index.npz") as index:
                keys = [bytes(row) for row in index["keys"]]
                starts, tail, flat = index["starts"], tuple(int(n) for n in index["tail"]), bool(index["flat"])
            values: Any = np.memmap(path / "values.bin", np.float32, mode="r").reshape(-1, *tail)
        except (OSError, ValueError, KeyError):
            return None
        return cls(path, keys, starts, tail, flat, values) if len(values) == starts[-1] and len(keys) + 1 == len(starts) else None

    def row(self, number: int) -> Array:
        part = self.values[self.starts[number] : self.starts[number + 1]]
        return part[0] if self.flat else part


class Writer:
    """A segment that is being written."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.path = store.folder / f"{PART}{uuid.uuid4().hex}"
        self.keys: list[bytes] = []
        self.known: set[bytes] = set()
        self.starts = [0]
        self.tail: tuple[int, ...] | None = None
        self.flat = False

    def __enter__(self) -> Self:
        with disk_errors(self.path):
            self.store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.mkdir(parents=True)
            self.handle = (self.path / "values.bin").open("wb")
        return self

    def add(self, key: bytes, values: Array) -> None:
        """Add a row's values: of one shape but for the first axis; (width,) or (length, ...)."""
        self.flat = values.ndim == 1
        shaped = np.ascontiguousarray(values[None] if self.flat else values, np.float32)
        if self.tail is None:
            self.tail = shaped.shape[1:]
        if shaped.shape[1:] != self.tail:
            raise ValueError(f"values of shape {shaped.shape[1:]} among others of shape {self.tail}")
        with disk_errors(self.path):
            self.handle.write(shaped.tobytes())
        self.keys.append(key)
        self.known.add(key)
        self.starts.append(self.starts[-1] + len(shaped))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with disk_errors(self.path):
                self.handle.close()
                if kind is None and self.tail is not None:
                    keys = np.frombuffer(b"".join(self.keys), np.uint8).reshape(-1, KEY_BYTES)
                    np.savez(self.path / "index.npz", keys=keys, starts=np.asarray(self.starts), tail=np.asarray(self.tail), flat=self.flat)
                    final = self.path.with_name(self.path.name.removeprefix(PART))
                    self.path.rename(final)
                    self.store._open(final)
        except OutputError:
            if kind is None:
                raise
        finally:
            shutil.rmtree(self.path, ignore_errors=True)
        self.store.make_room()


def _segments(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(PART))


def _all_segments(root: Path) -> list[Path]:
    return [path for folder in root.iterdir() if folder.is_dir() for path in _segments(folder)] if root.is_dir() else []


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
