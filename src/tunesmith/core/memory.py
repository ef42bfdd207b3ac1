"""Telling that memory ran out, on a processor or an accelerator, and how much a block of code takes."""

from __future__ import annotations

import resource
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path

TOLD = ("out of memory", "can't allocate memory", "not enough memory", "alloc_cpu", "cannot allocate memory", "std::bad_alloc")
"""What the message of a RuntimeError says where memory ran out: only accelerators have a class of their own for it."""
STATM = Path("/proc/self/statm")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out.

    Example:
        >>> ran_out(MemoryError()), ran_out(RuntimeError("DefaultCPUAllocator: can't allocate memory")), ran_out(RuntimeError("no"))
        (True, True, False)
    """
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(word in str(error).lower() for word in TOLD))


def resident() -> int:
    """Bytes that this process holds now; where the system does not tell, the most it ever held."""
    if STATM.is_file():
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Peak(AbstractContextManager["Peak"]):
    """How many bytes more than at its beginning this process held during a block of code.

    A thread looks at the resident memory from time to time. The kernel's own high-water mark would be exact, but it belongs to the whole
    process: resetting it would falsify the peak of the run. What the block frees and takes again counts once; memory
    that was free inside the process before counts not at all, so a figure of some megabytes says little.

    Args:
        every: seconds between two looks.

    Example:
        >>> with Peak() as peak:
        ...     total = sum(range(1000))
        >>> peak.bytes >= 0
        True
    """

    def __init__(self, every: float = 0.02) -> None:
        self.every = every
        self.bytes = 0

    def __enter__(self) -> Peak:
        self._before = resident()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="peak memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._now()

    def _look(self) -> None:
        while not self._ended.wait(self.every):
            self._now()

    def _now(self) -> None:
        self.bytes = max(self.bytes, resident() - self._before)
