"""What the loop costs over a loop written by hand: same model, same batches, same optimizer.

    python benchmarks/bench_loop_overhead.py [--repeats 7] [--steps 24] [--quick]

The two run in turn (A B A B ...) on MiniLM with LoRA, batches of 16 texts of the bank messages that come with tunesmith, encoded
beforehand for both, so that only the loops differ. Printed: seconds of each, and the ratios pair by pair (1.00 = as fast as by hand), of
the clock on the wall and of processor time, which other programs on the machine disturb less. The claim is a median of at most 1.03.
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
    sizes = backbone.sizes(rows)
    loader = Loader(Plan(np.arange(len(rows)), sizes, 16, 1, 0), Examples(rows, targets, backbone), task, augment=False)
    return model, task, adapter, list(loader.batches(0))


def by_hand(model: Any, groups: list[dict[str, Any]], batches: list[list[Any]]) -> tuple[float, float]:
    """Seconds of a plain PyTorch loop, on the wall and of the processor."""
    optimizer = torch.optim.AdamW(groups)
    parameters = [p for group in groups for p in group["params"]]
    model.train()
    start, cpu = time.perf_counter(), time.process_time()
    for (batch,) in batches:
        loss = torch.nn.functional.cross_entropy(model(batch), batch["target"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
    return time.perf_counter() - start, time.process_time() - cpu


def by_loop(model: Any, task: Any, adapter: Any, groups: list[dict[str, Any]], batches: list[list[Any]]) -> tuple[float, float]:
    """Seconds of tunesmith's loop, with its log, on the wall and of the processor."""
    accelerator = accelerate.Accelerator(cpu=True)
    cpu: list[float] = []

    def given(epoch: int, start: int, halvings: int) -> Any:
        cpu.append(time.process_time())
        return iter(batches)

    def evaluate() -> dict[str, float]:
        cpu.append(time.process_time())
        return {"score": next(counter)}

    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(model, {"main": torch.optim.AdamW(groups)}, task.loss, task.weight, given, [])
        loop = Loop(
            setup=setup,
            model=model,
            accelerator=accelerator,
            adapter=adapter,
            schedule=registry.create("schedules", "linear", {}),
            limits=Limits(1, 1.0, 0.06, None, ("score", "max")),
            evaluate=evaluate,
            folder=Path(folder),
            callbacks=[JsonLines().in_run(Path(folder))],
        )
        loop.run(len(batches))
        return loop.progress.seconds, cpu[1] - cpu[0]


counter = itertools.count(1.0)


def main() -> None:
    """Time both in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--quick", action="store_true", help="few steps and one pair: shows that it works, measures nothing")
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.steps = 1, 4
    model, task, adapter, batches = prepared()
    batches = batches[: options.steps]
    groups = parameter_groups(model, lr=1e-5, head_lr=1e-5, layer_decay=1.0, weight_decay=0.01)
    by_hand(model, [dict(g) for g in groups], batches[:4])
    print(f"MiniLM, LoRA, {len(batches)} steps of 16 texts, {torch.get_num_threads()} threads\n")
    print("| pair | by hand | loop | ratio, wall | ratio, processor |\n|---|---|---|---|---|")
    wall, cpu = [], []
    for number in range(options.repeats):
        first = by_hand(model, [dict(g) for g in groups], batches)
        second = by_loop(model, task, adapter, [dict(g) for g in groups], batches)
        wall.append(second[0] / first[0])
        cpu.append(second[1] / first[1])
        print(f"| {number + 1} | {first[0]:.2f} s | {second[0]:.2f} s | {wall[-1]:.3f} | {cpu[-1]:.3f} |", flush=True)
    print()
    for name, ratios in (("wall", wall), ("processor", cpu)):
        print(f"{name}: median ratio {statistics.median(ratios):.3f} (lowest {min(ratios):.3f}, highest {max(ratios):.3f})  ")


if __name__ == "__main__":
    main()
