"""Texts that differ in a few words only: reprints, corrected copies, templates that were filled in.

Similarity is the Jaccard similarity of pairs of neighbouring words (of characters where words are written without spaces), without case
and punctuation. In a text of 13 words one other word leaves 0.7. Texts of fewer than `words` words are not compared: "very good film" and
"very good plot" are two opinions, not copies. Equal texts count once, as `duplicates` reports them. Above `most` rows a sample is compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.gate._minhash import Ints, components, near_pairs, shingles
from tunesmith.gate._rows import Rows, drawn, lines, percent, rows_said
from tunesmith.gate._texts import prose, texts, words

ORDER = ("test", "validation", "train")
"""Of near rows the one of the earliest of these splits stays."""


@dataclass(frozen=True, eq=False)
class _Compared:
    """The different texts that were compared, those of the test split first.

    Attributes:
        rows: (texts,) row of each; of equal texts the first.
        firsts: (texts, 3) the first row of each split that holds the text; -1 where none does.
        held: (texts, 3) how many rows of each split hold the text.
        pairs: (pairs, 2) near ones, by their places.
        similar: (pairs,) how near.
        sizes: how many rows of each split were looked at.
    """

    rows: Rows
    firsts: Ints
    held: Ints
    pairs: Ints
    similar: npt.NDArray[np.float64]
    sizes: Sequence[int]


@final
@dataclass(frozen=True)
class NearTexts(Inspection):
    """Texts that differ in a few words only, within and across splits."""

    name: ClassVar[str] = "near_texts"
    similarity: float = field(default=0.7, metadata={"help": "share of word pairs that two texts have in common from which they are near"})
    words: int = field(default=8, metadata={"help": "words from which a text is compared"})
    leaked: float = field(default=0.01, metadata={"help": "share of test rows with a near text in training above which that is an error"})
    many: float = field(default=0.05, metadata={"help": "share of near copies within training from which they are a warning"})
    most: int = field(default=40_000, metadata={"help": "rows that are compared; more are sampled"})

    def __post_init__(self) -> None:
        if not 0 < self.similarity <= 1:
            raise ValueError("field 'similarity' must be above 0 and at most 1")
        if self.words < 2:
            raise ValueError("field 'words' must be at least 2")

    def applies(self, view: View) -> str | None:
        if not view.of_kind("text"):
            return "there are no texts"
        if view.of_kind("image") or view.of_kind("audio"):
            return "rows with pictures or sounds are not alike because their texts are"
        return None if prose(view) else "the texts are names, codes or numbers, no sentences"

    def inspect(self, view: View) -> list[Finding]:
        compared = self._compared(view)
        if not len(compared.pairs):
            return []
        found = [self._across(view, compared, "test"), self._across(view, compared, "validation"), self._within(view, compared)]
        return [finding for finding in found if finding is not None]

    def _compared(self, view: View) -> _Compared:
        columns = prose(view)
        bound = {"test": self.most // 4, "validation": self.most // 4}
        bound["train"] = self.most - sum(min(bound[split], len(view.splits[split])) for split in ORDER[:2])
        places: dict[bytes, int] = {}
        rows: list[int] = []
        firsts: list[list[int]] = []
        held: list[list[int]] = []
        worded: list[list[str]] = []
        sizes = []
        for rank, split in enumerate(ORDER):
            taken = drawn(view, split, bound[split])
            sizes.append(len(taken))
            for row, text in zip(view.splits[split][taken], texts(view, split, taken, columns), strict=True):
                found = words(text)
                if len(found) < self.words:
                    continue
                place = places.setdefault(hashlib.blake2b(text.encode(), digest_size=16).digest(), len(rows))
                if place == len(rows):
                    rows.append(int(row))
                    firsts.append([-1, -1, -1])
                    held.append([0, 0, 0])
                    worded.append(found)
                if firsts[place][rank] < 0:
                    firsts[place][rank] = int(row)
                held[place][rank] += 1
        pairs, similar = near_pairs(shingles(worded, 2), self.similarity)
        by_split, counts = (np.asarray(values, np.int64).reshape(-1, len(ORDER)) for values in (firsts, held))
        return _Compared(np.asarray(rows, np.int64), by_split, counts, pairs, similar, sizes)

    def _across(self, view: View, compared: _Compared, split: str) -> Finding | None:
        """Rows of a split that have a near text in training."""
        rank, train = ORDER.index(split), ORDER.index("train")
        both = np.concatenate([compared.pairs, compared.pairs[:, ::-1]])
        similar = np.concatenate([compared.similar, compared.similar])
        cross = (compared.held[both[:, 0], rank] > 0) & (compared.held[both[:, 1], train] > 0)
        both, similar = both[cross], similar[cross]
        if not len(both):
            return None
        both, similar = both[np.lexsort((both[:, 1], both[:, 0]))], similar[np.lexsort((both[:, 1], both[:, 0]))]
        ours, first = np.unique(both[:, 0], return_index=True)
        count, size = int(compared.held[ours, rank].sum()), compared.sizes[rank]
        out, other = np.unique(both[:, 1], return_index=True)
        only = compared.held[out, :train].sum(axis=1) == 0  # a text that test or validation holds itself stays
        error = split == "test" and count > self.leaked * size
        return Finding(
            f"near_{split}_rows_in_training",
            "error" if error else "warning" if split == "test" or count > self.leaked * size else "info",
            count,
            size,
            f"{rows_said(count, split)} ({percent(count, size)}) differ{'s' * (count == 1)} from a training row in a few words only, so "
            f"that scores flatter the model{_sampled(view, compared)}",
            "leave the near training rows out with --fix, or keep what belongs together on one side with --group COLUMN",
            _examples(view, compared.firsts[both[first, 0], rank], compared.firsts[both[first, 1], train], similar[first]),
            compared.rows[out[only]].tolist(),
            compared.rows[both[other[only], 0]].tolist(),
        )

    def _within(self, view: View, compared: _Compared) -> Finding | None:
        """Training rows with a near text among earlier training rows."""
        train = ORDER.index("train")
        inside = (compared.held[compared.pairs, train] > 0).all(axis=1)
        pairs, similar = compared.pairs[inside], compared.similar[inside]
        if not len(pairs):
            return None
        first = components(len(compared.rows), pairs)
        later = np.flatnonzero(first != np.arange(len(first)))
        count, size = len(later), compared.sizes[train]
        out = later[compared.held[later, :train].sum(axis=1) == 0]
        return Finding(
            "near_copies_in_training",
            "warning" if count >= self.many * size else "info",
            count,
            size,
            f"{rows_said(count, 'training')} ({percent(count, size)}) differ{'s' * (count == 1)} from an earlier one in a few words only, "
            f"so there are fewer different examples than rows{_sampled(view, compared)}",
            "leave later near copies out with --fix",
            _examples(view, compared.firsts[pairs[:, 1], train], compared.firsts[pairs[:, 0], train], similar),
            compared.rows[out].tolist(),
            compared.rows[first[out]].tolist(),
        )


def _sampled(view: View, compared: _Compared) -> str:
    all_rows, looked = sum(len(view.splits[split]) for split in ORDER), sum(compared.sizes)
    return f"; {looked:,} of {all_rows:,} rows were drawn and compared, so there are more" if looked < all_rows else ""


def _examples(view: View, rows: Ints, others: Ints, similar: npt.NDArray[np.float64]) -> list[Example]:
    rows, others, similar = rows[:MOST_EXAMPLES], others[:MOST_EXAMPLES], similar[:MOST_EXAMPLES]
    return [
        Example(int(row), f"{shown} ({percent(near, 1)} alike)", int(other))
        for row, shown, near, other in zip(rows, lines(view, rows), similar, others, strict=True)
    ]
