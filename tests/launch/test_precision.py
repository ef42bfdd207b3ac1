"""A run whose training computes in another number format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import tunesmith
from tunesmith.core import bundle as bundles
from tunesmith.core import registry
from tunesmith.core.files import read_json
from tunesmith.evaluate import streaming


def test_a_run_in_bf16_is_evaluated_in_fp32(checkpoints: Path, tmp_path: Path) -> None:
    backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    made = registry.create("tasks", "classification", {}).synthetic(4 * streaming.PACKED_FROM, 0, backbone.sample)
    rows = [{**row, "text": f"{row['text']} {number}"} for number, row in enumerate(made)]  # all different
    splits = {"train": rows[:128], "validation": rows[128:192], "test": rows[192:]}
    given: dict[str, Any] = {"adapter": "full", "lr": 0.003, "epochs": 2, "batch_size": 16, "trackers": ["jsonl"], "precision": "bf16"}
    tunesmith.tune(splits, backbone=str(checkpoints / "bert"), out=str(tmp_path / "run"), allow_failed_checks=True, **given)

    told = read_json(tmp_path / "run" / "metrics.json")
    bundle = bundles.load(tmp_path / "run" / "bundle")
    model, task = bundle.model, bundle.task
    for name in ("validation", "test"):
        inputs = {"inputs": model.backbone.collate([model.backbone.encode(row) for row in splits[name]])}
        targets = torch.tensor([task.target(row["label"]) for row in splits[name]])
        with torch.inference_mode():
            heat = task.settings()["temperature"] if name == "test" else 1.0
            expected = float(torch.nn.functional.cross_entropy(model(inputs) / heat, targets))
            with torch.autocast("cpu", torch.bfloat16):
                half = float(torch.nn.functional.cross_entropy(model(inputs).float() / heat, targets))
        assert told[name]["log_loss"] == pytest.approx(expected, rel=2e-6), name
        assert half != pytest.approx(expected, rel=1e-5), "the two formats can be told apart"
