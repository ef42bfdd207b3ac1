"""What a block of code costs: seconds, memory, energy. Contenders of the scoreboard are measured alike by it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tunesmith.core.energy import Energy
from tunesmith.core.memory import Peak


@dataclass(frozen=True)
class Spent:
    """What something cost.

    Attributes:
        seconds: by the clock.
        peak_bytes: the most memory that it added to the process; see `Peak`.
        watt_hours: energy; see `Energy`.
        energy_source: where that figure comes from.
    """

    seconds: float
    peak_bytes: int
    watt_hours: float
    energy_source: str

    def longer(self, seconds: float) -> Spent:
        """The same with so many seconds more of the same work, such as an earlier run has spared this one."""
        share = 1 + seconds / self.seconds if self.seconds > 0 else 1.0
        return Spent(self.seconds + seconds, self.peak_bytes, self.watt_hours * share, self.energy_source)

    def __add__(self, other: Spent) -> Spent:
        """One after the other: seconds and energy add up, of memory the larger peak counts."""
        peak = max(self.peak_bytes, other.peak_bytes)
        source = self.energy_source if self.energy_source == other.energy_source else f"{self.energy_source}, {other.energy_source}"
        return Spent(self.seconds + other.seconds, peak, self.watt_hours + other.watt_hours, source)


class Meter(AbstractContextManager["Meter"]):
    """Measures a block of code; `spent` stands when the block has ended, also with an error.

    Args:
        gpus: as for `Energy`.

    Example:
        >>> with Meter() as meter:
        ...     total = sum(range(1000))
        >>> meter.spent.seconds > 0
        True
    """

    def __init__(self, gpus: Sequence[str] = ()) -> None:
        self.energy, self.peak = Energy(gpus), Peak()

    def __enter__(self) -> Meter:
        self.began = time.perf_counter()
        self.energy.__enter__()
        self.peak.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.peak.__exit__(*error)
        self.energy.__exit__(*error)
        used = self.energy.used
        self.spent = Spent(time.perf_counter() - self.began, self.peak.bytes, used.watt_hours, used.source)
