"""Whether packed sequences without padding would pay on a processor.

    python benchmarks/bench_packing.py [--repeats 3]

First table: the share of tokens that are padding, in tunesmith's batches (rows of alike size together), in batches drawn at random, and at
a fixed length. Second table: forward and backward of MiniLM on the same batches of AG News, padded and packed into one long row, with a
block-diagonal mask, and with attention computed text by text. Where the padded batches are as fast, packing is not worth its code.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from _pairs import options_of, parser, texts
from transformers import AttentionInterface

from tunesmith.core import registry
from tunesmith.engine.batches import Plan

BATCH = 32
FIXED = 128
Batch = dict[str, torch.Tensor]


def padding(lengths: np.ndarray[Any, Any], batches: list[Any]) -> float:
    """Share of padded tokens when each batch is padded to its longest row."""
    held = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - float(lengths.sum()) / held


def cuts(size: int) -> list[Any]:
    """Batches of rows in random order."""
    return np.array_split(np.random.default_rng(0).permutation(size), max(1, size // BATCH))


def packed(batch: Batch) -> tuple[Batch, list[int]]:
    """The batch as one row without padding, positions counted anew in each text, and the texts' lengths."""
    lengths = [int(n) for n in batch["attention_mask"].sum(1)]
    ids = torch.cat([row[:n] for row, n in zip(batch["input_ids"], lengths, strict=True)])[None]  # (1, tokens)
    return {"input_ids": ids, "position_ids": torch.cat([torch.arange(n) for n in lengths])[None]}, lengths


def block_mask(lengths: list[int]) -> torch.Tensor:
    """(1, 1, tokens, tokens) True where both tokens are of one text."""
    text = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return (text[:, None] == text[None, :])[None, None]


class ByText:
    """Attention of a packed row, text by text, as transformers' attention interface asks for it."""

    lengths: tuple[int, ...] = ()

    def __call__(self, module: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        parts = [t.split(self.lengths, dim=2) for t in (query, key, value)]  # (1, heads, tokens, width) each
        found = [torch.nn.functional.scaled_dot_product_attention(*part) for part in zip(*parts, strict=True)]
        return torch.cat(found, dim=2).transpose(1, 2).contiguous(), None


def seconds(network: Any, given: Batch, weight: torch.Tensor) -> float:
    """Of a forward and a backward pass over the tokens that `weight` counts."""
    network.zero_grad(set_to_none=True)
    started = time.perf_counter()
    (network(**given).last_hidden_state * weight).square().sum().backward()
    return time.perf_counter() - started


def timed(backbone: Any, batches: list[Batch], repeats: int) -> dict[str, list[float]]:
    """Seconds over all batches for each way, in turn."""
    by_text = ByText()
    AttentionInterface.register("by_text", by_text)
    network = backbone.open().train()
    found: dict[str, list[float]] = {"padded batches": [], "packed, block-diagonal mask": [], "packed, attention text by text": []}

    def padded(batch: Batch) -> float:
        return seconds(network, batch, batch["attention_mask"][..., None])

    def masked(batch: Batch) -> float:
        row, lengths = packed(batch)
        return seconds(network, {**row, "attention_mask": block_mask(lengths)}, torch.ones(1))

    def apart(batch: Batch) -> float:
        row, lengths = packed(batch)
        by_text.lengths = tuple(lengths)
        network.set_attn_implementation("by_text")
        spent = seconds(network, row, torch.ones(1))
        network.set_attn_implementation("sdpa")
        return spent

    ways: list[Callable[[Batch], float]] = [padded, masked, apart]
    _agree(network, batches[0], by_text)
    for number in range(repeats + 1):  # the first round warms up
        for name, way in zip(found, ways, strict=True):
            spent = sum(way(batch) for batch in batches)
            if number:
                found[name].append(spent)
    return found


def _agree(network: Any, batch: Batch, by_text: ByText) -> None:
    """All three ways must give the same vectors, or their times mean nothing."""
    row, lengths = packed(batch)
    by_text.lengths = tuple(lengths)
    network.eval()
    with torch.inference_mode():
        wanted = network(**batch).last_hidden_state[batch["attention_mask"].bool()]
        masked = network(**row, attention_mask=block_mask(lengths)).last_hidden_state[0]
        network.set_attn_implementation("by_text")
        apart = network(**row).last_hidden_state[0]
        network.set_attn_implementation("sdpa")
    network.train()
    torch.testing.assert_close(masked, wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(apart, wanted, atol=1e-4, rtol=1e-4)


def plan_of(backbone: Any, rows: list[dict[str, str]]) -> tuple[np.ndarray[Any, Any], list[Any]]:
    """Tokens of each row, and tunesmith's batches of an epoch."""
    lengths = backbone.sizes(rows)
    return lengths, [batch[0] for batch in Plan(np.arange(len(rows)), lengths, BATCH, 1, 0).epoch(0)]


def report_padding(backbone: Any, data: Path, rows: int) -> None:
    """Print the first table."""
    print(f"| padding, batches of {BATCH} | tokens a row | tunesmith's batches | random batches | fixed {FIXED} tokens |")
    print("|---|---|---|---|---|")
    for name in ("ag_news_4k", "sst2"):
        lengths, batches = plan_of(backbone, texts(data / name / "train.csv")[:rows])
        fixed = 1 - float(np.minimum(lengths, FIXED).mean()) / FIXED
        shares = f"{padding(lengths, batches):.1%} | {padding(lengths, cuts(len(lengths))):.1%} | {fixed:.1%}"
        print(f"| {name} | {lengths.mean():.0f} | {shares} |")


def main() -> None:
    """Print both tables."""
    made = parser(__doc__, rows=3000)
    made.add_argument("--batches", type=int, default=8, help="batches that are timed")
    options = options_of(made, quick_rows=128)
    backbone = registry.create("backbones", "text", {"max_length": 256})
    report_padding(backbone, options.data, options.rows)
    rows = texts(options.data / "ag_news_4k" / "train.csv")[: options.rows]
    _, batches = plan_of(backbone, rows)
    chosen = batches[: 1 if options.quick else options.batches]
    encoded = [backbone.collate([backbone.encode(rows[int(n)]) for n in batch]) for batch in chosen]
    found = timed(backbone, encoded, options.repeats)
    base = found["padded batches"]
    print(f"\n| forward and backward, {len(encoded)} batches of AG News | seconds | times padded |\n|---|---|---|")
    for name, spent in found.items():
        ratio = statistics.median(a / b for a, b in zip(spent, base, strict=True))
        print(f"| {name} | {statistics.median(spent):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
