"""What the inspection of transcripts says: each fault planted, none where there is none."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.gate.planting import WORDS, clean_splits, found, inspect, view
from tests.gate.test_sounds import recording

from tunesmith.core.findings import View


def spoken(seed: int = 0) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Recordings of two or three words at about 15 letters a second, and their transcripts."""
    rng = Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(2, 3))) for _ in range(360)]
    return [{"call": recording(i, len(text) / rng.uniform(13, 17))} for i, text in enumerate(texts)], dict(enumerate(texts))


def seen(rows: list[dict[str, Any]], targets: dict[int, str]) -> View:
    return view(rows, clean_splits(), {"call": "audio"}, targets, answers="text")


def test_transcripts_without_faults_give_no_finding() -> None:
    assert found(seen(*spoken()), "transcripts") == {}


def test_letters_that_training_lacks_are_counted_with_their_rows() -> None:
    rows, targets = spoken()
    splits = clean_splits()
    targets[splits["test"][4]] += " 1455"
    targets[splits["validation"][2]] += " caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    told = found(seen(rows, targets), "transcripts")["letters_not_in_training"]
    assert (told.count, told.of, told.severity) == (2, 120, "warning")
    assert "hold 4 letters" in told.what
    assert "'5' (2)" in told.what
    assert {example.row for example in told.examples} == {splits["test"][4], splits["validation"][2]}


def test_transcripts_that_do_not_fit_their_recordings_are_named() -> None:
    rows, targets = spoken()
    train = clean_splits()["train"]
    targets[train[10]] = " ".join([targets[train[10]]] * 5)
    targets[train[20]] = "the"
    rows[train[20]] = {"call": recording(1, 2.0)}
    told = found(seen(rows, targets), "transcripts")["transcripts_do_not_fit"]
    assert sorted(told.leave_out) == sorted([train[10], train[20]])
    assert told.count == 2


def test_inspections_of_classes_say_that_they_are_not_for_texts() -> None:
    told = inspect(seen(*spoken())).skipped
    for name in ("balance", "giveaway", "label_noise"):
        assert told[name] == "it is for classes and labels and numbers, not for text"
