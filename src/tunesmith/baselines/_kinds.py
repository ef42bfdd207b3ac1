"""How good predictions are, and which training rows are looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from tunesmith.core.outcomes import Given

if TYPE_CHECKING:
    from tunesmith.core.outcomes import Truth

Said = npt.NDArray[np.floating]
T = TypeVar("T")


def drawn(given: Given, limit: int) -> tuple[npt.NDArray[np.int64], str]:
    """Places of at most `limit` training rows, ascending, and a note where that is not all of them."""
    n = len(given.truth["train"])
    if n <= limit:
        return np.arange(n), ""
    places = np.random.default_rng(given.seed).choice(n, limit, replace=False)
    places.sort()
    return places, f"learned from {limit:,} of {n:,} training rows"


def picked(items: Iterable[T], places: npt.NDArray[np.int64]) -> Iterator[T]:
    """The items at these places, which ascend."""
    wanted = iter(places.tolist())
    next_one = next(wanted, None)
    for place, item in enumerate(items):
        if place == next_one:
            yield item
            next_one = next(wanted, None)


def parts_of(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many items at a time."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def validated(given: Given) -> bool:
    """Whether there are validation rows to choose by."""
    return len(given.truth.get("validation", ())) > 0


def quality(said: Said, truth: Truth, what: str) -> tuple[float, float]:
    """How good predictions are, more is better; what the first number does not tell apart the second does.

    Macro F1 and log loss for classes, micro F1 and log loss for labels, squared error for numbers: the tasks' first scores.

    Example:
        >>> quality(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]), "classes")[0]
        1.0
    """
    if what == "numbers":
        return -float(np.square(said[:, 0] - truth).mean()), 0.0
    p = np.clip(said, 1e-12, 1)
    if what == "labels":
        right, held = said >= 0.5, truth > 0
        f1 = 2 * float((right & held).sum()) / max(1, int(right.sum()) + int(held.sum()))
        return f1, float(np.where(held, np.log(p), np.log(np.clip(1 - said, 1e-12, 1))).mean())
    labels, classes = said.argmax(axis=1), said.shape[1]
    hits = np.bincount(truth[labels == truth], minlength=classes)
    total = np.bincount(truth, minlength=classes) + np.bincount(labels, minlength=classes)
    return float((2 * hits[total > 0] / total[total > 0]).mean()), float(np.log(p[np.arange(len(truth)), truth]).mean())
