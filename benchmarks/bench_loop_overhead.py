"""What the loop costs over a loop written by hand: same model, same batches, same optimizer.

    python benchmarks/bench_loop_overhead.py [--repeats 7] [--steps 24]

The two run in turn (A B A B ...) on MiniLM with LoRA, batches of 16 texts of the bank messages that come with tunesmith, encoded
beforehand for both, so that only the loops differ. Printed: seconds of each, and the ratio pair by pair (1.00 = as fast as by hand). The
claim is a median of at most 1.03.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import accelerate
import numpy as np
import torch

from tunesmith.core import registry
from tunesmith.core.fitting import Setup
from tunesmith.engine.batches import Examples, Loader, Plan
from tunesmith.engine.groups import parameter_groups
from tunesmith.engine.loop import Limits, Loop
from tunesmith.launch.demo import DATA
from tunesmith.trackers.jsonl import JsonLines


def prepared() -> tuple[Any, Any, Any, list[list[Any]]]:
    """Model, task, adapter and encoded batches."""
    backbone = registry.create("backbones", "text", {})
    with DATA.open(encoding="utf-8", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["split"] == "train"]
    task = registry.create("tasks", "classification", {"label": ["intent"]}).fit([row["intent"] for row in rows])
    targets = [task.target(row["intent"]) for row in rows]
    torch.manual_seed(0)
    model = task.build(backbone)
    adapter = registry.create("adapters", "lora", {})
    adapter.apply(model, 0)
    sizes = np.asarray([backbone.size_of_row(row) for row in rows])
    loader = Loader(Plan(np.arange(len(rows)), sizes, 16, 1, 0), Examples(rows, targets, backbone), task, augment=False)
    return model, task, adapter, list(loader.batches(0))


def by_hand(model: Any, groups: list[dict[str, Any]], batches: list[list[Any]]) -> float:
    """Seconds of a plain PyTorch loop."""
    optimizer = torch.optim.AdamW(groups)
    parameters = [p for group in groups for p in group["params"]]
    model.train()
    start = time.perf_counter()
    for (batch,) in batches:
        loss = torch.nn.functional.cross_entropy(model(batch), batch["target"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
    return time.perf_counter() - start


def by_loop(model: Any, task: Any, adapter: Any, groups: list[dict[str, Any]], batches: list[list[Any]]) -> float:
    """Seconds of tunesmith's loop, with its log."""
    accelerator = accelerate.Accelerator(cpu=True)
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(model, {"main": torch.optim.AdamW(groups)}, task.loss, task.weight, lambda epoch, start: iter(batches), [])
        loop = Loop(
            setup=setup,
            model=model,
            accelerator=accelerator,
            adapter=adapter,
            schedule=registry.create("schedules", "linear", {}),
            limits=Limits(1, 1.0, 0.06, None, ("score", "max")),
            evaluate=lambda: {"score": next(counter)},
            folder=Path(folder),
            callbacks=[JsonLines().in_run(Path(folder))],
        )
        loop.run(len(batches))
        return loop.progress.seconds


counter = itertools.count(1.0)


def main() -> None:
    """Time both in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=24)
    options = parser.parse_args()
    model, task, adapter, batches = prepared()
    batches = batches[: options.steps]
    groups = parameter_groups(model, lr=1e-5, head_lr=1e-5, layer_decay=1.0, weight_decay=0.01)
    by_hand(model, [dict(g) for g in groups], batches[:4])
    print(f"MiniLM, LoRA, {len(batches)} steps of 16 texts, {torch.get_num_threads()} threads")
    print(f"{'pair':>4}  {'by hand':>9}  {'loop':>9}  {'ratio':>6}")
    ratios = []
    for number in range(options.repeats):
        first = by_hand(model, [dict(g) for g in groups], batches)
        second = by_loop(model, task, adapter, [dict(g) for g in groups], batches)
        ratios.append(second / first)
        print(f"{number + 1:>4}  {first:>7.2f} s  {second:>7.2f} s  {second / first:>6.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} (lowest {min(ratios):.3f}, highest {max(ratios):.3f})")


if __name__ == "__main__":
    main()
