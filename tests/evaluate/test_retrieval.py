"""Scores of retrieval against a count by hand, over all orders of what is tied."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tunesmith.evaluate import retrieval
from tunesmith.evaluate.retrieval import AT, RETRIEVAL, RetrievalScores, RetrievalStatistic

THINGS = np.asarray([7, 7, 3, 9, 9, 9, 4])
PICTURE = {7: 0, 3: 2, 9: 3, 4: 6}
"""Number of a thing -> the row whose picture stands for it."""


def vectors(seed: int, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = [rng.standard_normal((len(THINGS), 4)) for _ in range(2)]
    if levels:  # few different directions, so that similarities tie
        made = [np.eye(4)[rng.integers(0, levels, len(THINGS))] for _ in range(2)]
    pictures, texts = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in made)
    pictures = pictures[[PICTURE[thing] for thing in THINGS.tolist()]]  # one picture, one vector
    return pictures.astype(np.float32), texts.astype(np.float32)


def by_hand(similar: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Scores of one query over every order of the answers that keeps the more similar before the less similar."""
    ranks = []
    for order in itertools.permutations(range(len(similar))):
        said = similar[list(order)]
        if (np.diff(said) <= 0).all():
            ranks.append(1 + int(np.argmax(right[list(order)])))
    found = {"rank": np.mean(ranks), "reciprocal": np.mean(1 / np.asarray(ranks))}
    return {name: float(value) for name, value in (found | {f"recall_at_{k}": np.mean(np.asarray(ranks) <= k) for k in AT}).items()}


@pytest.mark.parametrize("levels", [None, 2, 1])
def test_standings_are_those_of_all_orders(levels: int | None) -> None:
    pictures, texts = vectors(0, levels)
    found = retrieval.standings(pictures, texts, THINGS)
    similar = np.round(texts @ pictures.T, 6)
    things, rows = sorted(PICTURE), [PICTURE[thing] for thing in sorted(PICTURE)]
    forth = [by_hand(similar[row, rows], np.asarray(things) == thing) for row, thing in enumerate(THINGS.tolist())]
    back = [by_hand(similar[:, PICTURE[thing]], thing == THINGS) for thing in things]
    for way, expected in (("text_to_image", forth), ("image_to_text", back)):
        for name, values in found[way].scores.items():
            assert values == pytest.approx([item[name] for item in expected]), (way, name)


def test_similarities_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, texts = vectors(1)
    whole = RetrievalStatistic.of(pictures, texts, THINGS)(np.ones(len(THINGS)))
    monkeypatch.setattr(retrieval, "PIECE", 5)
    assert RetrievalStatistic.of(pictures, texts, THINGS)(np.ones(len(THINGS))) == whole


def test_weights_count_rows_again() -> None:
    """A group bootstrap weighs all rows of a picture alike: the scores are those of the queries repeated."""
    statistic = RetrievalStatistic.of(*vectors(2), THINGS)
    weight = {7: 2.0, 3: 1.0, 9: 0.0, 4: 3.0}
    weights = np.asarray([weight[thing] for thing in THINGS.tolist()])
    found = statistic(weights)
    ranks = np.repeat(statistic.values["rank"], weights.astype(int))
    assert found["text_to_image_median_rank"] == np.median(ranks)
    assert found["text_to_image_recall_at_1"] == pytest.approx((ranks == 1).mean())
    own = {thing: statistic.pictures["recall_at_1"][row] for thing, row in PICTURE.items()}
    expected = sum(weight[thing] * value for thing, value in own.items()) / sum(weight.values())
    assert found["image_to_text_recall_at_1"] == pytest.approx(expected)
    assert set(found) == set(RETRIEVAL)
    some = statistic.take(np.asarray([0, 3]))
    assert some.rows == 2
    assert some.many(np.zeros((1, 2)), ["mrr"])["mrr"] == pytest.approx([np.nan], nan_ok=True)


def test_the_same_vector_everywhere_scores_as_chance() -> None:
    said: list[dict[str, Any]] = [{"image_vector": [1.0], "text_vector": [1.0]}] * len(THINGS)
    scores = RetrievalScores()
    scores.update(said, THINGS.tolist())
    found = scores.compute()
    assert found["text_to_image_recall_at_1"] == pytest.approx(1 / 4)
    assert found["text_to_image_median_rank"] == 2.5
    assert found["image_to_text_recall_at_1"] == pytest.approx((2 + 1 + 3 + 1) / 7 / 4)
    assert found["rows"] == 7
