"""Logistic regression on a table against a pipeline of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tunesmith.baselines.logistic import Logistic
from tunesmith.core.outcomes import Given


def rows(n: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [{"age": f"{rng.normal(40, 9):.3f}", "job": str(rng.choice(["a", "b", "c"]))} for _ in range(n)]


def given(splits: dict[str, list[dict[str, Any]]], truth: dict[str, np.ndarray], kinds: dict[str, str]) -> Given:
    return Given(kinds, lambda split: iter(splits[split]), truth, "classes", 2, lambda split: None, 0)


def test_probabilities_are_those_of_scikit_learn() -> None:
    splits = {name: rows(n, seed) for seed, (name, n) in enumerate({"train": 300, "validation": 0, "test": 50}.items())}
    y = np.asarray([int(float(row["age"]) + 12 * (row["job"] == "a") > 44) for row in splits["train"]])
    said = Logistic(strengths=(1.0,)).said(given(splits, {"train": y}, {"age": "number", "job": "category"})).test
    table = ColumnTransformer([("n", StandardScaler(), ["age"]), ("c", OneHotEncoder(), ["job"])])
    frames = {name: pd.DataFrame(part).astype({"age": float}) for name, part in splits.items() if part}
    # two softmax outputs share one penalty, of which each bears a half: the C of a single output is twice as large
    reference = make_pipeline(table, LogisticRegression(C=2.0, tol=1e-8, max_iter=1000)).fit(frames["train"], y)
    np.testing.assert_allclose(said, reference.predict_proba(frames["test"]), atol=5e-3)


def test_gaps_dates_and_new_categories_are_read() -> None:
    train = [{"age": "?" if i % 2 else "7", "job": "a", "day": f"2020-01-{1 + i % 28:02d}"} for i in range(40)]
    test = [{"age": "?", "job": "new", "day": "2020-01-30"}, {"age": "7", "job": None, "day": None}]
    y = np.asarray([i % 2 for i in range(40)])
    splits = {"train": train, "validation": [], "test": test}
    said = Logistic().said(given(splits, {"train": y}, {"age": "number", "job": "category", "day": "date"})).test
    assert said[0, 1] > 0.6
    assert said[1, 1] < 0.4
