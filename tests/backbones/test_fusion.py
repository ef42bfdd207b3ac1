"""Several modalities in a row: the vector is made of the parts', one may be missing, and a table of them trains in one command."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import tunesmith
from tunesmith.backbones.fusion import Fusion
from tunesmith.core import registry
from tunesmith.core.contracts import Backbone, Features, Row
from tunesmith.core.errors import RecipeError, RowError
from tunesmith.core.kinds import MODALITY

KINDS = {"age": "number", "text": "text", "photo": "image", "job": "category"}
PLAIN = {"text": "text", "photo": "image"}


def fusion(checkpoints: Path, kinds: dict[str, str] = PLAIN, **options: Any) -> Fusion:
    sources = {"text": "bert", "image": "vit", "tabular": "tabular"}
    made: Fusion = registry.create("backbones", "fusion", {"columns": list(kinds), "kinds": kinds, **options})
    parts = {name: {"source": str(checkpoints / sources[name]), **made.parts.get(name, {})} for name in made.modalities()}
    again: Fusion = registry.create(
        "backbones", "fusion", {"columns": list(kinds), "kinds": kinds, **options, "parts": {**made.parts, **parts}}
    )
    return again


def pooled(backbone: Backbone, network: torch.nn.Module, rows: list[Row]) -> torch.Tensor:
    with torch.inference_mode():
        found: Features = backbone.features(network, backbone.collate([backbone.encode(row) for row in rows]))
    assert found.pooled is not None
    return found.pooled


def test_the_vector_is_the_parts_side_by_side_and_which_are_there(checkpoints: Path) -> None:
    backbone = fusion(checkpoints, KINDS)
    network = backbone.open().eval()
    rows = [backbone.sample(i, Random(i)) for i in range(3)]
    vectors = []
    for modality, columns, source in (("tabular", ["age", "job"], "tabular"), ("text", ["text"], "bert"), ("image", ["photo"], "vit")):
        family = registry.find("backbones", modality).load()
        options = family.options_for({column: KINDS[column] for column in columns})
        part = registry.create("backbones", modality, {"source": str(checkpoints / source), **options})
        alone = pooled(part, part.open().eval(), rows)
        vectors.append(F.layer_norm(alone, alone.shape[-1:]))
    found = pooled(backbone, network, rows)
    torch.testing.assert_close(found, torch.cat([*vectors, torch.ones(3, 3)], dim=-1), atol=1e-5, rtol=0)
    assert backbone.width(network) == found.shape[1] == 3 * 32 + 3


@pytest.mark.parametrize("how", ["concatenate", "gated", "attention"])
def test_a_missing_modality_leaves_the_others_as_they_are(checkpoints: Path, how: str) -> None:
    backbone = fusion(checkpoints, KINDS, how=how, joint_width=16)
    torch.manual_seed(0)
    network = backbone.open().eval()
    whole = backbone.sample(1, Random(1))
    for gone, columns in backbone.modalities().items():
        empty = {**whole, **dict.fromkeys(columns)}
        other = {**whole, **{column: "?" if KINDS[column] == "number" else "" for column in columns}}
        alone, again = pooled(backbone, network, [empty]), pooled(backbone, network, [other])
        assert torch.equal(alone, again), f"cells of {gone} that hold nothing are all the same"
        torch.testing.assert_close(pooled(backbone, network, [whole, empty, whole])[1:2], alone, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(alone, pooled(backbone, network, [whole]))
        remark = backbone.check(empty)
        assert remark is not None
        assert gone in remark
    if how == "concatenate":
        place = list(backbone.members).index("image:photo")
        without = pooled(backbone, network, [{**whole, "photo": None}])[0]
        assert not without[32 * place : 32 * (place + 1)].any()
        assert without[-3:].tolist() == [float(key != "image:photo") for key in backbone.members]


def test_gated_vectors_are_added_where_they_are_there(checkpoints: Path) -> None:
    """Against the formula, step by step."""
    backbone = fusion(checkpoints, KINDS, how="gated", joint_width=8)
    torch.manual_seed(1)
    network = backbone.open().eval()
    row = {**backbone.sample(2, Random(2)), "photo": None}
    sides = pooled(fusion(checkpoints, KINDS), network, [row])[0][:96].split(32)
    joint: Any = network.get_submodule("joint")
    values, gates = [], []
    with torch.inference_mode():
        for place, key in enumerate(backbone.members):
            if key == "image:photo":
                continue
            linear = joint.projected.project[place][0]
            value = F.gelu(sides[place] @ linear.weight.T + linear.bias)
            values.append(value)
            gates.append(joint.gates[place](value))
        expected = sum(value / (1 + (-gate).exp()) for gate, value in zip(gates, values, strict=True))
    torch.testing.assert_close(pooled(backbone, network, [row])[0], expected, rtol=1e-4, atol=1e-5)


def test_a_row_without_any_input_is_refused_and_an_unreadable_one_is_not_missing(checkpoints: Path, tmp_path: Path) -> None:
    backbone = fusion(checkpoints, KINDS)
    with pytest.raises(RowError, match="no input at all: columns age, text, photo, job are empty"):
        backbone.check({"age": "NA", "text": " ", "photo": None, "job": ""})
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(RowError, match="photo"):
        backbone.check({"text": "the river", "photo": str(tmp_path / "broken.png")})
    with pytest.raises(RowError, match="'ten' is no number"):
        backbone.check({"text": "the river", "age": "ten"})


def test_modalities_are_left_out_in_training_but_never_all(checkpoints: Path) -> None:
    backbone = fusion(checkpoints, KINDS, modality_dropout=0.5)
    row = backbone.sample(0, Random(0))
    items = [backbone.encode(row, Random(seed)) for seed in range(300)]
    there = np.asarray([[item[key] is not None for key in backbone.members] for item in items])
    assert there.any(axis=1).all()
    expected = 1 / 3 + 2 / 3 * 0.5  # one that stays is drawn, the others stay with half a chance
    np.testing.assert_allclose(there.mean(axis=0), expected, atol=0.1)
    several = fusion(checkpoints, {**KINDS, "back": "image"}, modality_dropout=0.3)
    row_of_two = several.sample(0, Random(0))
    items = [several.encode(row_of_two, Random(seed)) for seed in range(500)]
    both = np.asarray([[item["image:photo"] is None, item["image:back"] is None] for item in items])
    assert both.all(axis=1).mean() == pytest.approx(0.5 * (0.3 + 0.7 * 0.09), abs=0.07), (
        "as a whole, where another kind stays, or each by itself"
    )
    assert (both.any(axis=1) & ~both.all(axis=1)).any()
    without = fusion(checkpoints, KINDS, modality_dropout=0.0)
    assert all(item is not None for item in without.encode(row, Random(0)).values())
    assert all(item is not None for item in backbone.encode(row).values())


def test_columns_of_pictures_share_a_network_or_have_their_own(checkpoints: Path, tmp_path: Path) -> None:
    kinds = {"front": "image", "back.view": "image", "text": "text"}
    shared = fusion(checkpoints, kinds)
    assert sorted(dict(shared.open().named_children())) == ["image", "text"]
    own = fusion(checkpoints, kinds, shared=False, parts={"image:front": {"source": str(checkpoints / "resnet")}})
    network = own.open().eval()
    assert sorted(dict(network.named_children())) == ["image_0", "image_1", "text"]
    assert [type(network.get_submodule(name)).__name__ for name in ("image_0", "image_1")] == ["ResNetModel", "ViTModel"]
    rows = [own.sample(i, Random(i)) for i in range(3)]
    own.save(network, network.state_dict(), tmp_path / "copy")
    moved = own.moved(tmp_path / "copy")
    assert torch.equal(pooled(moved, moved.open().eval(), rows), pooled(own, network, rows))
    held = [id(p) for block in own.blocks(network) for p in block.parameters()]
    assert sorted(held) == sorted(id(p) for p in network.parameters())


def test_parts_that_do_not_exist_are_named() -> None:
    with pytest.raises(RecipeError, match="describes 'audio'; of these columns it can describe text, image, image:photo"):
        registry.create("backbones", "fusion", {"columns": ["text", "photo"], "kinds": PLAIN, "parts": {"audio": {}}})


def test_what_parts_learn_of_training_rows_is_kept(checkpoints: Path) -> None:
    parts = {"tabular": {"source": "small", "hidden": 8, "heads": 2, "bins": 4, "rare": 1}}
    made: Fusion = registry.create("backbones", "fusion", {"columns": list(KINDS), "kinds": KINDS, "parts": parts})
    rows: list[Row] = [{"age": str(i), "job": "ab"[i % 2], "text": "the river", "photo": None} for i in range(20)]
    rows += [{"age": None, "job": None, "text": "numbers are missing here", "photo": None}]

    def again() -> Iterator[Row]:
        return iter(rows)

    fitted = made.fit(again, 0)
    alone = registry.create("backbones", "tabular", {**parts["tabular"], "columns": ["age", "job"], "kinds": ["number", "category"]})
    expected = alone.fit(lambda: iter(rows[:20]), 0)
    assert fitted.parts["tabular"]["knots"] == expected.knots
    assert fitted.parts["tabular"]["words"] == expected.words
    assert fitted.traits() >= {"fusion", "fresh"}


def test_a_typical_row_has_the_cells_of_the_table_and_nothing_else(checkpoints: Path) -> None:
    found = fusion(checkpoints, KINDS).typical()
    assert found is not None
    assert (found["text"], found["photo"]) == (None, None)
    assert found["job"].startswith("job ")
    assert fusion(checkpoints).typical() is None


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


def test_traits_are_those_of_pretrained_parts_and_prompts_do_not_fit(checkpoints: Path) -> None:
    traits = fusion(checkpoints).traits()
    assert {"fusion", "transformer"} <= traits
    assert not traits & {"text", "image", "fresh"}
    assert registry.create("adapters", "prefix", {}).fits(traits) is not None
    assert registry.create("adapters", "lora", {}).fits(traits) is None
    kinds = {"photo": "image", "age": "number"}
    options = {"columns": list(kinds), "kinds": kinds, "parts": {"image": {"source": str(checkpoints / "resnet")}}}
    assert registry.create("backbones", "fusion", options).traits() == {"fusion", "fresh", "convolution"}
    assert "one go" not in str(registry.create("adapters", "probe", {}).fits(traits))
    assert registry.create("adapters", "probe", {}).fits({"fusion", "fresh"}) is not None


def test_every_modality_can_be_fused(checkpoints: Path, tmp_path: Path) -> None:
    """No modality is named in the fusion: columns of every kind at once, small networks where there are some."""
    columns = {f"a {kind}": kind for kind in MODALITY}
    parts: dict[str, dict[str, Any]] = {"text": {"source": str(checkpoints / "bert")}, "image": {"source": str(checkpoints / "vit")}}
    parts |= {name: {"source": "small"} for name in ("audio", "series", "dna", "tabular")}
    made: Fusion = registry.create("backbones", "fusion", {"columns": list(columns), "kinds": columns, "parts": parts, "how": "attention"})
    assert set(made.modalities()) == set(MODALITY.values())
    rng = Random(0)
    rows: list[Row] = [made.sample(code % 3, rng) for code in range(12)]
    fitted = made.fit(lambda: iter(rows), 0)
    assert all(fitted.check(row) is None for row in rows)
    torch.manual_seed(0)
    network = fitted.open().eval()
    gaps: list[Row] = [{**rows[0], **dict.fromkeys(gone)} for gone in fitted.modalities().values()]
    found = pooled(fitted, network, [*rows[:2], *gaps])
    assert bool(torch.isfinite(found).all())
    assert len({tuple(vector.tolist()) for vector in found}) == len(found), "each modality counts"
    fitted.save(network, network.state_dict(), tmp_path / "copy")
    again: Fusion = registry.create("backbones", "fusion", json.loads(json.dumps(fitted.settings()))).moved(tmp_path / "copy")
    torch.testing.assert_close(pooled(again, again.open().eval(), [*rows[:2], *gaps]), found, rtol=1e-4, atol=1e-5)
    held = [id(p) for block in fitted.blocks(network) for p in block.parameters()]
    assert sorted(held) == sorted(id(p) for p in network.parameters())


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
    parts = {"text": {"source": str(checkpoints / "bert")}, "image": {"source": str(checkpoints / "vit")}}
    run = tunesmith.tune(
        table, backbone={"parts": parts}, adapter="lora", epochs=3, batch_size=16, lr=5e-3, out=str(tmp_path / "run"), trackers=["jsonl"]
    )
    assert run.failed == []
    assert run.metrics["test"]["accuracy"] > 0.9
    said = tunesmith.load(run.bundle).predict([{"note": "the river", "photo": str(tmp_path / "0.png")}])
    assert said[0]["label"] == rows[0]["label"]
    assert str(checkpoints) not in (run.bundle / "bundle.json").read_text()
