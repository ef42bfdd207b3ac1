"""Scores of transcripts: word and character error rate by jiwer, exact over any number of batches.

    "the cat sat on"  beside  "the bat sat"   ->   1 substitution, 1 deletion of 4 words: WER 0.5

Errors of all rows are added up before they are divided by the words of all rows, so long rows weigh more and the batches do not matter;
a rate may be above 1. `row_wer` is the mean of the rows' own rates, by which parts of the rows can be compared. Words are what spaces
part: for languages written without them read the character error rate, which counts spaces too. Reference and transcript are compared as
they are; the task decides on case and punctuation.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Prediction, ScoreTable
from tunesmith.core.errors import require

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
TRANSCRIPTS = {"wer": "min", "cer": "min", "row_wer": "min", "sentence_accuracy": "max"}
KINDS = ("hits", "substitutions", "deletions", "insertions")
MOST_PAIRS = 50_000
"""Different confusions that are counted; beyond that the rarest are forgotten."""

SHOWN_PAIRS = 30


@dataclass(frozen=True, eq=False)
class Edits:
    """What makes references into transcripts, row by row.

    Attributes:
        words, characters: (rows, 4) hits, substitutions, deletions and insertions.
        right: (rows,) whether the whole row is right.
    """

    words: Ints
    characters: Ints
    right: npt.NDArray[np.bool_]


def _counts(alignments: Sequence[Sequence[Any]]) -> Ints:
    found = np.zeros((len(alignments), len(KINDS)), np.int64)
    place = {"equal": 0, "substitute": 1, "delete": 2, "insert": 3}
    for row, chunks in zip(found, alignments, strict=True):
        for chunk in chunks:
            row[place[chunk.type]] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
    return found


def edits(references: Sequence[str], said: Sequence[str], confused: Counter[tuple[str, str]] | None = None) -> Edits:
    """Edits of the best alignment of each row (Levenshtein distance).

    Args:
        references: (rows,) true transcripts.
        said: (rows,) transcripts.
        confused: is given (true word, word said) of each substitution.

    Example:
        >>> edits(["the cat sat on"], ["the bat sat"]).words.tolist()
        [[2, 1, 1, 0]]
    """
    jiwer = require("jiwer", "scores of transcripts")
    if not references:
        nothing = np.zeros((0, len(KINDS)), np.int64)
        return Edits(nothing, nothing, np.zeros(0, bool))
    words, characters = jiwer.process_words(list(references), list(said)), jiwer.process_characters(list(references), list(said))
    if confused is not None:
        for true, other, chunks in zip(words.references, words.hypotheses, words.alignments, strict=True):
            for chunk in chunks:
                if chunk.type == "substitute":
                    confused.update(
                        zip(
                            true[chunk.ref_start_idx : chunk.ref_end_idx],
                            other[chunk.hyp_start_idx : chunk.hyp_end_idx],
                            strict=True,
                        )
                    )
    right = [true == other for true, other in zip(words.references, words.hypotheses, strict=True)]
    return Edits(_counts(words.alignments), _counts(characters.alignments), np.asarray(right, bool))


def row_wer(words: Ints) -> Floats:
    """(rows,) the word error rate of each row from its (rows, 4) edits; of a reference without words 0 or 1."""
    wrong, true = words[:, 1:].sum(axis=1), words[:, :3].sum(axis=1)
    rate: Floats = np.where(true > 0, wrong / np.maximum(1, true), np.minimum(1, wrong)).astype(np.float64)
    return rate


def _rates(words: Floats, characters: Floats) -> dict[str, Floats]:
    """Error rates from (replicates, 4) summed edits; NaN without a true word."""
    found = {}
    for name, counts in (("wer", words), ("cer", characters)):
        wrong, true = counts[:, 1:].sum(axis=1), counts[:, :3].sum(axis=1)
        found[name] = np.divide(wrong, true, out=np.full(len(counts), np.nan), where=true > 0)
    return found


class TranscriptScores:
    """Scores of transcripts: predictions carry `text`, targets are the true texts."""

    def __init__(self) -> None:
        self.words = np.zeros(len(KINDS), np.int64)
        self.characters = np.zeros(len(KINDS), np.int64)
        self.rows = self.right = 0
        self.row_wer = 0.0
        self.confused: Counter[tuple[str, str]] = Counter()

    def update(self, predictions: Sequence[Prediction], targets: Sequence[str]) -> None:
        """Take in one batch."""
        found = edits(targets, [prediction["text"] for prediction in predictions], self.confused)
        self.words += found.words.sum(axis=0)
        self.characters += found.characters.sum(axis=0)
        self.row_wer += float(row_wer(found.words).sum())
        self.right += int(found.right.sum())
        self.rows += len(targets)
        if len(self.confused) > MOST_PAIRS:
            self.confused = Counter(dict(self.confused.most_common(MOST_PAIRS // 2)))

    def compute(self) -> dict[str, Any]:
        """The scores so far."""
        if not self.rows:
            return {"rows": 0}
        rates = _rates(self.words[None].astype(np.float64), self.characters[None].astype(np.float64))
        found = {name: float(value[0]) for name, value in rates.items() if np.isfinite(value[0])}
        return {**found, "row_wer": self.row_wer / self.rows, "sentence_accuracy": self.right / self.rows, "rows": self.rows}

    def notes(self) -> dict[str, str]:
        """Why a score is missing."""
        held = self.compute()
        return {name: "the true transcripts hold no words" for name in TRANSCRIPTS if name not in held}

    def tables(self) -> list[ScoreTable]:
        """Errors by their kind, and the words that were taken for another most often."""
        of_kind = [[float(value) for value in counts] for counts in (self.words, self.characters)]
        errors = ScoreTable("transcript_errors", ["words", "characters"], list(KINDS), of_kind, counts=True)
        most = sorted(self.confused.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_PAIRS]
        if not most:
            return [errors]
        names = [f"{true} → {other}" for (true, other), _ in most]
        return [errors, ScoreTable("confused_words", names, ["times"], [[float(count)] for _, count in most], counts=True)]


@final
@dataclass(frozen=True, eq=False)
class TranscriptStatistic:
    """Scores of transcripts as a function of row weights.

    Attributes:
        edits: of the rows.
    """

    edits: Edits
    by_row: ClassVar[str] = "row_wer"
    directions: ClassVar[Mapping[str, str]] = TRANSCRIPTS

    @property
    def rows(self) -> int:
        return len(self.edits.words)

    @property
    def work(self) -> int:
        return 10 * self.rows

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """A rate of rows together is never above that of the worst of them, which added words may take above 1."""
        words, characters = (max(1.0, float(row_wer(counts).max(initial=0.0))) for counts in (self.edits.words, self.edits.characters))
        return {"wer": (0.0, words), "cer": (0.0, characters), "row_wer": (0.0, words), "sentence_accuracy": (0.0, 1.0)}

    @functools.cached_property
    def _means(self) -> Floats:
        """(rows, 2) what each row adds to the scores that are means over rows."""
        return np.stack([row_wer(self.edits.words), self.edits.right.astype(np.float64)], axis=1)

    def many(self, weights: npt.NDArray[Any], names: Collection[str] | None = None) -> dict[str, Floats]:
        weights = np.asarray(weights, np.float64)
        scores = _rates(weights @ self.edits.words, weights @ self.edits.characters)
        total = weights.sum(axis=1)[:, None]
        means = np.divide(weights @ self._means, total, out=np.full((len(weights), 2), np.nan), where=total > 0)
        scores |= {"row_wer": means[:, 0], "sentence_accuracy": means[:, 1]}
        return {name: value for name, value in scores.items() if names is None or name in names}

    def __call__(self, weights: npt.NDArray[Any]) -> dict[str, float]:
        found = {name: float(value[0]) for name, value in self.many(weights[None]).items()}
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def take(self, places: npt.NDArray[Any]) -> TranscriptStatistic:
        return TranscriptStatistic(Edits(self.edits.words[places], self.edits.characters[places], self.edits.right[places]))
