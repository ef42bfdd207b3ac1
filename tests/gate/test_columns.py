"""Statistics of columns against scikit-learn and scipy, and what is found in columns, labels and sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn.metrics import roc_auc_score
from tests.gate.planting import clean_rows, clean_splits, found, sentence, view

from tunesmith.core.contracts import Picture
from tunesmith.gate import inspect
from tunesmith.gate._columns import auroc, cramer, fact, ranks, spearman


@pytest.mark.parametrize("seed", range(5))
def test_statistics_agree_with_scipy_and_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 9, 80).astype(float), rng.normal(0, 1, 80)
    np.testing.assert_allclose(ranks(x), stats.rankdata(x))
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert auroc(x, y > 0) == pytest.approx(roc_auc_score(y > 0, x))
    a, b = rng.integers(0, 3, 200), rng.integers(0, 4, 200)
    b = np.where(rng.random(200) < 0.5, a, b)
    table = np.zeros((3, 4), np.int64)
    np.add.at(table, (a, b), 1)
    uncorrected = stats.contingency.association(table, "cramer")
    assert 0 < cramer(a, b) < uncorrected  # the correction takes away what chance gives
    assert cramer(a, b) == pytest.approx(uncorrected, abs=0.03)
    assert cramer(a, rng.permutation(b)) < 0.15


def test_a_column_is_numbers_where_nearly_all_cells_are() -> None:
    cells = ["1", "2.5", None, *["3"] * 30]
    assert fact("x", cells, ["4"]).numeric
    assert not fact("x", [*cells, "many", "few"], ["4"]).numeric
    assert not fact("x", [None, None], [None]).numeric


def test_imbalance_from_ten_to_one_on() -> None:
    splits = clean_splits()
    rows = [{"text": sentence(Random(i)), "label": "a"} for i in range(360)]
    for split in splits.values():
        for number in split[: len(split) // 10]:
            rows[number]["label"] = "b"
    assert found(view(rows, splits), "balance") == {}  # 9 to 1
    for number in splits["train"][:9]:
        rows[number]["label"] = "a"
    finding = found(view(rows, splits), "balance")["imbalance"]
    assert (finding.severity, finding.count, finding.of) == ("warning", 1, 2)
    assert "'b' (15 training rows) 15 times by 'a' (225)" in finding.what
    assert "--set task.class_weights=balanced" in finding.advice


def test_rare_and_absent_classes_are_named() -> None:
    rows, splits = clean_rows(), clean_splits()
    for number in splits["train"][:4]:
        rows[number]["label"] = "rare"
    findings = found(view(rows, splits), "balance")
    assert findings["rare_classes"].examples[0].shown == "rare: 4 training rows"
    assert "--rare-classes drop" in findings["rare_classes"].advice
    assert "1 of 4 classes is absent from validation or test" in findings["classes_not_scored"].what


def test_labels_of_several_are_counted_by_row() -> None:
    rows, splits = clean_rows(), clean_splits()
    targets = {number: [1, number % 2, 0] for number in range(len(rows))}
    targets[splits["train"][0]][2] = 1
    findings = found(view(rows, splits, targets=targets, classes=["all", "half", "one"]), "balance")
    assert findings["rare_classes"].examples[0].shown == "one: 1 training rows"
    assert findings["imbalance"].severity == "info"
    assert findings["imbalance"].count == 2


def test_numbers_that_never_or_rarely_change() -> None:
    rows, splits = clean_rows(), clean_splits()
    targets = dict.fromkeys(range(len(rows)), 3.0)
    assert found(view(rows, splits, targets=targets), "balance")["constant_target"].severity == "error"
    targets.update({number: float(number) for number in range(100)})
    assert found(view(rows, splits, targets=targets), "balance")["same_number"].severity == "warning"
    targets.update({number: float(number) for number in range(300)})
    assert found(view(rows, splits, targets=targets), "balance") == {}


def test_empty_constant_and_gappy_columns() -> None:
    rows, splits = clean_rows(), clean_splits()
    for number, row in enumerate(rows):
        row.update(nothing=None, same="1", gaps="x" if number % 3 == 0 else None, few=None if number % 9 else "y")
    findings = found(view(rows, splits), "columns")
    shown = {name: ([example.shown for example in finding.examples], finding.severity) for name, finding in findings.items()}
    assert shown == {
        "empty_columns": (["nothing"], "info"),
        "constant_columns": (["same"], "info"),
        "columns_with_gaps": (["gaps", "few"], "info"),
    }
    findings = found(view(rows, splits, {"text": "text", "same": "text"}), "columns")
    assert findings["constant_columns"].severity == "warning"
    assert "--inputs" in findings["constant_columns"].advice


@pytest.mark.parametrize(("count", "severity"), [(2, "info"), (30, "warning")])
def test_inputs_that_hold_nothing(count: int, severity: str) -> None:
    rows, splits = clean_rows(), clean_splits()
    for number in range(count):
        rows[number]["text"] = " \n" if number % 2 else None
    finding = found(view(rows, splits), "columns")["missing_inputs"]
    assert (finding.count, finding.severity, finding.examples[0].row) == (count, severity, 0)
    assert found(view(rows, splits), "sizes") == {}


@pytest.mark.parametrize(("count", "severity"), [(1, "info"), (9, "warning")])
def test_unreadable_rows(count: int, severity: str) -> None:
    rows, splits = clean_rows(), clean_splits()
    assert found(view(rows, splits), "unreadable") == {}
    finding = found(view(rows, splits, unreadable=(count, ["rows.csv, line 7: no label"])), "unreadable")["unreadable_rows"]
    assert (finding.count, finding.of, finding.severity, finding.examples[0].shown) == (count, 360, severity, "rows.csv, line 7: no label")


def test_long_texts_and_texts_without_words() -> None:
    rows, splits = clean_rows(), clean_splits()
    rows[5]["text"], rows[6]["text"] = "?!", sentence(Random(0), 900)
    findings = found(view(rows, splits), "sizes")
    assert {name: [example.row for example in finding.examples] for name, finding in findings.items()} == {
        "texts_without_words": [5],
        "long_texts": [6],
    }
    assert f"up to {len(rows[6]['text']):,} characters" in findings["long_texts"].what


def _pictures(folder: Path, sizes: dict[int, tuple[int, int]], count: int = 60) -> list[dict[str, Any]]:
    rows = []
    rng = np.random.default_rng(0)
    for number in range(count):
        width, height = sizes.get(number, (90 + number % 20, 80))
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(path)
        rows.append({"image": str(path), "label": "ab"[number % 2]})
    return rows


PICTURES = {"train": list(range(0, 40)), "validation": list(range(40, 50)), "test": list(range(50, 60))}


def test_pictures_of_unusual_size(tmp_path: Path) -> None:
    rows = _pictures(tmp_path, {3: (10, 12), 44: (900, 800), 55: (700, 60)})
    findings = found(view(rows, PICTURES, {"image": "image"}), "sizes")
    assert {name: [example.row for example in finding.examples] for name, finding in findings.items()} == {
        "tiny_pictures": [3],
        "huge_pictures": [44],
        "stretched_pictures": [55],
    }


def test_pictures_are_measured_by_their_files_whether_they_are_kept_decoded_or_not(tmp_path: Path) -> None:
    rows = _pictures(tmp_path, {3: (10, 12), 44: (900, 800), 55: (700, 60)})
    rows[1]["image"] = Path(rows[1]["image"]).read_bytes()
    small = Picture(np.zeros((40, 40, 3), np.uint8), np.zeros((32, 32, 3), np.uint8))  # as a network reads it: its own size is not known

    def kept(numbers: Any, columns: Any) -> Iterator[dict[str, Any]]:
        return ({"image": small, "label": rows[int(number)]["label"]} for number in numbers)

    plain = view(rows, PICTURES, {"image": "image"})
    decoded = dataclasses.replace(plain, read=kept)
    first, second = ([vars(one) for one in inspect(of, ["sizes"]).findings] for of in (plain, decoded))
    assert len(first) == 3
    assert first == second
