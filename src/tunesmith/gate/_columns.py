"""Cells as numbers, and columns as facts that a label may depend on: numbers, or names with few different values."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def number(value: Any) -> float:
    """A cell as a number; nan where it is none.

    Example:
        >>> number("2.50"), number("two"), number(None)
        (2.5, nan, nan)
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def date(value: Any) -> float:
    """A date, or date and time, in ISO form as seconds; nan where it is none.

    Example:
        >>> date("1970-01-02"), date("1970-01-01T00:01:00+00:00"), date("12")
        (86400.0, 60.0, nan)
    """
    try:
        stamp = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        return math.nan
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=datetime.UTC)).timestamp()


def moment(value: Any) -> float:
    """A number, or else a date, as `--time` reads them; nan where it is neither."""
    found = number(value)
    return date(value) if math.isnan(found) else found


@dataclass(frozen=True, eq=False)
class Fact:
    """Something known of each row before any model sees it.

    Attributes:
        name: what it is, in words.
        train: (n,) its values in training rows: numbers, or names as texts.
        validation: (m,) its values in validation rows.
    """

    name: str
    train: npt.NDArray[Any]
    validation: npt.NDArray[Any]

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return self.train.dtype.kind == "f"


def fact(name: str, train: Sequence[Any], validation: Sequence[Any]) -> Fact:
    """A column's cells as a fact: numbers where 95% of those that are not missing are, else names."""
    values = np.asarray([number(cell) for cell in train])
    present = sum(cell is not None for cell in train)
    if present and np.isfinite(values).sum() >= 0.95 * present:
        return Fact(name, values, np.asarray([number(cell) for cell in validation], np.float64))
    return Fact(name, _named(train), _named(validation))


def _named(cells: Sequence[Any]) -> npt.NDArray[Any]:
    return np.asarray(["" if cell is None else str(cell)[:200] for cell in cells], dtype=object)


def ranks(values: npt.NDArray[Any]) -> Numbers:
    """The place of each value in ascending order, from 1 on; equal ones share the mean of theirs.

    Example:
        >>> ranks(np.asarray([30.0, 10.0, 10.0])).tolist()
        [3.0, 1.5, 1.5]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


def spearman(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """Spearman's rank correlation; 0 where one of them is constant.

    Example:
        >>> round(spearman(np.asarray([1.0, 2.0, 3.0]), np.asarray([1.0, 8.0, 27.0])), 6)
        1.0
    """
    a, b = ranks(x), ranks(y)
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / spread if spread else 0.0


def auroc(score: npt.NDArray[Any], positive: npt.NDArray[np.bool_]) -> float:
    """Chance that a positive row has the higher score than a negative one (Mann and Whitney 1947); nan where one kind is absent.

    Example:
        >>> auroc(np.asarray([0.1, 0.4, 0.35, 0.8]), np.asarray([False, False, True, True]))
        0.75
    """
    held, rest = int(positive.sum()), int((~positive).sum())
    if not held or not rest:
        return math.nan
    return float((ranks(score)[positive].sum() - held * (held + 1) / 2) / (held * rest))


def cramer(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """Cramér's V of two columns of codes, corrected for the bias of small samples (Bergsma 2013); 0 where one is constant.

    Example:
        >>> round(cramer(np.asarray([0, 0, 1, 1] * 50), np.asarray([0, 0, 1, 1] * 50)), 6)
        1.0
    """
    a, b = np.unique(x, return_inverse=True)[1], np.unique(y, return_inverse=True)[1]
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    n = len(a)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    squared = float(((table - expected) ** 2 / expected).sum()) / n
    rows, columns = table.shape
    corrected = max(0.0, squared - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return math.sqrt(corrected / least) if least > 0 else 0.0


def unusual(sizes: Numbers, far: float, factor: float) -> npt.NDArray[np.bool_]:
    """(rows,) which sizes are far from the others.

    Further from the median than `far` robust standard deviations (1.4826 times the median absolute deviation, Leys et al. 2013) on a
    logarithmic scale, as sizes vary by factors, and by a factor of `factor` at least: where most are equal, all others would be far.

    Args:
        sizes: (rows,) above 0.
        far: robust standard deviations.
        factor: times the median.
    """
    logs = np.log(sizes)
    away = np.abs(logs - np.median(logs))
    return np.asarray((away > far * 1.4826 * np.median(away)) & (away >= np.log(factor)))
