"""Stamps of series: what lies between two steps, which steps are missing, and the stamps that come next.

Steps are a number of seconds ("3600 s"), of months ("1 months": the same day of each, or the last), of days from Monday to Friday
("1 weekdays"), or whatever the next row holds ("1 rows": stamps are not looked at but for their order). Stamps that are numbers count
as seconds.
"""

from __future__ import annotations

import calendar
import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import DataError

Moments = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
DAY = 86_400.0
SPARSE = 0.5
"""Share of missing steps from which the stamps follow no step at all."""

TOLERANCE = 1e-6
MONDAY = 4 * DAY
"""Of the first Monday after 1970-01-01, a Thursday."""


@dataclass(frozen=True)
class Step:
    """What lies between two steps.

    Attributes:
        count: how many of the unit.
        unit: `s`, `months`, `weekdays` or `rows`.
    """

    count: float
    unit: str

    def __str__(self) -> str:
        return f"{self.count:g} {self.unit}"

    def shown(self) -> str:
        """For people."""
        if self.unit == "s":
            for name, size in (("day", DAY), ("hour", 3600.0), ("minute", 60.0)):
                if self.count % size == 0:
                    number = self.count / size
                    return f"{number:g} {name}" + ("s" if number != 1 else "")
            return f"{self.count:g} s"
        return {"months": f"{self.count:g} month", "weekdays": "1 weekday", "rows": "1 row, whatever the stamps say"}[self.unit]

    def places(self, moments: Moments) -> Places:
        """(n,) steps from the first of ascending moments to each."""
        if self.unit == "rows":
            return np.arange(len(moments))
        if self.unit == "months":
            months = np.asarray([_month(moment) for moment in moments.tolist()], np.int64)
            return np.asarray((months - months[0]) // int(self.count))
        if self.unit == "weekdays":
            days = _weekday(moments)
            return np.asarray(days - days[0])
        return np.asarray(np.rint((moments - moments[0]) / self.count), np.int64)

    def after(self, moment: float, steps: int) -> float:
        """The moment so many steps later; NaN where the stamps follow no step."""
        if self.unit == "s":
            return moment + steps * self.count
        if self.unit == "weekdays":
            week, day = divmod(int(_weekday(np.asarray([moment]))[0]) + steps, 5)
            return MONDAY + (7 * week + day) * DAY + (moment % DAY)
        if self.unit == "months":
            return _months_later(moment, steps * int(self.count))
        return math.nan


def step(text: str) -> Step:
    """The inverse of `str(Step)`.

    Example:
        >>> step("3600 s").shown()
        '1 hour'
    """
    count, unit = text.split()
    return Step(float(count), unit)


def step_of(series: Sequence[Moments], in_order: bool = False) -> Step:
    """What lies between two steps of all series.

    Args:
        series: ascending and different moments of each.
        in_order: take the rows in their order, whatever their stamps.

    Raises:
        DataError: most stamps follow no step.

    Example:
        >>> str(step_of([np.array([0.0, 60.0, 120.0, 240.0])]))
        '60 s'
    """
    apart = np.concatenate([np.diff(moments) for moments in series]) if series else np.empty(0)
    if in_order or not len(apart):
        return Step(1, "rows")
    middle = float(np.median(apart))
    whole = np.concatenate(series)
    if middle >= 28 * DAY and _monthly(whole):
        months = np.concatenate([np.diff([_month(moment) for moment in moments.tolist()]) for moments in series])
        return Step(float(np.median(months)), "months")
    if middle == DAY and len(whole) > 10 and bool((_day(whole) < 5).all()) and bool((apart % DAY == 0).all()):
        return Step(1, "weekdays")
    times = apart / middle
    off = int((np.abs(times - np.rint(times)) > TOLERANCE * np.maximum(1, times)).sum())
    skipped = float(np.rint(times).sum()) - len(times)
    if off or skipped > SPARSE * (len(whole) + skipped):
        what = (
            f"{off:,} of {len(apart):,} steps are no multiple of the median step of {Step(middle, 's').shown()}"
            if off
            else f"{skipped:,.0f} steps of {Step(middle, 's').shown()} are missing beside {len(whole):,} that are there"
        )
        raise DataError(
            f"the stamps are irregular: {what}. Resample the series to one step, or take the rows in their order, whatever the stamps, "
            "with --stamps order"
        )
    return Step(middle, "s")


def written(form: str, moment: float) -> Any:
    """A moment as the user writes stamps; None where there is none.

    Example:
        >>> written("%Y-%m-%d", 86400.0), written("number", 3.0)
        ('1970-01-02', 3.0)
    """
    if math.isnan(moment):
        return None
    return moment if form == "number" else _date(moment).strftime(form)


def form_of(stamp: str) -> str:
    """How stamps are written, by one of them.

    Example:
        >>> form_of("2016-07-01 00:00:00"), form_of("2013-02-08"), form_of("12")
        ('%Y-%m-%d %H:%M:%S', '%Y-%m-%d', 'number')
    """
    try:
        float(stamp)
    except ValueError:
        pass
    else:
        return "number"
    zone = "+00:00" if datetime.datetime.fromisoformat(stamp).tzinfo else ""
    if len(stamp) <= 10:
        return "%Y-%m-%d"
    return f"%Y-%m-%d{stamp[10] if stamp[10] in 'T ' else 'T'}%H:%M:%S{zone}"


def _date(moment: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC)


def _month(moment: float) -> int:
    date = _date(moment)
    return 12 * date.year + date.month - 1


def _last(date: datetime.datetime) -> bool:
    return date.day == calendar.monthrange(date.year, date.month)[1]


def _monthly(moments: Moments) -> bool:
    """Whether all moments are of the same day of a month, or of the last."""
    dates = [_date(moment) for moment in moments.tolist()]
    return len({date.time() for date in dates}) == 1 and (len({date.day for date in dates}) == 1 or all(map(_last, dates)))


def _months_later(moment: float, months: int) -> float:
    date = _date(moment)
    year, month = divmod(12 * date.year + date.month - 1 + months, 12)
    days = calendar.monthrange(year, month + 1)[1]
    return date.replace(year=year, month=month + 1, day=days if _last(date) else min(date.day, days)).timestamp()


def _day(moments: Moments) -> Places:
    """Days since a Monday, from 0 to 6."""
    return np.asarray(np.floor((moments - MONDAY) / DAY).astype(np.int64) % 7)


def _weekday(moments: Moments) -> Places:
    """Days from Monday to Friday since a Monday."""
    weeks, days = np.divmod(np.floor((moments - MONDAY) / DAY).astype(np.int64), 7)
    return np.asarray(5 * weeks + np.minimum(days, 4))
