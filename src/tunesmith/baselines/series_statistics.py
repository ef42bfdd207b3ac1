"""What simple statistics of a series tell: level, spread, trend, roughness, and how strongly it swings at which speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._kinds import drawn, parts_of, picked
from tunesmith.baselines._linear import NEEDS, Matrix, chosen
from tunesmith.baselines._series import columns_of, gridded, read
from tunesmith.core.arrays import Floats
from tunesmith.core.outcomes import Baseline, Given, Said

MOST_ROWS = 20_000
PART = 1024
BANDS = 8
STEPS = 256
"""Steps that a series is stretched to before its swings are measured."""


@final
@dataclass(frozen=True)
class SeriesStatistics(Baseline):
    """Logistic or ridge regression on statistics of each channel."""

    name: ClassVar[str] = "series_statistics"
    needs: ClassVar[tuple[str, ...]] = NEEDS
    strengths: tuple[float, ...] = field(
        default=(1e-2, 1e-1, 1.0, 10.0), metadata={"help": "C, the inverse of the penalty; validation chooses from these"}
    )

    def __post_init__(self) -> None:
        if not self.strengths or min(self.strengths) <= 0:
            raise ValueError("field 'strengths' must hold numbers above 0")

    def fits(self, given: Given) -> str | None:
        return None if columns_of(given.inputs)[0] else "there are no series"

    def said(self, given: Given) -> Said:
        places, note = drawn(given, MOST_ROWS)
        x = np.stack([statistics(one) for one in read(picked(given.rows("train"), places), given.inputs)])
        center, spread = x.mean(axis=0), x.std(axis=0)
        spread[spread < 1e-9] = 1

        def parts(split: str) -> Iterator[Matrix]:
            for some in parts_of(read(given.rows(split), given.inputs), PART):
                yield np.clip((np.stack([statistics(one) for one in some]) - center) / spread, -10, 10)

        said = chosen(given, places, (x - center) / spread, parts, self.strengths)
        remark = "; ".join(part for part in (f"{x.shape[1]} statistics", said.note, note) if part)
        return replace(said, note=remark, learned=said.learned + 2 * x.shape[1])


def statistics(values: Floats) -> npt.NDArray[np.float64]:
    """Statistics of each channel, side by side, and how many steps there are and how many values are missing."""
    found = [np.log(values.shape[1]), float(np.isnan(values).mean())]
    for channel in gridded(values, STEPS).reshape(len(values), STEPS).astype(np.float64):
        mean, spread = channel.mean(), channel.std()
        apart = (channel - mean) / (spread or 1.0)
        steps = np.diff(apart)
        power = np.square(np.abs(np.fft.rfft(apart)[1:]))
        bands = [part.sum() for part in np.array_split(power, np.unique(np.geomspace(1, len(power), BANDS).astype(int))[:-1])]
        found += [mean, np.log(spread + 1e-9), *np.quantile(apart, (0, 0.25, 0.5, 0.75, 1))]
        found += [float(apart @ np.linspace(-1, 1, STEPS)) / STEPS, np.abs(steps).mean(), float(apart[1:] @ apart[:-1]) / STEPS]
        found += [float((np.sign(apart[1:]) != np.sign(apart[:-1])).mean()), *np.log(np.asarray(bands) + 1e-9)]
    return np.asarray(found)
