"""Baselines against scikit-learn's pipelines, what is drawn of many rows, and what the driver does with errors and costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.contracts.test_baselines import expected, given

from tunesmith import baselines
from tunesmith.baselines import _kinds, knn, linear_probe, tfidf
from tunesmith.baselines.boosting import Boosting
from tunesmith.baselines.knn import PRIOR, Neighbours
from tunesmith.baselines.linear_probe import LinearProbe
from tunesmith.baselines.tfidf import TfIdf, unspaced
from tunesmith.core.errors import DataError, UnknownNameError
from tunesmith.core.outcomes import Given
from tunesmith.core.spending import Spent

TOPICS = ("goal match team referee league", "rain cloud wind storm sun", "vote party law minister tax")


def of_texts(texts: dict[str, list[str]], truth: dict[str, np.ndarray], classes: int) -> Given:
    def rows(split: str) -> Any:
        return ({"text": text} for text in texts[split])

    return Given(
        {"text": "text"},
        rows,
        {s: truth[s] for s in ("train", "validation")},
        "classes" if classes else "numbers",
        classes,
        lambda split: None,
        0,
    )


def sentences(spaces: bool = True) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """Sentences of which three words of five are of their topic, the others of any."""
    rng = np.random.default_rng(0)
    every = " ".join(TOPICS).split()
    texts, truth = {}, {}
    for split, n in {"train": 150, "validation": 60, "test": 90}.items():
        truth[split] = rng.integers(0, 3, n)
        texts[split] = [(" " if spaces else "").join([*rng.choice(TOPICS[c].split(), 2), *rng.choice(every, 3)]) for c in truth[split]]
    return texts, truth


def test_tfidf_is_scikit_learns() -> None:
    texts, truth = sentences()
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    reference = make_pipeline(vectorizer, LogisticRegression(C=3, tol=1e-8, max_iter=1000)).fit(texts["train"], truth["train"])
    said = TfIdf(strengths=(3.0,)).said(of_texts(texts, truth, 3))
    for split, found in (("test", said.test), ("validation", said.validation)):
        np.testing.assert_allclose(found, reference.predict_proba(texts[split]), atol=5e-3)
    terms = len(vectorizer.vocabulary_)
    assert f"{terms:,} terms of words" in said.note
    assert said.learned == (terms + 1) * 3 + terms


def test_texts_without_spaces_are_taken_apart_into_characters() -> None:
    texts, truth = sentences(spaces=False)
    said = TfIdf().said(of_texts(texts, truth, 3))
    assert "terms of characters" in said.note
    assert (said.test.argmax(axis=1) == truth["test"]).mean() > 0.7
    assert unspaced(["このカードはどこにありますか教えてください"])
    assert not unspaced(["Donaudampfschifffahrt ist ein langes Wort", ""])


def test_texts_without_words_are_told() -> None:
    empty = {split: [""] * 4 for split in ("train", "validation", "test")}
    truth = {split: np.array([0, 1, 0, 1]) for split in empty}
    with pytest.raises(DataError, match="no words"):
        TfIdf().said(of_texts(empty, truth, 2))


def test_terms_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfidf, "MOST_TERMS", 7)
    texts, truth = sentences()
    said = TfIdf().said(of_texts(texts, truth, 3))
    assert said.learned == 8 * 3 + 7


def test_the_probe_is_scikit_learns() -> None:
    made = given("classes")
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-8, max_iter=1000))
    reference.fit(made.features("train"), made.truth["train"])
    said = LinearProbe(strengths=(0.1,)).said(made)
    np.testing.assert_allclose(said.test[:, :3], reference.predict_proba(made.features("test")), atol=3e-3)


def test_neighbours_are_scikit_learns_with_a_prior() -> None:
    made = given("classes")
    unit = {s: made.features(s) / np.linalg.norm(made.features(s), axis=1, keepdims=True) for s in ("train", "test")}
    shares = KNeighborsClassifier(5).fit(unit["train"], made.truth["train"]).predict_proba(unit["test"])
    prior = np.bincount(made.truth["train"]) / len(made.truth["train"])
    said = Neighbours(neighbours=(5,)).said(made)
    np.testing.assert_allclose(said.test[:, :3], (5 * shares + PRIOR * prior) / (5 + PRIOR), atol=1e-6)


def test_validation_chooses_how_many_neighbours_vote() -> None:
    """Classes alternate along an arc, so that one neighbour is right and many are wrong."""
    angles = {"train": np.linspace(0, 1.5, 60), "validation": np.linspace(0, 1.5, 60) + 1e-4, "test": np.linspace(0, 1.5, 60) - 1e-4}
    features = {s: np.stack([np.cos(a), np.sin(a)], axis=1).astype(np.float32) for s, a in angles.items()}
    y = np.arange(60) % 2
    made = Given({}, lambda split: iter(()), {"train": y, "validation": y}, "classes", 2, features.get, 0)
    said = Neighbours().said(made)
    assert said.note == "k = 1, chosen on validation"
    assert (said.test.argmax(axis=1) == y).all()


def test_trees_are_scikit_learns() -> None:
    made = given("classes")
    said = Boosting(rounds=5).said(made)
    columns = {s: [[float(row["size"]), ["red apples", "green pears", "blue plums"].index(row["colour"])] for row in made.rows(s)] for s in
               ("train", "validation", "test")}  # fmt: skip
    reference = HistGradientBoostingClassifier(max_iter=5, categorical_features=[False, True], early_stopping=True, random_state=0)
    reference.fit(np.array(columns["train"]), made.truth["train"], X_val=np.array(columns["validation"]), y_val=made.truth["validation"])
    np.testing.assert_allclose(said.test[:, :3], reference.predict_proba(np.array(columns["test"])), atol=1e-6)


def test_trees_take_what_is_missing_or_unseen() -> None:
    made = given("classes")
    odd = given("classes", rows=lambda s: iter([{"size": "", "colour": None}, {"colour": "mauve"}]) if s == "test" else made.rows(s))
    assert np.isfinite(Boosting().said(odd).test).all()


@pytest.mark.parametrize(("module", "make"), [(tfidf, TfIdf), (knn, Neighbours), (linear_probe, LinearProbe)])
def test_of_many_rows_some_are_drawn_and_it_is_said(module: Any, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 40)
    said = make().said(given("classes"))
    assert "learned from 40 of 90 training rows" in said.note
    assert (said.test.argmax(axis=1) == expected("classes")).mean() > 0.9


def test_drawn_rows_are_read_in_order() -> None:
    made = given("classes")
    places, _ = _kinds.drawn(made, 10)
    assert list(places) == sorted(set(places))
    every = [row["size"] for row in made.rows("train")]
    assert [row["size"] for row in _kinds.picked(made.rows("train"), places)] == [every[i] for i in places]


def test_costs_and_reasons() -> None:
    spent = Spent(100.0, 1 << 40, 5.0, "rapl")
    made = given("classes", inputs={"note": "text"})
    found = {item.name: item for item in baselines.tried(made, features=spent)}
    assert found["pixels"].said is found["pixels"].spent is None
    assert found["pixels"].skipped == "there are no pictures"
    for name in ("knn", "linear_probe"):
        assert found[name].spent is not None
        assert 100 < found[name].spent.seconds < 160
        assert found[name].spent.peak_bytes == 1 << 40
    assert found["tfidf"].spent.seconds < 60
    assert not found["tfidf"].skipped
    with pytest.raises(UnknownNameError, match="tfidf"):
        baselines.tried(made, ["tfidv"])


def test_errors_for_users_leave_a_baseline_out_and_faults_do_not() -> None:
    same = given("classes", truth={"train": np.zeros(90, int), "validation": np.zeros(30, int)})
    (item,) = baselines.tried(same, ["linear-probe"])
    assert (item.name, item.said) == ("linear_probe", None)
    assert "the same label" in item.skipped

    def failing(split: str) -> Any:
        if split == "test":
            raise ZeroDivisionError
        return given("classes").features(split)

    with pytest.raises(ZeroDivisionError):
        baselines.tried(given("classes", features=failing), ["knn"])
