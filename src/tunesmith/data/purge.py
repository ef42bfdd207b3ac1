"""Keeps what the past learns from apart from the future it is tested on (Lopez de Prado 2018, chapter 7).

A label that says what happened later (a price in five days, an outcome within a month) is known after its row's own moment. Purging leaves
out rows whose label is known only when the next split has begun; an embargo leaves out the first rows of that split, whose inputs still
follow the past closely.

    train ............ | purge |  embargo  validation ........ | purge |  embargo  test ........
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Moments = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
ORDER = ("train", "validation", "test")


@dataclass(frozen=True)
class Span:
    """A stretch of time.

    Attributes:
        kind: `steps`: so many different moments; `seconds`; `column`: until the moment that stands in a column.
        amount: of steps or seconds.
        column: its name.
    """

    kind: Literal["steps", "seconds", "column"]
    amount: float = 0.0
    column: str = ""


def span(text: str) -> Span:
    """A stretch of time as a recipe says it.

    Example:
        >>> span("5"), span("2d").amount, span("known_on").column
        (Span(kind='steps', amount=5.0, column=''), 172800.0, 'known_on')
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if found:
        return Span("seconds", float(found[1]) * UNITS[found[2]])
    return Span("steps", float(text)) if text.strip().isdigit() else Span("column", column=text)


def kept(times: Mapping[str, Moments], known: Mapping[str, Moments] | None, purge: Span | None, embargo: Span | None) -> dict[str, Flags]:
    """Which rows of each split stay.

    Args:
        times: split -> (n,) moments of its rows, in the order of time from split to split.
        known: split -> (n,) moments at which labels are known, where `purge` names a column of them.
        purge: how long after its row's moment a label is known.
        embargo: how long a split waits after the one before it has ended.

    Example:
        >>> times = {"train": np.arange(6.0), "test": np.arange(6.0, 10)}
        >>> {name: flags.astype(int).tolist() for name, flags in kept(times, None, span("2"), span("1")).items()}
        {'train': [1, 1, 1, 1, 0, 0], 'test': [0, 1, 1, 1]}
    """
    order = [name for name in ORDER if name in times and len(times[name])]
    all_of = np.unique(np.concatenate([times[name] for name in order]))
    result = {name: np.ones(len(values), np.bool_) for name, values in times.items()}
    for place, later in enumerate(order[1:], start=1):
        start = times[later].min()
        if embargo:
            result[later] &= _after(times[later], embargo, all_of) >= _after(np.asarray([start]), embargo, all_of)[0] + embargo.amount
        for earlier in order[:place] if purge else ():
            assert purge is not None
            if known is not None:
                result[earlier] &= known[earlier] < start
            else:
                result[earlier] &= _after(times[earlier], purge, all_of) + purge.amount < _after(np.asarray([start]), purge, all_of)[0]
    return result


def _after(times: Moments, unit: Span, all_of: Moments) -> Moments:
    """Moments in the unit of a span: seconds as they are, or how many different moments came before."""
    return times if unit.kind == "seconds" else np.searchsorted(all_of, times).astype(np.float64)


def blocks(times: Moments, known: Moments | None, purge: Span) -> npt.NDArray[np.int64]:
    """(n,) numbers that are equal for rows whose labels may err together: stretches of time twice as long as a label looks ahead.

    Labels that overlap share what happens, and rows of one moment do as well: a bootstrap that drew single rows would be far too sure.
    """
    all_of, place = np.unique(times, return_inverse=True)
    if known is not None:
        ahead = float(np.median(np.searchsorted(all_of, known, "right") - 1 - place)) if len(times) else 0.0
    elif purge.kind == "seconds":
        ahead = float(np.median(np.searchsorted(all_of, times + purge.amount, "right") - 1 - place)) if len(times) else 0.0
    else:
        ahead = purge.amount
    return place // max(1, int(2 * ahead))
