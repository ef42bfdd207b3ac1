"""How much work goes into one forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

WORK = 2048
"""Padded size (tokens) of a batch: its hidden values fit a processor's caches, where more is slower, and keep a GPU busy."""


def batches(sizes: npt.NDArray[np.int64], most: int, work: int = WORK) -> list[slice]:
    """Batches of rows that are sorted from large to small.

    Args:
        sizes: (rows,) falling.
        most: rows of a batch.
        work: rows of a batch times the largest of them, unless it is a single row.

    Example:
        >>> import numpy as np
        >>> batches(np.array([9, 5, 5, 1, 1, 1]), most=3, work=10)
        [slice(0, 1, None), slice(1, 3, None), slice(3, 6, None)]
    """
    found, start = [], 0
    while start < len(sizes):
        stop = start + max(1, min(most, work // max(1, int(sizes[start]))))
        found.append(slice(start, min(stop, len(sizes))))
        start = stop
    return found
