"""What the tasks that say texts share: scores, the best constant, reading a transcript, showing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Outputs, ragged
from tunesmith.core.contracts import Metrics, Prediction, Row, Task
from tunesmith.core.errors import RowError
from tunesmith.evaluate.transcripts import TRANSCRIPTS, TranscriptScores, TranscriptStatistic, edits
from tunesmith.tasks import _asked, _spelling
from tunesmith.tasks._pooled import cell

if TYPE_CHECKING:
    from tunesmith.core.outcomes import Truth

SAID = ("ab", "ba", "aab")
"""Made-up transcripts."""

LOOKED = 2000
"""Training transcripts by which constants are compared."""

NO_SHARE = (
    "is not fitted: a transcript is no choice among classes, so its confidence is no share of rows that are right; the scores of the "
    "surest rows tell what it is worth"
)


class Transcripts(Task):
    """Says what is said in a recording; predictions hold `text` and `confidence`."""

    answers: ClassVar[str] = "text"
    needs: ClassVar[tuple[str, ...]] = ("audio",)

    def stratum(self, raw: str) -> str:
        return ""

    def target(self, raw: str) -> str:
        return raw

    def truth(self, targets: Sequence[str]) -> Truth:
        return ragged(targets)

    def statistic(self, outputs: Outputs, truth: Truth) -> TranscriptStatistic:
        return TranscriptStatistic(edits(list(truth), [prediction["text"] for prediction in self.decode(outputs)]))

    def calibrated(self, outputs: Outputs, truth: Truth) -> Self:
        return self

    def calibration(self, outputs: Outputs, truth: Truth, groups: npt.NDArray[Any] | None = None) -> dict[str, Any]:
        return {**_asked.nothing(), "notes": {"temperature": NO_SHARE}}

    def confidence(self, outputs: Outputs) -> npt.NDArray[np.float64]:
        return np.asarray([prediction["confidence"] for prediction in self.decode(outputs)], np.float64)

    def metrics(self) -> Metrics:
        return TranscriptScores()

    def directions(self) -> dict[str, str]:
        return dict(TRANSCRIPTS)

    def baseline(self, raws: Sequence[str]) -> Prediction:
        return constant(raws)

    def labels(self) -> list[str]:
        return []

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]

    def shown(self, target: str) -> str:
        return target

    def render(self, row: Row, prediction: Prediction, target: str) -> str:
        said = prediction["text"] or "(nothing)"
        return f"{said} (right)" if prediction["text"] == target else f"{said} (it is: {target})"

    def synthetic(self, n: int, seed: int, sample: Callable[[int, Random], dict[str, Any]]) -> list[dict[str, Any]]:
        rng = Random(seed)
        return [{**sample(i % 3, rng), "label": SAID[i % 3]} for i in range(n)]


def transcript(row: Row, column: str, case: _spelling.Case, punctuation: _spelling.Punctuation, known: Collection[str] = ()) -> str:
    """The transcript of a row, in one spelling.

    Raises:
        RowError: it is missing, or nothing is left of it.
    """
    text = _spelling.written(str(cell(row, column)), case, punctuation, known)
    if not text:
        raise RowError("nothing is left of the transcript once punctuation is dropped", column)
    return text


def constant(raws: Iterable[str]) -> Prediction:
    """The better of saying nothing, which has a word error rate of 1, and the most frequent transcript.

    Example:
        >>> constant(["yes", "yes", "no"]), constant(["one two", "three", "four"])
        ({'text': 'yes'}, {'text': ''})
    """
    some = list(islice(raws, LOOKED))
    text = Counter(some).most_common(1)[0][0]
    words = edits(some, [text] * len(some)).words.sum(axis=0)
    return {"text": text if words[1:].sum() < words[:3].sum() else ""}
