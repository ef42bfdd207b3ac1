"""A linear model on features of the backbone as it came (Alain and Bengio 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import numpy as np

from tunesmith.baselines._kinds import drawn
from tunesmith.baselines._linear import NEEDS, Matrix, chosen
from tunesmith.core.outcomes import Baseline, Given, Said

MOST_ROWS = 50_000
PART = 8192
"""Rows that are predicted at once."""


@final
@dataclass(frozen=True)
class LinearProbe(Baseline):
    """Logistic regression (ridge regression for numbers) on frozen features."""

    name: ClassVar[str] = "linear_probe"
    needs: ClassVar[tuple[str, ...]] = NEEDS
    strengths: tuple[float, ...] = field(
        default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0), metadata={"help": "C, the inverse of the penalty; validation chooses from these"}
    )

    def __post_init__(self) -> None:
        if not self.strengths or min(self.strengths) <= 0:
            raise ValueError("field 'strengths' must hold numbers above 0")

    def fits(self, given: Given) -> str | None:
        return "the backbone's features were not computed" if given.features("train") is None else None

    def said(self, given: Given) -> Said:
        places, note = drawn(given, MOST_ROWS)
        features = given.features("train")
        assert features is not None
        x = np.array(features[places], np.float32)
        mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
        x -= mean
        spread = np.sqrt(np.square(x).mean(axis=0, dtype=np.float64)).astype(np.float32)
        spread[spread < 1e-6 * spread.max()] = 1  # a feature that does not vary says nothing, and its rounding errors must not
        x /= spread

        def parts(split: str) -> Iterator[Matrix]:
            values = given.features(split)
            assert values is not None
            for start in range(0, len(values), PART):
                yield (values[start : start + PART] - mean) / spread

        said = chosen(given, places, x, parts, self.strengths)
        return replace(said, note="; ".join(part for part in (said.note, note) if part))
