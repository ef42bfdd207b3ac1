"""What `tunesmith estimate` says before a run, against what the run then took.

    python benchmarks/bench_estimate.py [--rows 400] [--quick]

Five recipes. A figure of 1.00 is an estimate that came true; the claim is that seconds and memory are within 25%. Time is that of the
steps of all epochs, or where the whole backbone is frozen that of computing its features, which is then most of the work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _pairs import ROOT, options_of, parser

CLAIM = 0.25


def recipes(data: Path) -> dict[str, list[str]]:
    """The five."""
    mobilenet = data / "weights" / "mobilenetv2_imagenet" / "model.safetensors"
    pictures = [str(data / "cifar10_images"), "--backbone", "torchvision:mobilenet_v2", "--weights", str(mobilenet)]
    pictures += ["--set", "backbone.same_padding=true", "--set", "backbone.size=96"]
    news = str(data / "ag_news_4k")
    return {
        "MiniLM, LoRA, AG News": [news, "--adapter", "lora", "--epochs", "1"],
        "MiniLM, LoRA in the last 2 blocks, AG News": [news, "--adapter", "lora", "--blocks", "last:2", "--epochs", "3"],
        "MiniLM, probe, SST-2": [str(data / "sst2"), "--adapter", "probe"],
        "MiniLM, all weights, SST-2": [str(data / "sst2"), "--adapter", "full", "--epochs", "1"],
        "MobileNetV2 at 96 px, all weights, CIFAR-10": [*pictures, "--adapter", "full", "--epochs", "1"],
    }


def run(arguments: list[str], rows: int) -> dict[str, Any]:
    """metrics.json of a run in a process and with a cache of its own."""
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as folder:
        out = Path(folder, "run")
        command = [sys.executable, "-m", "tunesmith", "tune", *arguments, "--limit", str(rows), "--out", str(out), "--allow-failed-checks"]
        environment = {**os.environ, "TUNESMITH_CACHE": str(Path(folder, "cache"))}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd=ROOT)
        told: dict[str, Any] = json.loads((out / "metrics.json").read_text())
        return told


def seconds(told: dict[str, Any]) -> tuple[float, float]:
    """Expected and measured seconds of what takes most of the time."""
    expected, cost = told["expected"], told["cost"]
    steps = expected["epoch_seconds"] * expected["epochs"], cost["train_seconds"]
    features = expected["features_seconds"], cost["features_seconds"]
    return features if features[0] > steps[0] else steps


def main() -> None:
    """Run the five and print the table."""
    made = parser(__doc__, rows=600)
    options: argparse.Namespace = options_of(made, quick_rows=100)
    print("| recipe | rows | expected | measured | time | expected | measured | memory |")
    print("|---|---|---|---|---|---|---|---|")
    within = True
    for name, arguments in recipes(options.data).items():
        told = run(arguments, options.rows)
        (said, took), (memory, peak) = seconds(told), (told["expected"]["memory_bytes"] / 2**30, told["cost"]["peak_memory_gb"])
        within &= all(abs(ratio - 1) <= CLAIM for ratio in (said / took, memory / peak))
        figures = f"{said:.1f} s | {took:.1f} s | {said / took:.2f} | {memory:.2f} GB | {peak:.2f} GB | {memory / peak:.2f}"
        print(f"| {name} | {options.rows} | {figures} |", flush=True)
    print(f"\nAll within {CLAIM:.0%}: {'yes' if within else 'no'}.")


if __name__ == "__main__":
    main()
