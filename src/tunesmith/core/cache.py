"""The folder that runs share, and the room in it: one account of all that lies there, whatever computed it.

    ROOT/lock                           held while room is made, and while an entry is begun
    ROOT/<what computes them>/<entry>/  values.bin and other files; called .part-... until it is complete

Whoever reads or writes an entry holds a shared lock on its values.bin, which the system takes back when the process ends, however it ends.
So what is in use, by this run or another, is known without a list: it is never removed, and a part that nobody holds was left behind by a
process that was killed. Several processes may make room at once: one goes after the other, and counts what is then there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tunesmith.core.errors import OutputError
from tunesmith.core.files import disk_errors

PART = ".part-"
VALUES = "values.bin"
GB = 10**9


def cache_folder() -> Path:
    """What runs share: `$TUNESMITH_CACHE`, or `tunesmith` in the user's cache folder."""
    named = os.environ.get("TUNESMITH_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else base / "tunesmith"


def in_use(handle: IO[Any]) -> None:
    """Hold an entry by its open values: until the file and all that is mapped from it is closed (a mapping has the lock of its file).

    Raises:
        OutputError: the file system has no locks.
    """
    _lock(handle, fcntl.LOCK_SH)  # waits while it is removed; then its other files are gone


@dataclass(frozen=True)
class Room:
    """What a folder may take.

    Args:
        root: the folder; readable by its owner only, as what lies there tells of the data.
        limit: bytes.
    """

    root: Path
    limit: int

    def begin(self, folder: Path) -> tuple[Path, IO[bytes]]:
        """A part in `folder` that is in use from the start, and its values to be written.

        Raises:
            OutputError: it cannot be written there.
        """
        path = folder / f"{PART}{uuid.uuid4().hex}"
        with disk_errors(path), self._alone():
            path.mkdir(parents=True)
            handle = (path / VALUES).open("wb")
            in_use(handle)
        return path, handle

    def make(self) -> int:
        """Remove what killed processes left, and what nobody uses, the least lately used first, until the limit holds; gives the number."""
        removed = 0
        with self._alone():
            for path in self._entries(parts=True):
                removed += _removed(path)
            total = self.taken()
            for path in sorted(self._entries(parts=False), key=_used):
                if total <= self.limit:
                    break
                size = _bytes(path)
                if _removed(path):
                    total -= size
                    removed += 1
        return removed

    def taken(self) -> int:
        """Bytes of all that lies there, complete or not."""
        return sum(map(_bytes, self._entries()))

    def lacking(self, size: int | float, folder: Path) -> str:
        """Why so many bytes in `folder` have no room, as nothing in use is removed; empty if they have.

        What is in `folder` already is not counted, as it may be part of those bytes.
        """
        with self._alone():
            used = sum(_bytes(path) for path in self._entries() if path.parent != folder and not _idle(path))
        if size <= self.limit - used:
            return ""
        others = f", of which {used / GB:.1f} GB are in use by this run or others" if used else ""
        return f"would take {size / GB:.1f} GB (--cache-gb {self.limit / GB:g} is allowed{others})"

    def excess(self) -> str:
        """What to tell where the limit does not hold although room was made; empty where it does."""
        taken = self.taken()
        if taken <= self.limit:
            return ""
        return (
            f"{self.root} takes {taken / GB:.2g} GB, more than --cache-gb {self.limit / GB:g}, as this run or others use it; "
            "a later run removes what is then too much"
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with disk_errors(self.root / "lock"):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = (self.root / "lock").open("ab")
        with handle:
            _lock(handle, fcntl.LOCK_EX)
            yield

    def _entries(self, parts: bool | None = None) -> Iterator[Path]:
        """Complete entries, or parts, or (None) both."""
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            if folder.is_dir():
                yield from entries(folder, parts)


def entries(folder: Path, parts: bool | None = False) -> Iterator[Path]:
    """Complete entries of a folder, or parts, or (None) both."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and parts in (None, path.name.startswith(PART)):
            yield path


def _lock(handle: IO[Any], how: int) -> None:
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        raise
    except OSError as error:
        raise OutputError(
            f"{handle.name} lies on a file system without file locks ({error.strerror}); name another cache folder by TUNESMITH_CACHE"
        ) from error


@contextlib.contextmanager
def _taken_over(path: Path) -> Iterator[bool]:
    """Whether nobody uses an entry; then nobody can begin to within the context. Only for who is alone."""
    with contextlib.ExitStack() as stack:
        try:
            handle = stack.enter_context((path / VALUES).open("r+b"))
        except FileNotFoundError:  # a process was killed while it began or removed it
            yield True
            return
        except PermissionError:  # another user's
            yield False
            return
        try:
            _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _idle(path: Path) -> bool:
    with _taken_over(path) as idle:
        return idle


def _removed(path: Path) -> bool:
    """Remove an entry that nobody uses; renamed first, so that nobody opens half of it. Only for who is alone."""
    with _taken_over(path) as idle:
        if not idle:
            return False
        part = path.with_name(f"{PART}{uuid.uuid4().hex}")
        try:
            path.rename(part)
        except (PermissionError, FileNotFoundError):  # it stays, and counts; or its writer has just completed it under another name
            return False
        shutil.rmtree(part, ignore_errors=True)
        return True


def _bytes(path: Path) -> int:
    """What an entry takes; nothing where another run has just taken it away."""
    try:
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    except OSError:
        return 0


def _used(path: Path) -> float:
    """When an entry was last used."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
