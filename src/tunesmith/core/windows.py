"""Windows over tables whose rows are time points: what an example shows, and what lies ahead of it.

    context                                   horizon
    [t-4, t-3, t-2, t-1, t]                   [t+1, t+2]      row t of the table stands for this window
    {"load": (5,), "holiday": (7,), "#future": (2, 1), "#series": "north", "#start": 1467331200.0}

A column of the context has one number a step; one that is known in advance (a calendar, a price that was set) also has those of the
horizon. What is missing is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith.core.arrays import Floats

FUTURE, SERIES, START = "#future", "#series", "#start"
"""Columns of a window's row beside the user's: (horizon, targets) float32; name of the series; moment of the first step ahead."""


@dataclass(frozen=True)
class Windows:
    """What windows over a table are.

    Attributes:
        time: column of stamps.
        columns: columns whose numbers the context shows.
        targets: those of them that lie ahead in `FUTURE`.
        known: those of `columns` that are known in advance.
        series: column that tells several series apart; None where the table holds one.
        context: steps that are shown.
        horizon: steps that lie ahead; 0 where nothing of the future is asked.
        step: what lies between two steps, as `data/stamps.py` writes it; empty before the stamps were read.
        form: how a stamp is written.
    """

    time: str
    columns: tuple[str, ...]
    targets: tuple[str, ...]
    known: tuple[str, ...] = ()
    series: str | None = None
    context: int = 1
    horizon: int = 0
    step: str = ""
    form: str = ""


@dataclass(frozen=True, eq=False)
class Span:
    """Numbers of a series' targets: what lies ahead of a window, or all that trains.

    Attributes:
        series: its name; empty where the table holds one.
        values: (steps, targets) float32; NaN where a number is missing.
    """

    series: str
    values: Floats
