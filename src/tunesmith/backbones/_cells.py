"""Cells of a table as numbers: what is learned of the training rows' columns, and how rows are encoded by it.

A number becomes its piecewise-linear encoding (Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning"):
how much of each of some bins lies below it, the bins ending at quantiles of the training rows.

    knots 0, 10, 40:    25 -> [1, 0.5]    -3 -> [0, 0]    99 -> [1, 1]

What lies beyond the training rows is read as their end, so a slip of the keyboard moves a prediction no farther than the largest value
that was learned from. A category becomes its number in a vocabulary, of which the first three are a missing one, any other one, and one
that is masked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Floats

MOST_ROWS = 100_000
"""Training rows by which numbers are measured; of more, so many are drawn."""

MOST_COUNTED = 200_000
"""Different categories of a column that are counted at once; the rarer half is then forgotten."""

GONE, OTHER, MASKED = 0, 1, 2
"""Codes of a category that is missing, that is none of the vocabulary, that is masked."""

SPECIAL = 3


@dataclass(frozen=True)
class Learned:
    """What the training rows tell of columns.

    Attributes:
        knots: of each number, ascending, at least two: where its bins begin and end.
        words: of each category, its vocabulary, the most frequent first.
        middles: of each number its median; None where most rows miss it.
        modes: of each category the most frequent one; None where most rows miss it.
    """

    knots: tuple[tuple[float, ...], ...]
    words: tuple[tuple[str, ...], ...]
    middles: tuple[float | None, ...] = ()
    modes: tuple[str | None, ...] = ()


def learn(rows: Iterator[tuple[Sequence[float], Sequence[str | None]]], bins: int, rare: int, most: int, seed: int) -> Learned:
    """Measure the columns.

    Args:
        rows: of each row its numbers (NaN where missing) and its categories (None where missing).
        bins: bins a number has at most.
        rare: training rows below which a category is none of its own.
        most: categories of a column that are kept at most.
        seed: decides which rows are drawn.
    """
    random = Random(seed)
    kept: list[Sequence[float]] = []
    counts: list[Counter[str]] = []
    missed: list[int] = []
    count = 0
    for number, (values, texts) in enumerate(rows):
        count += 1
        if not number:
            counts, missed = [Counter() for _ in texts], [0] * len(texts)
        if len(kept) < MOST_ROWS:
            kept.append(values)
        elif (drawn := random.randrange(number + 1)) < MOST_ROWS:
            kept[drawn] = values
        for place, (counter, text) in enumerate(zip(counts, texts, strict=True)):
            missed[place] += text is None
            if text is not None:
                counter[text] += 1
                if len(counter) > MOST_COUNTED:
                    for word, _ in counter.most_common()[MOST_COUNTED // 2 :]:
                        del counter[word]
    table = np.asarray(kept, np.float64)
    knots = tuple(knots_of(table[:, i], bins) for i in range(table.shape[1]))
    # of equals the first in sorted order, so that the order of the rows decides nothing
    ranked = [sorted(counter.items(), key=lambda item: (-item[1], item[0])) for counter in counts]
    words = tuple(tuple(word for word, times in items[:most] if times >= rare) for items in ranked)
    modes = tuple(items[0][0] if items and 2 * gone <= count else None for items, gone in zip(ranked, missed, strict=True))
    return Learned(knots, words, tuple(_middle(table[:, i]) for i in range(table.shape[1])), modes)


def _middle(values: npt.NDArray[np.float64]) -> float | None:
    there = values[~np.isnan(values)]
    return float(np.quantile(there, 0.5, method="nearest")) if 2 * len(there) >= len(values) and len(there) else None


def knots_of(values: npt.NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """Where the bins of a number begin and end: half of them by its rows, half by its different values.

    Quantiles of the rows alone would give all bins to a value that most rows have (a capital gain of 0) and none to the others.

    Example:
        >>> knots_of(np.array([0.0] * 90 + [1.0, 2.0, 3.0, 4.0]), 4)
        (0.0, 2.0, 4.0)
    """
    there = values[~np.isnan(values)]
    if not len(there):
        return (0.0, 1.0)
    shares = np.linspace(0, 1, max(2, bins // 2 + 1))
    by_row, by_value = (np.quantile(part, shares, method="nearest") for part in (there, np.unique(there)))
    knots = np.unique(np.concatenate([by_row, by_value]))
    if len(knots) == 1:
        return (float(knots[0]), float(knots[0]) + 1.0)
    return tuple(map(float, knots))


class Scale:
    """Encodes numbers by their knots, and back.

    Args:
        knots: of each number.
    """

    def __init__(self, knots: Sequence[Sequence[float]]) -> None:
        self.bins = max((len(item) - 1 for item in knots), default=1)
        self.counts = np.asarray([len(item) - 1 for item in knots], np.int64)
        self.knots = [np.asarray(item, np.float64) for item in knots]
        # bins that a number does not have begin where nothing comes
        self._low = np.full((len(knots), self.bins), np.inf)
        self._wide = np.ones((len(knots), self.bins))
        for place, item in enumerate(self.knots):
            self._low[place, : len(item) - 1] = item[:-1]
            self._wide[place, : len(item) - 1] = np.diff(item)

    def encoded(self, values: npt.NDArray[np.float64]) -> Floats:
        """(rows, numbers) to (rows, numbers, bins + 2): the bins, whether it is missing, whether it is masked (which `mask` sets)."""
        result = np.zeros((*values.shape, self.bins + 2), np.float32)
        gone = np.isnan(values)
        filled = np.where(gone, -np.inf, values)
        result[..., :-2] = np.clip((filled[..., None] - self._low) / self._wide, 0, 1)
        result[..., -2] = gone
        return result

    def placed(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(rows, numbers) as places between the knots, -1 at the least and 1 at the greatest; NaN where missing."""
        found = np.full(values.shape, np.nan)
        for place, knots in enumerate(self.knots):
            found[:, place] = np.interp(values[:, place], knots, np.linspace(-1, 1, len(knots)))
        return np.where(np.isnan(values), np.nan, found)

    def at(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The inverse of `placed`."""
        found = np.empty(places.shape)
        for place, knots in enumerate(self.knots):
            found[:, place] = np.interp(places[:, place], np.linspace(-1, 1, len(knots)), knots)
        return found
