"""Architectures of all libraries, tiny where they can be: blocks, features, every weight in use, saving and moving."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from torch import nn

from tunesmith.backbones._blocks import layers
from tunesmith.backbones._vision import library_of
from tunesmith.backbones.image import Image
from tunesmith.backbones.text import Text
from tunesmith.core.contracts import Backbone

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
TEXTS: dict[str, Any] = {
    "roberta": lambda n: transformers.RobertaConfig(vocab_size=n, max_position_embeddings=66, type_vocab_size=1, **SMALL),
    "deberta-v2": lambda n: transformers.DebertaV2Config(
        vocab_size=n, relative_attention=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0, **SMALL
    ),
    "distilbert": lambda n: transformers.DistilBertConfig(
        vocab_size=n, dim=32, n_layers=3, n_heads=2, hidden_dim=64, initializer_range=0.2
    ),
    "albert": lambda n: transformers.AlbertConfig(vocab_size=n, embedding_size=16, **SMALL),
    "mpnet": lambda n: transformers.MPNetConfig(vocab_size=n, **SMALL),
    "t5": lambda n: transformers.T5Config(vocab_size=n, d_model=32, num_layers=3, num_heads=2, d_ff=64, d_kv=16, pad_token_id=0),
    "llama": lambda n: transformers.LlamaConfig(
        vocab_size=n, num_key_value_heads=2, bos_token_id=None, eos_token_id=None, **{**SMALL, "num_hidden_layers": 3}
    ),
}
VIT: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
PICTURES: dict[str, tuple[Any, int]] = {
    "vit": (lambda: transformers.ViTConfig(**VIT, intermediate_size=64), 4),
    "dinov2": (lambda: transformers.Dinov2Config(**VIT, mlp_ratio=2), 4),
    "dinov2_with_registers": (lambda: transformers.Dinov2WithRegistersConfig(**VIT, mlp_ratio=2), 4),
    "beit": (lambda: transformers.BeitConfig(**VIT, intermediate_size=64), 4),
    "convnext": (lambda: transformers.ConvNextConfig(hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 2, 1], image_size=32), 5),
    "swin": (
        lambda: transformers.SwinConfig(embed_dim=16, depths=[1, 2], num_heads=[2, 2], window_size=4, image_size=32, patch_size=4),
        3,
    ),
    "resnet": (lambda: transformers.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[2, 1], layer_type="basic"), 3),
}


def same_after_a_move(backbone: Backbone, network: nn.Module, batch: dict[str, Any], folder: Path) -> None:
    backbone.save(network, network.state_dict(), folder)
    again = backbone.moved(folder)
    reloaded = again.open().eval()
    assert again.origin()["missing"] == 0
    with torch.no_grad():
        found, expected = again.features(reloaded, batch).pooled, backbone.features(network, batch).pooled
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)  # type: ignore[arg-type]


def every_weight_is_used(backbone: Backbone, network: nn.Module, batch: dict[str, Any]) -> None:
    pooled = backbone.features(network, batch).pooled
    assert pooled is not None
    pooled.square().sum().backward()
    unused = [name for name, p in network.named_parameters() if p.grad is None]
    network.zero_grad(set_to_none=True)
    assert unused == []


def is_divided(network: nn.Module, count: int) -> None:
    """Into blocks that hold every parameter once, in the order in which the network registers them."""
    blocks = layers(network)
    names = {id(p): i for i, p in enumerate(network.parameters())}
    held = [[names[id(p)] for p in block.parameters()] for block in blocks]
    assert len(blocks) == count
    assert sorted(number for block in held for number in block) == list(range(len(names)))
    assert [min(block) for block in held] == sorted(min(block) for block in held)


@pytest.mark.parametrize("kind", TEXTS)
def test_text_architecture(kind: str, checkpoints: Path, tmp_path: Path) -> None:
    folder = tmp_path / kind
    shutil.copytree(checkpoints / "bert", folder)
    (folder / "model.safetensors").unlink()
    size = len(transformers.AutoTokenizer.from_pretrained(folder))
    torch.manual_seed(0)
    transformers.AutoModel.from_config(TEXTS[kind](size)).save_pretrained(folder)
    backbone = Text(source=str(folder), max_length=40)
    network = backbone.open().eval()
    batch = backbone.collate([{"text": [text]} for text in ("river", "the market price of a bond was very good")])
    with torch.no_grad():
        pooled = backbone.features(network, batch).pooled
        single = backbone.features(network, backbone.collate([{"text": ["river"]}])).pooled
    assert pooled is not None
    assert single is not None
    assert pooled.shape == (2, backbone.width(network))
    torch.testing.assert_close(pooled[:1], single, rtol=1e-4, atol=1e-5)  # padding changes nothing
    assert backbone.pooled_by == ("last" if kind == "llama" else "cls")
    is_divided(network, 2 if kind == "albert" else 4)
    every_weight_is_used(backbone, network, batch)
    same_after_a_move(backbone, network, batch, tmp_path / "copy")


@pytest.mark.parametrize("kind", PICTURES)
def test_picture_architecture_of_transformers(kind: str, tmp_path: Path) -> None:
    build, count = PICTURES[kind]
    torch.manual_seed(0)
    transformers.AutoModel.from_config(build()).save_pretrained(tmp_path / kind)
    backbone = Image(source=str(tmp_path / kind), size=32)
    network = backbone.open().eval()
    batch = {"pixels": torch.randn(2, 3, 32, 32)}
    assert ("transformer" in backbone.traits()) == (kind not in ("convnext", "resnet"))
    assert ("layer_norm" in backbone.traits()) == (kind != "resnet")
    is_divided(network, count)
    every_weight_is_used(backbone, network, batch)
    same_after_a_move(backbone, network, batch, tmp_path / "copy")


def test_pooling_of_patches_leaves_out_what_is_no_patch(tmp_path: Path) -> None:
    """Against the hidden states of transformers: a class token and four registers before sixteen patches."""
    torch.manual_seed(0)
    config = transformers.Dinov2WithRegistersConfig(**VIT, mlp_ratio=2, num_register_tokens=4)
    whole = transformers.AutoModel.from_config(config).eval()
    whole.save_pretrained(tmp_path / "net")
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        states = whole(pixel_values=pixels).last_hidden_state
        for pooling, expected in (("mean", states[:, 5:].mean(1)), ("cls", states[:, 0]), (None, states[:, 0])):
            backbone = Image(source=str(tmp_path / "net"), pooling=pooling)  # type: ignore[arg-type]
            found = backbone.features(backbone.open().eval(), {"pixels": pixels}).pooled
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert states.shape[1] == 1 + 4 + 16


TIMM = {
    "test_vit": 7,
    "test_convnext": 5,
    "test_resnet": 7,
    "test_efficientnet": 6,
    "vit_tiny_patch16_224": 13,
    "mobilenetv3_small_050": 13,
}


@pytest.mark.parametrize("name", TIMM)
def test_picture_architecture_of_timm(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = Image(source=f"timm:{name}", scratch=True)
    network = backbone.open().eval()
    batch = {"pixels": torch.randn(2, 3, backbone.expected.size, backbone.expected.size)}
    assert ("transformer" in backbone.traits()) == ("vit" in name)
    is_divided(network, TIMM[name])
    every_weight_is_used(backbone, network, batch)
    same_after_a_move(backbone, network, batch, tmp_path / "copy")


def test_timm_pools_as_asked(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 160, 160)
    folder = tmp_path / "dino"
    made = timm.create_model("test_vit", num_classes=0).eval()
    Image(source="timm:test_vit", scratch=True).save(made, made.state_dict(), folder)
    with torch.no_grad():
        tokens = made.forward_features(pixels)
        for pooling, expected in (("mean", tokens[:, 1:].mean(1)), ("cls", tokens[:, 0]), (None, made(pixels))):
            backbone = Image(source=str(folder), pooling=pooling)  # type: ignore[arg-type]
            found = backbone.features(backbone.open().eval(), {"pixels": pixels}).pooled
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_options_of_a_timm_checkpoint_are_kept(tmp_path: Path) -> None:
    """`model_args` of config.json change the architecture (here, the number of positions)."""
    made = timm.create_model("test_vit", num_classes=0, img_size=64)
    folder = tmp_path / "small"
    Image(source="timm:test_vit", scratch=True, size=64).save(made, made.state_dict(), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_args": {"img_size": 64}}
    config["pretrained_cfg"]["input_size"] = [3, 64, 64]
    (folder / "config.json").write_text(json.dumps(config))
    backbone = Image(source=str(folder))
    network = backbone.open()
    assert backbone.origin()["missing"] == 0
    assert backbone.width(network) == 64
    backbone.save(network, network.state_dict(), tmp_path / "copy")
    assert backbone.moved(tmp_path / "copy").open().state_dict().keys() == network.state_dict().keys()


TORCHVISION = {
    "alexnet": 7,
    "vgg11": 10,
    "resnet18": 9,
    "mobilenet_v2": 19,
    "vit_b_16": 13,
    "convnext_tiny": 22,
    "googlenet": 12,
    "inception_v3": 16,
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_picture_architecture_of_torchvision(name: str) -> None:
    with torch.device("meta"):
        network = library_of(f"torchvision:{name}").build()
    is_divided(network, TORCHVISION[name])
    assert not any(p.shape[0] == 1000 for p in network.parameters())
    assert ("transformer" in Image(source=f"torchvision:{name}").traits()) == (name == "vit_b_16")


@pytest.mark.parametrize("name", ["regnet_y_400mf", "googlenet"])
def test_awkward_networks_of_torchvision(name: str, tmp_path: Path) -> None:
    """One that cannot be built without memory, one with side outputs while it trains."""
    backbone = Image(source=f"torchvision:{name}", scratch=True, size=64)
    assert backbone.traits() >= {"image", "convolution"}
    network = backbone.open()
    batch = {"pixels": torch.randn(2, 3, 64, 64)}
    pooled = backbone.features(network.train(), batch).pooled
    assert isinstance(pooled, torch.Tensor)
    assert pooled.shape == (2, backbone.width(network))
    every_weight_is_used(backbone, network, batch)
    same_after_a_move(backbone, network.eval(), batch, tmp_path / "copy")


def test_blocks_of_networks_made_by_hand() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.second = nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1)

    class Large(nn.Module):
        """Most of its weights are embeddings, as in small language models."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.embed = nn.Embedding(1000, 8)
            self.dropout = nn.Dropout(0.5)
            self.encoder = nn.ModuleDict({"layer": nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 8) for _ in range(3))})
            self.norm = nn.LayerNorm(8)

    is_divided(Plain(), 2)
    large = Large()
    is_divided(large, 4)
    blocks = layers(large)
    assert any(module is large.dropout for module in blocks[0].modules())
    assert any(module is large.norm for module in blocks[-1].modules())
    assert any(p is large.scale for p in blocks[0].parameters())
    is_divided(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)), 2)
