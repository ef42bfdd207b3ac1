"""Baselines on DNA against scikit-learn's pipelines on features that are counted otherwise."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import OneHotEncoder

from tunesmith.baselines.kmers import KmerCounts, shares
from tunesmith.baselines.one_hot import OneHot
from tunesmith.core.outcomes import Given

MOTIFS = ("TATAAA", "CACGTG", "GGTAAG")


def sequences(equal: bool = True) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """Sequences of 20 letters whose motif stands in the middle."""
    rng = Random(0)
    texts: dict[str, list[str]] = {}
    truth = {}
    for split, n in {"train": 150, "validation": 60, "test": 90}.items():
        codes = [rng.randrange(3) for _ in range(n)]
        noise = ["".join(rng.choice("ACGT") for _ in range(14 if equal else rng.randint(10, 18))) for _ in codes]
        texts[split] = [
            some[:7] + "".join(c if rng.random() > 0.25 else "A" for c in MOTIFS[code]) + some[7:]
            for some, code in zip(noise, codes, strict=True)
        ]
        truth[split] = np.asarray(codes)
    texts["test"][0] = texts["test"][0].lower().replace("t", "u")
    return texts, truth


def given(texts: dict[str, list[str]], truth: dict[str, np.ndarray], answers: str = "classes") -> Given:
    def rows(split: str) -> Any:
        return ({"sequence": text} for text in texts[split])

    known = {split: truth[split] for split in ("train", "validation")}
    return Given({"sequence": "dna"}, rows, known, answers, 3 if answers == "classes" else 0, lambda split: None, 0)


def letters(texts: list[str]) -> np.ndarray:
    return np.asarray([list(text.upper().replace("U", "T")) for text in texts])


@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_one_hot_is_scikit_learns(strength: float) -> None:
    texts, truth = sequences()
    encoder = OneHotEncoder(categories=[list("ACGT")] * 20)
    x = {split: encoder.fit_transform(letters(some)) for split, some in texts.items()}
    reference = LogisticRegression(C=strength, tol=1e-8, max_iter=1000).fit(x["train"], truth["train"])
    said = OneHot((strength,)).said(given(texts, truth))
    np.testing.assert_allclose(said.test, reference.predict_proba(x["test"]), atol=5e-3)
    assert (said.test.argmax(1) == truth["test"]).mean() > 0.85


def test_shares_are_those_of_a_count_vectorizer() -> None:
    texts, _ = sequences(equal=False)
    found = shares(texts["train"], 3)
    words = [["".join(word) for word in itertools.product("ACGT", repeat=k)] for k in (1, 2, 3)]
    parts = []
    for k, vocabulary in enumerate(words, 1):
        counts = (
            CountVectorizer(analyzer="char", ngram_range=(k, k), lowercase=False, vocabulary=vocabulary).transform(texts["train"]).toarray()
        )
        parts.append(np.sqrt(counts / counts.sum(axis=1, keepdims=True)))
    np.testing.assert_allclose(found, np.concatenate(parts, axis=1), atol=1e-6)


def test_kmers_for_classes_and_numbers() -> None:
    texts, truth = sequences(equal=False)
    clean = {split: [text.upper().replace("U", "T") for text in some] for split, some in texts.items()}
    x = {split: shares(some, 4) for split, some in clean.items()}
    reference = LogisticRegression(C=100, tol=1e-8, max_iter=2000).fit(x["train"], truth["train"])
    said = KmerCounts(strengths=(100.0,)).said(given(texts, truth))
    np.testing.assert_allclose(said.test, reference.predict_proba(x["test"]), atol=3e-2)
    numbers = {split: codes * 10.0 for split, codes in truth.items()}
    ridge = Ridge(alpha=0.1).fit(x["train"], numbers["train"] / numbers["train"].std())
    said = KmerCounts(strengths=(10.0,)).said(given(texts, numbers, "numbers"))
    np.testing.assert_allclose(said.test[:, 0], ridge.predict(x["test"]) * numbers["train"].std(), rtol=0.05, atol=0.3)


def test_which_baseline_is_for_which_sequences() -> None:
    equal, unequal = (given(*sequences(equal=same)) for same in (True, False))
    assert OneHot().fits(equal) is None
    assert OneHot().fits(unequal) == "the sequences differ in length"
    assert KmerCounts().fits(unequal) is None
    texts = Given({"text": "text"}, lambda split: iter(()), {}, "classes", 2, lambda split: None, 0)
    assert OneHot().fits(texts) == KmerCounts().fits(texts) == "there is no DNA"


def test_a_test_row_of_another_length_is_cut_or_filled_up() -> None:
    texts, truth = sequences()
    texts["test"][1], texts["test"][2] = "ACG", "ACGT" * 20
    said = OneHot((1.0,)).said(given(texts, truth))
    assert said.test.shape == (90, 3)
    assert np.isfinite(said.test).all()
