"""A tiny CLIP and a tiny SigLIP in hub format, which read the tiny BERT's tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def save_all(root: Path) -> None:
    """Write both beside the folder `bert`, whose tokenizer they take."""
    import torch
    import transformers

    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    vocabulary = json.loads((root / "bert" / "config.json").read_text())["vocab_size"]
    text = {**size, "vocab_size": vocabulary, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    picture = {**size, "image_size": 32, "patch_size": 8}
    clip = transformers.CLIPConfig(text_config={**text, "max_position_embeddings": 64}, vision_config=picture, projection_dim=16)
    siglip = transformers.SiglipConfig(text_config={**text, "max_position_embeddings": 16}, vision_config=picture)
    made = {"clip": transformers.CLIPModel(clip), "siglip": transformers.SiglipModel(siglip)}
    for name, network in made.items():
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=0.2)
            network.logit_scale.fill_(3.0)
            if name == "siglip":
                network.logit_bias.fill_(-2.0)
        network.save_pretrained(root / name)
        for file in (root / "bert").glob("tokenizer*"):
            shutil.copy(file, root / name)
        config = {"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.4, 0.4, 0.4]}
        (root / name / "preprocessor_config.json").write_text(json.dumps(config))
