"""What inspecting the data, the scoreboard and judging the result add to a run, with features known from an earlier run and without.

    python benchmarks/bench_proof.py [--rows 1000] [--repeats 3]

LoRA on MiniLM, AG News, 2 epochs. The share is of the seconds that the run itself says (it counts from the end of reading) with what it
spent on inspecting, features, cheap ways and judging. Whole processes, run in turn, say the same with all that is around it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from _pairs import environment, options_of, parser


def run(data: Path, rows: int, cache: Path, *more: str) -> dict[str, Any]:
    """One run in a fresh process; what its metrics.json says of its cost, and the seconds of the process."""
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as folder:
        out = Path(folder, "run")
        command = [sys.executable, "-m", "tunesmith", "tune", str(data / "ag_news_4k"), "--adapter", "lora", "--epochs", "2"]
        began = time.perf_counter()
        subprocess.run(
            [*command, "--limit", str(rows), "--out", str(out), "--allow-failed-checks", "--allow-data-errors", *more],
            check=True,
            capture_output=True,
            env={**environment(), "TUNESMITH_CACHE": str(cache)},
        )
        found: dict[str, Any] = json.loads((out / "metrics.json").read_text())["cost"]
        return {**found, "process": time.perf_counter() - began}


def main() -> None:
    """Run in turn and print the table."""
    made = parser(__doc__, rows=1000)
    options = options_of(made, quick_rows=60)
    found: dict[str, list[dict[str, Any]]] = {"without": [], "cold": [], "known": []}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as cache:
            found["without"].append(run(options.data, options.rows, Path(cache), "--no-gate", "--no-scoreboard"))
            found["cold"].append(run(options.data, options.rows, Path(cache)))
            found["known"].append(run(options.data, options.rows, Path(cache)))
    print(f"LoRA on MiniLM, AG News, {options.rows} training rows, 2 epochs, rounds: {options.repeats}\n")
    print("| | whole process | times without | inspecting | features | cheap ways | judging | share of the process |")
    print("|---|---|---|---|---|---|---|---|")
    names = {"without": "neither inspected nor compared", "cold": "features computed", "known": "features known from an earlier run"}
    for key, name in names.items():
        wall = median(item["process"] for item in found[key])
        ratio = median(item["process"] / other["process"] for item, other in zip(found[key], found["without"], strict=True))
        parts = [
            median(item["proof"].get(f"{part}_seconds", 0.0) for item in found[key])
            for part in ("gate", "features", "baselines", "judging")
        ]
        share = median(sum(item["proof"].values()) / item["process"] for item in found[key])
        print(f"| {name} | {wall:.1f} s | {ratio:.2f} | " + " | ".join(f"{part:.1f} s" for part in parts) + f" | {share:.1%} |")


if __name__ == "__main__":
    main()
