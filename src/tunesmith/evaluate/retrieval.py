"""Scores of retrieval: of every text how far up its picture stands among all pictures, and of every picture its best text.

    texts x pictures similarities  ->  rank of the right one  ->  recall at 1, 5, 10; mean reciprocal rank; median rank

A picture with several texts counts once as a query, and is answered by any of them (Karpathy and Fei-Fei 2015). Equal similarities stand in
no order, so scores are their means over all orders: what says the same of every row scores as chance does. All vectors of a split are
held in memory (two of `width` float32 a row: 0.2 GB for 100,000 rows of width 256); similarities are computed piece by piece.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Floats
from tunesmith.core.contracts import Metrics, Prediction, ScoreTable

AT = (1, 5, 10)
PIECE = 1 << 24
"""Similarities that are in memory at once."""

WAYS = ("text_to_image", "image_to_text")
RETRIEVAL: Mapping[str, str] = {
    "mrr": "max",
    "recall_at_1": "max",
    **{f"{way}_recall_at_{k}": "max" for way in WAYS for k in AT},
    **{f"{way}_median_rank": "min" for way in WAYS},
}
"""Scores, and whether more is better; `mrr` and `recall_at_1` are means of both ways."""

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Standing:
    """Where the right answers of queries stand.

    Attributes:
        above: (queries,) answers that are more similar than the best right one.
        tied: (queries,) answers as similar as the best right one, itself included.
        right: (queries,) right ones among these.
    """

    above: Ints
    tied: Ints
    right: Ints

    @functools.cached_property
    def scores(self) -> dict[str, Doubles]:
        """(queries,) of each score its mean over all orders of what is tied: `rank`, `reciprocal`, `recall_at_K`."""
        triples, place = np.unique(np.stack([self.above, self.tied, self.right], axis=1), axis=0, return_inverse=True)
        found = [_expected(*triple) for triple in triples.tolist()]
        return {name: np.asarray([item[name] for item in found])[place.reshape(-1)] for name in found[0]}


def _expected(above: int, tied: int, right: int) -> dict[str, float]:
    """Scores of a query whose `right` best answers stand among `tied` in any order, behind `above` others.

    Example:
        >>> _expected(0, 4, 1)["recall_at_1"], round(_expected(2, 1, 1)["reciprocal"], 3), _expected(0, 2, 1)["rank"]
        (0.25, 0.333, 1.5)
    """
    chance = np.zeros(tied - right + 1)  # that the first right one stands at place 1, 2, ... among those that are tied
    missed = 1.0
    for place in range(len(chance)):
        hit = right / (tied - place)
        chance[place] = missed * hit
        missed *= 1 - hit
    ranks = above + 1 + np.arange(len(chance))
    found = {"rank": float(chance @ ranks), "reciprocal": float(chance @ (1 / ranks))}
    return found | {f"recall_at_{k}": float(chance[ranks <= k].sum()) for k in AT}


def standings(pictures: Floats, texts: Floats, things: Ints) -> dict[str, Standing]:
    """Where right answers stand, both ways.

    Args:
        pictures, texts: (rows, width) unit vectors of pairs; of rows of one thing the first picture is taken.
        things: (rows,) numbers that are equal for rows of one picture.

    Returns:
        `text_to_image`: a query a row; `image_to_text`: a query for each different picture, in the order of their numbers.
    """
    _, first, thing = np.unique(things, return_index=True, return_inverse=True)
    thing = thing.reshape(-1)
    gallery = pictures[first]
    forth = _ways(texts, gallery, thing, np.arange(len(gallery)))
    back = _ways(gallery, texts, np.arange(len(gallery)), thing)
    return dict(zip(WAYS, (forth, back), strict=True))


def _ways(queries: Floats, answers: Floats, asked: Ints, given: Ints) -> Standing:
    """Standing of the answers whose number in `given` is the query's in `asked`."""
    step = max(1, PIECE // max(1, len(answers)))
    found: list[list[Ints]] = []
    for start in range(0, len(queries), step):
        similar = np.round(queries[start : start + step] @ answers.T, 6)  # rounding of sums is no order
        right = asked[start : start + step, None] == given
        best = np.where(right, similar, -np.inf).max(axis=1, keepdims=True)
        level = similar == best
        found.append([(similar > best).sum(axis=1), level.sum(axis=1), (level & right).sum(axis=1)])
    return Standing(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


@final
@dataclass(frozen=True, eq=False)
class RetrievalStatistic:
    """Scores of retrieval as a function of how much each row counts as a query; what is searched stays the whole split.

    Attributes:
        values: (rows,) of each score of a text as a query.
        pictures: (rows,) the same of the row's picture.
        share: (rows,) 1 / the texts of the row's picture, so that a picture counts once.
    """

    values: Mapping[str, Doubles]
    pictures: Mapping[str, Doubles]
    share: Doubles
    by_row: ClassVar[str] = "text_to_image_recall_at_1"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {name: (0.0, 1.0) for name in RETRIEVAL if not name.endswith("rank")}
    directions: ClassVar[Mapping[str, str]] = RETRIEVAL

    @staticmethod
    def of(pictures: Floats, texts: Floats, things: Ints) -> RetrievalStatistic:
        """The statistic of pairs; arguments as for `standings`."""
        found = standings(pictures, texts, things)
        _, thing, texts_of = np.unique(things, return_inverse=True, return_counts=True)
        thing = thing.reshape(-1)
        back = {name: values[thing] for name, values in found["image_to_text"].scores.items()}
        return RetrievalStatistic(found["text_to_image"].scores, back, 1 / texts_of[thing])

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.share)

    @property
    def work(self) -> int:
        """About how many numbers one weighting touches."""
        return 10 * self.rows

    def many(self, weights: npt.NDArray[Any], names: Collection[str] | None = None) -> dict[str, Doubles]:
        """Scores of (replicates, rows) weights, (replicates,) each."""
        weights = np.asarray(weights, np.float64)
        both = dict(zip(WAYS, ((self.values, weights), (self.pictures, weights * self.share)), strict=True))
        scores: dict[str, Doubles] = {}
        for way, (values, counted) in both.items():
            total = counted.sum(axis=1)
            total = np.where(total > 0, total, np.nan)
            scores |= {f"{way}_recall_at_{k}": counted @ values[f"recall_at_{k}"] / total for k in AT}
            scores[f"{way}_mrr"] = counted @ values["reciprocal"] / total
            if names is None or f"{way}_median_rank" in names:
                scores[f"{way}_median_rank"] = _median(values["rank"], counted)
        scores["mrr"] = (scores.pop(f"{WAYS[0]}_mrr") + scores.pop(f"{WAYS[1]}_mrr")) / 2
        scores["recall_at_1"] = (scores[f"{WAYS[0]}_recall_at_1"] + scores[f"{WAYS[1]}_recall_at_1"]) / 2
        return {name: scores[name] for name in RETRIEVAL if name in scores and (names is None or name in names)}

    def __call__(self, weights: npt.NDArray[Any]) -> dict[str, float]:
        """Scores of (rows,) weights; one that is not defined is left out."""
        found = {name: float(value[0]) for name, value in self.many(np.asarray(weights)[None]).items()}
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def take(self, places: npt.NDArray[Any]) -> RetrievalStatistic:
        """The statistic of some of the rows as queries."""
        return RetrievalStatistic(
            {name: values[places] for name, values in self.values.items()},
            {name: values[places] for name, values in self.pictures.items()},
            self.share[places],
        )


def _median(ranks: Doubles, weights: Doubles) -> Doubles:
    """(replicates,) the rank below which half the weight lies; the mean of two where it lies between them."""
    order = np.argsort(ranks, kind="stable")
    below = np.cumsum(weights[:, order], axis=1)
    half, last = below[:, -1:] / 2, len(ranks) - 1
    slack = 1e-9 * np.maximum(1.0, half)
    first, second = (below < half - slack).sum(axis=1), (below <= half + slack).sum(axis=1)
    middle = (ranks[order][np.minimum(first, last)] + ranks[order][np.minimum(second, last)]) / 2
    return np.where(half[:, 0] > 0, middle, np.nan)


@final
class RetrievalScores(Metrics):
    """Scores of predictions that hold both vectors, `image_vector` and `text_vector`; see the module for what they keep in memory."""

    def __init__(self) -> None:
        self._vectors: list[tuple[Floats, Floats]] = []
        self._things: list[int] = []

    def update(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> None:
        """Take in one batch."""
        if predictions:
            sides = (np.asarray([item[side] for item in predictions], np.float32) for side in ("image_vector", "text_vector"))
            self._vectors.append((next(sides), next(sides)))
            self._things.extend(map(int, targets))

    def compute(self) -> dict[str, Any]:
        """The scores so far; `pictures` and `rows` are what is searched."""
        if not self._things:
            return {"rows": 0}
        pictures, texts = (np.concatenate(side) for side in zip(*self._vectors, strict=True))
        statistic = RetrievalStatistic.of(pictures, texts, np.asarray(self._things))
        return {**statistic(np.ones(statistic.rows)), "rows": statistic.rows}

    def notes(self) -> dict[str, str]:
        """Nothing is left out where there are rows."""
        return {} if self._things else dict.fromkeys(RETRIEVAL, "there are no rows")

    def tables(self) -> list[ScoreTable]:
        """None."""
        return []
