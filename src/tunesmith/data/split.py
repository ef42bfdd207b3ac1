"""Divides rows into train, validation and test: as given, stratified, by group, or by time."""

from __future__ import annotations

import datetime
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
    parts: list[list[Rows]] = [[] for _ in shares]
    for value in np.unique(classes):
        members = rng.permutation(rows[classes == value])
        counts = np.floor(np.asarray(shares) * len(members)).astype(int)
        if len(members) >= len(shares):
            counts = np.maximum(counts, 1)
        counts[0] = len(members) - counts[1:].sum()
        for part, piece in zip(parts, np.split(members, np.cumsum(counts)[:-1]), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) if part else np.empty(0, np.int64) for part in parts]


def grouped(rows: Rows, classes: npt.NDArray[Any], groups: npt.NDArray[Any], shares: Sequence[float], seed: int) -> list[Rows]:
    """Parts that share no group, with about the given shares of rows and of each class.

    Groups are dealt out from the largest to the smallest, each to the part whose missing rows of the group's classes are most.

    Raises:
        DataError: fewer groups than parts.
    """
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < len(shares):
        raise DataError(f"the group column has {len(names)} different values; {len(shares)} parts need at least {len(shares)}")
    _, codes = np.unique(classes, return_inverse=True)
    counts = np.zeros((len(names), codes.max() + 1))
    np.add.at(counts, (index, codes), 1)
    missing = np.outer(shares, counts.sum(axis=0))  # (parts, classes)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    part_of = np.empty(len(names), int)
    held = np.zeros(len(shares), int)
    for rank, group in enumerate(order):
        need = (missing * counts[group]).sum(axis=1) / counts[group].sum()
        need = need / np.maximum(np.asarray(shares), 1e-9)
        if len(order) - rank <= (held == 0).sum():
            need = np.where(held == 0, need, -np.inf)
        part_of[group] = int(np.argmax(need))
        held[part_of[group]] += 1
        missing[part_of[group]] -= counts[group]
    return [rows[part_of[index] == part] for part in range(len(shares))]


def by_time(rows: Rows, times: npt.NDArray[np.float64], shares: Sequence[float]) -> list[Rows]:
    """Parts in the order of time: the past trains, the future tests; rows of one time stay together.

    Raises:
        DataError: too few different times.
    """
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    cuts = []
    for share in np.cumsum(shares)[:-1]:
        cut = min(round(float(share) * len(rows)), len(rows) - 1)
        cuts.append(int(np.searchsorted(ordered, ordered[cut], side="left")))
    parts = [np.sort(rows[piece]) for piece in np.split(order, cuts)]
    if any(len(part) == 0 for part in parts):
        raise DataError(f"the time column has too few different values ({len(np.unique(times))}) to cut {len(shares)} parts")
    return parts


def moment(value: Any, column: str) -> float:
    """A date, date and time, or number as a number that grows with time.

    Raises:
        RowError: neither a number nor a date in ISO form.

    Example:
        >>> moment("2024-01-02", "day") - moment("2024-01-01", "day")
        86400.0
    """
    if value in (None, ""):
        raise RowError("the time is missing", column)
    try:
        return float(value)
    except ValueError:
        pass
    try:
        stamp = datetime.datetime.fromisoformat(str(value))
    except ValueError as error:
        raise RowError(f"{value!r} is neither a number nor a date such as 2024-01-31 or 2024-01-31T12:00", column) from error
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=datetime.UTC)).timestamp()
