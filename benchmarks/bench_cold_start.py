"""How long a person waits for a first prediction: a fresh `tunesmith predict` beside a fresh process of plain transformers.

    python benchmarks/bench_cold_start.py [--repeats 7]

Both read the same bundle: MiniLM with a head, fitted here to a few of the bank messages that come with tunesmith. The plain process
imports transformers and torch, reads network, tokenizer and head, and predicts the same text, without checking any file; tunesmith
also compares the checksum of every file of the bundle. They take turns, as the machine may be busy.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 3.0  # seconds
TEXT = "where is my card?? it has been two weeks"
ROWS = 120

PLAIN = """
import json, sys
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

bundle, text = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(bundle + "/backbone")
network = AutoModel.from_pretrained(bundle + "/backbone").eval()
head = load_file(bundle + "/head.safetensors")
with torch.inference_mode():
    batch = tokenizer([text], truncation=True, max_length=256, return_tensors="pt")
    pooled = network(**batch).last_hidden_state.mean(1)
    probabilities = torch.nn.functional.linear(pooled, head["out.weight"], head["out.bias"]).softmax(-1)[0]
classes = json.load(open(bundle + "/bundle.json"))["task"]["settings"]["classes"]
print(json.dumps({"label": classes[int(probabilities.argmax())], "probability": float(probabilities.max())}))
"""


def bundle_in(folder: Path) -> Path:
    """A bundle of MiniLM with a head."""
    from tunesmith.launch.demo import DATA

    table = folder / "messages.csv"
    with Path(DATA).open(encoding="utf-8", newline="") as source, table.open("w", encoding="utf-8", newline="") as target:
        rows = [(row["text"], row["intent"]) for row in csv.DictReader(source)]
        csv.writer(target).writerows([("text", "intent"), *rows[:ROWS]])
    given = ["--label", "intent", "--backbone", "minilm", "--adapter", "head", "--epochs", "3", "--allow-failed-checks"]
    command = [sys.executable, "-m", "tunesmith", "tune", str(table), *given, "--out", str(folder / "run")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "run" / "bundle"


def timed(command: list[str]) -> tuple[float, dict[str, object]]:
    """Seconds of a process from its start to its end, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Time the processes in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as folder:
        bundle = str(bundle_in(Path(folder)))
        predict = [sys.executable, "-m", "tunesmith", "predict", bundle, "--text", TEXT, "--json"]
        commands = {
            "`tunesmith predict --text`": predict,
            "the same with `--runtime torch`": [*predict, "--runtime", "torch"],
            "plain transformers and torch": [sys.executable, "-c", PLAIN, bundle, TEXT],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        said = {}
        for repeat in range(options.repeats + 1):
            for name, command in commands.items():
                taken, said[name] = timed(command)
                if repeat:  # the first round fills the system's file cache for all
                    seconds[name].append(taken)
    worst = max(abs(float(str(one["probability"])) - float(str(two["probability"]))) for one in said.values() for two in said.values())
    if worst > 1e-5 or len({str(item["label"]) for item in said.values()}) > 1:
        raise SystemExit(f"the predictions differ, so their times do not compare: {said}")
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    own, plain = medians["`tunesmith predict --text`"], medians["plain transformers and torch"]
    print(f"First prediction of one text by MiniLM with a head, {options.repeats} fresh processes each, {os.cpu_count()} cores\n")
    print("| process | median | fastest | slowest | beside plain transformers |\n|---|---|---|---|---|")
    for name, found in seconds.items():
        print(f"| {name} | {medians[name]:.2f} s | {min(found):.2f} s | {max(found):.2f} s | {medians[name] / plain:.2f} |")
    holds = "holds" if own < LIMIT else "FAILS"
    print(f"\nAll predict {said[name]['label']}, with probabilities at most {worst:.1g} apart.")
    print(f"Claim: a first prediction in less than {LIMIT:g} s: {holds} ({own:.2f} s, {plain / own:.1f} times faster)")


if __name__ == "__main__":
    main()
