"""Scores of transcripts against jiwer over everything at once, and against sums by hand."""

from __future__ import annotations

from collections import Counter
from random import Random

import jiwer
import numpy as np
import pytest

from tunesmith.core.arrays import ragged, restored, stored
from tunesmith.evaluate.intervals import intervals
from tunesmith.evaluate.transcripts import TranscriptScores, TranscriptStatistic, edits

WORDS = ("the", "cat", "sat", "on", "a", "mat", "été", "2")


def made_up(rows: int, seed: int) -> tuple[list[str], list[str]]:
    """References, and transcripts with words changed, lost and added."""
    rng = Random(seed)
    true = [" ".join(rng.choices(WORDS, k=rng.randint(1, 9))) for _ in range(rows)]
    said = []
    for text in true:
        kept = [rng.choice(WORDS) if rng.random() < 0.2 else word for word in text.split() if rng.random() > 0.15]
        said.append(" ".join([*kept, *rng.choices(WORDS, k=rng.random() < 0.3)]))
    return true, said


def test_rates_are_those_of_jiwer_over_all_rows_in_whatever_batches() -> None:
    true, said = made_up(90, 0)
    scores = TranscriptScores()
    for start in range(0, len(true), 7):
        scores.update([{"text": text} for text in said[start : start + 7]], true[start : start + 7])
    found = scores.compute()
    assert found["wer"] == jiwer.wer(true, said)
    assert found["cer"] == jiwer.cer(true, said)
    assert found["row_wer"] == pytest.approx(np.mean([jiwer.wer(one, other) for one, other in zip(true, said, strict=True)]), rel=1e-12)
    assert found["sentence_accuracy"] == np.mean([one == other for one, other in zip(true, said, strict=True)])
    assert found["rows"] == 90
    assert scores.notes() == {}


def test_tables_count_errors_by_kind_and_confusions() -> None:
    scores = TranscriptScores()
    scores.update([{"text": "the bat sat"}, {"text": ""}, {"text": "the bat is"}], ["the cat sat on", "a", "the cat"])
    errors, confused = scores.tables()
    assert errors.columns == ["hits", "substitutions", "deletions", "insertions"]
    assert errors.values[0] == [3.0, 2.0, 2.0, 1.0]
    assert errors.values[1][0] + errors.values[1][1] + errors.values[1][2] == len("the cat sat on") + len("a") + len("the cat")
    assert confused.index == ["cat → bat", "cat → is"]
    assert confused.values == [[1.0], [1.0]]
    assert errors.counts
    assert confused.counts


def test_a_statistic_weighs_rows_as_repeating_them_does() -> None:
    true, said = made_up(40, 1)
    statistic = TranscriptStatistic(edits(true, said))
    times = np.random.default_rng(0).integers(0, 4, 40)
    again = [text for text, count in zip(true, times, strict=True) for _ in range(count)]
    heard = [text for text, count in zip(said, times, strict=True) for _ in range(count)]
    found = statistic(times.astype(np.float64))
    assert found["wer"] == pytest.approx(jiwer.wer(again, heard), rel=1e-12)
    assert found["cer"] == pytest.approx(jiwer.cer(again, heard), rel=1e-12)
    assert statistic.take(times > 0).rows == int((times > 0).sum())
    assert statistic(np.zeros(40)) == {}


def test_intervals_of_a_ratio_of_sums_hold_it() -> None:
    true, said = made_up(60, 2)
    statistic = TranscriptStatistic(edits(true, said))
    found = intervals(statistic, 60, replicates=300)
    low, high = found.scores["wer"]
    assert low < jiwer.wer(true, said) < high
    assert high - low < 0.4


def test_a_rate_that_no_draw_changes_has_the_bound_of_no_error() -> None:
    right = TranscriptStatistic(edits(["a b"] * 30, ["a b"] * 30))
    found = intervals(right, 30, replicates=50)
    assert found.scores["wer"] == (0.0, pytest.approx(1 - 0.025 ** (1 / 30)))
    worse = TranscriptStatistic(edits(["a", "b c"], ["a x y", "b c"]))
    assert worse.ranges["wer"] == (0.0, 2.0)
    assert worse(np.ones(2))["wer"] == pytest.approx(2 / 3)


def test_no_rows_and_no_words_leave_scores_out_with_the_reason() -> None:
    scores = TranscriptScores()
    scores.update([], [])
    assert scores.compute() == {"rows": 0}
    scores.update([{"text": "a"}], [""])
    assert set(scores.compute()) == {"row_wer", "sentence_accuracy", "rows"}
    assert set(scores.notes()) == {"wer", "cer"}


def test_confusions_are_counted_from_substitutions() -> None:
    confused: Counter[tuple[str, str]] = Counter()
    edits(["a b c", "a b"], ["a x y", "b b"], confused)
    assert confused == {("b", "x"): 1, ("c", "y"): 1, ("a", "b"): 1}


def test_texts_are_stored_without_objects() -> None:
    texts = ragged(["", "naïve café", "", "字", "a\nb"])
    parts = stored(texts)
    assert all(part.dtype != np.object_ for part in parts.values())
    assert restored(parts).tolist() == texts.tolist()
    numbers = np.arange(3)
    assert restored(stored(numbers)) is numbers
