"""Every registered baseline on every kind of truth: shapes, probabilities, rows that may not be looked at, and better than chance."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from tunesmith.core import registry
from tunesmith.core.contracts import Picture, Row
from tunesmith.core.outcomes import Baseline, Given

INPUTS = {"note": "text", "photo": "image", "size": "number", "colour": "category", "call": "audio", "gene": "dna", "curve": "series"}
ROWS = {"train": 90, "validation": 30, "test": 45}
WORDS = ("red apples", "green pears", "blue plums")
GENES = ("TATAAATATAAA", "CACGTGCACGTG", "GGTAAGGGTAAG")


def tone(code: int) -> bytes:
    """A tenth of a second of a tone, as a wav file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.3 * np.sin(np.arange(800) * (0.3 + 0.5 * code)), 8000, format="WAV")
    return buffer.getvalue()


CURVES = ("[0, 1, 0, 1, 0, 1, 0, 1]", "[0, 1, 2, 3, 4, 5, 6, 7]", "[5, 5, null, 5, 5, 5, 5, 5]")


def given(kind: str, **changes: Any) -> Given:
    """Rows whose every column tells which of three things they show; class 3 of 4 does not occur."""
    rng = np.random.default_rng(0)
    codes = {split: rng.integers(0, 3, n) for split, n in ROWS.items()}
    features = {split: (np.eye(3)[c] + 0.2 * rng.standard_normal((len(c), 3))).astype(np.float32) for split, c in codes.items()}
    pixels = [np.full((8, 8, 3), 40, np.uint8) for _ in range(3)]
    for code, picture in enumerate(pixels):
        picture[..., code] = 200

    tones = [tone(code) for code in range(3)]

    def rows(split: str) -> Iterator[Row]:
        for code in codes[split]:
            yield {
                "note": WORDS[code],
                "photo": Picture(pixels[code]),
                "size": str(code * 10.0),
                "colour": WORDS[code],
                "gene": GENES[code],
                "call": tones[code],
                "curve": CURVES[code],
            }

    truths = {
        "classes": lambda c: c,
        "labels": lambda c: np.stack([c == 0, c > 0, np.ones_like(c), np.zeros_like(c)], axis=1).astype(np.int64),
        "numbers": lambda c: 100.0 + 50.0 * c,
    }
    truth = {split: truths[kind](codes[split]) for split in ("train", "validation")}
    made = {
        "inputs": INPUTS,
        "rows": rows,
        "truth": truth,
        "answers": kind,
        "classes": 0 if kind == "numbers" else 4,
        "features": features.get,
        "seed": 0,
    }
    return Given(**{**made, **changes})


def expected(kind: str) -> np.ndarray:
    """The truth of the test rows."""
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 3, n) for n in ROWS.values()][2]
    if kind == "labels":
        return np.stack([codes == 0, codes > 0, np.ones_like(codes), np.zeros_like(codes)], axis=1)
    return codes if kind == "classes" else 100.0 + 50.0 * codes


def answering(*kinds: str) -> list[tuple[str, str]]:
    """(baseline, kind) of those that are made for one of the kinds."""
    entries = registry.entries("baselines").items()
    return [(name, kind) for name, entry in entries for kind in kinds if kind in entry.load().answers]


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize(("name", "kind"), answering("classes", "labels", "numbers"))
def test_predictions(name: str, kind: str, validated: bool) -> None:
    made = given(kind)
    if not validated:
        features = {split: made.features(split) for split in ROWS}
        features["validation"] = features["validation"][:0]
        made = given(kind, truth={"train": made.truth["train"]}, features=features.get, rows=_without_validation(made))
    baseline: Baseline = registry.create("baselines", name, {})
    assert baseline.fits(made) is None
    said = baseline.said(made)
    outputs = 1 if kind == "numbers" else 4
    assert said.test.shape == (45, outputs)
    assert said.validation.shape == (30 if validated else 0, outputs)
    assert said.test.dtype == said.validation.dtype == np.float32
    assert said.learned > 0
    if kind != "numbers":
        assert said.test.min() >= 0
        np.testing.assert_allclose(said.test[:, 3], 0, atol=1e-6)
    if kind == "classes":
        np.testing.assert_allclose(said.test.sum(axis=1), 1, atol=1e-5)
    if kind == "labels":
        np.testing.assert_allclose(said.test[:, 2], 1, atol=1e-6)
    if name == "constant":
        return
    truth, least = expected(kind), 0.95 if validated else 0.85  # without validation a linear model keeps a middling penalty
    if kind == "classes":
        assert (said.test.argmax(axis=1) == truth).mean() > least
    elif kind == "labels":
        assert ((said.test >= 0.5) == truth).mean() > least
    else:
        assert np.abs(said.test[:, 0] - truth).mean() < (15 if validated else 25)  # the mean is 36 off


def _without_validation(made: Given) -> Any:
    return lambda split: iter(()) if split == "validation" else made.rows(split)


@pytest.mark.parametrize("name", [name for name, _ in answering("classes") if name != "constant"])
def test_what_does_not_suit_is_told(name: str) -> None:
    reason = registry.create("baselines", name, {}).fits(given("classes", inputs={}, features=lambda split: None))
    assert reason
