"""Which levers a run pulls: decided by a trial on the machine at hand, remembered for the same machine and model, and told.

A trial must pay for itself: `auto` tries only what the run is long enough to win back, `max` tries everything. Remembered is what was
tried, lever by lever, so that what one run was too short for is tried by the next that is long enough:

    {"step": 0.21, "tried": [{"lever": "threads 1", "gain": 1.31, "taken": true}, {"lever": "fused", "gain": 1.0, "taken": false}]}
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
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
from tunesmith.engine.cost import as_before, train_once
from tunesmith.engine.levers import GAIN, Bench, Lever, called, candidates, named
from tunesmith.launch import console

PAYS = 0.05
"""Share of a run's training time that trials may take."""

WORKERS_FROM = 0.05
"""Share of a step that reading its rows must take before processes that read ahead are tried."""

STEPS = 6
"""Steps by which processes that read ahead are judged."""

Trial = dict[str, Any]
"""A lever, how many times faster it made a step, whether it is taken. Of processes that read ahead where there is little to read: how many
times faster at most."""


@dataclass
class Tuning:
    """What was found.

    Attributes:
        levers: those that are taken.
        workers: processes that read rows.
        tried: the trials, those of earlier runs first.
        left_out: levers that this run is too short for.
        seconds: that the trials took.
        known: how many of the trials earlier runs had made.
    """

    levers: list[Lever] = field(default_factory=list)
    workers: int = 0
    tried: list[Trial] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0
    known: int = 0

    @property
    def gain(self) -> float:
        """How many times faster a step is with all that was taken."""
        return math.prod(float(item["gain"]) for item in self.tried if item["taken"])

    def line(self) -> str:
        """One line for people."""
        parts = [f"{item['lever']} {item['gain']:.2f}x{' taken' if item['taken'] else ''}" for item in self.tried]
        if self.left_out:
            parts.append(f"not worth it in so short a run: {', '.join(self.left_out)} (--tuning max without --time-limit tries them)")
        here = f"tried in {self.seconds:.1f} s" + (f", {self.known} known from earlier runs" if self.known else "")
        where = "as an earlier run found" if self.known == len(self.tried) else here
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
        if not lever.fits(bench):
            console.say(f"note: the lever '{called(lever)}' of the recipe does not apply here and is not pulled")
    return Tuning([lever for lever in levers if lever.fits(bench)], workers)


def tune(bench: Bench, loader: Loader, mode: str, training_seconds: float, workers: int | None = None, budget: float = math.inf) -> Tuning:
    """Find the levers to pull.

    Args:
        bench: what they are tried on.
        loader: gives the batches.
        mode: `auto` or `max`.
        training_seconds: what training would take without any.
        workers: processes that read rows, where the recipe says so.
        budget: seconds that trials may take in any mode.
    """
    levers = {called(lever): lever for lever in candidates(bench.device, os.cpu_count() or 1) if lever.fits(bench)}
    shared = cache_folder() / "tuning" / f"{_key(bench)}.json"
    known, step = _read(shared)
    allowed = min(budget, training_seconds * PAYS if mode == "auto" else math.inf)
    found = Tuning(workers=workers or 0)
    started = time.perf_counter()
    with as_before(bench.model), ExitStack() as taken:
        step = step or bench.seconds()
        for name in [*(name for name in known if name in levers), *(name for name in levers if name not in known)]:
            lever, item = levers[name], known.get(name)
            price = max(lever.least, lever.passes * step)
            used = time.perf_counter() - started
            if (item is None and used + price > allowed) or (item is not None and item["taken"] and lever.costly and price > allowed):
                found.left_out.append(name)
                continue
            if item is None:
                item = _trial(name, lever.gain(bench))
            found.tried.append(item)
            if item["taken"]:
                taken.enter_context(lever.on(bench))
                found.levers.append(lever)
        if workers is None:
            _workers(bench, loader, found, known, (step, allowed - (time.perf_counter() - started)))
    found.seconds = round(time.perf_counter() - started, 2)
    new = {item["lever"]: item for item in found.tried if item["lever"] not in known}
    found.known = len(found.tried) - len(new)
    if new:
        _remember(shared, [*known.values(), *new.values()], step)
    return found


def _trial(name: str, gain: float) -> Trial:
    return {"lever": name, "gain": round(gain, 3), "taken": gain >= GAIN}


def _workers(bench: Bench, loader: Loader, found: Tuning, known: Mapping[str, Trial], time_for: tuple[float, float]) -> None:
    """Processes that read rows ahead, where reading takes a share of a step that matters.

    Args:
        time_for: seconds of a step without levers, and of all trials that are left.
    """
    count = max(1, (os.cpu_count() or 1) // 2)
    name = f"workers {count}"
    item = known.get(name) or _readers(bench, loader, count, (time_for[0] / found.gain, time_for[1]))
    if item is None:
        return
    found.tried.append(item)
    if item["taken"]:
        found.workers = count


def _readers(bench: Bench, loader: Loader, count: int, time_for: tuple[float, float]) -> Trial | None:
    """The trial of so many processes that read ahead; None where there is no time for it."""
    step, allowed = time_for
    if 20 * step > allowed:
        return None
    rows = loader.plan.rows[: loader.plan.batch_size]
    started = time.perf_counter()
    loader.collate([loader.examples[int(row), None] for row in rows])
    reading = time.perf_counter() - started
    name = f"workers {count}"
    if reading < WORKERS_FROM * step:
        return {**_trial(name, 1 + reading / step), "taken": False}
    if 20 * (reading + step) > allowed:
        return None
    with_them, without = (_flow(bench, loader, workers) for workers in (count, 0))
    return _trial(name, without / with_them)


def _flow(bench: Bench, loader: Loader, workers: int) -> float:
    """Seconds of some steps with the reading of their rows, after the first; as many epochs are begun as they need."""
    reading = replace(loader, workers=workers)
    batches = itertools.chain.from_iterable(reading.batches(epoch) for epoch in itertools.count())
    with bench.training():
        next(batches)
        started = time.perf_counter()
        for pieces in itertools.islice(batches, STEPS):
            for piece in pieces:
                train_once(bench.model, bench.task, to_device(piece, bench.device), bench.precision)
        return time.perf_counter() - started


def _key(bench: Bench) -> str:
    """The machine, the software, the model with its number format and layout, and the size of the batch."""
    model = bench.model
    shape = [tuple(value.shape) for value in bench.batch["inputs"].values() if isinstance(value, torch.Tensor)]
    device = torch.cuda.get_device_name() if bench.device.type == "cuda" else _processor()
    machine = (device, os.cpu_count(), torch.get_num_threads(), torch.__version__)
    layout = {p.is_contiguous() for p in model.network.parameters() if p.ndim == 4}
    network = (repr(model), sorted(model.trainable()), model.dropout, bench.format, sorted(layout))
    told = repr((machine, network, shape, bench.optimizer.name))
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((line for line in lines if line.startswith("model name")), platform.processor())


def _read(path: Path) -> tuple[dict[str, Trial], float]:
    """The trials of earlier runs by lever, in their order, and the seconds of a step without any lever; none where there are none."""
    if not path.is_file():
        return {}, 0.0
    try:
        stored = read_json(path)
        tried = {
            str(item["lever"]): {"lever": str(item["lever"]), "gain": float(item["gain"]), "taken": bool(item["taken"])}
            for item in stored["tried"]
        }
        return tried, float(stored["step"])
    except (ValueError, KeyError, TypeError):  # written by another version: it can be found again
        return {}, 0.0


def _remember(path: Path, tried: Sequence[Trial], step: float) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(path, {"step": step, "tried": list(tried)})
    except (OSError, OutputError) as error:
        console.say(f"note: what the trial found is not remembered for other runs ({error})")
