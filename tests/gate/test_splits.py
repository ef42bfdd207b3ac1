"""Groups and times that cross the split."""

from __future__ import annotations

import datetime
from random import Random

import numpy as np
import pytest
from tests.gate.planting import clean_rows, clean_splits, found, view

from tunesmith.gate.groups import names_someone


def _grouped(column: str, groups: int, leaked: int = 0) -> tuple[list[dict[str, str]], dict[str, list[int]]]:
    """Rows of `groups` values a split that stay on one side, but for some test rows that take a value of training."""
    rows, splits = clean_rows(), clean_splits()
    for split, numbers in splits.items():
        for place, number in enumerate(numbers):
            rows[number][column] = f"{split}{place % groups}"
    for number in splits["test"][:leaked]:
        rows[number][column] = "train0"
    return rows, splits


def test_groups_that_stay_on_one_side_are_no_finding() -> None:
    rows, splits = _grouped("patient_id", 20)
    assert found(view(rows, splits), "groups") == {}
    assert found(view(rows, splits, group="patient_id"), "groups") == {}


def test_one_row_of_a_named_group_on_the_other_side_is_an_error() -> None:
    rows, splits = _grouped("ward", 20, leaked=1)
    finding = found(view(rows, splits, group="ward"), "groups")["groups_cross_split"]
    assert (finding.severity, finding.count, finding.of) == ("error", 1, 60)
    assert (finding.examples[0].row, finding.examples[0].shown) == (splits["test"][0], "ward = train0")
    assert rows[finding.examples[0].beside or 0]["ward"] == "train0"
    assert found(view(rows, splits), "groups") == {}  # nobody said that wards matter


@pytest.mark.parametrize(("groups", "severity"), [(20, "warning"), (2, "info")])
def test_a_column_called_after_persons_is_advised(groups: int, severity: str) -> None:
    rows, splits = _grouped("PatientID", groups, leaked=6)
    finding = found(view(rows, splits), "groups")["groups_cross_split"]
    assert (finding.severity, finding.count) == (severity, 6)
    assert "--group PatientID" in finding.advice


def test_numbers_that_name_single_rows_are_no_groups() -> None:
    rows, splits = clean_rows(), clean_splits()
    for number, row in enumerate(rows):
        row["user_id"] = str(number)
    assert found(view(rows, splits), "groups") == {}


@pytest.mark.parametrize("name", ["patient", "Patient ID", "customer_no", "speakerName", "subject-id", "userid", "SITE", "session_uuid"])
def test_names_of_persons(name: str) -> None:
    assert names_someone(name)


@pytest.mark.parametrize(
    "name", ["text", "user_rating", "patient_age", "identity", "id", "visit_reason", "12", "", "grouped", "sites_visited"]
)
def test_other_names(name: str) -> None:
    assert not names_someone(name)


def _dated(ordered: bool) -> tuple[list[dict[str, str]], dict[str, list[int]]]:
    rows, splits = clean_rows(), clean_splits()
    places = [number for split in ("train", "validation", "test") for number in splits[split]]
    days = list(range(len(places))) if ordered else Random(3).sample(range(len(places)), len(places))
    for number, day in zip(places, days, strict=True):
        rows[number]["day"] = (datetime.date(2023, 1, 1) + datetime.timedelta(days=day)).isoformat()
    return rows, splits


def test_a_split_in_the_order_of_time_is_no_finding() -> None:
    rows, splits = _dated(ordered=True)
    assert found(view(rows, splits, time="day"), "time_order") == {}
    for row in rows:
        row["label"] = "abc"[min(2, int(row["day"] > "2023-06") + int(row["day"] > "2023-09"))]
    assert found(view(rows, splits), "time_order") == {}


def test_a_named_time_that_runs_backwards_is_an_error() -> None:
    rows, splits = _dated(ordered=False)
    finding = found(view(rows, splits, time="day"), "time_order")["test_before_training"]
    latest = max(splits["train"], key=lambda number: rows[number]["day"])
    earlier = [number for number in splits["test"] if rows[number]["day"] < rows[latest]["day"]]
    assert (finding.severity, finding.count) == ("error", len(earlier))
    assert [example.row for example in finding.examples] == earlier[:5]
    assert {example.beside for example in finding.examples} == {latest}


def test_one_early_row_among_many_is_a_warning_and_equal_times_are_none() -> None:
    rows = [{"text": f"t{i}", "label": "ab"[i % 2], "when": str(i)} for i in range(900)]
    splits = {"train": list(range(500)), "validation": list(range(500, 600)), "test": list(range(600, 900))}
    rows[700]["when"] = "499"
    assert found(view(rows, splits, time="when"), "time_order") == {}
    rows[700]["when"] = "498"
    assert found(view(rows, splits, time="when"), "time_order")["test_before_training"].severity == "warning"


@pytest.mark.parametrize("numbers", [False, True])
def test_a_date_is_advised_where_the_label_depends_on_it_only(numbers: bool) -> None:
    rows, splits = _dated(ordered=False)
    rng = np.random.default_rng(0)
    targets = {number: float(rng.normal()) for number in range(len(rows))} if numbers else None
    assert found(view(rows, splits, targets=targets), "time_order") == {}
    for number, row in enumerate(rows):
        late = row["day"] > "2023-06-15"
        row["label"] = "a" if late == (rng.random() < 0.9) else "b"
        if targets is not None:
            targets[number] += 3 * late
    finding = found(view(rows, splits, targets=targets), "time_order")["split_ignores_time"]
    assert finding.severity == "warning"
    assert "--time day" in finding.advice
