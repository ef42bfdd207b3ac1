"""Splits of few rows are told with the width that the normal approximation of a share has."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tests.gate.planting import clean_rows, clean_splits, found, view


def test_few_test_rows_are_a_warning_with_their_uncertainty() -> None:
    rows, splits = clean_rows(), clean_splits()
    assert found(view(rows, splits), "few_rows") == {}
    few = found(view(rows, {**splits, "test": splits["test"][:6]}), "few_rows")["few_test_rows"]
    assert (few.severity, few.count) == ("warning", 6)
    draws = stats.binom(6, 0.8)
    assert float(few.what.split("by ")[1].split()[0]) == pytest.approx(2 * draws.std() / 6, abs=0.005)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_one_row_is_called_one(split: str) -> None:
    rows, splits = clean_rows(), clean_splits()
    told = found(view(rows, {**splits, split: np.asarray(splits[split][:1])}), "few_rows")
    assert f"only 1 {split} row:" in told[f"few_{split}_rows"].what
