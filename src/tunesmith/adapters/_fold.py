"""LoRA as PEFT saves it, folded into a network's weights in numpy, without PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.arrays import Arrays
from tunesmith.core.files import read_json

PREFIX, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
WITHOUT_EFFECT = {
    "auto_mapping",
    "base_model_name_or_path",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "target_modules",
    "task_type",
    "use_rslora",
}
"""Settings that are read by themselves, or do not change what a trained adapter adds (which layers it is on, its file tells)."""


def low_rank(weights: Arrays, folder: Path) -> Arrays | None:
    """The weights plus what the adapter adds to them.

    Each is W + scale B A (Hu et al. 2021), with the scale alpha / rank, or alpha / sqrt(rank) (Kalajdzievski 2023).

    Args:
        weights: a network's own weights.
        folder: what PEFT saved.

    Returns:
        New weights; None where the adapter does anything beside this.
    """
    from safetensors.numpy import load_file

    config = read_json(folder / "adapter_config.json")
    if not _is_plain(config):
        return None
    added = load_file(folder / "adapter_model.safetensors")
    names = {key.removeprefix(PREFIX).removesuffix(A) for key in added if key.endswith(A)}
    if set(added) != {f"{PREFIX}{name}{part}" for name in names for part in (A, B)}:
        return None
    rank = int(config["r"])
    scale = np.float32(config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank))
    result = dict(weights)
    for name in names:
        down, up, own = added[f"{PREFIX}{name}{A}"], added[f"{PREFIX}{name}{B}"], weights.get(f"{name}.weight")
        if own is None or own.ndim != 2 or down.shape != (rank, own.shape[1]) or up.shape != (own.shape[0], rank):
            return None
        result[f"{name}.weight"] = own + scale * (up @ down)
    return result


def _is_plain(config: dict[str, Any]) -> bool:
    if config.get("peft_type") != "LORA" or config.get("bias") != "none" or not isinstance(config.get("init_lora_weights"), bool):
        return False  # a start that is not a plain one moves the network's own weights when PEFT reads it
    known = {"peft_type", "bias", "init_lora_weights", *WITHOUT_EFFECT}
    return not any(value for key, value in config.items() if key not in known)
