"""Rows as vectors for quick linear models: features of the backbone where they were computed, else the words of the texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require
from tunesmith.core.findings import View
from tunesmith.core.threads import one_thread

WORDS = 5000
WIDEST = 256
"""Columns of features that a fit gets: wider ones are projected onto their main directions, as its time grows with them."""
FOLDS = 5
TOKEN = r"\w+|[^\w\s]"


@dataclass(frozen=True, eq=False)
class Vectors:
    """Rows of some splits, one split after another.

    Attributes:
        matrix: (n, width) standardised features, or the sparse TF-IDF of words in rows of length 1.
        of: what they are, in words.
        strength: inverse penalty (scikit-learn's C) that suits them.
    """

    matrix: Any
    of: str
    strength: float


def has_vectors(view: View) -> bool:
    """Whether `vectors` can give any."""
    return view.features("train") is not None or bool(view.of_kind("text"))


def vectors(view: View, places: Mapping[str, npt.NDArray[np.int64]]) -> Vectors:
    """Vectors of the rows at these places of each split."""
    given = {split: view.features(split) for split in places}
    if all(values is not None for values in given.values()):
        chosen = [np.asarray(values[places[split]], np.float32) for split, values in given.items() if values is not None]
        return narrow(standardised(np.concatenate(chosen), "features of the backbone"), view.seed)
    texts = [text for split in places for text in texts_of(view, view.splits[split][places[split]])]
    return Vectors(_vectorizer(texts).fit_transform(texts or [""]), "the words alone", 5.0)


def standardised(values: npt.NDArray[Any], of: str) -> Vectors:
    """Columns of mean 0 and spread 1; the penalty grows with their number, as the length of a row does."""
    spread = values.std(axis=0)
    matrix = (values - values.mean(axis=0)) / np.where(spread > 1e-6, spread, 1)
    return Vectors(matrix.astype(np.float32), of, 1 / values.shape[1])


def narrow(rows: Vectors, seed: int) -> Vectors:
    """At most WIDEST columns: the directions in which standardised features vary most (Halko, Martinsson and Tropp 2011), scale kept."""
    if min(rows.matrix.shape) <= WIDEST:
        return rows
    maths = require("sklearn.utils.extmath", "inspecting the data")
    with one_thread():
        _, _, directions = maths.randomized_svd(rows.matrix, WIDEST, n_oversamples=16, n_iter=1, random_state=seed)  # (WIDEST, width)
        return Vectors(rows.matrix @ directions.T, rows.of, rows.strength)


def texts_of(view: View, numbers: npt.NDArray[np.int64]) -> Iterator[str]:
    """The text of each row: its text columns, one after another."""
    columns = view.of_kind("text")
    for row in view.read(numbers, columns):
        yield " ".join(str(row[column]) for column in columns if row[column] is not None)


def spaced(texts: list[str]) -> bool:
    """Whether words stand apart, as they do not in Chinese or Japanese."""
    shown = "".join(texts[:200])
    return shown.count(" ") > 0.04 * len(shown)


def _vectorizer(texts: list[str]) -> Any:
    text = require("sklearn.feature_extraction.text", "inspecting the data")
    units: dict[str, Any] = {"token_pattern": TOKEN} if spaced(texts) else {"analyzer": "char", "ngram_range": (1, 2)}
    return text.TfidfVectorizer(max_features=WORDS, sublinear_tf=True, dtype=np.float32, **units)


def said_out_of_fold(rows: Vectors, classes: npt.NDArray[np.int64], seed: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Class probabilities of each row by a logistic regression that did not see it.

    Args:
        rows: n of them.
        classes: (n,) from 0 to k - 1, of each at least FOLDS.
        seed: decides the folds.

    Returns:
        (n, k) probabilities, (n,) number of the fold in which a row was left out.
    """
    linear = require("sklearn.linear_model", "inspecting the data")
    selection = require("sklearn.model_selection", "inspecting the data")
    said = np.empty((len(classes), int(classes.max()) + 1))
    folds = np.empty(len(classes), np.int64)
    with one_thread():
        parts = selection.StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(classes)), classes)
        for number, (seen, left) in enumerate(parts):
            model = linear.LogisticRegression(C=rows.strength, tol=1e-3, max_iter=1000).fit(rows.matrix[seen], classes[seen])
            said[left], folds[left] = model.predict_proba(rows.matrix[left]), number
    return said, folds


def numbers_out_of_fold(rows: Vectors, numbers: npt.NDArray[Any], seed: int) -> npt.NDArray[np.float64]:
    """(n,) predictions of each row's number by a ridge regression that did not see it."""
    linear = require("sklearn.linear_model", "inspecting the data")
    selection = require("sklearn.model_selection", "inspecting the data")
    said = np.empty(len(numbers))
    with one_thread():
        for seen, left in selection.KFold(FOLDS, shuffle=True, random_state=seed).split(numbers):
            model = linear.Ridge(alpha=1 / rows.strength).fit(rows.matrix[seen], numbers[seen])
            said[left] = model.predict(rows.matrix[left])
    return said
