"""What the measurements share: both sides in processes of their own, in turn (A B A B ...), and one table.

A side is a function that runs once and gives a `Measured`. A ratio is taken within each round, where the machine is the same for both, and
the median of the rounds is shown. Peers run by the Python of build/peers-venv (`make bench` makes it); each peer script under peers/ prints
one line of JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "build" / "peers-venv" / "bin" / "python"
WORK = ROOT / "build" / "bench"


@dataclass(frozen=True)
class Measured:
    """One run of one side.

    Attributes:
        train: seconds of training alone, without evaluation; with those of computing what is frozen, of all rows that are ever scored.
        wall: seconds of the whole process, imports included.
        peak: largest resident memory of the process in MB, until training and its evaluation ended.
        accuracy: on the test rows.
    """

    train: float
    wall: float
    peak: float
    accuracy: float


Side = Callable[[], Measured]


def parser(doc: str | None, rows: int = 1000) -> argparse.ArgumentParser:
    """The flags every measurement has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    made.add_argument("--peers", type=Path, default=PEERS, help="the Python that has the peers")
    made.add_argument("--rows", type=int, default=rows, help="training rows")
    made.add_argument("--repeats", type=int, default=3, help="rounds; each runs every side once")
    made.add_argument("--quick", action="store_true", help="few rows and one round: shows that it works, measures nothing")
    return made


def options_of(made: argparse.ArgumentParser, quick_rows: int = 64) -> argparse.Namespace:
    """The parsed flags; `--quick` overrules rows and repeats."""
    options = made.parse_args()
    if not options.data.is_dir():
        raise SystemExit(f"there is no data at {options.data}; name its folder with --data")
    if options.quick:
        options.rows, options.repeats = quick_rows, 1
    return options


ALONE = ("--allow-failed-checks", "--no-gate", "--no-scoreboard")


def tunesmith(*arguments: str | Path, cache: Path | None = None) -> Measured:
    """One `tunesmith tune`, in a fresh process with a fresh feature cache unless one is given.

    What is frozen is computed for validation and test rows too; of its seconds the training rows' share counts as training, as the seconds
    of the other sides hold no evaluation.

    It neither inspects the data nor tries cheap ways, as the other sides do neither: bench_proof.py says what that costs.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as folder:
        run = Path(folder, "run")
        command = [sys.executable, "-m", "tunesmith", "tune", *map(str, arguments), "--out", str(run), "--json", *ALONE]
        wall = _run(command, {"TUNESMITH_CACHE": str(cache or Path(folder, "cache"))})[1]
        told = json.loads((run / "metrics.json").read_text())
    share = told["data"]["train"] / sum(told["data"][name] for name in ("train", "validation", "test"))
    return Measured(
        share * told["cost"]["features_seconds"] + told["cost"]["train_seconds"],
        wall,
        told["cost"]["train_peak_memory_gb"] * 1024,
        told["test"]["accuracy"],
    )


def peer(python: Path, script: str, *arguments: str | Path) -> Measured:
    """One run of a script under peers/."""
    if not python.exists():
        raise SystemExit(f"{python} is missing; make it with: make peers")
    told, wall = _run([str(python), str(ROOT / "benchmarks" / "peers" / script), *map(str, arguments)], {"HF_HUB_OFFLINE": "1"})
    found = json.loads(told.splitlines()[-1])
    return Measured(found["train_seconds"], wall, found["peak_mb"], found["accuracy"])


def environment() -> dict[str, str]:
    """Of every process: waiting threads sleep."""
    return {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "true"}


def _run(command: Sequence[str], extra: Mapping[str, str]) -> tuple[str, float]:
    """Standard output and seconds of a command that must succeed. Waiting threads sleep, on both sides alike."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**environment(), **extra}, check=False)
    if done.returncode:
        raise SystemExit(f"exit status {done.returncode} of: {' '.join(command)}\n{done.stderr[-3000:]}")
    return done.stdout, time.perf_counter() - started


def in_turn(sides: Mapping[str, Side], repeats: int) -> dict[str, list[Measured]]:
    """Every side once a round."""
    found: dict[str, list[Measured]] = {name: [] for name in sides}
    for number in range(repeats):
        for name, side in sides.items():
            found[name].append(side())
            print(f"round {number + 1}: {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    return found


def table(found: Mapping[str, Sequence[Measured]], train: str = "training", ours: str | None = None) -> str:
    """Medians of each side, and how many times the figure of `ours` (the first side unless named) each is.

    Args:
        found: measurements by side, from `in_turn`.
        train: what the seconds of training are seconds of.
        ours: the side that is 1.00.
    """
    base = found[ours or next(iter(found))]
    lines = [
        f"| | {train} | times ours | whole process | times ours | peak memory | times ours | test accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        cells = []
        for field, unit, digits in (("train", "s", 2), ("wall", "s", 1), ("peak", "MB", 0)):
            values = [getattr(run, field) for run in runs]
            ratios = [value / max(getattr(other, field), 1e-9) for value, other in zip(values, base, strict=True)]
            cells += [f"{statistics.median(values):,.{digits}f} {unit}", f"{statistics.median(ratios):.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {statistics.median(run.accuracy for run in runs):.3f} |")
    return "\n".join(lines)


def texts(folder: Path) -> list[dict[str, str]]:
    """Rows of a CSV of texts and labels."""
    with folder.open(encoding="utf-8", newline="") as handle:
        return [{"text": row["text"], "label": row["label"]} for row in csv.DictReader(handle)]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Rows as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def ag_news(data: Path, rows: int, name: str) -> tuple[Path, Path, Path]:
    """Files of `rows` training rows, a fifth as many validation rows and half as many test rows, the same for both sides."""
    known = texts(data / "ag_news_4k" / "train.csv")
    random.Random(0).shuffle(known)
    held = max(rows // 5, 16)
    if rows + held > len(known):
        raise SystemExit(f"--rows {rows} with {held} validation rows is more than the {len(known)} rows of AG News here")
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    return (
        write_rows(folder / "train.csv", known[:rows]),
        write_rows(folder / "validation.csv", known[rows : rows + held]),
        write_rows(folder / "test.csv", texts(data / "ag_news_4k" / "test.csv")[: max(rows // 2, 32)]),
    )
