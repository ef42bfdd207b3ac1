"""Which levers a run pulls: decided by a trial on the machine at hand, remembered for the same machine and model, and told.

A trial must pay for itself: `auto` tries only what the run is long enough to win back, `max` tries everything.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from tunesmith.core.cache import cache_folder
from tunesmith.core.errors import OutputError
from tunesmith.core.files import read_json, write_json
from tunesmith.core.model import to_device
from tunesmith.engine.batches import Loader
from tunesmith.engine.cost import train_once
from tunesmith.engine.levers import GAIN, Bench, Lever, Threads, called, candidates, named
from tunesmith.launch import console

PAYS = 0.05
"""Share of a run's training time that trials may take."""

WORKERS_FROM = 0.05
"""Share of a step that reading its rows must take before processes that read ahead are tried."""


@dataclass
class Tuning:
    """What was found.

    Attributes:
        levers: those that are taken.
        workers: processes that read rows.
        gain: how many times faster a step is with all that was taken.
        tried: of each lever how many times faster it made a step, and whether it was taken.
        left_out: levers whose trial this run is too short for.
        seconds: that the trials took.
        known: whether an earlier run had found it.
    """

    levers: list[Lever] = field(default_factory=list)
    workers: int = 0
    gain: float = 1.0
    tried: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0
    known: bool = False

    def line(self) -> str:
        """One line for people."""
        parts = [f"{item['lever']} {item['gain']:.2f}x{' taken' if item['taken'] else ''}" for item in self.tried]
        if self.left_out:
            parts.append(f"not worth a trial in so short a run: {', '.join(self.left_out)} (--tuning max without --time-limit tries them)")
        where = "as an earlier run found" if self.known else f"tried in {self.seconds:.1f} s"
        return f"tuning: {', '.join(parts)}" + (f"; together {self.gain:.2f}x ({where})" if self.tried else "")

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in ("workers", "gain", "tried", "left_out", "seconds", "known")}


def given(bench: Bench, names: Sequence[str], workers: int) -> Tuning:
    """The levers that a recipe names, as far as they apply here.

    Raises:
        UnknownNameError: there is no such lever.
    """
    levers = [named(name) for name in names]
    for lever in levers:
        if not lever.fits(bench) and not isinstance(lever, Threads):
            console.say(f"note: the lever '{called(lever)}' of the recipe does not apply here and is not pulled")
    return Tuning([lever for lever in levers if lever.fits(bench)], workers)


def tune(
    bench: Bench, loader: Loader, mode: str, training_seconds: float, workers: int | None = None, budget: float = float("inf")
) -> Tuning:
    """Find the levers to pull.

    Args:
        bench: what they are tried on.
        loader: gives the batches.
        mode: `auto` or `max`.
        training_seconds: what training would take without any.
        workers: processes that read rows, where the recipe says so.
        budget: seconds that trials may take in any mode.
    """
    found = Tuning(workers=workers or 0)
    levers = [lever for lever in candidates(bench.device, os.cpu_count() or 1) if lever.fits(bench)]
    shared = cache_folder() / "tuning" / f"{_key(bench, mode)}.json"
    known = _read(shared, levers)
    if known is not None:
        return known if workers is None else replace(known, workers=workers)
    allowed = min(budget, training_seconds * PAYS if mode == "auto" else float("inf"))
    started = time.perf_counter()
    step = bench.seconds()
    with torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_available() else []), ExitStack() as taken:
        for lever in levers:
            if time.perf_counter() - started + max(lever.least, lever.passes * step) > allowed:
                found.left_out.append(called(lever))
                continue
            gain = lever.gain(bench)
            pull = gain >= GAIN
            found.tried.append({"lever": called(lever), "gain": round(gain, 3), "taken": pull})
            if pull:
                taken.enter_context(lever.on(bench))
                found.levers.append(lever)
                found.gain *= gain
        if workers is None:
            _workers(bench, loader, found, allowed - (time.perf_counter() - started))
    found.seconds = round(time.perf_counter() - started, 2)
    if found.tried:
        _remember(shared, found)
    return found


def _workers(bench: Bench, loader: Loader, found: Tuning, allowed: float) -> None:
    """Processes that read rows ahead, where reading takes a share of a step that matters."""
    if allowed <= 0:
        return
    rows = loader.plan.rows[: loader.plan.batch_size]
    started = time.perf_counter()
    loader.collate([loader.examples[int(row), None] for row in rows])
    reading = time.perf_counter() - started
    step = bench.seconds()
    if reading < WORKERS_FROM * step or 20 * (reading + step) > allowed:
        return
    count = max(1, (os.cpu_count() or 1) // 2)
    with_them, without = (_flow(bench, loader, workers) for workers in (count, 0))
    gain = without / with_them
    found.tried.append({"lever": f"workers {count}", "gain": round(gain, 3), "taken": gain >= GAIN})
    if gain >= GAIN:
        found.workers = count
        found.gain *= gain


def _flow(bench: Bench, loader: Loader, workers: int) -> float:
    """Seconds of some steps with the reading of their rows, after the first."""
    batches = replace(loader, workers=workers).batches(0)
    next(batches)
    started = time.perf_counter()
    for pieces in itertools.islice(batches, 6):
        for piece in pieces:
            train_once(bench.model, bench.task, to_device(piece, bench.device), bench.precision)
    return time.perf_counter() - started


def _key(bench: Bench, mode: str) -> str:
    """The machine, the software, the model, and the size of the batch."""
    shape = [tuple(value.shape) for value in bench.batch["inputs"].values() if isinstance(value, torch.Tensor)]
    trainable = sorted(bench.model.trainable())
    device = torch.cuda.get_device_name() if bench.device.type == "cuda" else _processor()
    told = repr((device, os.cpu_count(), torch.__version__, repr(bench.model), trainable, shape, bench.optimizer.name, mode))
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((line for line in lines if line.startswith("model name")), platform.processor())


def _read(path: Path, levers: list[Lever]) -> Tuning | None:
    """What an earlier run found; None where there is nothing that can be read."""
    if not path.is_file():
        return None
    try:
        stored = read_json(path)
        taken = {item["lever"] for item in stored["tried"] if item["taken"]}
        return Tuning([lever for lever in levers if called(lever) in taken], **{**stored, "known": True})
    except (ValueError, KeyError, TypeError):  # written by another version: it can be found again
        return None


def _remember(path: Path, found: Tuning) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(path, found.plain())
    except (OSError, OutputError) as error:
        console.say(f"note: what the trial found is not remembered for other runs ({error})")
