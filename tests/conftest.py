"""Tiny checkpoints in hub format, made once: a BERT, a GPT-2, a ViT and a ResNet with random weights."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import atexit
import shutil
import tempfile
from pathlib import Path

import pytest

os.environ["TUNESMITH_CACHE"] = tempfile.mkdtemp(prefix="tunesmith-features-")
atexit.register(shutil.rmtree, os.environ["TUNESMITH_CACHE"], ignore_errors=True)

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"the real data is not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of tiny checkpoints, of transformers (bert, gpt2, vit, resnet, wav2vec2, whisper, patchtst), timm (timm_resnet), ours."""
    import json

    import timm
    import torch
    import transformers
    from safetensors.torch import save_file
    from tests import tiny_pairs, tiny_sounds
    from tests.backbones import dna_checkpoints
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    from tunesmith.backbones._joint import Attention

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("checkpoints")
    words = [
        "river",
        "stone",
        "bright",
        "market",
        "price",
        "bond",
        "doctor",
        "ward",
        "fever",
        "the",
        "a",
        "of",
        "and",
        "good",
        "bad",
        "very",
        "film",
        "was",
        "it",
        "is",
        "not",
        "my",
        "card",
        "lost",
    ]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz"  # written down, not learned: a learned vocabulary differs from run to run where pieces tie
    pieces = list(dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *words]))
    tokenizer = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    bert = transformers.BertConfig(
        vocab_size=len(fast),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    transformers.BertModel(bert).save_pretrained(root / "bert")
    fast.save_pretrained(root / "bert")
    gpt = transformers.GPT2Config(
        vocab_size=len(fast), n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3, bos_token_id=None, eos_token_id=3
    )
    transformers.GPT2Model(gpt).save_pretrained(root / "gpt2")
    plain = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer.to_str()), unk_token="[UNK]", eos_token="[SEP]"
    )
    plain.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    plain.save_pretrained(root / "gpt2")
    vit = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8, initializer_range=0.2
    )
    transformers.ViTModel(vit).save_pretrained(root / "vit")
    resnet = transformers.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic")
    transformers.ResNetModel(resnet).save_pretrained(root / "resnet")
    for name in ("vit", "resnet"):
        config = {"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
        (root / name / "preprocessor_config.json").write_text(json.dumps(config))
    from tunesmith.core import registry

    small = registry.create("backbones", "forecaster", {"context": 12, "hidden": 32, "depth": 3, "dropout": 0.0})
    network = small.open()
    small.save(network, network.state_dict(), root / "forecaster")
    patches = {"context_length": 16, "patch_length": 4, "prediction_length": 6, "num_input_channels": 1, "d_model": 16}
    patchtst = transformers.PatchTSTConfig(
        **patches, patch_stride=4, num_attention_heads=2, num_hidden_layers=2, ffn_dim=32, loss="mse", norm_type="layernorm"
    )
    transformers.PatchTSTForPrediction(patchtst).save_pretrained(root / "patchtst")
    folder = root / "timm_resnet"
    folder.mkdir()
    save_file(timm.create_model("test_resnet", num_classes=0, zero_init_last=False).state_dict(), folder / "model.safetensors")
    cfg = {
        "architecture": "test_resnet",
        "num_classes": 0,
        "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3},
    }
    (folder / "config.json").write_text(json.dumps(cfg))
    dna_checkpoints.save_all(root)
    tiny_sounds.small(root / "sounds")
    tiny_sounds.wav2vec2(root / "wav2vec2")
    _table(root / "tabular")
    save_file(Attention({"text": 32, "image:image": 32}, 8).state_dict(), root / "attention.safetensors")
    tiny_sounds.writer(root / "whisper")
    tiny_pairs.save_all(root)
    return root


def _table(folder: Path) -> None:
    """A tiny FT-Transformer that has learned the columns of a small table: two of categories, numbers and dates."""
    from tunesmith.core import registry

    kinds = {"age": "number", "job": "category", "since": "date", "town": "category"}
    days = [f"20{10 + i % 12}-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(60)]
    rows = [{"age": str(20 + i), "job": f"job {i % 4}", "since": days[i], "town": f"town {i % 7}" if i % 5 else ""} for i in range(60)]
    made = registry.create(
        "backbones", "tabular", {"columns": list(kinds), "kinds": list(kinds.values()), "hidden": 32, "heads": 2, "bins": 4}
    ).fit(lambda: iter(rows), 0)
    network = made.open()
    made.save(network, network.state_dict(), folder)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Path:
    """A CSV file of 120 short texts of three classes that the tiny BERT can learn: columns `text` and `label`."""
    import csv

    from tunesmith.core import registry

    backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    rows = registry.create("tasks", "classification", {}).synthetic(120, 0, backbone.sample)
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows)
    return path
