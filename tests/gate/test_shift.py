"""Splits that were drawn from elsewhere are told, with what differs; splits drawn at random are not."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from tests.gate.views import divided, view_of

from tunesmith.gate._vectors import standardised
from tunesmith.gate.shift import Shift, label_distance, separated

SPLITS = divided(800)
TEST = np.asarray(SPLITS) == "test"
LABELS = np.random.default_rng(1).integers(0, 2, 800)
COMMON = ["the", "a", "of", "and", "on", "with", "from", "price", "river", "stone", "market", "doctor", "ward"]


def texts(marked: Any) -> list[dict[str, str]]:
    """Texts of random words; where `marked`, six in ten mention `reuters`."""
    rng = np.random.default_rng(2)
    return [{"text": " ".join([*rng.choice(COMMON, 12), *["reuters"] * int(mark and rng.random() < 0.6)])} for mark in marked]


def picture(rng: Any, light: int) -> bytes:
    held = io.BytesIO()
    Image.fromarray(np.clip(rng.normal(light, 30, (12, 12, 3)), 0, 255).astype(np.uint8)).save(held, "PNG")
    return held.getvalue()


def test_texts_with_a_word_of_their_own_are_told() -> None:
    (found,) = Shift().inspect(view_of(texts(TEST), {"text": "text"}, SPLITS, LABELS, ["a", "b"]))
    assert (found.name, found.severity, found.count) == ("shift_of_test", "warning", TEST.sum())
    assert found.examples[0].shown.startswith("'reuters' in")
    assert "instead of 0%" in found.examples[0].shown


def test_features_that_lie_elsewhere_are_told_for_the_split_they_belong_to() -> None:
    values = np.random.default_rng(3).normal(size=(800, 30))
    values[np.asarray(SPLITS) == "validation", :3] += 1
    (found,) = Shift().inspect(view_of(texts(TEST & False), {"text": "text"}, SPLITS, LABELS, ["a", "b"], values))
    assert found.name == "shift_of_validation"
    assert "features of the backbone" in found.what


@pytest.mark.parametrize("features", [False, True])
def test_darker_pictures_are_told(features: bool) -> None:
    rng = np.random.default_rng(4)
    rows = [{"image": picture(rng, 90 if dark else 140)} for dark in TEST]
    values = rng.normal(size=(800, 8)) + 2 * TEST[:, None] if features else None
    (found,) = Shift().inspect(view_of(rows, {"image": "image"}, SPLITS, LABELS, ["a", "b"], values))
    assert found.name == "shift_of_test"
    assert found.examples[0].shown.startswith("brightness of 'image' 90 instead of 1")


def test_random_splits_raise_no_alarm() -> None:
    rng = np.random.default_rng(5)
    assert Shift().inspect(view_of(texts(TEST & False), {"text": "text"}, SPLITS, LABELS, ["a", "b"])) == []
    rows = [{"image": picture(rng, 120)} for _ in SPLITS]
    assert Shift().inspect(view_of(rows, {"image": "image"}, SPLITS, LABELS, ["a", "b"])) == []


def test_p_values_without_a_shift_are_those_of_chance() -> None:
    """Of 60 tests without a shift about 60 alpha fall below alpha: far fewer or more would belong to another distribution."""
    rng = np.random.default_rng(6)
    values = [separated(standardised(rng.normal(size=(120, 6)), ""), np.repeat([0, 1], [70, 50]), seed)[1] for seed in range(60)]
    assert stats.kstest(values, "uniform").pvalue > 0.001
    assert np.mean(np.asarray(values) < 0.05) < 0.15


def test_area_is_that_of_a_known_distance() -> None:
    """Two normal distributions d apart have an area of Phi(d / sqrt 2)."""
    rng = np.random.default_rng(7)
    which = np.repeat([0, 1], 2000)
    area, p = separated(standardised(rng.normal(size=(4000, 1)) + which[:, None], ""), which, 0)
    assert area == pytest.approx(stats.norm.cdf(2**-0.5), abs=0.02)
    assert p < 1e-50


def test_label_shares_are_compared_as_scipy_does() -> None:
    here, there = np.repeat([0, 1, 2], [60, 30, 10]), np.repeat([0, 1, 2], [20, 20, 10])
    distance, p, shown = label_distance(here, there, ["x", "y", "z"])
    assert distance == pytest.approx(0.2)
    assert p == pytest.approx(stats.chi2_contingency([[60, 30, 10], [20, 20, 10]]).pvalue)
    assert shown == "'x' 40% instead of 60%"


def test_labels_with_other_shares_are_told() -> None:
    labels = np.where(TEST & (np.arange(800) % 2 == 0), 1, LABELS)
    (found,) = Shift().inspect(view_of(texts(TEST & False), {"text": "text"}, SPLITS, labels, ["a", "b"]))
    assert found.name == "label_shift_of_test"
    several = np.stack([LABELS, labels], axis=1)
    (found,) = Shift().inspect(view_of(texts(TEST & False), {"text": "text"}, SPLITS, several, ["a", "b"]))
    assert "'b'" in found.what
    numbers = np.random.default_rng(8).normal(size=800)
    assert Shift().inspect(view_of(texts(TEST & False), {"text": "text"}, SPLITS, numbers)) == []
    (found,) = Shift().inspect(view_of(texts(TEST & False), {"text": "text"}, SPLITS, numbers + TEST))
    assert "median" in found.what


def test_few_rows_are_not_compared_and_many_are_drawn() -> None:
    assert "fewer than" in str(Shift().applies(view_of(texts([0] * 40), {"text": "text"}, ["train"] * 30 + ["test"] * 10, [0] * 40, ["a"])))
    (found,) = Shift(rows=100).inspect(view_of(texts(TEST), {"text": "text"}, SPLITS, LABELS, ["a", "b"]))
    assert "drawn at random" in found.what


def test_chinese_texts_differ_by_characters() -> None:
    rng = np.random.default_rng(9)
    rows = [{"text": "".join([*rng.choice(list("房间很大服务好早餐"), 10), *["价"] * int(mark)])} for mark in TEST]
    (found,) = Shift().inspect(view_of(rows, {"text": "text"}, SPLITS, LABELS, ["a", "b"]))
    assert any("'价' in 100%" in example.shown for example in found.examples)
