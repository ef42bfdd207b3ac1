"""Contrastive losses against transformers' own, and what a row is told apart from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tunesmith.core import registry
from tunesmith.core.contracts import Backbone
from tunesmith.core.errors import BackboneError, DataError, RowError
from tunesmith.tasks.contrastive import infonce, pairwise_sigmoid


def task(**options: Any) -> Any:
    return registry.create("tasks", "contrastive", options)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_the_loss_of_a_batch_is_the_checkpoints_own(name: str, checkpoints: Path) -> None:
    import transformers

    backbone: Backbone = registry.create("backbones", "dual_encoder", {"source": str(checkpoints / name), "text": {"max_length": 16}})
    made = task(loss_name="infonce" if name == "clip" else "sigmoid")
    rows = made.synthetic(6, 0, backbone.sample)
    inputs = backbone.collate([backbone.encode(row) for row in rows])
    batch = {"inputs": inputs, "target": torch.arange(6)}
    model = made.build(backbone).eval()
    whole = transformers.AutoModel.from_pretrained(str(checkpoints / name)).eval()
    with torch.no_grad():
        found = made.loss(model, batch, "main") / made.weight(batch, "main")
        expected = whole(pixel_values=inputs["image"]["pixels"], **inputs["text"], return_loss=True).loss
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", [infonce, pairwise_sigmoid])
def test_captions_of_one_picture_are_not_held_against_each_other(loss: Any) -> None:
    """Rows 0 and 1 show one picture: how similar it is to the other caption changes nothing."""
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    things = torch.tensor([5, 5, 6, 7])
    changed = logits.clone()
    changed[0, 1], changed[1, 0] = 40.0, -40.0
    torch.testing.assert_close(loss(logits, things), loss(changed, things))
    changed[0, 2] = 40.0
    assert not torch.allclose(loss(logits, things), loss(changed, things))


def test_sigmoid_decides_every_pair() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    expected = sum(F.binary_cross_entropy_with_logits(logits[i, j], torch.tensor(float(i == j))) for i in range(2) for j in range(2))
    torch.testing.assert_close(pairwise_sigmoid(logits, torch.tensor([0, 1])), expected)


def test_a_row_alone_is_held_against_nothing() -> None:
    assert float(infonce(torch.tensor([[3.0]]), torch.tensor([1]))) == 0.0


def test_pictures_are_told_apart_by_what_they_are() -> None:
    made = task(label=("photo",))
    assert made.target(made.raw({"photo": "a.jpg"})) == made.target(made.raw({"photo": "a.jpg"}))
    assert made.target(made.raw({"photo": "a.jpg"})) != made.target(made.raw({"photo": "b.jpg"}))
    assert made.raw({"photo": b"123"}) == made.raw({"photo": b"123"}) != made.raw({"photo": b"124"})
    assert 0 <= made.target("a.jpg") < 2**63
    with pytest.raises(RowError, match="missing"):
        made.raw({"photo": None})
    with pytest.raises(DataError, match="one picture only"):
        made.fit(["a.jpg", "a.jpg"])


def test_other_backbones_are_refused(checkpoints: Path) -> None:
    texts: Backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    with pytest.raises(BackboneError, match="dual_encoder"):
        task().meet(texts)
    with pytest.raises(BackboneError, match="dual_encoder"):
        task().build(texts)
    pairs: Backbone = registry.create("backbones", "dual_encoder", {"source": str(checkpoints / "clip"), "columns": ["photo", "caption"]})
    assert task().meet(pairs)[0].label == ("photo",)
