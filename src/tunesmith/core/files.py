"""Writing files so that a failure leaves the old one: write beside, flush to disk, rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.core.errors import OutputError


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's complaints about `path` into an OutputError that says what to do."""
    try:
        yield
    except OutputError:
        raise
    except Exception as error:  # libraries wrap the system's error in their own (torch, safetensors, arrow)
        if _is_full(path, error):
            free = shutil.disk_usage(_existing_parent(path)).free
            raise OutputError(
                f"the disk is full while writing {path} ({free / 1e6:.1f} MB free); free some space or choose another folder with --out. "
                "What was written before is intact."
            ) from error
        if isinstance(error, OSError) and _is_refused(path, error):
            raise OutputError(f"{path} cannot be written ({error.strerror}); choose another folder with --out") from error
        raise


def _is_full(path: Path, error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    text = str(error)
    if "No space left" in text or "os error 28" in text or "Disk quota" in text:
        return True
    return "PytorchStreamWriter failed" in text and shutil.disk_usage(_existing_parent(path)).free < 1 << 24


def _is_refused(path: Path, error: OSError) -> bool:
    """Whether the place itself cannot be written, as opposed to another file that was read on the way."""
    if error.errno not in (
        errno.EACCES,
        errno.EROFS,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.EEXIST,
    ):
        return False
    named = error.filename
    return named is None or str(path.absolute().parent).startswith(str(Path(str(named)).absolute())) or _inside(Path(str(named)), path)


def _inside(named: Path, path: Path) -> bool:
    return path.absolute().parent in [named.absolute(), *named.absolute().parents]


def _existing_parent(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it replaces `path`, on failure it is removed and `path` stays.

    Works for a file and for a folder (a folder at `path` is replaced).

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with atomic(target) as part: _ = part.write_text("x")
        >>> target.read_text()
        'x'
    """
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)
        try:
            yield part
            _flush(part)
            if path.is_dir():
                old = path.with_name(f".{path.name}.old-{os.getpid()}")
                os.replace(path, old)
                os.replace(part, path)
                shutil.rmtree(old)
            else:
                os.replace(part, path)
        except BaseException:
            _remove(part)
            raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


def _flush(path: Path) -> None:
    for file in (p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically in UTF-8."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


def to_json(value: Any) -> str:
    """JSON text, indented; numbers that are not finite become null, as JSON has no word for them."""
    return json.dumps(plain_json(value), indent=2, ensure_ascii=False) + "\n"


def plain_json(value: Any) -> Any:
    """The value with plain types only; numbers that are not finite become None."""
    if isinstance(value, dict):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and not isinstance(value, str | bytes):  # a number of numpy or torch
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON atomically."""
    write_text(path, to_json(value))


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
