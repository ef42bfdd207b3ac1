"""Which words and pairs of words a text holds, weighted by how rare they are, and a linear model on that.

Texts without spaces between words (Chinese, Japanese, Thai, DNA) are taken apart into runs of up to three characters instead. Terms
are hashed (Weinberger et al. 2009) and the most frequent are kept, so that memory follows the number of rows looked at, not the language.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._kinds import drawn, parts_of, picked
from tunesmith.baselines._linear import NEEDS, Matrix, chosen
from tunesmith.core.errors import DataError
from tunesmith.core.outcomes import Baseline, Given, Said

MOST_ROWS = 50_000
MOST_CHARACTERS = 4_000
"""Of a text, from its beginning."""
HASHES = 1 << 20
MOST_TERMS = 50_000
MOST_WEIGHTS = 1_000_000
"""Terms times outputs: the solver holds some twenty copies."""
LONG_WORD = 12
"""Mean characters between spaces from which a text counts as one without; English has 5 to 6, German 7."""
PART = 4096
"""Rows that are predicted at once."""


@final
@dataclass(frozen=True)
class TfIdf(Baseline):
    """TF-IDF of words and pairs of words (characters where words are not separated) with logistic or ridge regression."""

    name: ClassVar[str] = "tfidf"
    needs: ClassVar[tuple[str, ...]] = ("sklearn.feature_extraction.text", *NEEDS)
    strengths: tuple[float, ...] = field(
        default=(1.0, 3.0, 10.0, 30.0), metadata={"help": "C, the inverse of the penalty; validation chooses from these"}
    )

    def __post_init__(self) -> None:
        if not self.strengths or min(self.strengths) <= 0:
            raise ValueError("field 'strengths' must hold numbers above 0")

    def fits(self, given: Given) -> str | None:
        return None if "text" in given.inputs.values() else "there are no texts"

    def said(self, given: Given) -> Said:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        places, note = drawn(given, MOST_ROWS)
        texts = list(picked(_texts(given, "train"), places))
        apart = {"analyzer": "char", "ngram_range": (1, 3)} if unspaced(texts) else {"analyzer": "word", "ngram_range": (1, 2)}
        hashing = HashingVectorizer(n_features=HASHES, alternate_sign=False, norm=None, dtype=np.float32, **apart)
        counts = hashing.transform(texts)
        terms = _frequent(counts, min(MOST_TERMS, MOST_WEIGHTS // max(1, given.classes)))
        if not len(terms):
            raise DataError("the texts hold no words")
        weighing = TfidfTransformer(sublinear_tf=True)
        x = weighing.fit_transform(counts[:, terms])

        def parts(split: str) -> Iterator[Matrix]:
            for some in parts_of(_texts(given, split), PART):
                yield weighing.transform(hashing.transform(some)[:, terms])

        said = chosen(given, places, x, parts, self.strengths)
        kind = "characters" if apart["analyzer"] == "char" else "words"
        remarks = (f"{len(terms):,} terms of {kind}", said.note, note)
        return replace(said, learned=said.learned + len(terms), note="; ".join(part for part in remarks if part))


def unspaced(texts: Sequence[str]) -> bool:
    """Whether words are not separated by spaces.

    Example:
        >>> unspaced(["where is my card"]), unspaced(["酒店的位置很好,房间也很干净整洁"])
        (False, True)
    """
    some = texts[:1000]
    return sum(map(len, some)) > LONG_WORD * max(1, sum(len(text.split()) for text in some))


def _texts(given: Given, split: str) -> Iterator[str]:
    columns = [column for column, kind in given.inputs.items() if kind == "text"]
    for row in given.rows(split):
        yield "\n".join(str(row.get(column) or "") for column in columns)[:MOST_CHARACTERS]


def _frequent(counts: Any, most: int) -> npt.NDArray[np.int64]:
    """Columns that occur in the most rows, ascending."""
    rows = np.bincount(counts.indices, minlength=HASHES)
    found = np.flatnonzero(rows)
    if len(found) > most:
        found = np.sort(found[np.argsort(-rows[found], kind="stable")[:most]])
    return found
