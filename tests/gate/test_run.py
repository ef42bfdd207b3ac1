"""All inspections together: silent on clean data, the same whatever the order of rows, sorted by what matters."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from tests.gate.planting import clean_rows, clean_splits, view

from tunesmith.core import registry
from tunesmith.core.errors import UnknownNameError
from tunesmith.core.findings import MOST_EXAMPLES, Severity, View
from tunesmith.gate import inspect


def _faulty() -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """Rows with a fault for nearly every inspection."""
    rows, splits = clean_rows(), clean_splits()
    train, validation, test = splits["train"], splits["validation"], splits["test"]
    for number, row in enumerate(rows):
        row.update(
            patient=f"p{number % 40}",
            day=f"2024-01-{1 + 9 * 'abc'.index(row['label']) + number % 8:02d}",
            coded=row["label"] * 2,
            gone=None,
        )
    for place in range(3):
        rows[train[place]] = {**rows[test[place]]}
        rows[train[10 + place]]["text"] = rows[test[10 + place]]["text"] + " indeed"
        rows[train[20 + place]]["text"] = rows[train[30]]["text"]
        rows[validation[place]]["text"] = rows[train[40 + place]]["text"]
    rows[train[20]]["label"], rows[train[30]]["label"] = "a", "b"
    rows[train[50]]["text"], rows[test[50]]["text"] = None, "..."
    rows[test[51]]["text"] *= 90
    for number in train[60:64]:
        rows[number]["label"] = "rare"
    for row in rows:
        row["coded"] = row["label"] * 2
    return rows, splits


def _view(rows: list[dict[str, Any]], splits: dict[str, list[int]]) -> View:
    return view(rows, splits, unreadable=(4, ["rows.csv, line 9: the label is missing"]))


def test_clean_data_is_no_finding() -> None:
    for seed in range(4):
        inspected = inspect(view(clean_rows(seed), clean_splits()))
        assert [finding.what for finding in inspected.findings] == []
        assert set(inspected.skipped) | set(inspected.seconds) == set(registry.entries("inspections"))


def test_faults_are_sorted_and_complete_sentences_that_name_rows() -> None:
    rows, splits = _faulty()
    inspected = inspect(_view(rows, splits))
    order = [get_args(Severity).index(finding.severity) for finding in inspected.findings]
    assert order == sorted(order, reverse=True)
    names = {finding.name for finding in inspected.findings}
    assert names >= {
        "test_rows_in_training",
        "validation_rows_in_training",
        "copies_in_training",
        "contradictory_labels",
        "near_test_rows_in_training",
        "groups_cross_split",
        "split_ignores_time",
        "label_given_away",
        "rare_classes",
        "classes_not_scored",
        "empty_columns",
        "missing_inputs",
        "unreadable_rows",
        "texts_without_words",
        "long_texts",
    }
    placed = {number: split for split, numbers in splits.items() for number in numbers}
    for finding in inspected.findings:
        assert 0 < finding.count <= finding.of
        assert len(finding.examples) <= MOST_EXAMPLES
        assert finding.examples
        assert finding.what
        assert not finding.what.endswith(".")
        assert finding.advice
        assert len(finding.instead) == len(finding.leave_out) == len(set(finding.leave_out))
        for row, other in zip(finding.leave_out, finding.instead, strict=True):
            assert row != other
            assert placed[row] != "test"
        for example in finding.examples:
            assert example.row is None or example.row in placed
            assert "\n" not in example.shown


@pytest.mark.parametrize("seed", range(3))
def test_findings_do_not_depend_on_the_order_of_rows(seed: int) -> None:
    rows, splits = _faulty()
    place = np.random.default_rng(seed).permutation(len(rows))
    mixed: list[dict[str, Any]] = [{}] * len(rows)
    for number, row in enumerate(rows):
        mixed[place[number]] = row
    moved = {split: sorted(int(place[number]) for number in numbers) for split, numbers in splits.items()}
    told = [
        sorted(
            (finding.name, finding.severity, finding.count, finding.of, finding.what, len(finding.leave_out)) for finding in got.findings
        )
        for got in (inspect(_view(rows, splits)), inspect(_view(mixed, moved)))
    ]
    assert told[0] == told[1]


def test_inspections_are_run_by_name() -> None:
    rows, splits = _faulty()
    inspected = inspect(_view(rows, splits), ["unreadable", "groups"])
    assert {finding.name for finding in inspected.findings} == {"unreadable_rows", "groups_cross_split"}
    assert list(inspected.seconds) == ["unreadable", "groups"]
    with pytest.raises(UnknownNameError, match="did you mean 'duplicates'"):
        inspect(_view(rows, splits), ["duplicate"])


def test_what_does_not_apply_is_skipped_with_its_reason() -> None:
    inspected = inspect(view(clean_rows(), clean_splits()), ["time_order", "groups"])
    assert inspected.findings == []
    assert inspected.seconds == {}
    assert "no column holds dates" in inspected.skipped["time_order"]
