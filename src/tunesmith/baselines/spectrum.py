"""What the bare spectrum tells: means and deviations of its bands, and how they go in time, with a linear model on those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar, final

import numpy as np

from tunesmith.baselines._kinds import drawn, parts_of, picked
from tunesmith.baselines._linear import NEEDS, Matrix, chosen
from tunesmith.core.arrays import Floats
from tunesmith.core.contracts import Row
from tunesmith.core.kinds import is_empty
from tunesmith.core.outcomes import Baseline, Given, Said
from tunesmith.core.sounds import outline, read_sound
from tunesmith.core.spectra import log_mel

MOST_ROWS = 10_000
PART = 256
"""Rows that are predicted at once."""

RATES = 100
"""Training rows whose sampling rates are looked at."""


@final
@dataclass(frozen=True)
class Spectrum(Baseline):
    """Statistics of log-mel spectra with logistic or ridge regression."""

    name: ClassVar[str] = "spectrum"
    needs: ClassVar[tuple[str, ...]] = ("soundfile", "soxr", *NEEDS)
    bands: int = field(default=32, metadata={"help": "bands of the mel scale"})
    stretches: int = field(default=3, metadata={"help": "equal parts of a recording whose means are used beside the whole one's"})
    seconds: float = field(default=30.0, metadata={"help": "what is read of a recording, from its beginning"})
    rate: int = field(default=16_000, metadata={"help": "samples a second at most; fewer where most recordings have fewer"})
    strengths: tuple[float, ...] = field(
        default=(1e-3, 1e-2, 1e-1, 1.0, 10.0), metadata={"help": "C, the inverse of the penalty; validation chooses from these"}
    )

    def __post_init__(self) -> None:
        for name in ("bands", "stretches", "seconds", "rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"field '{name}' must be above 0")
        if not self.strengths or min(self.strengths) <= 0:
            raise ValueError("field 'strengths' must hold numbers above 0")

    def fits(self, given: Given) -> str | None:
        return None if "audio" in given.inputs.values() else "there are no sounds"

    def said(self, given: Given) -> Said:
        places, note = drawn(given, MOST_ROWS)
        columns = [column for column, kind in given.inputs.items() if kind == "audio"]
        held = (row for row in given.rows("train") if not is_empty(row.get(columns[0]), "audio"))
        rates = Counter(outline(row[columns[0]], columns[0]).rate for row, _ in zip(held, range(RATES), strict=False))
        rate = min(self.rate, rates.most_common(1)[0][0]) if rates else self.rate
        values = np.concatenate(list(self._statistics(picked(given.rows("train"), places), columns, rate)))
        mean, deviation = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-3)

        def parts(split: str) -> Iterator[Matrix]:
            return ((some - mean) / deviation for some in self._statistics(given.rows(split), columns, rate))

        said = chosen(given, places, (values - mean) / deviation, parts, self.strengths)
        remarks = (f"{self.bands} bands at {rate:,} samples a second", said.note, note)
        return replace(said, learned=said.learned + 2 * values.shape[1], note="; ".join(part for part in remarks if part))

    def _statistics(self, rows: Iterator[Row], columns: list[str], rate: int) -> Iterator[Floats]:
        """(PART rows, values) at a time."""
        for some in parts_of(rows, PART):
            yield np.stack([np.concatenate([self._of(row, column, rate) for column in columns]) for row in some])

    def _of(self, row: Row, column: str, rate: int) -> Floats:
        """(values,) of a sound; all 0 where there is none."""
        if is_empty(row.get(column), "audio"):
            return np.zeros((2 + self.stretches) * self.bands, np.float32)
        wave = read_sound(row.get(column), column, rate, 0, round(self.seconds * rate))
        spectrum = log_mel(wave, rate, self.bands)  # (frames, bands)
        ends = np.linspace(0, len(spectrum), self.stretches + 1)
        cuts = [spectrum[int(a) : max(int(a) + 1, int(b))] for a, b in pairwise(ends)]
        found: Floats = np.concatenate([spectrum.mean(axis=0), spectrum.std(axis=0), *(cut.mean(axis=0) for cut in cuts)])
        return found
