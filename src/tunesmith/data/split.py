"""Divides rows into train, validation and test: as given, stratified, by group, or by time."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import DataError, RowError

Rows = npt.NDArray[np.int64]
NAMES = ("train", "validation", "test")


def stratified(rows: Rows, classes: npt.NDArray[Any], shares: Sequence[float], seed: int) -> list[Rows]:
    """Parts in which every class has its share; a class with as many rows as parts appears in each of them.

    Args:
        rows: (n,) row numbers.
        classes: (n,) class of each row; all equal for no stratification.
        shares: share of each part; they sum to 1.
        seed: decides the order.
    """
    rng = np.random.default_rng(seed)
    names, sizes = np.unique(classes, return_counts=True)  # its inverse would take 24 bytes a row
    counts = quotas(sizes, shares)
    parts: list[list[Rows]] = [[] for _ in shares]
    for code, name in enumerate(names):
        members = rng.permutation(rows[classes == name])
        for part, piece in zip(parts, np.split(members, np.cumsum(counts[code])[:-1]), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) if part else np.empty(0, np.int64) for part in parts]


def quotas(sizes: Sequence[int] | Rows, shares: Sequence[float]) -> Rows:
    """How many rows of each class each part gets: whole numbers next to `shares * size` whose sums are next to `shares * total`.

    What rounding gives or takes in one class is made good in the next, from the smallest class to the largest, so that many small
    classes do not add up to a wrong total. The first part gets at least one row of every class, and the others one of each class that has
    as many rows as there are parts.

    Returns:
        (classes, parts).

    Example:
        >>> quotas([13, 13, 14], (0.8, 0.1, 0.1)).tolist()
        [[11, 1, 1], [10, 2, 1], [11, 1, 2]]
    """
    wanted = np.asarray(shares, float)
    counts = np.zeros((len(sizes), len(wanted)), np.int64)
    carried = np.zeros(len(wanted))
    for code in np.argsort(sizes, kind="stable"):
        size = int(sizes[code])
        least = np.asarray([1] + [int(size >= len(wanted))] * (len(wanted) - 1))
        ideal = wanted * size + carried
        given = np.maximum(np.floor(ideal + 1e-9).astype(np.int64), least)
        while given.sum() > size:
            given[np.argmin(np.where(given > least, ideal - given, np.inf))] -= 1
        while given.sum() < size:
            given[np.argmax((ideal - given).round(9))] += 1
        counts[code] = given
        carried = ideal - given
    return counts


def grouped(rows: Rows, classes: npt.NDArray[Any], groups: npt.NDArray[Any], shares: Sequence[float], seed: int) -> list[Rows]:
    """Parts that share no group, with about the given shares of rows and of each class.

    Groups are dealt out from the largest to the smallest, each to the part that it brings nearest to its wanted rows, in all and of each
    class, by the sum of (held - wanted)^2 / wanted.

    Raises:
        DataError: fewer groups than parts.
    """
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < len(shares):
        raise DataError(f"the group column has {len(names)} different values; {len(shares)} parts need at least {len(shares)}")
    _, codes = np.unique(classes, return_inverse=True)
    counts = np.zeros((len(names), codes.max() + 2))  # (groups, classes and, last, all rows)
    np.add.at(counts, (index, codes), 1)
    counts[:, -1] = counts.sum(axis=1)
    wanted = np.outer(shares, counts.sum(axis=0))  # (parts, classes and all rows)
    missing = wanted.copy()
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    part_of = np.empty(len(names), int)
    held = np.zeros(len(shares), int)
    for rank, group in enumerate(order):
        gain = ((2 * missing - counts[group]) * counts[group] / np.maximum(wanted, 1e-9)).sum(axis=1)
        if len(order) - rank <= (held == 0).sum():
            gain = np.where(held == 0, gain, -np.inf)
        part_of[group] = int(np.argmax(gain))
        held[part_of[group]] += 1
        missing[part_of[group]] -= counts[group]
    return [rows[part_of[index] == part] for part in range(len(shares))]


def by_time(rows: Rows, times: npt.NDArray[np.float64], shares: Sequence[float]) -> list[Rows]:
    """Parts in the order of time: the past trains, the future tests; rows of one time stay together.

    Each cut is made between two different times, where it is nearest to the wanted share and leaves a time for every later part.

    Raises:
        DataError: fewer different times than parts.
    """
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    possible = np.flatnonzero(np.diff(ordered)) + 1  # before these positions the time changes
    if len(possible) < len(shares) - 1:
        raise DataError(f"the time column has too few different values ({len(possible) + 1}) to cut {len(shares)} parts")
    cuts: list[int] = []
    first = 0
    for number, share in enumerate(np.cumsum(shares)[:-1], start=1):
        last = len(possible) - (len(shares) - 1 - number)
        best = first + int(np.argmin(np.abs(possible[first:last] - share * len(rows))))
        cuts.append(int(possible[best]))
        first = best + 1
    return [np.sort(rows[piece]) for piece in np.split(order, cuts)]


def moment(value: Any, column: str) -> float:
    """A date, date and time, or number as a number that grows with time.

    Raises:
        RowError: neither a finite number nor a date in ISO form.

    Example:
        >>> moment("2024-01-02", "day") - moment("2024-01-01", "day")
        86400.0
    """
    if value in (None, ""):
        raise RowError("the time is missing", column)
    try:
        number = float(value)
    except ValueError:
        pass
    else:
        if not math.isfinite(number):
            raise RowError(f"{value!r} is no moment", column)
        return number
    try:
        stamp = datetime.datetime.fromisoformat(str(value))
    except ValueError as error:
        raise RowError(f"{value!r} is neither a number nor a date such as 2024-01-31 or 2024-01-31T12:00", column) from error
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=datetime.UTC)).timestamp()
