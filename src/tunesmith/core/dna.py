"""Letters of DNA: cleaning, both strands, and letters as numbers. Numpy alone.

A sequence is read as A, C, G, T and N (any of them). Lower case (soft-masked repeats) and white space carry no meaning here; U, the letter
RNA has for T, is read as T. The ten further letters by which IUPAC writes "one of these" (R for A or G) are read as N, and that is
told; everything else is refused with its place: a gap, a star, the letter of an amino acid.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import RowError

BASES = "ACGT"
LETTERS = "ACGTN"
AMBIGUOUS = "RYSWKMBDHV"
MOSTLY_N = 0.5
"""Share of N from which it is told that a sequence says little."""

_READ = str.maketrans(AMBIGUOUS + "U", "N" * len(AMBIGUOUS) + "T")
_PAIRS = str.maketrans(LETTERS, "TGCAN")
_CODES = np.full(256, 255, np.uint8)
_CODES[[ord(letter) for letter in LETTERS]] = np.arange(len(LETTERS))


@dataclass(frozen=True)
class Strand:
    """A sequence as it is read.

    Attributes:
        letters: of A, C, G, T and N.
        ambiguous: how many of the letters N stood for some of the four only (R, Y, ...).
    """

    letters: str
    ambiguous: int = 0

    def remark(self) -> str | None:
        """What is worth counting about a usable sequence, or None."""
        told = []
        if self.ambiguous:
            told.append(f"letters that stand for several bases ({', '.join(AMBIGUOUS[:3])}, ...) were read as N")
        if self.letters.count("N") > MOSTLY_N * len(self.letters):
            told.append("more than half of the letters are N")
        return "; ".join(told) or None


def read_strand(value: Any, column: str) -> Strand:
    """A cell as a sequence.

    Args:
        value: the cell.
        column: where it stands, for the message.

    Raises:
        RowError: it is missing or empty, holds a letter that is none of DNA, or nothing but N.

    Example:
        >>> read_strand("acgu RN\\n", "sequence")
        Strand(letters='ACGTNN', ambiguous=1)
    """
    text = "".join(str(value).split()).upper() if value is not None else ""
    if not text:
        raise RowError("the sequence is empty", column)
    letters = text.translate(_READ)
    if foreign := letters.translate(_WITHOUT):
        places = Counter(foreign)
        first = foreign[0]
        others = f", and {len(foreign) - 1} more of {', '.join(sorted(places)[:6])}" if len(foreign) > 1 else ""
        raise RowError(f"letter {first!r} at position {text.index(first) + 1} is none of DNA (A, C, G, T, N){others}", column)
    if not letters.strip("N"):
        raise RowError(f"the sequence holds nothing but N ({len(letters)} letters)", column)
    return Strand(letters, sum(text.count(letter) for letter in AMBIGUOUS))


_WITHOUT = str.maketrans("", "", LETTERS)


def reverse_complement(letters: str) -> str:
    """The other strand, read in its own direction.

    Args:
        letters: of A, C, G, T and N.

    Example:
        >>> reverse_complement("AACGN")
        'NCGTT'
    """
    return letters.translate(_PAIRS)[::-1]


def codes(letters: str) -> npt.NDArray[np.uint8]:
    """(length,) 0 to 3 for A, C, G, T; 4 for N.

    Example:
        >>> codes("TACN").tolist()
        [3, 0, 1, 4]
    """
    return np.asarray(_CODES[np.frombuffer(letters.encode("ascii"), np.uint8)])


def kmers(letters: str, k: int, stride: int = 1) -> npt.NDArray[np.int64]:
    """(windows,) each run of k letters as a number: its digits to the base of 4; -1 where it holds an N.

    Args:
        letters: of A, C, G, T and N.
        k: letters of a run, at most 15.
        stride: letters from the beginning of a run to that of the next.

    Example:
        >>> kmers("AACGN", 2).tolist()
        [0, 1, 6, -1]
    """
    found = codes(letters)
    if len(found) < k:
        return np.empty(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(found, k)[::stride]
    numbers = windows.astype(np.int64) @ (4 ** np.arange(k - 1, -1, -1))
    return np.where((windows == 4).any(axis=1), -1, numbers)
