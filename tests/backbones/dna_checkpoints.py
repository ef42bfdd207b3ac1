"""Tiny genomic checkpoints in hub format with random weights: what DNABERT, the Nucleotide Transformer and HyenaDNA look like."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import torch
import transformers

HYENA = {
    "model_type": "hyenadna",
    "auto_map": {"AutoModel": "modeling_hyena.HyenaDNAModel"},
    "architectures": ["HyenaDNAForCausalLM"],
    "d_model": 16,
    "d_inner": 32,
    "n_layer": 2,
    "vocab_size": 12,
    "pad_vocab_size_multiple": 8,
    "max_seq_len": 66,
    "emb_dim": 5,
    "filter_order": 8,
    "num_inner_mlps": 2,
    "hyena_order": 2,
    "short_filter_order": 3,
    "activation_freq": 10,
    "train_freq": True,
    "layer_norm_epsilon": 1e-5,
}


def words(k: int, letters: str) -> list[str]:
    return ["".join(word) for word in itertools.product(letters, repeat=k)]


def save_dnabert(folder: Path) -> None:
    """Overlapping runs of three letters between [CLS] and [SEP]."""
    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words(3, "ATCG")]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    transformers.BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.3, **shape)
    transformers.BertModel(config).save_pretrained(folder)


def save_nucleotide_transformer(folder: Path) -> None:
    """Runs of three letters side by side, and single letters, after <cls>."""
    folder.mkdir(parents=True)
    vocabulary = ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>", *words(3, "ATCG"), *"ATCGN"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    transformers.EsmTokenizer(str(folder / "vocab.txt"), eos_token=None).save_pretrained(folder)
    config = transformers.EsmConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=1,
        mask_token_id=2,
        initializer_range=0.3,
        position_embedding_type="absolute",
        token_dropout=False,
        emb_layer_norm_before=False,
    )
    transformers.EsmModel(config).save_pretrained(folder)


def save_hyena(folder: Path) -> None:
    """Single letters; the weights named as in the published checkpoints, with a head."""
    from safetensors.torch import save_file

    from tunesmith.backbones._hyena import Network

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(HYENA), encoding="utf-8")
    network = Network(HYENA)
    for parameter in network.parameters():
        if parameter.ndim > 1 and parameter.shape[0] > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    weights = {f"hyena.backbone.{name}": tensor.clone() for name, tensor in network.state_dict().items()}
    weights = {name: tensor for name, tensor in weights.items() if not (name.endswith(".freq") and ".implicit_filter.1." not in name)}
    save_file(
        {**weights, "lm_head.weight": weights["hyena.backbone.embeddings.word_embeddings.weight"].clone()}, folder / "model.safetensors"
    )


def save_small(folder: Path) -> None:
    """The small encoder, with weights."""
    from tunesmith.backbones.dna import Dna

    made = Dna(max_length=64, hidden=16, heads=2, kernel=5)
    network = made.open()
    made.save(network, network.state_dict(), folder)


def save_all(root: Path) -> None:
    """A folder of each."""
    save_small(root / "dna")
    save_dnabert(root / "dnabert")
    save_nucleotide_transformer(root / "nucleotide_transformer")
    save_hyena(root / "hyena")
