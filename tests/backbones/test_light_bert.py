"""BERT in numpy against transformers, and what is refused because it is not known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tunesmith.backbones import _light_bert
from tunesmith.backbones.text import Text

TEXTS = [
    "river stone bright",
    "a",  # one token
    "?",  # unknown
    "the market price of a bond was very good and it is not bad " * 9,  # longer than is read
    "Äpfel, naïve café: 北京 🙂 \u200b x\ty\nz",
    "doctor\x00ward \ud7ff fever",
]


@pytest.fixture(scope="module")
def bert(checkpoints: Path) -> Path:
    return checkpoints / "bert"


def unchanged(weights: Any) -> Any:
    return weights


def bundled(backbone: Text, folder: Path, network: Any = None) -> Text:
    """The backbone as a bundle holds it."""
    network = network if network is not None else backbone.open()
    if getattr(network, "pooler", None) is not None:
        network.pooler = None
    backbone.save(network, network.state_dict(), folder)
    return backbone.moved(folder)


def assert_vectors_of_torch(backbone: Text, rows: list[dict[str, Any]]) -> None:
    """The light form exists and gives for all rows the pooled vectors that transformers gives."""
    light = backbone.light(unchanged)
    assert light is not None
    with torch.no_grad():
        network = backbone.open().eval()
        expected = backbone.features(network, backbone.collate([backbone.encode(row) for row in rows])).pooled
    assert expected is not None
    found = light(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("columns", [("text",), ("text", "body")])
def test_vectors_are_those_of_torch(bert: Path, tmp_path: Path, pooling: Any, columns: tuple[str, ...]) -> None:
    backbone = bundled(Text(source=str(bert), pooling=pooling, columns=columns, max_length=40), tmp_path / "b")
    others = ["", *reversed(TEXTS[1:])]
    assert_vectors_of_torch(backbone, [dict(zip(columns, pair, strict=False)) for pair in zip(TEXTS, others, strict=True)])


@pytest.mark.parametrize(("width", "heads", "inner", "layers", "eps"), [(24, 3, 40, 1, 1e-12), (48, 12, 96, 4, 1e-5), (16, 1, 16, 3, 1e-7)])
def test_any_size(bert: Path, tmp_path: Path, width: int, heads: int, inner: int, layers: int, eps: float) -> None:
    torch.manual_seed(width)
    config = transformers.BertConfig(
        vocab_size=300,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=32,
        layer_norm_eps=eps,
        initializer_range=0.3,
    )
    network = transformers.BertModel(config)
    for name, parameter in network.named_parameters():
        if name.endswith("bias") or "LayerNorm" in name:
            torch.nn.init.normal_(parameter, 0.5)  # as trained ones are: neither 0 nor 1
    backbone = bundled(Text(source=str(bert), pooling="mean", max_length=32), tmp_path / "b", network)
    assert_vectors_of_torch(backbone, [{"text": text} for text in TEXTS])


def test_what_may_fold_sees_and_replaces_the_weights(bert: Path, tmp_path: Path) -> None:
    backbone = bundled(Text(source=str(bert)), tmp_path / "b")
    plain = backbone.light(unchanged)
    changed = backbone.light(lambda weights: {name: 1.5 * value for name, value in weights.items()})
    assert plain is not None
    assert changed is not None
    assert np.abs(plain([{"text": "a"}]) - changed([{"text": "a"}])).max() > 0.1
    assert backbone.light(lambda weights: None) is None


@pytest.mark.parametrize(
    "setting",
    [
        {"hidden_act": "gelu_new"},
        {"hidden_act": "relu"},
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
        {"add_cross_attention": True},
        {"model_type": "roberta"},
        {"dtype": "float16"},
        {"quantization_config": {"bits": 4}},
        {"chunk_size_feed_forward": 8},
        {"a_setting_of_the_future": 1},
        {"type_vocab_size": 1},
        {"num_attention_heads": 3},
        {"intermediate_size": 48},
        {"num_hidden_layers": 1},
        {"layer_norm_eps": None},
        {"max_position_embeddings": None},
    ],
    ids=str,
)
def test_a_configuration_that_is_not_known_has_no_light_form(bert: Path, tmp_path: Path, setting: dict[str, Any]) -> None:
    backbone = bundled(Text(source=str(bert)), tmp_path / "b")
    path = tmp_path / "b" / "config.json"
    config = json.loads(path.read_text())
    assert _light_bert.opened(tmp_path / "b", config, 40, unchanged) is not None
    path.write_text(json.dumps({**config, **setting}))
    assert backbone.light(unchanged) is None


def with_pooler(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "pooler.dense.bias": torch.zeros(32)}, folder / "model.safetensors")


def in_half(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in weights.items()}, folder / "model.safetensors")


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def cut_left(folder: Path) -> None:
    told = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, "truncation_side": "left"}))


@pytest.mark.parametrize("change", [with_pooler, in_half, without_tokenizer, cut_left])
def test_other_weights_and_tokenizers_have_no_light_form(bert: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    backbone = bundled(Text(source=str(bert)), tmp_path / "b")
    assert backbone.light(unchanged) is not None
    change(tmp_path / "b")
    assert backbone.light(unchanged) is None


@pytest.mark.parametrize("setting", [{"max_length": 65}, {"scratch": True}], ids=str)
def test_longer_texts_than_the_network_reads_and_random_weights_have_no_light_form(
    bert: Path, tmp_path: Path, setting: dict[str, Any]
) -> None:
    bundled(Text(source=str(bert)), tmp_path / "b")
    assert Text(source=str(tmp_path / "b"), pooling="cls").light(unchanged) is not None
    assert Text(source=str(tmp_path / "b"), pooling="cls", **setting).light(unchanged) is None


def test_decoders_have_no_light_form(checkpoints: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoints / "gpt2", tmp_path / "gpt2")
    assert Text(source=str(tmp_path / "gpt2")).light(unchanged) is None
