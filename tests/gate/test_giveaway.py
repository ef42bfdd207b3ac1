"""Labels that follow from one fact, and facts that only lean towards them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score
from tests.gate.planting import clean_rows, clean_splits, found, view

from tunesmith.core.findings import Finding, View
from tunesmith.gate import inspect
from tunesmith.gate._columns import fact
from tunesmith.gate.giveaway import codes, looked_up


def _told(of: View) -> list[Finding]:
    return list(inspect(of, ["giveaway"]).findings)


@pytest.mark.parametrize("seed", range(5))
def test_looking_up_agrees_with_one_classifier_a_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(1, 6, 400), rng.integers(1, 6, 200)
    a, b = (np.where(rng.random(len(v)) < 0.6, v % 3, rng.integers(0, 3, len(v))) for v in (x, y))
    weight = 1 / np.bincount(a)[a]
    answers = np.empty(len(y), np.int64)
    for value in range(1, 6):
        prior = DummyClassifier(strategy="prior").fit(x[x == value][:, None], a[x == value], weight[x == value])
        answers[y == value] = prior.predict(y[y == value][:, None])
    assert looked_up(x, a, y, b) == pytest.approx(balanced_accuracy_score(b, answers))


def test_values_that_training_lacks_are_known_as_such() -> None:
    x, y = codes(fact("c", ["u", "v", "u"], ["v", "w"]))
    assert x.tolist() == [1, 2, 1]
    assert y.tolist() == [2, 0]
    x, y = codes(fact("c", ["1", "2", None], ["2.5", "0", None]))
    assert x.tolist() == [1, 2, 0]
    assert y.tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    "tell",
    [
        lambda label, rng: label.upper(),
        lambda label, rng: f"{label}{rng.randrange(5)}",
        lambda label, rng: str("abc".index(label) * 10 + rng.random()),
        lambda label, rng: None if label == "a" else str("abc".index(label)),
    ],
)
def test_a_column_written_after_the_label_is_found(tell: Callable[[str, Random], str | None]) -> None:
    rows, splits = clean_rows(), clean_splits()
    rng = Random(0)
    assert _told(view(rows, splits)) == []
    for row in rows:
        row["outcome"] = tell(row["label"], rng)
    (finding,) = _told(view(rows, splits))
    assert (finding.name, finding.severity) == ("label_given_away", "info")
    assert "column 'outcome' alone (balanced accuracy " in finding.what
    assert "on 60 validation rows)" in finding.what
    (finding,) = _told(view(rows, splits, {"text": "text", "outcome": "text"}))[:1]
    assert finding.severity == "warning"


def test_a_column_that_only_leans_towards_the_label_is_none() -> None:
    rows, splits = clean_rows(), clean_splits()
    rng = Random(0)
    for row in rows:
        row["hint"] = row["label"] if rng.random() < 0.93 else "x"
    assert _told(view(rows, splits)) == []


def test_a_number_with_a_threshold_between_its_bins_is_found_by_auroc() -> None:
    rows, splits = clean_rows(), clean_splits()
    rng = Random(0)
    for row in rows:
        value = rng.random()
        row["label"], row["risk"] = "ab"[value > 0.013], str(1 - value)  # one row in 77 is of class a
    for split in splits.values():
        for number in split[:2]:
            rows[number]["label"], rows[number]["risk"] = "a", "1"
    assert any("AUROC 1.000" in finding.what for finding in _told(view(rows, splits)))


def test_a_number_to_predict_that_stands_in_another_unit_is_found() -> None:
    rows, splits = clean_rows(), clean_splits()
    rng = Random(0)
    targets = {number: rng.random() for number in range(len(rows))}
    for number, row in enumerate(rows):
        row["cents"] = str(-100 * targets[number] ** 3)
        row["near"] = str(targets[number] + 0.2 * rng.random())
    (finding,) = _told(view(rows, splits, targets=targets))
    assert "column 'cents' alone (rank correlation 1.000" in finding.what


def test_a_label_of_several_is_looked_at_by_itself() -> None:
    rows, splits = clean_rows(), clean_splits()
    rng = Random(0)
    targets = {number: [rng.randrange(2), rng.randrange(2)] for number in range(len(rows))}
    for number, row in enumerate(rows):
        row["flag"] = "ny"[targets[number][1]]
    (finding,) = _told(view(rows, splits, targets=targets, classes=["x", "y"]))
    assert "for 'y'" in finding.what


def test_the_length_of_texts_and_a_word_can_give_labels_away() -> None:
    rows, splits = clean_rows(), clean_splits()
    for row in rows:
        if row["label"] == "b":
            row["text"] = f"{row['text']} ### see above"
    told = _told(view(rows, splits))
    assert [finding.name for finding in told] == ["word_gives_label_away"]
    assert "100% of the training rows of 'b' hold the word '###'" in told[0].what
    assert {rows[example.row or 0]["label"] for example in told[0].examples} == {"b"}
    rows = clean_rows()
    for row in rows:
        row["text"] = " ".join((row["text"] + " " + row["text"]).split()[: 3 + 3 * "abc".index(row["label"])])
    assert {finding.name for finding in _told(view(rows, splits))} == {"label_given_away"}


def test_a_word_must_be_confirmed_on_validation() -> None:
    rows, splits = clean_rows(), clean_splits()
    for number in splits["train"]:
        if rows[number]["label"] == "b":
            rows[number]["text"] += " zzz"
    assert _told(view(rows, splits)) == []


def _photographed(folder: Path, change: Callable[[int, Any], dict[str, Any]]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(100):
        picture = Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8))
        made = {"end": "png", "picture": picture, **change(number % 2, picture)}
        path = folder / f"{number}.{made.pop('end')}"
        made.pop("picture").save(path, **made)
        rows.append({"image": str(path), "label": "ab"[number % 2]})
    return rows


def _made_by(label: int, picture: Image.Image) -> dict[str, Any]:
    exif = Image.Exif()
    exif[271] = ("Canon", "Nikon")[label]
    return {"end": "jpg", "exif": exif}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda label, picture: {"picture": picture.resize((12 + 4 * label, 12))}, ["the width"]),
        (lambda label, picture: {"picture": picture.point(lambda value: value // (1 + label))}, ["the mean brightness"]),
        (lambda label, picture: {"end": ("png", "jpg")[label]}, ["the file ending"]),
        (_made_by, ["the maker of the camera"]),
        (lambda label, picture: {}, []),
    ],
)
def test_the_outside_of_pictures_can_give_labels_away(
    tmp_path: Path, change: Callable[[int, Any], dict[str, Any]], said: list[str]
) -> None:
    rows = _photographed(tmp_path, change)
    splits = {"train": list(range(60)), "validation": list(range(60, 80)), "test": list(range(80, 100))}
    findings = found(view(rows, splits, {"image": "image"}), "giveaway")
    assert len(findings) == len(said)
    for finding, what in zip(findings.values(), said, strict=True):
        assert finding.severity == "warning"
        assert what in finding.what
