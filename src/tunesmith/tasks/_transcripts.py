"""What the tasks that say texts share: reading a transcript, the best constant, showing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from random import Random
from typing import Any

from tunesmith.core.contracts import Prediction, Row
from tunesmith.core.errors import RowError
from tunesmith.evaluate.transcripts import edits
from tunesmith.tasks import _asked, _spelling
from tunesmith.tasks._pooled import cell

SAID = ("ab", "ba", "aab")
"""Made-up transcripts."""

LOOKED = 2000
"""Training transcripts by which constants are compared."""

NO_SHARE = (
    "is not fitted: a transcript is no choice among classes, so its confidence is no share of rows that are right; the scores of the "
    "surest rows tell what it is worth"
)


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


def uncalibrated() -> dict[str, Any]:
    """`Task.calibration` where nothing can be calibrated, with the reason."""
    return {**_asked.nothing(), "notes": {"temperature": NO_SHARE}}


def rendered(prediction: Prediction, target: str) -> str:
    """A transcript beside the true one, in a line."""
    said = prediction["text"] or "(nothing)"
    return f"{said} (right)" if prediction["text"] == target else f"{said} (it is: {target})"


def synthetic(n: int, seed: int, sample: Callable[[int, Random], dict[str, Any]]) -> list[dict[str, Any]]:
    """Made-up inputs, each with the transcript of its code."""
    rng = Random(seed)
    return [{**sample(i % 3, rng), "label": SAID[i % 3]} for i in range(n)]
