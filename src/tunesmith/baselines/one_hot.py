"""Which letter stands where: one-hot letters of DNA sequences of equal lengths, and a linear model on that.

ACGT ...  ->  1 0 0 0  0 1 0 0  0 0 1 0  0 0 0 1 ...         an N gives four zeros
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._dna import MOST_ROWS, PART, equal_length, strands
from tunesmith.baselines._kinds import drawn, parts_of, picked
from tunesmith.baselines._linear import NEEDS, Matrix, chosen
from tunesmith.core.dna import BASES, codes
from tunesmith.core.outcomes import Baseline, Given, Said

MOST_LETTERS = 2_000


@final
@dataclass(frozen=True)
class OneHot(Baseline):
    """One-hot letters of sequences of equal lengths with logistic or ridge regression."""

    name: ClassVar[str] = "one_hot"
    needs: ClassVar[tuple[str, ...]] = NEEDS
    strengths: tuple[float, ...] = field(
        default=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0), metadata={"help": "C, the inverse of the penalty; validation chooses from these"}
    )

    def __post_init__(self) -> None:
        if not self.strengths or min(self.strengths) <= 0:
            raise ValueError("field 'strengths' must hold numbers above 0")

    def fits(self, given: Given) -> str | None:
        if "dna" not in given.inputs.values():
            return "there is no DNA"
        if not (length := equal_length(given)):
            return "the sequences differ in length"
        return f"the sequences are longer than {MOST_LETTERS} letters" if length > MOST_LETTERS else None

    def said(self, given: Given) -> Said:
        length = equal_length(given)
        places, note = drawn(given, MOST_ROWS)
        x = _matrix(list(picked(strands(given, "train"), places)), length)

        def parts(split: str) -> Iterator[Matrix]:
            return (_matrix(some, length) for some in parts_of(strands(given, split), PART))

        said = chosen(given, places, x, parts, self.strengths)
        return replace(said, note="; ".join(part for part in (f"{length} letters", said.note, note) if part))


def _matrix(sequences: list[str], length: int) -> npt.NDArray[np.float32]:
    """(rows, letters * 4)."""
    table = np.vstack([np.eye(len(BASES), dtype=np.float32), np.zeros((1, len(BASES)), np.float32)])
    found = np.stack([codes(text.ljust(length, "N")[:length]) for text in sequences])
    return table[found].reshape(len(sequences), -1)
