"""Losses against torch.nn.functional, labels and predictions against computations by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tunesmith.core.errors import DataError, RowError
from tunesmith.tasks.classification import Classification
from tunesmith.tasks.multilabel import Multilabel
from tunesmith.tasks.regression import Regression


class Given(nn.Module):
    """Gives outputs that were written down."""

    def __init__(self, outputs: torch.Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, batch: dict[str, Any]) -> torch.Tensor:
        return self.outputs


def mean_loss(task: Any, outputs: torch.Tensor, targets: list[Any]) -> float:
    """As the loop computes it: the sum divided by the weight."""
    batch = {"target": task.collate(targets)}
    return float(task.loss(Given(outputs), batch, "main")) / task.weight(batch, "main")


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(20, 3, generator=torch.Generator().manual_seed(0)) * 2


LABELS = ["a"] * 10 + ["b"] * 7 + ["c"] * 3


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("balanced", [False, True])
def test_cross_entropy(logits: torch.Tensor, smoothing: float, balanced: bool) -> None:
    task = Classification(class_weights="balanced" if balanced else "none", label_smoothing=smoothing).fit(LABELS)
    weights = torch.tensor([20 / (3 * 10), 20 / (3 * 7), 20 / (3 * 3)]) if balanced else None  # scikit-learn's "balanced"
    targets = [task.target(label) for label in LABELS]
    expected = F.cross_entropy(logits, torch.tensor(targets), weights, label_smoothing=smoothing)
    assert mean_loss(task, logits, targets) == pytest.approx(float(expected), rel=1e-5)


def test_balanced_weights_are_scikit_learns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    task = Classification(class_weights="balanced").fit(LABELS)
    assert task.weights == pytest.approx(compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=LABELS))


def test_binary_cross_entropy(logits: torch.Tensor) -> None:
    task = Multilabel().fit([("x",), ("y",), ("z", "x")])
    targets = [[i % 2, i % 3 == 0, 1] for i in range(20)]
    expected = F.binary_cross_entropy_with_logits(logits, torch.tensor(targets, dtype=torch.float32))
    assert mean_loss(task, logits, targets) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["squared", "huber"])
def test_error_is_taken_on_the_standardised_scale(logits: torch.Tensor, name: Any) -> None:
    raws = [float(value) for value in np.random.default_rng(0).normal(5e6, 3e3, 20)]
    task = Regression(loss_name=name).fit(raws)
    standard = torch.tensor((np.array(raws) - np.mean(raws)) / np.std(raws), dtype=torch.float32)
    loss = F.mse_loss if name == "squared" else F.huber_loss
    assert mean_loss(task, logits[:, :1], raws) == pytest.approx(float(loss(logits[:, 0], standard)), rel=1e-4)
    back = [prediction["value"] for prediction in task.decode(standard[:, None].numpy())]
    assert back == pytest.approx(raws, abs=1e-2)


def test_half_precision_outputs_lose_nothing_in_the_loss(logits: torch.Tensor) -> None:
    task = Classification().fit(LABELS)
    targets = [task.target(label) for label in LABELS]
    half = logits.bfloat16()
    expected = F.cross_entropy(half.float(), torch.tensor(targets))
    assert mean_loss(task, half, targets) == pytest.approx(float(expected), rel=1e-6)


def test_predictions_of_a_class(logits: torch.Tensor) -> None:
    task = Classification().fit(LABELS)
    found = task.decode(logits.numpy())
    probabilities = logits.double().softmax(-1).numpy()
    assert [item["label"] for item in found] == ["abc"[i] for i in probabilities.argmax(1)]
    assert [item["probability"] for item in found] == pytest.approx(probabilities.max(1).tolist())
    np.testing.assert_allclose([list(item["probabilities"].values()) for item in found], probabilities, atol=1e-12)
    assert all(sum(item["probabilities"].values()) == pytest.approx(1) for item in found)


def test_predictions_of_several_labels(logits: torch.Tensor) -> None:
    task = Multilabel(threshold=0.7).fit([("x", "y", "z")])
    for item, row in zip(task.decode(logits.numpy()), logits.double().sigmoid().tolist(), strict=True):
        assert list(item["probabilities"].values()) == pytest.approx(row)
        assert item["labels"] == [label for label, p in zip("xyz", row, strict=True) if p >= 0.7]


def test_labels_of_classes() -> None:
    task = Classification().fit(["b", "a", "b"])
    assert task.labels() == ["a", "b"]
    assert task.raw({"label": " b "}) == "b"
    assert task.raw({"label": 3}) == "3"
    assert task.baseline(["b", "a", "b"]) == {"label": "b"}
    with pytest.raises(RowError, match="'c' does not occur"):
        task.target("c")
    for empty in ("", None, " ", "nan", float("nan")):
        with pytest.raises(RowError, match="the label is missing"):
            task.raw({"label": empty})
    with pytest.raises(DataError, match="one class only"):
        Classification().fit(["a", "a"])


def test_labels_of_several_columns() -> None:
    task = Multilabel(label=("late", "broken"))
    assert task.raw({"late": 1, "broken": "no"}) == ("late",)
    assert task.raw({"late": "0", "broken": "0.0"}) == ()
    with pytest.raises(RowError, match="'2' is neither 0 nor 1"):
        task.raw({"late": 2, "broken": 0})
    fitted = task.fit([("late",), ()])
    assert fitted.target(("broken",)) == [0, 1]  # in the order of the columns
    assert fitted.baseline([("late",), ("late",), ()]) == {"labels": ["late"]}


def test_labels_of_one_column() -> None:
    task = Multilabel()
    assert task.raw({"label": '["b", "a", "b"]'}) == ("a", "b")
    assert task.raw({"label": "b | a"}) == ("a", "b")
    assert task.raw({"label": "[]"}) == ()
    with pytest.raises(DataError, match="no training row holds a label"):
        task.fit([(), ()])
    with pytest.raises(RowError, match="does not occur"):
        task.fit([("a",)]).target(("z",))


def test_numbers() -> None:
    task = Regression()
    assert task.raw({"label": "1e3"}) == 1000
    for wrong, told in (("many", "not a number"), ("inf", "not a finite number"), ("", "missing")):
        with pytest.raises(RowError, match=told):
            task.raw({"label": wrong})
    fitted = task.fit([1.0, 2.0, 6.0])
    assert (fitted.mean, fitted.spread) == pytest.approx((3, math.sqrt(14 / 3)))
    for constant in ([4.0] * 5, [0.1] * 7, [1e9 + 0.1] * 11):
        with pytest.raises(DataError, match="the same number"):
            task.fit(constant)


def test_a_hidden_layer_and_dropout_stand_in_the_head() -> None:
    from tunesmith.core.contracts import Features
    from tunesmith.core.errors import BackboneError
    from tunesmith.tasks._head import PooledHead

    torch.manual_seed(0)
    head = PooledHead(width=6, outputs=2, dropout=0.5, hidden=4).eval()
    pooled = torch.randn(3, 6)
    linear = head.hidden[0]  # type: ignore[index]
    expected = F.gelu(pooled @ linear.weight.T + linear.bias) @ head.out.weight.T + head.out.bias
    torch.testing.assert_close(head(Features(pooled=pooled)), expected)
    assert float(head.out.weight.detach().abs().max()) < 0.1
    head.train()
    assert not torch.equal(head(Features(pooled=pooled)), head(Features(pooled=pooled)))
    with pytest.raises(BackboneError, match="pooled"):
        head(Features())


@pytest.mark.parametrize("hidden", [0, 4])
def test_the_head_in_numpy_is_the_head_in_torch(hidden: int) -> None:
    from tunesmith.core.contracts import Features
    from tunesmith.tasks._head import PooledHead

    torch.manual_seed(0)
    head = PooledHead(width=6, outputs=3, hidden=hidden).eval()
    nn.init.normal_(head.out.weight)
    nn.init.normal_(head.out.bias)
    weights = {name: tensor.numpy() for name, tensor in head.state_dict().items()}
    pooled = 3 * torch.randn(5, 6)
    light = Classification(classes=("a", "b", "c"), hidden=hidden).light_head(weights)
    assert light is not None
    found = light(pooled.numpy())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, head(Features(pooled=pooled)).detach().numpy(), rtol=1e-5, atol=1e-5)
    assert Classification(classes=("a", "b"), hidden=hidden).light_head(weights) is None
    assert Classification(classes=("a", "b", "c"), hidden=4 - hidden).light_head(weights) is None
    assert Regression(hidden=hidden).light_head(weights) is None


def test_decoding_survives_outputs_of_any_size() -> None:
    logits = np.array([[1000.0, -1000.0, 0.0], [-3e38, 3e38, 3e38]], np.float32)
    told = Classification(classes=("a", "b", "c")).decode(logits)
    assert [list(item["probabilities"].values()) for item in told] == [[1, 0, 0], [0, 0.5, 0.5]]
    both = Multilabel(classes=("a", "b", "c")).decode(logits)
    assert [list(item["probabilities"].values()) for item in both] == [[1, 0, 0.5], [0, 1, 1]]
