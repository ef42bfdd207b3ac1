"""Scores by the values of a column: where a model is worse than its score says.

    {"site": ["north", "south", ...], "words": [12, 40, ...]}  ->  site = south: accuracy 0.71 [0.62, 0.79] of 96 rows, ...

Parts are compared by a score that is a mean over rows, such as accuracy: macro F1 changes with the classes that a part happens to hold.
With many slices one is always the worst, by chance alone; so one is named only if its distance from all other rows is more than chance
gives, counting how many slices were tried (Bonferroni).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require
from tunesmith.core.outcomes import Statistic
from tunesmith.evaluate.intervals import intervals, jackknifed, standard_error, units

MOST = 12
"""Slices of a column."""

LEAST = 10
"""Rows of a slice."""

QUANTILES = 5
MOST_ROWS = 20_000
"""Rows that are looked at, at most."""

OTHER, MISSING = "other", "missing"
REPLICATES = 500


@final
@dataclass(frozen=True)
class Slice:
    """The score of the rows of one value.

    Attributes:
        column, value: what its rows have in common.
        rows: how many there are.
        score: of these rows.
        interval: of the score; None where it has none.
        p: probability of so bad a score by chance, times the slices tried; at most 1.
    """

    column: str
    value: str
    rows: int
    score: float
    interval: tuple[float, float] | None
    p: float


@final
@dataclass(frozen=True)
class Slices:
    """All slices, the worst first.

    Attributes:
        metric: the score they are compared by.
        slices: in order.
        worst: place of the worst slice that is significantly worse than the other rows; None where none is.
        of: how many rows were looked at.
    """

    metric: str
    slices: tuple[Slice, ...]
    worst: int | None
    of: int

    def plain(self) -> dict[str, Any]:
        """The keys `slices` and `worst_slice` of metrics.json, and by which `slice_metric`."""
        shown = [
            {
                "column": item.column,
                "value": item.value,
                "rows": item.rows,
                "score": item.score,
                "interval": None if item.interval is None else list(item.interval),
                "p": item.p,
            }
            for item in self.slices
        ]
        return {"slices": shown, "worst_slice": self.worst, "slice_metric": self.metric, "slice_rows": self.of}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _missing(value: Any) -> bool:
    return value is None or str(value).strip() == "" or (isinstance(value, float) and math.isnan(value))


def _shown(number: float) -> str:
    return f"{number:.0f}" if number == round(number) and abs(number) < 1e15 else f"{number:.4g}"


def cut(values: Sequence[Any]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Names of the slices of a column, and the slice of each value; -1 where a value belongs to none.

    More than MOST different values that are all numbers are cut at their quantiles; of others the most frequent ones are slices. What is
    left is `other`, unless that is fewer than LEAST rows.

    Example:
        >>> names, codes = cut([*range(20, 40), *range(60, 80), None])
        >>> names
        ['20 to 29', '30 to 39', '60 to 69', '70 to 79']
    """
    absent = [_missing(value) for value in values]
    texts = [MISSING if gone else str(value).strip() for value, gone in zip(values, absent, strict=True)]
    counts = Counter(texts)
    if len(counts) > MOST:
        numbers = [None if gone else _number(value) for value, gone in zip(values, absent, strict=True)]
        if all(number is not None or gone for number, gone in zip(numbers, absent, strict=True)):
            texts = _binned(numbers)
            counts = Counter(texts)
    frequent = [name for name, count in counts.most_common(MOST) if count >= LEAST]
    if len(counts) > len(frequent):
        frequent = frequent[: MOST - 1]
        kept = set(frequent)
        texts = [text if text in kept else OTHER for text in texts]
        if OTHER not in kept and texts.count(OTHER) >= LEAST:
            frequent.append(OTHER)
    names = sorted(frequent, key=_place)
    position = {name: place for place, name in enumerate(names)}
    return names, np.asarray([position.get(text, -1) for text in texts], np.int64)


def _place(name: str) -> tuple[bool, float, str]:
    """Numbers and bins in their order, then names in theirs, then what is left."""
    start = _number(name.split(" to ")[0])
    return (name in (OTHER, MISSING), math.inf if start is None else start, name)


def _binned(numbers: Sequence[float | None]) -> list[str]:
    """The name of the quantile bin of each number: its least and greatest number."""
    known = np.asarray([number for number in numbers if number is not None])
    bins = max(1, min(QUANTILES, len(known) // LEAST))
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    place = np.searchsorted(edges, known, side="left")
    names = {}
    for i in np.unique(place).tolist():
        low, high = float(known[place == i].min()), float(known[place == i].max())
        names[i] = _shown(low) if low == high else f"{_shown(low)} to {_shown(high)}"
    named = iter([names[i] for i in place.tolist()])
    return [MISSING if number is None else next(named) for number in numbers]


def propose(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The columns by which it is worth looking at slices.

    Those with a few different values, of which at least two are frequent enough, and those with numbers. Left out are columns with one
    value only, numbers at equal distances (the rows' own), and texts, of which most occur once. Of more than MOST_ROWS rows some
    are drawn.

    Example:
        >>> rows = range(40)
        >>> propose({"site": ["a", "b"] * 20, "id": rows, "text": [f"text {i}" for i in rows], "age": [i * i for i in rows]})
        ['site', 'age']
    """
    return [name for name, values in columns.items() if not _rows_own(values[:MOST_ROWS]) and _worth(_some(values))]


def _some(values: Sequence[Any]) -> Sequence[Any]:
    """Drawn, as every n-th could meet the same value of a column that repeats."""
    if len(values) <= MOST_ROWS:
        return values
    return [values[i] for i in np.random.default_rng(0).choice(len(values), MOST_ROWS, replace=False).tolist()]


def _rows_own(values: Sequence[Any]) -> bool:
    """Whether the first values are numbers at equal distances."""
    numbers = [_number(value) for value in values]
    known = np.sort(np.asarray([number for number in numbers if number is not None]))
    return len(known) == len(values) > MOST and bool(known[0] < known[1]) and bool(np.ptp(np.diff(known)) == 0)


def _worth(values: Sequence[Any]) -> bool:
    held = [value for value in values if not _missing(value)]
    counts = Counter(str(value).strip() for value in held)
    if len(counts) < 2:
        return False
    if len(counts) > MOST and all(_number(value) is not None for value in held):
        return True
    frequent = [count for _, count in counts.most_common(MOST) if count >= LEAST]
    return sum(frequent) >= len(held) / 2 and (len(frequent) > 1 or len(held) - sum(frequent) >= LEAST)


def by_columns(
    statistic: Statistic,
    columns: Mapping[str, Sequence[Any]],
    groups: npt.NDArray[Any] | Collection[Any] | None = None,
    seed: int = 0,
    level: float = 0.95,
    *,
    metric: str | None = None,
) -> Slices:
    """Score and interval of each slice of each column.

    Args:
        statistic: from `Task.statistic`.
        columns: column -> (rows,) values, texts or numbers, as `propose` chose them; derived ones (words of a text, size of a picture) too.
        groups: (rows,) values that are equal for rows that belong together.
        seed: decides what is drawn.
        level: wanted coverage of the intervals; 1 - level is how often a worst slice is named where there is none.
        metric: which score; None for the statistic's `by_row`.
    """
    metric = metric or statistic.by_row
    unit = units(statistic.rows, groups)
    places = np.arange(statistic.rows)
    if statistic.rows > MOST_ROWS:
        places = np.sort(np.random.default_rng(seed).choice(statistic.rows, MOST_ROWS, replace=False))
        statistic, unit = statistic.take(places), units(MOST_ROWS, unit[places])
    better = 1.0 if statistic.directions[metric] == "max" else -1.0
    found: list[Slice] = []
    for column, values in columns.items():
        names, codes = cut([values[int(i)] for i in places])
        for code, name in enumerate(names):
            inside = codes == code
            if inside.all():
                continue
            mine, rest = _part(statistic, inside, unit, metric, seed), _part(statistic, ~inside, unit, metric, seed)
            if not math.isfinite(mine.score) or not math.isfinite(rest.score):
                continue
            drawn = intervals(mine.statistic, mine.rows, unit[inside], seed, level, REPLICATES, names=[metric])
            p = _by_chance(better * (rest.score - mine.score), mine, rest)
            found.append(Slice(column, name, mine.rows, mine.score, drawn.scores.get(metric), p))
    found = [replace(item, p=min(1.0, item.p * len(found))) for item in found]
    found.sort(key=lambda item: (better * item.score, -item.rows, item.column, item.value))
    worst = next((place for place, item in enumerate(found) if item.p < 1 - level), None)
    return Slices(metric, tuple(found), worst, statistic.rows)


@final
@dataclass(frozen=True, eq=False)
class _Part:
    """Some of the rows, with their score and its standard error, and of how many units they are."""

    statistic: Statistic
    score: float
    error: float
    units: int

    @property
    def rows(self) -> int:
        return self.statistic.rows


def _part(statistic: Statistic, inside: npt.NDArray[np.bool_], unit: npt.NDArray[np.int64], metric: str, seed: int) -> _Part:
    own, mine = statistic.take(inside), units(int(inside.sum()), unit[inside])
    score = float(own.many(np.ones((1, own.rows)), [metric])[metric][0])
    return _Part(own, score, standard_error(jackknifed(own, mine, seed, [metric])[metric]), int(mine.max()) + 1)


def _by_chance(distance: float, mine: _Part, rest: _Part) -> float:
    """Probability of at least this distance if a slice were like the rest, by Student's t.

    The standard error of the slice is at least what that of the rest makes of so few rows: a slice that is all wrong does not vary, which
    does not make it certain. Nor is anything surer than a permutation test could be: if units were dealt to slice and rest at random, the
    worst ones would meet in the slice in one of `mine.units + rest.units` choose `mine.units` cases.
    """
    if mine.units < 2 or rest.units < 2:
        return 1.0
    error = math.hypot(max(mine.error, rest.error * math.sqrt(rest.units / mine.units)), rest.error)
    if error == 0 and distance <= 0:
        return 1.0
    by_t = float(1 - require("scipy.special", "comparing slices").stdtr(mine.units - 1, distance / error)) if error else 0.0
    return max(by_t, math.exp(-_log_choices(mine.units + rest.units, mine.units)))


def _log_choices(of: int, chosen: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)
