"""How far predictions can be believed, measured: reliability, conformal coverage, and what not answering the unsure rows gains.

Everything is given as plain JSON, in the shapes of metrics.json that docs/architecture.md lists.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require
from tunesmith.core.outcomes import Statistic
from tunesmith.evaluate.intervals import units

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[Any] | None
BINS = 15
POINTS = 20


def clopper_pearson(hits: float, rows: float, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson 1934); counts need not be whole.

    Example:
        >>> low, high = clopper_pearson(9, 10)
        >>> round(low, 4), round(high, 4)
        (0.555, 0.9975)
    """
    special = require("scipy.special", "the interval of a share")
    tail = (1 - level) / 2
    low = float(special.betaincinv(hits, rows - hits + 1, tail)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, rows - hits, 1 - tail)) if hits < rows else 1.0
    return low, high


def share_interval(held: npt.NDArray[np.bool_], groups: Groups = None, level: float = 0.95) -> tuple[float, float] | None:
    """The interval of a share of rows: Clopper and Pearson's, by whole groups where rows belong together (Korn and Graubard 1998).

    Rows of a group are alike, so they count for fewer: for as many independent rows as would make the share vary as it does between
    groups, and for fewer still where there are few groups, by the ratio of Student's t. Where all rows agree each group counts for one.

    Args:
        held: (rows,) at least one, whether each counts.
        groups: (rows,) values that are equal for rows that belong together.
        level: wanted coverage.

    Returns:
        None where all rows are of one group.

    Example:
        >>> low, high = share_interval(np.arange(20) < 18)
        >>> alike = share_interval(np.arange(20) < 18, np.arange(20) // 2)
        >>> alike[0] < low < high < alike[1]
        True
    """
    hits, rows = int(held.sum()), len(held)
    if groups is None:
        return clopper_pearson(hits, rows, level)
    unit = units(rows, groups)
    count = int(unit.max()) + 1
    if count < 2:
        return None
    share = hits / rows
    off = np.bincount(unit, held - share)
    variance = count / (count - 1) * float(np.square(off).sum()) / rows**2
    alone = float(count) if hits in (0, rows) else min(float(rows), share * (1 - share) / variance) if variance else float(rows)
    special = require("scipy.special", "the interval of a share")
    ratio = float(special.stdtrit(rows - 1, (1 + level) / 2) / special.stdtrit(count - 1, (1 + level) / 2))
    alone *= ratio**2
    return clopper_pearson(share * alone, alone, level)


def reliability(confidence: Floats, right: Floats, bins: int = BINS, *, adaptive: bool = False) -> list[dict[str, float]]:
    """Confidence beside the share that is right, bin by bin; bins without rows are left out.

    Args:
        confidence: (rows,) probability of what was said.
        right: (rows,) 1 where it is true, else 0.
        bins: how many.
        adaptive: bins of equally many rows instead of equal width.

    Returns:
        `low`, `high` (a confidence belongs to the bin whose `high` it reaches), `count`, mean `confidence`, `accuracy`.
    """
    edges: Floats = np.linspace(0, 1, bins + 1)
    if adaptive:
        edges = np.asarray(np.unique(np.quantile(confidence, edges)))
        edges[0] = 0.0  # the least confidence belongs to the first bin
    last = len(edges) - 2
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, max(0, last))
    count = np.bincount(place, minlength=max(1, last + 1))
    sure, hits = np.bincount(place, confidence, len(count)), np.bincount(place, right, len(count))
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[min(i + 1, len(edges) - 1)]),
            "count": int(count[i]),
            "confidence": float(sure[i] / count[i]),
            "accuracy": float(hits[i] / count[i]),
        }
        for i in np.flatnonzero(count).tolist()
    ]


def ece(confidence: Floats, right: Floats, bins: int = BINS, *, adaptive: bool = False) -> float:
    """Expected calibration error (Naeini et al. 2015): the mean distance of confidence and accuracy over the rows, by bins.

    Example:
        >>> ece(np.array([0.75, 0.75, 0.75, 0.75]), np.array([1.0, 1, 1, 0]))
        0.0
    """
    held = reliability(confidence, right, bins, adaptive=adaptive)
    return float(sum(abs(item["accuracy"] - item["confidence"]) * item["count"] for item in held) / len(confidence))


def trust(before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> dict[str, Any]:
    """Calibration errors and reliability before and after a temperature.

    Args:
        before, after: (rows,) confidence, and 1 where right.
    """
    return {
        "ece": {
            "before": ece(*before),
            "after": ece(*after),
            "adaptive": {"before": ece(*before, adaptive=True), "after": ece(*after, adaptive=True)},
        },
        "bins": reliability(*after),
        "bins_before": reliability(*before),
    }


def coverage(kind: str, wanted: float, held: npt.NDArray[np.bool_], sizes: Floats, groups: Groups = None) -> dict[str, Any]:
    """How often conformal sets or intervals hold the truth, with the interval of that share, and their mean size.

    Args:
        kind: `lac` (sets of classes) or `absolute` (intervals of numbers).
        wanted: the share that was asked for.
        held: (rows,) whether the truth is inside.
        sizes: (rows,) classes in a set, or width of an interval.
        groups: (rows,) as for `share_interval`.
    """
    return {
        "kind": kind,
        "wanted": wanted,
        "measured": float(held.mean()),
        "interval": _listed(share_interval(held, groups)),
        "size": float(sizes.mean()),
    }


def _listed(pair: tuple[float, float] | None) -> list[float] | None:
    return None if pair is None else list(pair)


def decision(
    threshold: float, said: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], asked: dict[str, float], groups: Groups = None
) -> dict[str, Any]:
    """What a decision threshold does: recall of the positives with its interval, missed ones, false alarms.

    Args:
        threshold: the probability from which on a row is said to be positive.
        said, truth: (rows,).
        asked: the wanted `recall`, or the `cost` of a missed positive in false alarms.
        groups: (rows,) as for `share_interval`.
    """
    hits, positives, alarms = int((said & truth).sum()), int(truth.sum()), int((said & ~truth).sum())
    measured = None
    if positives:
        pair = share_interval(said[truth], None if groups is None else groups[truth])
        measured = {"recall": hits / positives, "interval": _listed(pair)}
    return {"value": threshold, "asked": asked, "measured": measured, "missed": positives - hits, "false_alarms": alarms}


def abstention(confidence: Floats, statistic: Statistic, name: str | None = None, points: int = POINTS) -> list[dict[str, float]]:
    """The score of the surest rows, for shares of the rows (El-Yaniv and Wiener 2010, risk against coverage).

    Args:
        confidence: (rows,) how sure each prediction is.
        statistic: of the same rows.
        name: which score; None for the one that is a mean over rows.
        points: how many shares, at most.

    Returns:
        `coverage` (share of rows that are answered, ascending), `confidence` (of the least sure of them), `score`. Rows of equal
        confidence are answered together or not at all.
    """
    name, rows = name or statistic.by_row, len(confidence)
    ordered = np.sort(confidence)[::-1]
    wanted = np.unique(np.ceil(rows * np.arange(1, points + 1) / points).astype(np.int64))
    least = np.unique(ordered[wanted - 1])[::-1]
    return [
        {"coverage": float(weights.mean()), "confidence": float(limit), "score": float(score)}
        for limit in least
        for weights in [(confidence >= limit).astype(np.float64)]
        for score in [statistic.many(weights[None], [name])[name][0]]
        if np.isfinite(score)
    ]
