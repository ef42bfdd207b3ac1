"""Which runs of letters a DNA sequence holds, and how often: shares of all runs of up to `k` letters, and a linear model on that.

Where a motif stands does not matter here. A run with an N is not counted; counts are divided by the number of runs, so that long and short
sequences compare, and the square root is taken (Hellinger), so that a run that is rare everywhere is heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._dna import MOST_ROWS, PART, strands
from tunesmith.baselines._kinds import drawn, parts_of, picked
from tunesmith.baselines._linear import NEEDS, Matrix, chosen
from tunesmith.core.dna import kmers
from tunesmith.core.outcomes import Baseline, Given, Said

MOST_LETTERS = 20_000
"""Of a sequence, from its beginning."""


@final
@dataclass(frozen=True)
class KmerCounts(Baseline):
    """Counts of runs of letters with logistic or ridge regression."""

    name: ClassVar[str] = "kmers"
    needs: ClassVar[tuple[str, ...]] = NEEDS
    k: int = field(default=4, metadata={"help": "letters of the longest runs; 4 to the power of k are counted"})
    strengths: tuple[float, ...] = field(
        default=(1.0, 10.0, 100.0, 1000.0), metadata={"help": "C, the inverse of the penalty; validation chooses from these"}
    )

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 6:
            raise ValueError("field 'k' must be from 1 to 6")
        if not self.strengths or min(self.strengths) <= 0:
            raise ValueError("field 'strengths' must hold numbers above 0")

    def fits(self, given: Given) -> str | None:
        return None if "dna" in given.inputs.values() else "there is no DNA"

    def said(self, given: Given) -> Said:
        places, note = drawn(given, MOST_ROWS)
        x = shares(list(picked(strands(given, "train"), places)), self.k)

        def parts(split: str) -> Iterator[Matrix]:
            return (shares(some, self.k) for some in parts_of(strands(given, split), PART))

        said = chosen(given, places, x, parts, self.strengths)
        return replace(said, note="; ".join(part for part in (f"runs of 1 to {self.k} letters", said.note, note) if part))


def shares(sequences: list[str], k: int) -> npt.NDArray[np.float32]:
    """(rows, 4 + 16 + ... + 4 to the power of k) square roots of the shares of runs of each length.

    Example:
        >>> shares(["AAAC"], 1).astype(float).round(2).tolist()
        [[0.87, 0.5, 0.0, 0.0]]
    """
    found = []
    for letters in sequences:
        parts = []
        for length in range(1, k + 1):
            runs = kmers(letters[:MOST_LETTERS], length)
            counts = np.bincount(runs[runs >= 0], minlength=4**length)
            parts.append(np.sqrt(counts / max(1, counts.sum())))
        found.append(np.concatenate(parts))
    return np.stack(found).astype(np.float32)
