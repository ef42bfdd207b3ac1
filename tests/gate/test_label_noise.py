"""Labels that were changed on purpose are found, and right ones are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.gate.views import divided, view_of

from tunesmith.gate.label_noise import LabelNoise

CLASSES = ["bond", "ward", "goal"]
SPLITS = divided(900)
WORDS = ["price yield market trader loan debt", "doctor fever nurse patient clinic dose", "match striker league referee penalty cup"]


def blobs() -> tuple[Any, Any]:
    """Features of three classes that a linear model tells apart, and their class numbers."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 900)
    return (rng.normal(size=(900, 20)) + 8 * np.eye(3, 20)[classes]).astype(np.float32), classes


def texts(classes: Any) -> list[dict[str, str]]:
    rng = np.random.default_rng(1)
    common = ["the", "a", "of", "and", "on", "with"]
    return [{"text": " ".join(rng.choice(WORDS[kind].split() + common, 14))} for kind in classes]


def flipped(classes: Any, share: float) -> tuple[Any, Any]:
    """Labels of which a share is changed, and which."""
    rng = np.random.default_rng(2)
    which = rng.random(len(classes)) < share
    return np.where(which, (classes + rng.integers(1, 3, len(classes))) % 3, classes), which


@pytest.mark.parametrize("of", ["features", "words"])
def test_changed_labels_are_found(of: str) -> None:
    values, classes = blobs()
    labels, changed = flipped(classes, 0.06)
    view = view_of(texts(classes), {"text": "text"}, SPLITS, labels, CLASSES, values if of == "features" else None)
    (found,) = LabelNoise(rows=900).inspect(view)
    assert (found.name, found.severity, found.of, found.leave_out) == ("label_noise", "warning", 900, ())
    assert found.count == pytest.approx(changed.sum(), rel=0.25)  # neither many missed nor many more
    assert of in found.what
    for example in found.examples:
        assert changed[example.row]
        assert example.shown.startswith(f"labelled '{CLASSES[labels[example.row]]}', more likely '{CLASSES[classes[example.row]]}'")


def test_recall_and_precision_over_all_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.gate.label_noise.MOST_EXAMPLES", 900)
    values, classes = blobs()
    labels, changed = flipped(classes, 0.06)
    (found,) = LabelNoise().inspect(view_of(texts(classes), {"text": "text"}, SPLITS, labels, CLASSES, values))
    named = np.zeros(900, bool)
    named[[example.row for example in found.examples]] = True
    assert (named & changed).sum() / changed.sum() > 0.8
    assert (named & changed).sum() / named.sum() > 0.95


@pytest.mark.parametrize("of", ["features", "words"])
def test_right_labels_raise_no_alarm(of: str) -> None:
    values, classes = blobs()
    view = view_of(texts(classes), {"text": "text"}, SPLITS, classes, CLASSES, values if of == "features" else None)
    assert all(found.severity == "info" and found.count <= 3 for found in LabelNoise().inspect(view))


def test_a_model_that_understands_nothing_says_nothing() -> None:
    rng = np.random.default_rng(6)
    view = view_of([{}] * 900, {"text": "text"}, SPLITS, rng.integers(0, 3, 900), CLASSES, rng.normal(size=(900, 20)))
    assert LabelNoise().inspect(view) == []


def test_rare_classes_are_left_out_and_rows_are_drawn() -> None:
    values, classes = blobs()
    labels, _ = flipped(classes, 0.06)
    labels[:3] = 3
    view = view_of(texts(classes), {"text": "text"}, SPLITS, labels, [*CLASSES, "rare"], values)
    (found,) = LabelNoise().inspect(view)
    assert found.of == 897
    (found,) = LabelNoise(rows=450).inspect(view)
    assert found.of < 460
    assert "of 900 rows, drawn at random" in found.what


def test_slips_of_the_decimal_point_are_outliers() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(900, 10)).astype(np.float32)
    numbers = 100 + values @ np.arange(10) + rng.normal(size=900)
    view = view_of([{}] * 900, {"image": "image"}, SPLITS, numbers, (), values)
    assert LabelNoise().inspect(view) == []
    numbers[[5, 50, 500]] *= 10
    (found,) = LabelNoise().inspect(view_of([{}] * 900, {"image": "image"}, SPLITS, numbers, (), values))
    assert (found.name, found.severity, found.count) == ("target_outliers", "info", 3)
    assert {example.row for example in found.examples} == {5, 50, 500}


def test_what_cannot_be_looked_at_is_passed_over() -> None:
    rows = [{"image": b""}] * 900
    assert LabelNoise().applies(view_of(rows, {"image": "image"}, SPLITS, [0] * 900, ["a"])) is not None
    several = view_of(rows, {"text": "text"}, SPLITS, np.zeros((900, 2), int), ["a", "b"])
    assert LabelNoise().applies(several) == "rows have several labels"
