"""Rows whose features are almost those of a training row, for backbones whose features are spread and for those where all are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.gate.views import divided, view_of

from tunesmith.core.neighbours import unit
from tunesmith.gate.near_embeddings import NearEmbeddings

ROWS = [{"text": "a"}] * 900
SPLITS = divided(900)


def features(common: float) -> Any:
    """Features with `common` times a vector that all rows share: the larger, the more alike any two rows look."""
    rng = np.random.default_rng(3)
    return (rng.normal(size=(900, 48)) + common * rng.normal(size=48)).astype(np.float32)


@pytest.mark.parametrize("common", [0.0, 20.0])
def test_planted_pairs_are_found_and_no_others(common: float) -> None:
    values = features(common)
    train, test, validation = (np.flatnonzero(np.asarray(SPLITS) == split) for split in ("train", "test", "validation"))
    noise = np.random.default_rng(4).normal(size=(8, 48)) * 0.05
    values[test[:5]] = values[train[10:15]] + noise[:5]
    values[validation[:3]] = values[train[20:23]] + noise[5:]
    (found,) = NearEmbeddings().inspect(view_of(ROWS, {"text": "text"}, SPLITS, [0] * 900, ["a"], values))
    assert (found.severity, found.count, found.of, found.leave_out) == ("warning", 8, len(test) + len(validation), ())
    expected = dict(zip([*test[:5], *validation[:3]], [*train[10:15], *train[20:23]], strict=True))
    assert all(expected[example.row] == example.beside for example in found.examples)
    assert "5 test and 3 validation row(s)" in found.what


@pytest.mark.parametrize("common", [0.0, 20.0])
def test_independent_rows_raise_no_alarm(common: float) -> None:
    assert NearEmbeddings().inspect(view_of(ROWS, {"text": "text"}, SPLITS, [0] * 900, ["a"], features(common))) == []


def test_rows_that_all_lie_close_need_a_higher_cosine() -> None:
    """Tight clusters, as fine-tuned features have: nearly every row has a neighbour of a cosine above 0.98."""
    rng = np.random.default_rng(5)
    values = (8 * rng.normal(size=(6, 48)))[rng.integers(0, 6, 900)] + rng.normal(size=(900, 48)) * 0.8
    view = view_of(ROWS, {"text": "text"}, SPLITS, [0] * 900, ["a"], values.astype(np.float32))
    centred = unit(values - values[view.splits["train"]].mean(axis=0))
    assert np.median((centred[view.splits["test"]] @ centred[view.splits["train"]].T).max(axis=1)) > 0.98
    assert NearEmbeddings().inspect(view) == []


def test_without_features_it_is_passed_over() -> None:
    assert (
        NearEmbeddings().applies(view_of(ROWS, {"text": "text"}, SPLITS, [0] * 900, ["a"])) == "features of the backbone were not computed"
    )
