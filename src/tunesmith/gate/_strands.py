"""DNA sequences as inspections see them: cleaned, known by a checksum that both strands share, and by the runs of letters they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Row
from tunesmith.core.dna import codes, read_strand, reverse_complement
from tunesmith.core.errors import RowError
from tunesmith.core.findings import View
from tunesmith.gate._rows import Marks, Places, mark

K = 24
"""Letters of a run: by chance two sequences share one in 10 to the power of 14."""


def strand(row: Row, column: str) -> str:
    """The letters of a cell; none where it holds no DNA (such a row was not used)."""
    try:
        return read_strand(row.get(column), column).letters
    except RowError:
        return ""


def strands(view: View, split: str, places: Places, column: str) -> Iterator[str]:
    """The letters of rows at some places of a split."""
    return (strand(row, column) for row in view.read(view.splits[split][places], [column]))


@dataclass(frozen=True, eq=False)
class Known:
    """What tells the rows of a split apart.

    Attributes:
        written: (n,) checksums of the cells as they stand.
        either: (n,) checksums that a sequence shares with its reverse complement.
    """

    written: Marks
    either: Marks


def known(view: View, split: str, column: str) -> Known:
    """Checksums of all rows of a split: 16 bytes a row."""
    numbers = view.splits[split]
    found = np.empty((len(numbers), 2), np.uint64)
    for place, row in enumerate(view.read(numbers, [column])):
        letters = strand(row, column)
        found[place] = _checksum(mark(row[column])), _checksum(min(letters, reverse_complement(letters)).encode())
    return Known(found[:, 0], found[:, 1])


def _checksum(value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little")


def runs(letters: str, every: int) -> npt.NDArray[np.int64]:
    """Different runs of K letters without N, on either strand, as numbers; of long sequences a share that depends on the runs alone.

    Args:
        letters: of A, C, G, T and N.
        every: about one of so many is kept.
    """
    found = codes(letters)
    if len(found) < K:
        return np.empty(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(found, K)
    windows = windows[(windows < 4).all(axis=1)].astype(np.int64)
    powers = 4 ** np.arange(K - 1, -1, -1)
    either = np.minimum(windows @ powers, (3 - windows) @ powers[::-1])
    return np.unique(either[either * 0x9E3779B1 % (1 << 31) % every == 0])
