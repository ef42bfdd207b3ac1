"""Words that mark a class: its texts have them, and no others."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunesmith.gate._texts import tokens

Held = npt.NDArray[np.bool_]
MOST_TOKENS = 400
"""Words of a text that are looked at."""


@dataclass(frozen=True)
class Marker:
    """A word and the class it marks.

    Attributes:
        word: in lower case.
        label: number of the class or label.
        precision: share of the training rows with the word that are of the class.
        recall: share of the training rows of the class that have the word.
    """

    word: str
    label: int
    precision: float
    recall: float


@dataclass(frozen=True, eq=False)
class _Counted:
    """How often words occur.

    Attributes:
        places: word -> its row in the other two.
        rows: (words,) rows with the word.
        table: (words, classes) those of a class.
    """

    places: dict[str, int]
    rows: npt.NDArray[np.int64]
    table: npt.NDArray[np.float64]


def markers(train: Iterable[str], train_held: Held, validation: Iterable[str], held: Held, accuracy: float, least: int) -> list[Marker]:
    """Words whose precision and recall for a class are at least `accuracy`, in training and in validation.

    Args:
        train: texts.
        train_held: (rows, classes) whether a training row is of a class.
        validation: texts.
        held: (rows, classes), of the validation rows.
        accuracy: precision and recall.
        least: rows that a class must have in training, and its complement too.
    """
    sizes = train_held.sum(axis=0)
    wanted = (sizes >= least) & (len(train_held) - sizes >= least)
    if not wanted.any():
        return []
    found = _count(train, train_held, None)
    precise = found.table / np.maximum(1, found.rows)[:, None]
    complete = found.table / np.maximum(1, sizes)
    likely = (precise >= accuracy) & (complete >= accuracy) & wanted
    words = [word for word, place in found.places.items() if likely[place].any()]
    again = _count(validation, held, words) if words else None
    result = []
    for word in words:
        assert again is not None
        place, other = found.places[word], again.places[word]
        for label in np.flatnonzero(likely[place]):
            of = max(int(again.rows[other]), int(held[:, label].sum()))
            if of and again.table[other, label] >= accuracy * of:
                result.append(Marker(word, int(label), float(precise[place, label]), float(complete[place, label])))
    return sorted(result, key=lambda marker: (marker.label, -min(marker.precision, marker.recall), marker.word))


def _count(texts: Iterable[str], held: Held, known: list[str] | None) -> _Counted:
    """Count all words, or the `known` ones only."""
    places = {word: place for place, word in enumerate(known or ())}
    words, rows = array("q"), array("q")
    for number, text in enumerate(texts):
        for word in set(tokens(text)[:MOST_TOKENS]):
            place = places.setdefault(word, len(places)) if known is None else places.get(word)
            if place is not None:
                words.append(place)
                rows.append(number)
    word_of, row_of = np.asarray(words, np.int64), np.asarray(rows, np.int64)
    columns = [np.bincount(word_of, held[row_of, label], minlength=len(places)) for label in range(held.shape[1])]
    return _Counted(places, np.bincount(word_of, minlength=len(places)), np.stack(columns, axis=1))
