"""Series of numbers of which something is missing: values, changes, steps, an even pace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.core.series import LEAST_STEPS, series_of, steps_of
from tunesmith.gate._rows import percent, rows_said

STAMPS = "stamps"
"""Column in which readers say whether moments were even (`data/long.py`, `data/ts_files.py`)."""

LEVEL = 1e-6
"""Share of its own size by which a channel may vary and still be constant: rounding."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """What some rows are like, (rows,) or (rows, channels) each.

    Attributes:
        rows: their numbers.
        length: steps.
        missing: share of the values that are missing.
        flat: whether a channel is constant or empty.
    """

    rows: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    missing: npt.NDArray[np.float64]
    flat: npt.NDArray[np.bool_]


@final
@dataclass(frozen=True)
class SeriesShape(Inspection):
    """Series that are constant, full of gaps, far shorter than others, or of uneven moments."""

    name: ClassVar[str] = "series"
    answers: ClassVar[tuple[str, ...]] = ("classes", "labels", "numbers", "text")  # of forecasts rows are points, see time_points.py
    gaps: float = field(default=0.2, metadata={"help": "share of a series from which missing values are many"})
    short: float = field(default=0.25, metadata={"help": "share of the median length below which a series is short"})
    many: float = field(default=0.01, metadata={"help": "share of the rows from which they are a warning"})
    most: int = field(default=5_000, metadata={"help": "rows that are looked at"})

    def applies(self, view: View) -> str | None:
        return None if _columns(view)[0] else "there are no series"

    def inspect(self, view: View) -> list[Finding]:
        seen = self._looked(view)
        median = float(np.median(seen.length))
        flat = np.asarray(seen.flat.all(axis=1))
        short = (seen.length < LEAST_STEPS) | (seen.length < self.short * median)
        gappy = seen.missing >= self.gaps
        least = int(seen.length.min())
        return [
            *self._rows(
                view,
                seen,
                flat,
                "constant_series",
                "hold a series that never changes, so nothing but its level can be learned from it",
                "look whether a sensor was off; take them out, or keep them if the level says enough",
            ),
            *self._channels(seen),
            *self._rows(
                view,
                seen,
                gappy & ~flat,
                "many_gaps",
                f"lack {percent(self.gaps, 1)} or more of their values ({percent(seen.missing.mean(), 1)} of all); what lies between "
                "neighbours stands in, and the network is told",
                "find out why values are missing: if that differs by class, the gaps give the label away",
            ),
            *self._rows(
                view,
                seen,
                short,
                "short_series",
                f"hold few steps ({least:,} at least, where the median is {median:,.0f})",
                "look whether they were cut off; the rest is padding, which the network is told",
            ),
            *self._uneven(view, seen.rows),
        ]

    def _looked(self, view: View) -> _Seen:
        every = np.concatenate([view.splits[split] for split in view.splits])
        if len(every) > self.most:
            every = np.random.default_rng([view.seed, len(every)]).choice(every, self.most, replace=False)
        rows = np.sort(every)
        columns, wide = _columns(view)
        found = [series_of(row, columns, wide) for row in view.raw(rows, columns)]
        channels = max(map(len, found))
        flat = np.ones((len(found), channels), np.bool_)
        for place, values in enumerate(found):
            flat[place, : len(values)] = [_constant(channel) for channel in values]
        length = np.asarray([values.shape[1] for values in found])
        missing = np.asarray([float(np.isnan(values).mean()) for values in found])
        return _Seen(rows, length, missing, flat)

    def _rows(self, view: View, seen: _Seen, where: npt.NDArray[np.bool_], name: str, what: str, advice: str) -> list[Finding]:
        count, of = int(where.sum()), len(where)
        if not count:
            return []
        examples = [
            Example(int(row), f"{' '.join(view.origin(int(row)))}: {length:,} steps, {percent(missing, 1)} missing")
            for row, length, missing in zip(seen.rows[where], seen.length[where], seen.missing[where], strict=True)
        ][:MOST_EXAMPLES]
        severity: Any = "warning" if count >= self.many * of else "info"
        return [Finding(name, severity, count, of, f"{rows_said(count)} of {of:,} ({percent(count, of)}) {what}", advice, examples)]

    def _channels(self, seen: _Seen) -> list[Finding]:
        """Channels that are constant wherever they were looked at."""
        flat = np.flatnonzero(seen.flat.all(axis=0))
        of = seen.flat.shape[1]
        if not len(flat) or len(flat) == of:
            return []
        names = ", ".join(str(place + 1) for place in flat[:MOST_EXAMPLES].tolist())
        what = f"{len(flat)} of {of} channels never change within a series (number {names}{', ...' if len(flat) > MOST_EXAMPLES else ''})"
        return [Finding("constant_channels", "warning", len(flat), of, what, "leave them out, unless their level says something")]

    def _uneven(self, view: View, rows: npt.NDArray[np.int64]) -> list[Finding]:
        if STAMPS not in view.columns:
            return []
        uneven = np.asarray([row[STAMPS] == "uneven" for row in view.raw(rows, [STAMPS])])
        count, of = int(uneven.sum()), len(uneven)
        if not count:
            return []
        what = (
            f"{rows_said(count)} of {of:,} ({percent(count, of)}) have moments at uneven distances; whole series were put onto even "
            "steps, with gaps where nothing was measured, and windows hold one step after the other"
        )
        severity: Any = "warning" if count >= self.many * of else "info"
        examples = [Example(int(row), " ".join(view.origin(int(row)))) for row in rows[uneven][:MOST_EXAMPLES]]
        advice = "resample such series yourself if distances matter more than that"
        return [Finding("uneven_moments", severity, count, of, what, advice, examples)]


def _columns(view: View) -> tuple[list[str], bool]:
    """Columns that hold series, and whether each of them is one step."""
    columns = view.of_kind("series")
    return (columns, False) if columns else (steps_of(view.of_kind("number")), True)


def _constant(channel: npt.NDArray[np.floating]) -> bool:
    known = channel[np.isfinite(channel)].astype(np.float64)
    return not len(known) or float(np.ptp(known)) <= LEVEL * max(1e-12, float(np.abs(known).max()))
