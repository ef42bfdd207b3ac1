"""Cheap ways with series against scikit-learn, and against what the archive publishes where its data is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from tunesmith.baselines import tried
from tunesmith.core.outcomes import Given
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.ts_files import TsReader


def given(train: list[dict[str, Any]], truth: np.ndarray, test: list[dict[str, Any]], inputs: dict[str, str], classes: int) -> Given:
    rows = {"train": train, "validation": train[:5], "test": test}
    return Given(
        inputs=inputs,
        rows=lambda split: iter(rows[split]),
        truth={"train": truth, "validation": truth[:5]},
        answers="classes",
        classes=classes,
        features=lambda split: None,
        seed=0,
    )


@pytest.mark.parametrize("wide", [True, False])
def test_the_nearest_series_is_scikit_learns(wide: bool) -> None:
    rng = np.random.default_rng(0)
    values, truth = rng.normal(3, 1, (300, 20)).astype(np.float32), rng.integers(0, 3, 300)
    names = [f"t{i}" for i in range(20)]

    def rows(part: np.ndarray) -> list[dict[str, Any]]:
        return [dict(zip(names, map(str, one), strict=True)) if wide else {"series": json.dumps(one)} for one in part.tolist()]

    inputs = dict.fromkeys(names, "number") if wide else {"series": "series"}
    found = tried(given(rows(values[:200]), truth[:200], rows(values[200:]), inputs, 3), ["nearest_series"])[0]
    assert found.said is not None, found.skipped
    expected = KNeighborsClassifier(1).fit(values[:200], truth[:200]).predict(values[200:])
    np.testing.assert_array_equal(found.said.test.argmax(1), expected)
    np.testing.assert_allclose(found.said.test.sum(1), 1, rtol=1e-6)
    assert (found.said.validation.argmax(1) == truth[:5]).all()


@pytest.mark.real
@pytest.mark.parametrize(("name", "accuracy"), [("GunPoint", 0.913), ("ItalyPowerDemand", 0.955), ("BasicMotions", 0.6)])
def test_published_accuracies_of_the_nearest_series(shared: Path, name: str, accuracy: float) -> None:
    folder = shared / "ucr_uea" / name
    train, test = ([row for _, row in TsReader(folder / f"{name}_{part}.ts").rows(BadRows())] for part in ("TRAIN", "TEST"))
    classes = sorted({row["label"] for row in train})
    codes = [np.asarray([classes.index(row["label"]) for row in part]) for part in (train, test)]
    found = tried(given(train, codes[0], test, {"series": "series"}, len(classes)), ["nearest_series"])[0]
    assert found.said is not None
    assert round(float((found.said.test.argmax(1) == codes[1]).mean()), 3) == accuracy
