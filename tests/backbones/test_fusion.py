"""Texts and pictures together: the vector is that of the parts, and a table of both trains in one command."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import tunesmith
from tunesmith.core import registry
from tunesmith.core.contracts import Backbone


def fusion(checkpoints: Path) -> Backbone:
    options = {"columns": ["text", "photo"], "pictures": ["photo"], "text": {"source": str(checkpoints / "bert")}}
    made: Backbone = registry.create("backbones", "fusion", {**options, "image": {"source": str(checkpoints / "vit")}})
    return made


def test_the_vector_is_the_parts_side_by_side(checkpoints: Path) -> None:
    backbone = fusion(checkpoints)
    network = backbone.open().eval()
    rows = [backbone.sample(i, Random(i)) for i in range(3)]
    with torch.inference_mode():
        found = backbone.features(network, backbone.collate([backbone.encode(row) for row in rows])).pooled
    parts = []
    for kind, column, source in (("text", "text", "bert"), ("image", "photo", "vit")):
        part = registry.create("backbones", kind, {"source": str(checkpoints / source), "columns": [column]})
        with torch.inference_mode():
            pooled = part.features(part.open().eval(), part.collate([part.encode(row) for row in rows])).pooled
        parts.append(F.layer_norm(pooled, pooled.shape[-1:]))
    assert found is not None
    torch.testing.assert_close(found, torch.cat(parts, dim=-1), atol=1e-5, rtol=0)
    assert backbone.width(network) == found.shape[1] == 64


def test_blocks_hold_every_parameter_once_and_align_at_the_output(checkpoints: Path) -> None:
    backbone = fusion(checkpoints)
    network = backbone.open()
    blocks = backbone.blocks(network)
    held = [id(p) for block in blocks for p in block.parameters()]
    assert sorted(held) == sorted(id(p) for p in network.parameters())
    last = {id(p) for p in blocks[-1].parameters()}
    named = {name for name, p in network.named_parameters() if id(p) in last}
    assert any(name.startswith("text.encoder.layer.1") for name in named)
    assert any(name.startswith("image.layers.1") for name in named)


def test_traits_are_those_of_both_and_prompts_do_not_fit(checkpoints: Path) -> None:
    traits = fusion(checkpoints).traits()
    assert {"fusion", "transformer"} <= traits
    assert not traits & {"text", "image"}
    assert registry.create("adapters", "prefix", {}).fits(traits) is not None
    assert registry.create("adapters", "lora", {}).fits(traits) is None


@pytest.mark.slow
def test_a_table_of_texts_and_pictures_in_one_command(checkpoints: Path, tmp_path: Path) -> None:
    """The label is the picture's colour; the text says nothing about it, and must not be in the way."""
    rng = Random(0)
    words, rows = ["river", "market", "doctor"], []
    for number in range(240):
        colour, word = rng.randrange(2), rng.randrange(2)
        pixels = np.zeros((24, 24, 3), np.uint8)
        pixels[..., colour] = 200
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        (tmp_path / f"{number}.png").write_bytes(buffer.getvalue())
        rows.append(
            {"note": f"the {words[word]} is very {words[word]} indeed number {number}", "photo": f"{number}.png", "label": "ab"[colour]}
        )
    table = tmp_path / "rows.csv"
    table.write_text("note,photo,label\n" + "".join(f"{r['note']},{r['photo']},{r['label']}\n" for r in rows))
    options: dict[str, Any] = {"text": {"source": str(checkpoints / "bert")}, "image": {"source": str(checkpoints / "vit")}}
    run = tunesmith.tune(
        table, backbone=options, adapter="lora", epochs=3, batch_size=16, lr=5e-3, out=str(tmp_path / "run"), trackers=["jsonl"]
    )
    assert run.failed == []
    assert run.metrics["test"]["accuracy"] > 0.9
    assert set(run.metrics["backbone"]["parts"]) == {"text", "image"}
    said = tunesmith.load(run.bundle).predict([{"note": "the river", "photo": str(tmp_path / "0.png")}])
    assert said[0]["label"] == rows[0]["label"]
    assert str(checkpoints) not in (run.bundle / "bundle.json").read_text()
