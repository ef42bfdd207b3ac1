"""Scores against scikit-learn on random inputs, in one piece and in many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from tunesmith.evaluate.metrics import ClassificationScores, MultilabelScores, RegressionScores, class_parts, tops

ROWS = 400


def filled(scores: Any, predictions: list[Any], targets: list[Any], piece: int) -> Any:
    for i in range(0, len(targets), piece):
        scores.update(predictions[i : i + piece], targets[i : i + piece])
    scores.update([], [])
    return scores


def classes(seed: int, count: int, true: list[int] | None = None) -> tuple[list[dict[str, Any]], list[int], np.ndarray, list[int]]:
    """Predictions, targets, probabilities and predicted numbers; `true` are the classes that occur in truth."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(true or list(range(count)), ROWS)
    logits = rng.normal(size=(ROWS, count)) + 1.2 * np.eye(count)[targets]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    said = p.argmax(1)
    names = [f"c{i}" for i in range(count)]
    made = [{"label": names[s], "probabilities": dict(zip(names, row, strict=True))} for s, row in zip(said, p.tolist(), strict=True)]
    return made, targets.tolist(), p, said.tolist()


@pytest.mark.parametrize("piece", [1, 7, ROWS])
@pytest.mark.parametrize(("count", "true"), [(2, None), (5, None), (6, [0, 2, 3])])
def test_classification(count: int, true: list[int] | None, piece: int) -> None:
    made, targets, p, said = classes(3, count, true)
    found = filled(ClassificationScores([f"c{i}" for i in range(count)]), made, targets, piece).compute()
    present = sorted(set(targets))
    areas = [sk.roc_auc_score([t == c for t in targets], p[:, c]) for c in present]
    expected = {
        "accuracy": sk.accuracy_score(targets, said),
        "balanced_accuracy": np.mean([np.mean([s == c for s, t in zip(said, targets, strict=True) if t == c]) for c in present]),
        "macro_f1": sk.f1_score(targets, said, average="macro", zero_division=0),
        "weighted_f1": sk.f1_score(targets, said, average="weighted", zero_division=0),
        "mcc": sk.matthews_corrcoef(targets, said),
        "macro_precision": sk.precision_score(targets, said, average="macro", zero_division=0),
        "macro_recall": sk.recall_score(targets, said, average="macro", zero_division=0),
        "weighted_precision": sk.precision_score(targets, said, average="weighted", zero_division=0),
        "log_loss": sk.log_loss(targets, p, labels=list(range(count))),
        "brier": sk.brier_score_loss(targets, p[:, 1] if count == 2 else p, labels=list(range(count))),
    } | {f"top_{k}_accuracy": sk.top_k_accuracy_score(targets, p, k=k, labels=list(range(count))) for k in tops(count)}
    precisions = [sk.average_precision_score([t == c for t in targets], p[:, c]) for c in present]
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert found["auroc"] == pytest.approx(areas[1] if count == 2 else np.mean(areas), abs=1e-4)
    assert found["average_precision"] == pytest.approx(precisions[1] if count == 2 else np.mean(precisions), abs=5e-4)
    assert found["rows"] == ROWS
    if true is None:
        assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(targets, said))
        own = sk.roc_auc_score(targets, p[:, 1]) if count == 2 else sk.roc_auc_score(targets, p, multi_class="ovr", average="macro")
        assert found["auroc"] == pytest.approx(own, abs=1e-4)


@pytest.mark.parametrize(("count", "true"), [(2, None), (4, [1, 2])])
def test_tables_of_classification(count: int, true: list[int] | None) -> None:
    made, targets, _, said = classes(5, count, true)
    report, confusion = filled(ClassificationScores([f"c{i}" for i in range(count)]), made, targets, 9).tables()
    numbers = list(range(count))
    expected = sk.precision_recall_fscore_support(targets, said, labels=numbers, zero_division=0)
    assert report.columns == ["precision", "recall", "f1", "support"]
    np.testing.assert_allclose(report.values[:count], np.stack(expected, axis=1), atol=1e-12)
    for name, row in zip(report.index[count:], report.values[count:], strict=True):
        own = sk.precision_recall_fscore_support(targets, said, average=name.split()[0], zero_division=0)[:3]
        np.testing.assert_allclose(row, [*own, ROWS], atol=1e-12)
    np.testing.assert_array_equal(confusion.values, sk.confusion_matrix(targets, said, labels=numbers))
    assert confusion.matrix
    assert confusion.index == confusion.columns == report.index[:count] == [f"c{i}" for i in numbers]
    assert report.index[count:] == ["micro avg", "macro avg", "weighted avg"]


def test_area_of_extreme_and_tied_scores() -> None:
    """Probabilities that differ in their last digits are told apart on the logit scale; equal ones count half."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-9, 1, 300).round(2)  # probabilities of about 1e-4, with ties
    p = 1 / (1 + np.exp(-logits))
    targets = (rng.random(300) < 1 / (1 + np.exp(-(logits + 9)))).astype(int)
    made = [{"label": "no", "probabilities": {"no": 1 - x, "yes": x}} for x in p.tolist()]
    found = filled(ClassificationScores(["no", "yes"]), made, targets.tolist(), 50).compute()
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(targets, p), abs=1e-3)
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(targets, p), abs=1e-3)


def test_probabilities_are_read_by_name() -> None:
    made = [{"label": "b", "probabilities": {"b": 0.9, "a": 0.1}}, {"label": "a", "probabilities": {"a": 0.8, "b": 0.2}}]
    found = filled(ClassificationScores(["a", "b"]), made, [1, 0], 1).compute()
    assert found["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)


def test_certain_and_right_has_no_log_loss_and_certain_and_wrong_a_finite_one() -> None:
    sure = {"label": "a", "probabilities": {"a": 1.0, "b": 0.0}}
    assert filled(ClassificationScores(["a", "b"]), [sure], [0], 1).compute()["log_loss"] == 0
    assert filled(ClassificationScores(["a", "b"]), [sure], [1], 1).compute()["log_loss"] == pytest.approx(-math.log(1e-15))


def test_constant_predictions_have_counting_scores_only() -> None:
    scores = filled(ClassificationScores(["a", "b"]), [{"label": "a"}] * 10, [0] * 6 + [1] * 4, 3)
    found = scores.compute()
    counting = {"accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "weighted_precision", "weighted_f1", "mcc"}
    assert set(found) == counting | {"rows"}
    assert set(scores.notes()) == {"auroc", "average_precision", "log_loss", "brier"}
    assert "labels without probabilities" in scores.notes()["auroc"]
    assert (found["accuracy"], found["balanced_accuracy"], found["mcc"]) == (0.6, 0.5, 0.0)


def test_one_class_in_truth_has_no_area() -> None:
    made, *_ = classes(1, 2)
    scores = filled(ClassificationScores(["c0", "c1"]), made, [0] * ROWS, 100)
    assert all(math.isfinite(value) for value in scores.compute().values())
    assert set(scores.notes()) == {"auroc", "average_precision"}
    assert "no class of which there are both" in scores.notes()["auroc"]


def test_truth_is_behind_the_classes_that_tie_with_it_only_where_they_are_above() -> None:
    p = np.array([[0.4, 0.3, 0.3], [0.5, 0.3, 0.2], [1 / 3, 1 / 3, 1 / 3]])
    assert class_parts(p, np.array([1, 2, 2]))["top_2_accuracy"].tolist() == [1, 0, 1]


def test_scores_of_a_confusion_matrix_by_hand() -> None:
    made = [{"label": label} for label in "aaab" + "aabbbb"]
    found = filled(ClassificationScores(["a", "b"]), made, [0] * 4 + [1] * 6, 3).compute()
    assert found["accuracy"] == 0.7
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert found["macro_f1"] == pytest.approx((6 / 9 + 8 / 11) / 2)
    assert found["mcc"] == pytest.approx((3 * 4 - 1 * 2) / math.sqrt(5 * 4 * 5 * 6))


@pytest.mark.parametrize("piece", [1, 11, ROWS])
@pytest.mark.parametrize("absent", [False, True])
def test_multilabel(piece: int, absent: bool) -> None:
    rng = np.random.default_rng(4)
    names = ["x", "y", "z", "w"]
    truth = rng.random((ROWS, 4)) < [0.2, 0.5, 0.7, 0.1]
    if absent:
        truth[:, 3] = False
    logits = rng.normal(size=(ROWS, 4)) + truth
    p = 1 / (1 + np.exp(-logits))
    said = p >= (0.5 if not absent else [0.5, 0.5, 0.5, 2])
    made = [
        {"labels": [n for n, s in zip(names, row, strict=True) if s], "probabilities": dict(zip(names, q, strict=True))}
        for row, q in zip(said.tolist(), p.tolist(), strict=True)
    ]
    scores = filled(MultilabelScores(names), made, truth.astype(int).tolist(), piece)
    columns = range(3 if absent else 4)
    expected = {
        "micro_f1": sk.f1_score(truth, said, average="micro"),
        "macro_f1": sk.f1_score(truth, said, average="macro", zero_division=0),
        "subset_accuracy": sk.accuracy_score(truth, said),
        "hamming_loss": sk.hamming_loss(truth, said),
        "micro_precision": sk.precision_score(truth, said, average="micro"),
        "micro_recall": sk.recall_score(truth, said, average="micro"),
        "macro_precision": sk.precision_score(truth, said, average="macro", zero_division=0),
        "macro_recall": sk.recall_score(truth, said, average="macro", zero_division=0),
        "weighted_f1": sk.f1_score(truth, said, average="weighted", zero_division=0),
        "samples_f1": sk.f1_score(truth, said, average="samples", zero_division=0),
        "log_loss": np.mean([sk.log_loss(truth[:, i], p[:, i], labels=[0, 1]) for i in range(4)]),
        "brier": np.mean([sk.brier_score_loss(truth[:, i], p[:, i], labels=[0, 1]) for i in range(4)]),
        "rows": ROWS,
    }
    found = scores.compute()
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert found["auroc"] == pytest.approx(np.mean([sk.roc_auc_score(truth[:, i], p[:, i]) for i in columns]), abs=1e-4)
    assert found["average_precision"] == pytest.approx(
        np.mean([sk.average_precision_score(truth[:, i], p[:, i]) for i in columns]), abs=5e-4
    )
    assert found["micro_average_precision"] == pytest.approx(sk.average_precision_score(truth, p, average="micro"), abs=5e-4)
    (report,) = scores.tables()
    np.testing.assert_allclose(report.values[:4], np.stack(sk.precision_recall_fscore_support(truth, said, zero_division=0), axis=1))
    for name, row in zip(report.index[4:], report.values[4:], strict=True):
        own = sk.precision_recall_fscore_support(truth, said, average=name.split()[0], zero_division=0)[:3]
        np.testing.assert_allclose(row, [*own, truth.sum()], atol=1e-12)


@pytest.mark.parametrize("piece", [1, 13, ROWS])
@pytest.mark.parametrize("offset", [0.0, 1e9, -3e12])
@pytest.mark.parametrize("outlier", [False, True])
def test_regression(piece: int, offset: float, outlier: bool) -> None:
    """Also with a first number that is far from all others, which must not cost the spread its digits."""
    rng = np.random.default_rng(6)
    truth = offset + rng.normal(0, 2, ROWS)
    if outlier:
        truth[0] = offset + 50
    said = truth + rng.normal(0, 1, ROWS)
    found = filled(RegressionScores(), [{"value": v} for v in said.tolist()], truth.tolist(), piece).compute()
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, said), rel=1e-9)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(truth, said), rel=1e-9)
    assert found["median_absolute_error"] == pytest.approx(sk.median_absolute_error(truth, said), rel=1e-9)
    # at 3e12 a double keeps three digits behind the point
    assert found["r2"] == pytest.approx(sk.r2_score(truth, said), abs=1e-9 if abs(offset) < 1e10 else 1e-5)
    assert found["rows"] == ROWS


def test_regression_from_zero_to_a_far_cluster() -> None:
    rng = np.random.default_rng(7)
    truth = np.concatenate([[0.0, 0.0], 1e9 + rng.normal(0, 1, ROWS)])
    said = truth + rng.normal(0, 0.1, len(truth))
    found = filled(RegressionScores(), [{"value": v} for v in said.tolist()], truth.tolist(), 1).compute()
    assert found["r2"] == pytest.approx(sk.r2_score(truth, said), abs=1e-12)


def test_regression_on_one_number_has_no_r2() -> None:
    scores = filled(RegressionScores(), [{"value": 1.5}, {"value": 2.0}], [2.0, 2.0], 1)
    assert scores.compute()["rmse"] == pytest.approx(math.sqrt(0.125))
    assert "r2" not in scores.compute()
    assert "same number" in scores.notes()["r2"]
    assert RegressionScores().tables() == []


def test_intervals_of_numbers_are_scored() -> None:
    made = [{"value": v, "interval": [v - 1, v + 1]} for v in (0.0, 5.0, 9.0)]
    found = filled(RegressionScores(), made, [1.0, 6.5, 9.5], 2).compute()
    assert found["interval_coverage"] == pytest.approx(2 / 3)
    assert found["interval_width"] == pytest.approx(2)
