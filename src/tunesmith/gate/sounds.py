"""What a person should know of recordings: silent or clipped ones, several channels, different sampling rates, unusual lengths.

A recording is silent where no sample is louder than what rounding to 16 bits makes of nothing; it is clipped where at least one sample in a
thousand stands at full scale with neighbours that do. Lengths are unusual by the rule of `sizes`: far from the median in robust standard
deviations of the logarithm, and by a factor of `factor` at least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import RowError
from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, Severity, View
from tunesmith.core.sounds import CLIPPED, Heard, heard
from tunesmith.gate._columns import unusual
from tunesmith.gate._rows import drawn, lines, percent, rows_said

Mask = npt.NDArray[np.bool_]


@final
@dataclass(frozen=True)
class Sounds(Inspection):
    """Silent, clipped and stereo recordings, mixed sampling rates, and recordings far shorter or longer than the others."""

    name: ClassVar[str] = "sounds"
    far: float = field(default=5.0, metadata={"help": "robust standard deviations, of the logarithm, from which a length is unusual"})
    factor: float = field(default=5.0, metadata={"help": "times the median from which a length is unusual"})
    most: int = field(default=2000, metadata={"help": "recordings of a split that are listened to"})

    def applies(self, view: View) -> str | None:
        return None if view.of_kind("audio") else "there are no sounds"

    def inspect(self, view: View) -> list[Finding]:
        return [finding for column in view.of_kind("audio") for finding in self._column(view, column)]

    def _column(self, view: View, column: str) -> list[Finding]:
        rows = np.concatenate([numbers[drawn(view, split, self.most)] for split, numbers in view.splits.items()])
        listened = [(int(number), _heard(row[column], column)) for number, row in zip(rows, view.raw(rows, [column]), strict=True)]
        known = [(number, one) for number, one in listened if one is not None]
        if not known:
            return []
        numbers = np.asarray([number for number, _ in known], np.int64)
        each = [one for _, one in known]
        seconds = np.asarray([one.outline.seconds for one in each])
        rates = Counter(one.outline.rate for one in each)
        common = rates.most_common(1)[0][0]
        odd = unusual(seconds, self.far, self.factor)
        median = f"the median is {np.median(seconds):.3g} s"
        shares = ", ".join(f"{count:,} at {rate:,} Hz" for rate, count in rates.most_common(4))
        told: list[tuple[str, Severity, Mask, str, str]] = [
            (
                "silent_recordings",
                "warning",
                _where(each, lambda one: one.silent),
                f"nothing to hear in '{column}'",
                "take them out, unless silence is one of the classes",
            ),
            (
                "clipped_recordings",
                "warning",
                _where(each, lambda one: one.clipped >= CLIPPED),
                f"a recording in '{column}' that was made too loud: {CLIPPED:.1%} or more of the samples stand at full scale",
                "record or export them anew with less gain; what was cut off cannot be brought back",
            ),
            (
                "recordings_of_several_channels",
                "info",
                _where(each, lambda one: one.outline.channels > 1),
                f"a recording in '{column}' of several channels, which are averaged",
                "nothing needs to be done, unless one channel holds something else, such as the other speaker of a call",
            ),
            (
                "mixed_sampling_rates",
                "info",
                _where(each, lambda one: one.outline.rate != common),
                f"a recording in '{column}' at another sampling rate than most ({shares}); all are resampled to one",
                "look whether the classes come from different devices: a model can tell them by the missing high tones",
            ),
            (
                "short_recordings",
                "info",
                odd & (seconds < np.median(seconds)),
                f"a recording in '{column}' of {seconds.min():.2g} s or little more, where {median}",
                "look whether they were cut off",
            ),
            (
                "long_recordings",
                "info",
                odd & (seconds > np.median(seconds)),
                f"a recording in '{column}' of up to {seconds.max():,.3g} s, where {median}",
                "cut them into pieces that hold one thing each; training reads a random window of them, prediction some windows",
            ),
        ]
        return [
            _finding(view, name, severity, numbers[mask], len(numbers), what, advice)
            for name, severity, mask, what, advice in told
            if mask.any()
        ]


def _heard(value: str | bytes, column: str) -> Heard | None:
    """What a recording sounds like; None where it cannot be read any more: the audit named what it could not read."""
    try:
        return heard(value, column)
    except RowError:
        return None


def _where(each: list[Heard], holds: Callable[[Heard], bool]) -> Mask:
    return np.asarray([holds(one) for one in each])


def _finding(view: View, name: str, severity: Severity, rows: npt.NDArray[np.int64], of: int, having: str, advice: str) -> Finding:
    what = (
        f"{rows_said(len(rows))} of {of:,} that were listened to ({percent(len(rows), of)}) {'has' if len(rows) == 1 else 'have'} {having}"
    )
    shown = lines(view, rows[:MOST_EXAMPLES])
    return Finding(name, severity, len(rows), of, what, advice, [Example(int(row), text) for row, text in zip(rows, shown, strict=False)])
