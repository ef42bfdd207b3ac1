"""CLIP and SigLIP folders, whole and by towers, against transformers' own models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from tunesmith.core import registry
from tunesmith.core.contracts import Backbone
from tunesmith.core.errors import BackboneError, RecipeError, RowError, UsageError

TEXTS = ["the river was bright", "a doctor", "market price of the bond is good", "my card was lost"]


def reference(name: str, folder: Path, pixels: torch.Tensor) -> torch.Tensor:
    """logits_per_image of the whole model as transformers computes them, (pictures, texts)."""
    import transformers

    model = transformers.AutoModel.from_pretrained(str(folder)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    padding: Any = {"padding": "max_length", "max_length": 16} if name == "siglip" else {"padding": True}
    tokens = tokenizer(TEXTS, return_tensors="pt", truncation=True, **padding)
    kept = {"input_ids": tokens["input_ids"]} if name == "siglip" else {k: tokens[k] for k in ("input_ids", "attention_mask")}
    with torch.no_grad():
        return model(pixel_values=pixels, **kept).logits_per_image


def pictures() -> list[bytes]:
    made: Backbone = registry.create("backbones", "image", {"source": "timm:test_resnet"})
    rng = Random(0)
    return [made.sample(code, rng)["image"] for code in range(4)]


def pairs(**options: Any) -> Backbone:
    made: Backbone = registry.create("backbones", "dual_encoder", options)
    return made


@pytest.mark.parametrize("name", ["clip", "siglip"])
@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_logits_are_those_of_transformers(name: str, loss: str, checkpoints: Path) -> None:
    made = pairs(source=str(checkpoints / name))
    model = registry.create("tasks", "contrastive", {"loss_name": loss}).build(made).eval()
    rows = [{"image": picture, "text": text} for picture, text in zip(pictures(), TEXTS, strict=True)]
    inputs = made.collate([made.encode(row) for row in rows])
    with torch.no_grad():
        outputs = model({"inputs": inputs})
    expected = reference(name, checkpoints / name, inputs["image"]["pixels"])
    if name == "siglip" and loss == "infonce":  # a softmax does not see the bias
        expected = expected + 2.0
    torch.testing.assert_close(outputs[:, 0] @ outputs[:, 1].T, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_pixels_are_those_of_the_processor(name: str, checkpoints: Path) -> None:
    """A square picture, as other shapes are cut to squares here and squashed by some processors."""
    import io

    import transformers
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    made: Backbone = registry.create("backbones", "image", {"source": str(checkpoints / name)})
    reader = transformers.CLIPImageProcessorPil if name == "clip" else transformers.SiglipImageProcessorPil
    read = reader(size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}, image_mean=[0.5] * 3, image_std=[0.4] * 3)
    expected = read(Image.fromarray(noise), return_tensors="pt")["pixel_values"]
    found = made.collate([made.encode({"image": buffer.getvalue()})])["pixels"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_tower_alone_gives_its_side(name: str, checkpoints: Path, tmp_path: Path) -> None:
    """Also where it was saved by itself, with the settings of preprocessing in the newer place."""
    folder = tmp_path / "copy"
    shutil.copytree(checkpoints / name, folder)
    told = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": told}))
    whole = pairs(source=str(checkpoints / name))
    network = whole.open().eval()
    row = {"image": pictures()[1], "text": TEXTS[0]}
    with torch.no_grad():
        pooled = whole.features(network, whole.collate([whole.encode(row)])).pooled
        assert pooled is not None
        for side, part in (("image", pooled[:, : pooled.shape[1] // 2]), ("text", pooled[:, pooled.shape[1] // 2 :])):
            made: Backbone = registry.create("backbones", side, {"source": str(folder)})
            own = made.open().eval()
            assert made.origin()["unexpected"] == 0
            made.save(own, own.state_dict(), tmp_path / side)
            again = made.moved(tmp_path / side)
            for one in (made, again):
                found = one.features(one.open().eval(), one.collate([one.encode(row)])).pooled
                torch.testing.assert_close(found, part, rtol=0, atol=1e-6)
                assert one.width(own) == part.shape[1]


def test_a_tower_without_its_projection_is_a_plain_network(checkpoints: Path, tmp_path: Path) -> None:
    import transformers

    transformers.CLIPVisionModel.from_pretrained(str(checkpoints / "clip")).save_pretrained(tmp_path / "plain")
    made: Backbone = registry.create("backbones", "image", {"source": str(tmp_path / "plain"), "size": 32})
    assert made.width(made.open()) == 32  # its own width, not that of the common space


def test_other_sources_are_refused(checkpoints: Path) -> None:
    with pytest.raises(BackboneError, match="no CLIP or SigLIP"):
        pairs(source=str(checkpoints / "bert")).open()
    with pytest.raises(BackboneError, match="no CLIP or SigLIP"):
        pairs(source="minilm").open()
    with pytest.raises(BackboneError, match="positions for 16 tokens"):
        pairs(source=str(checkpoints / "siglip"), text={"max_length": 40}).open()
    with pytest.raises(RecipeError):
        pairs(source=1)


def test_columns_must_make_pairs() -> None:
    family = registry.find("backbones", "dual_encoder").load()
    assert family.options_for({"caption": "text", "photo": "image"}) == {"columns": ["photo", "caption"]}
    for kinds in ({"caption": "text"}, {"photo": "image"}, {"a": "image", "b": "image", "c": "text"}):
        with pytest.raises(UsageError, match="one column of pictures and at least one of texts"):
            family.options_for(kinds)


def test_a_list_of_captions_is_named(checkpoints: Path) -> None:
    made = pairs(source=str(checkpoints / "clip"))
    with pytest.raises(RowError, match="one row for each"):
        made.check({"image": pictures()[0], "text": '["a river", "a stone"]'})
    assert "longer than 64 tokens" in str(made.check({"image": pictures()[0], "text": "river " * 100}))
    with pytest.raises(RowError, match="empty"):
        made.check({"image": pictures()[0], "text": "  "})
    with pytest.raises(RowError, match="missing"):
        made.check({"image": None, "text": "a river"})
