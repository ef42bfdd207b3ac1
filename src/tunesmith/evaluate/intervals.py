"""Intervals of scores: the bootstrap of Efron (1987), bias-corrected and accelerated (BCa), for all scores of a statistic at once.

Rows are drawn with replacement; where rows belong together (several pictures of one patient) whole groups are drawn, because rows of a
group err together and drawing rows would make intervals too narrow. Where a split is so large that a bootstrap would take long, the
interval is score +- t standard errors of a jackknife over BLOCKS random blocks of rows: for so many rows both agree.

Two cases need something else. A score at the end of its range in every replicate (all rows right) does not vary, and a bootstrap would say
[1, 1]: the largest share of errors that is compatible with none among n (Clopper and Pearson 1934; about 3.7 / n at a level of 95%)
is taken off instead, which is exact for shares of rows and an approximation for others. A score that varies not at all elsewhere
(the area of a constant prediction, 0.5) has the interval [score, score]. Each such case stands in `notes`. With a handful of rows every
bootstrap is too narrow, as the rows cannot show what they do not hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require
from tunesmith.core.outcomes import Statistic

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BLOCKS = 100
"""Blocks of the jackknife that gives the acceleration, and of the one that stands in for the bootstrap."""

FEW_BLOCKS, MANY_ROWS = 30, 200_000
"""So many blocks for more rows than this."""

MOST_WORK = 250_000_000
"""Replicates times `Statistic.work` beyond which the jackknife stands in: about two seconds."""

AT_ONCE = 4_000_000
"""Numbers of the weightings that are worked on together."""


@final
@dataclass(frozen=True)
class Intervals:
    """Intervals of scores.

    Attributes:
        level: wanted share of repetitions in which the interval holds the true score.
        method: `bca` or `jackknife`.
        replicates: how many weightings were scored for them.
        grouped: whether whole groups were drawn.
        scores: low and high of each score.
        notes: how an interval came about where not by `method`, and why a score has none.
    """

    level: float
    method: str
    replicates: int
    grouped: bool
    scores: dict[str, tuple[float, float]]
    notes: dict[str, str]

    def plain(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**asdict(self), "scores": {name: list(pair) for name, pair in self.scores.items()}}


def units(rows: int, groups: npt.NDArray[Any] | Collection[Any] | None) -> Ints:
    """(rows,) the number of the unit that each row is drawn with: its group, or itself."""
    if groups is None:
        return np.arange(rows)
    held = np.asarray(groups)
    if len(held) != rows:
        raise ValueError(f"there are {len(held)} groups for {rows} rows")
    return np.unique(held, return_inverse=True)[1].astype(np.int64)


def drawn(unit: Ints, replicates: int, seed: int, at_once: int) -> Iterator[Floats]:
    """How often each row counts, (some replicates, rows), when as many units are drawn with replacement as there are.

    Args:
        unit: (rows,) from `units`.
        replicates: how many in all.
        seed: decides what is drawn.
        at_once: how many numbers may be held at once.
    """
    rng, count = np.random.default_rng(seed), int(unit.max()) + 1
    step = max(1, at_once // max(len(unit), count))
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        chosen = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(chosen.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)
        yield times if count == len(unit) and bool((unit == np.arange(count)).all()) else times[:, unit]


def left_out(unit: Ints, seed: int, at_once: int) -> Iterator[Floats]:
    """(some blocks, rows) weights that leave out one block of units each: at most BLOCKS, cut at random, of equal size but for one unit.

    Args:
        unit: (rows,) from `units`.
        seed: decides which units make a block.
        at_once: how many numbers may be held at once.
    """
    count = int(unit.max()) + 1
    blocks = min(FEW_BLOCKS if len(unit) > MANY_ROWS else BLOCKS, count)
    block = np.empty(count, np.int64)
    block[np.random.default_rng(seed).permutation(count)] = np.arange(count) * blocks // count
    step = max(1, at_once // len(unit))
    for start in range(0, blocks, step):
        yield (block[unit][None, :] != np.arange(start, min(start + step, blocks))[:, None]).astype(np.float64)


def scored(statistic: Statistic, weightings: Iterator[Floats], names: Collection[str] | None = None) -> dict[str, Floats]:
    """The scores of all weightings, each (replicates,)."""
    parts = [statistic.many(weights, names) for weights in weightings]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _at_once(statistic: Statistic) -> int:
    """How many weights may be held while AT_ONCE numbers are worked on."""
    return AT_ONCE * statistic.rows // max(statistic.work, statistic.rows)


def jackknifed(statistic: Statistic, unit: Ints, seed: int, names: Collection[str] | None = None) -> dict[str, Floats]:
    """The scores without each block, each (blocks,)."""
    return scored(statistic, left_out(unit, seed, _at_once(statistic)), names)


def standard_error(without: Floats) -> float:
    """Of a score, from (blocks,) its values without each block (Efron and Tibshirani 1993, 11.5); blocks without a value are left out."""
    known = without[np.isfinite(without)]
    if len(known) < 2:
        return float("nan")
    return float(np.sqrt((len(known) - 1) / len(known) * np.square(known - known.mean()).sum()))


def bca(score: float, replicates: Floats, without: Floats, level: float) -> tuple[float, float]:
    """The BCa interval of one score (Efron 1987, 3.8 and 6.6).

    Args:
        score: of the rows themselves.
        replicates: (replicates,) of the bootstrap.
        without: (blocks,) of the jackknife.
        level: wanted coverage.
    """
    special = require("scipy.special", "intervals of the scores")
    count = len(replicates)
    share = ((replicates < score).sum() + (replicates <= score).sum()) / (2 * count)  # ties count half, as scipy's bootstrap has it
    bias = special.ndtri(np.clip(share, 1 / (count + 1), count / (count + 1)))
    apart = without[np.isfinite(without)]
    apart = apart.mean() - apart if len(apart) else np.zeros(1)
    squares = np.square(apart).sum()
    acceleration = (apart**3).sum() / (6 * squares**1.5) if squares > 0 else 0.0
    shifted = bias + special.ndtri(np.asarray([(1 - level) / 2, (1 + level) / 2]))
    shares = special.ndtr(bias + shifted / np.maximum(1 - acceleration * shifted, 1e-6))
    low, high = np.quantile(replicates, np.clip(shares, 0, 1))
    return float(low), float(high)


def none_seen(count: int, level: float) -> float:
    """The upper end of the Clopper-Pearson interval of a share of which none was seen among `count`.

    Example:
        >>> round(none_seen(100, 0.95), 4)
        0.0362
    """
    return float(1 - ((1 - level) / 2) ** (1 / count))


def intervals(
    statistic: Statistic,
    rows: int,
    groups: npt.NDArray[Any] | Collection[Any] | None = None,
    seed: int = 0,
    level: float = 0.95,
    replicates: int = 1000,
    *,
    names: Collection[str] | None = None,
) -> Intervals:
    """Intervals of all scores of a statistic.

    Args:
        statistic: from `Task.statistic`.
        rows: how many rows it has.
        groups: (rows,) values that are equal for rows that belong together; None where each row stands alone.
        seed: decides what is drawn.
        level: wanted coverage.
        replicates: of the bootstrap.
        names: the scores that are wanted; None for all.
    """
    unit = units(rows, groups)
    count = int(unit.max()) + 1
    scores = {name: float(value[0]) for name, value in statistic.many(np.ones((1, rows)), names).items()}
    without = jackknifed(statistic, unit, seed, names)
    many = replicates * max(statistic.work, rows) > MOST_WORK
    drew: dict[str, Floats] = {}
    if not many:
        drew = scored(statistic, drawn(unit, replicates, seed, _at_once(statistic)), names)
    found: dict[str, tuple[float, float]] = {}
    notes: dict[str, str] = {}
    for name, score in scores.items():
        if count < 2:
            notes[name] = "no interval: there is a single row, or a single group of rows"
            continue
        tried = without[name] if many else drew[name]
        known = tried[np.isfinite(tried)]
        if not np.isfinite(score) or len(known) < max(2, len(tried) / 2):
            notes[name] = "no interval: the score is not defined for these rows, or not for most draws of them"
            continue
        ends = statistic.ranges.get(name, (-np.inf, np.inf))
        if np.ptp(known) <= 1e-12 * max(1.0, abs(score)):
            found[name], notes[name] = _still(score, ends, count, level)
        elif many:
            spread = standard_error(known) * _t(level, len(known) - 1)
            found[name] = (max(ends[0], score - spread), min(ends[1], score + spread))
        else:
            found[name] = bca(score, known, without[name], level)
    used = len(next(iter(without.values()))) if many else replicates
    return Intervals(level, "jackknife" if many else "bca", used, groups is not None, found, notes)


def _t(level: float, freedom: int) -> float:
    return float(require("scipy.special", "intervals of the scores").stdtrit(freedom, (1 + level) / 2))


def _still(score: float, ends: tuple[float, float], count: int, level: float) -> tuple[tuple[float, float], str]:
    """The interval of a score that is the same in every replicate, and how it came about."""
    low, high = ends
    away = none_seen(count, level) * (high - low) if np.isfinite(high - low) else 0.0
    if np.isclose(score, high) and away:
        return (high - away, high), f"no draw differs, so the Clopper-Pearson bound of no error among {count} was taken"
    if np.isclose(score, low) and away:
        return (low, low + away), f"no draw differs, so the Clopper-Pearson bound of no hit among {count} was taken"
    return (score, score), "no draw differs"
