"""Telling that memory ran out, on a processor or an accelerator."""

from __future__ import annotations

TOLD = ("out of memory", "can't allocate memory", "not enough memory", "alloc_cpu", "cannot allocate memory", "std::bad_alloc")
"""What the message of a RuntimeError says where memory ran out: only accelerators have a class of their own for it."""


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out.

    Example:
        >>> ran_out(MemoryError()), ran_out(RuntimeError("DefaultCPUAllocator: can't allocate memory")), ran_out(RuntimeError("no"))
        (True, True, False)
    """
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(word in str(error).lower() for word in TOLD))
