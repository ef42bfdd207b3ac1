"""Peak memory of `tunesmith tune` against the number of rows: texts in a CSV file, and a folder of pictures.

    python benchmarks/bench_memory.py [--quick] [--only texts,pictures]

Each case is one run of the command line in a process of its own on generated data: one epoch, all weights of a tiny random network, batches
of 512, so that little but the rows takes memory. Printed: `own`, the largest amount of memory of the process's own (anonymous pages, read
from /proc ten times a second); `resident`, the largest resident set, which also counts pages of mapped files that the system takes back
when others need them; `bytes a row`, the growth of `own` from the smallest case; and the time. With --quick only the small sizes run.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

WORDS = [
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
TEXTS = (1_000, 10_000, 100_000, 1_000_000)
PICTURES = (1_000, 10_000, 100_000)
SIDE = 48


@dataclass(frozen=True)
class Used:
    """What a run took: MB of its own, MB resident, seconds."""

    own: float
    resident: float
    seconds: float


def checkpoint(folder: Path) -> Path:
    """A random BERT of one narrow layer in hub format."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS, *map(str, range(10)), *(f"##{i}" for i in range(10))])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
        initializer_range=0.3,
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def texts(path: Path, rows: int) -> None:
    """Write a CSV file of short texts, all different, of four classes."""
    rng = random.Random(0)
    with path.open("w") as handle:
        handle.write("text,label\n")
        for number in range(rows):
            label = number % 4
            handle.write(f"{' '.join(rng.choices(WORDS[label * 3 : label * 3 + 9], k=8))} {number},class_{label}\n")


def pictures(folder: Path, rows: int) -> None:
    """Write PNG files, all different, of three classes."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in range(3):
        (folder / f"class_{label}").mkdir(parents=True)
    for number in range(rows):
        pixels = rng.integers(0, 90, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        pixels[..., number % 3] += 120
        picture = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        picture.save(folder / f"class_{number % 3}" / f"{number}.png", compress_level=1)


def measured(command: list[str], work: Path) -> Used:
    """Run a command and watch its memory."""
    environment = {**os.environ, "TUNESMITH_CACHE": str(work / "cache"), "OMP_WAIT_POLICY": "PASSIVE"}
    started = time.perf_counter()
    with (work / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "tunesmith", *command], stdout=log, stderr=log, env=environment)
        own = resident = 0
        while process.poll() is None:
            try:
                lines = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
                own = max(own, int(lines["RssAnon"].split()[0]))
                resident = max(resident, int(lines["VmHWM"].split()[0]))
            except (FileNotFoundError, KeyError):  # it has just ended
                pass
            time.sleep(0.1)
    if process.returncode not in (0, 3):
        raise SystemExit((work / "log").read_text()[-3000:])
    return Used(own / 1024, resident / 1024, time.perf_counter() - started)


def case(kind: str, rows: int) -> Used:
    """One run on freshly generated data."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        common = ["--adapter", "full", "--epochs", "1", "--batch-size", "512", "--trackers", "jsonl", "--out", str(work / "run")]
        if kind == "texts":
            texts(work / "rows.csv", rows)
            network = str(checkpoint(work / "bert"))
            return measured(["tune", str(work / "rows.csv"), "--backbone", network, *common], work)
        pictures(work / "pictures", rows)
        network = ["--backbone", "timm:test_resnet", "--scratch", "--set", "backbone.size=24"]
        return measured(["tune", str(work / "pictures"), *network, *common], work)


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the small sizes")
    parser.add_argument("--only", default="texts,pictures")
    options = parser.parse_args()
    print("| data | rows | own, MB | resident, MB | bytes a row | seconds |\n|---|---:|---:|---:|---:|---:|")
    for kind, sizes in (("texts", TEXTS), ("pictures", PICTURES)):
        if kind not in options.only.split(","):
            continue
        first: Used | None = None
        for rows in sizes[:2] if options.quick else sizes:
            used = case(kind, rows)
            first = first or used
            grown = "" if used is first else f"{(used.own - first.own) * 2**20 / (rows - sizes[0]):.0f}"
            print(f"| {kind} | {rows:,} | {used.own:.0f} | {used.resident:.0f} | {grown} | {used.seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
