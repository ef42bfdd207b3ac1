"""How much of the machine's matrix-product rate a forward pass of MiniLM on long texts reaches.

    python benchmarks/bench_flops.py [--rows 256] [--repeats 3]

Long texts are ten AG News texts joined, mixed ones one to six, cut at 256 tokens. The work of a text is the multiplications and additions
of its own tokens, as torch counts them; what padding costs counts as time, not as work. Three ways, in turn: tunesmith's own prediction
path; batches of 32 as sentence-transformers cuts them (sorted by length); batches of 32 in input order. Only forward passes are timed. The
rate of a matrix product is the best of three sizes, right before and right after each way; the share is of the mean of the two.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from _pairs import options_of, parser, texts
from torch.utils.flop_counter import FlopCounterMode

from tunesmith.core import registry
from tunesmith.core.model import Model
from tunesmith.evaluate import streaming

SIZES = (1024, 1536, 2048)


def matrix_rate() -> float:
    """FLOP/s of the best of three matrix products."""
    best = 0.0
    for size in SIZES:
        a, b = torch.randn(size, size), torch.randn(size, size)
        out = torch.mm(a, b)
        for _ in range(3):
            started = time.perf_counter()
            torch.mm(a, b, out=out)
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def counted(model: Model, length: int) -> int:
    """FLOPs of one text of so many tokens."""
    ones = torch.ones(1, length, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model({"inputs": {"input_ids": ones, "attention_mask": ones, "token_type_ids": ones * 0}})
    return int(counter.get_total_flops())


def work(model: Model, lengths: list[int]) -> float:
    """FLOPs of texts of these lengths, each by itself: linear and square terms in the length, from three counts."""
    short, middle, long = (counted(model, n) for n in (64, 128, 256))
    square = (middle - 2 * short) / (128**2 - 2 * 64**2)  # the head's constant is lost in them
    line = (short - square * 64**2) / 64
    assert abs(line * 256 + square * 256**2 - long) < 1e-3 * long
    return sum(line * n + square * n * n for n in lengths)


def clocked(model: Model, run: Callable[[], Any]) -> float:
    """Seconds of the model's forward passes while `run` runs."""
    seconds, started = 0.0, 0.0

    def before(*given: Any) -> None:
        nonlocal started
        started = time.perf_counter()

    def after(*given: Any) -> None:
        nonlocal seconds
        seconds += time.perf_counter() - started

    hooks = [model.register_forward_pre_hook(before), model.register_forward_hook(after)]
    run()
    for hook in hooks:
        hook.remove()
    assert seconds > 0, "the prediction path no longer calls the model itself"
    return seconds


def plain(model: Model, rows: list[dict[str, str]], batch_size: int = 32) -> None:
    """Batches in the order given, padded to their longest text."""
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            model({"inputs": model.backbone.collate([model.backbone.encode(row) for row in rows[start : start + batch_size]])})


def report(name: str, model: Any, task: Any, rows: list[dict[str, str]], repeats: int) -> None:
    """Time the ways in turn and print their lines of the table."""
    backbone = model.backbone
    lengths = backbone.sizes(rows).tolist()
    flops = work(model, lengths)
    by_length = [row for _, row in sorted(zip(lengths, rows, strict=True), key=lambda pair: -pair[0])]
    ways: dict[str, Callable[[], Any]] = {
        "tunesmith's prediction path": lambda: list(streaming.predict(model, task, enumerate(rows))),
        "batches of 32, sorted by length": lambda: plain(model, by_length),
        "batches of 32, in input order": lambda: plain(model, rows),
    }
    plain(model, by_length[:32])
    rates: dict[str, list[float]] = {way: [] for way in ways}
    products: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in ways.items():
            before = matrix_rate()
            rates[way].append(flops / clocked(model, run))
            products[way].append((before + matrix_rate()) / 2)
    for way in ways:
        share = statistics.median(rate / product for rate, product in zip(rates[way], products[way], strict=True))
        figures = f"{statistics.median(rates[way]) / 1e9:.0f} | {statistics.median(products[way]) / 1e9:.0f} | {share:.0%}"
        print(f"| {name}, {statistics.mean(lengths):.0f} tokens on average | {way} | {figures} |", flush=True)


def main() -> None:
    """Print the table."""
    options = options_of(parser(__doc__, rows=256), quick_rows=32)
    rng = random.Random(0)
    known = [row["text"] for row in texts(options.data / "ag_news_4k" / "train.csv")]
    backbone = registry.create("backbones", "text", {"max_length": 256})
    task = registry.create("tasks", "classification", {"label": ["label"]}).fit(["a", "b", "c", "d"])
    model = task.build(backbone).eval()
    print(f"MiniLM, {options.rows} texts, rounds: {options.repeats}, threads: {torch.get_num_threads()}; rates in GFLOP/s\n")
    print("| texts | forward passes | rate | matrix product | share |\n|---|---|---|---|---|")
    for name, most in (("long", (10, 10)), ("mixed", (1, 6))):
        rows = [{"text": " ".join(rng.sample(known, rng.randint(*most)))} for _ in range(options.rows)]
        report(name, model, task, rows, options.repeats)


if __name__ == "__main__":
    main()
