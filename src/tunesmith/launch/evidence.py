"""What a run learns before it trains: what the data gate found, and what cheap ways say of the same rows.

    Ready, network as it came --> features --> gate --> baselines --> Evidence --> RUN/work, so that a resumed run has it too

Beyond some thousands of rows a drawn part of them is used, and everything on the scoreboard is scored on the same test rows.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith import baselines
from tunesmith.baselines import Tried
from tunesmith.core import arrays
from tunesmith.core.arrays import Floats
from tunesmith.core.contracts import Task
from tunesmith.core.files import atomic, read_json, write_json
from tunesmith.core.model import Model
from tunesmith.core.outcomes import Given, Said
from tunesmith.core.run import Run
from tunesmith.core.spending import Spent
from tunesmith.data.prepare import Divided
from tunesmith.data.split import Rows
from tunesmith.launch import console, features, gate, planning
from tunesmith.launch.features import RunFeatures
from tunesmith.launch.preparing import Ready

MOST_ROWS: Mapping[str, int] = {"train": 20_000, "validation": 5_000, "test": 5_000}
"""Rows of each split that cheap ways learn from, are chosen by, and are scored on."""

DRIFT_ROWS = 256
SAMPLE = 16
SHARE = 0.1
"""Share of a time limit that computing features for the scoreboard may take."""


@dataclass
class Evidence:
    """What is known before training.

    Attributes:
        gate: the key `gate` of metrics.json; None where the gate is off.
        tried: the cheap ways.
        rows: split -> numbers of the rows they were given.
        truth: split -> targets of these rows.
        before: (n, width) features of the first test rows, before anything was trained; None where there are none.
        seconds: what the gate, the features and the cheap ways took.
    """

    gate: dict[str, Any] | None = None
    tried: list[Tried] = field(default_factory=list)
    rows: Mapping[str, Rows] = field(default_factory=dict)
    truth: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    before: Floats | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write it where `restored` finds it."""
        held: dict[str, Any] = {f"rows.{name}": values for name, values in self.rows.items()}
        for name, values in self.truth.items():
            held.update({f"truth.{name}{ending}": part for ending, part in arrays.stored(values).items()})
        if self.before is not None:
            held["before"] = self.before
        for item in self.tried:
            if item.said is not None:
                held[f"test.{item.name}"], held[f"validation.{item.name}"] = item.said.test, item.said.validation
        with atomic(folder / "evidence.npz") as part, part.open("wb") as handle:
            np.savez(handle, **held)
        told = [
            {
                "name": item.name,
                "skipped": item.skipped,
                "learned": item.said.learned if item.said else 0,
                "note": item.said.note if item.said else "",
                "spent": dataclasses.asdict(item.spent) if item.spent else None,
            }
            for item in self.tried
        ]
        write_json(folder / "evidence.json", {"gate": self.gate, "seconds": self.seconds, "tried": told})


def restored(folder: Path) -> Evidence:
    """What `save` wrote; nothing where nothing was written, as by an earlier version."""
    if not (folder / "evidence.json").is_file():
        return Evidence()
    told = read_json(folder / "evidence.json")
    with np.load(folder / "evidence.npz", allow_pickle=False) as file:
        kept = dict(file.items())

    def part(kind: str) -> dict[str, Any]:
        return {name.removeprefix(f"{kind}."): values for name, values in kept.items() if name.startswith(f"{kind}.")}

    def tried(item: dict[str, Any]) -> Tried:
        name, spent = item["name"], Spent(**item["spent"]) if item["spent"] else None
        said = Said(part("test")[name], part("validation")[name], item["learned"], item["note"]) if name in part("test") else None
        return Tried(name, said, item["skipped"], spent)

    every = [tried(item) for item in told["tried"]]
    truth: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for key, values in part("truth").items():
        name, dot, ending = key.partition(".")
        truth.setdefault(name, {})[dot + ending] = values
    whole = {name: arrays.restored(parts) for name, parts in truth.items()}
    return Evidence(told["gate"], every, part("rows"), whole, kept.get("before"), told["seconds"])


def gathered(run: Run, ready: Ready, model: Model, deadline: float | None) -> Evidence:
    """Inspect the data and try cheap ways, as far as the recipe asks for it.

    Args:
        run: for what is not to outlast it.
        ready: the divided rows.
        model: as `training.opened` gives it.
        deadline: when the run must have ended, by `time.monotonic`; None for whenever it has.

    Raises:
        DataError: the data holds errors that were not allowed.
    """
    wanted = ready.parts.recipe.proof
    drawn = _drawn(ready.divided, ready.parts.recipe.seed)
    found = Evidence(rows=drawn.splits)
    if not (wanted.gate or wanted.scoreboard):
        return found
    began = time.perf_counter()
    # of series neither a cheap way nor an inspection reads features
    known = None if ready.parts.task.answers == "series" else _features(run, ready, model, drawn, deadline)
    found.seconds["features"] = time.perf_counter() - began
    if known is not None:
        found.before = np.array(known.splits["test"].values[:DRIFT_ROWS])
    if wanted.gate:
        seen, found.gate = gate.judged(gate.view(ready, known))
        found.seconds["gate"] = found.gate["seconds"]
        gate.tell(seen.findings, found.seconds["gate"])
        if not wanted.allow_data_errors:
            gate.refuse(seen.findings)
    found.truth = {name: features.targets(drawn, numbers) for name, numbers in drawn.splits.items()}
    if wanted.scoreboard:
        began = time.perf_counter()
        said = baselines.tried(_given(ready, found, known), features=known.spent if known else None)
        found.tried = [_meant(item, ready.parts.task) for item in said]
        found.seconds["baselines"] = time.perf_counter() - began
        count = sum(item.said is not None for item in found.tried)
        part = _part(ready.divided, drawn)
        console.say(f"scoreboard: {count} cheap ways tried{part} ({found.seconds['baselines']:.1f} s)")
        if part:
            found.tried = [_noted(item, part) for item in found.tried]
    return found


def _part(divided: Divided, drawn: Divided) -> str:
    """What was drawn of what there is; empty where all of it is used."""
    few = [name for name, numbers in drawn.splits.items() if len(numbers) < len(divided.splits[name])]
    if not few:
        return ""
    return " on " + ", ".join(f"{len(drawn.splits[name]):,} of {len(divided.splits[name]):,} {name} rows" for name in few)


def _meant(item: Tried, task: Task) -> Tried:
    """What a cheap way says, on the user's scale."""
    if item.said is None:
        return item
    said = dataclasses.replace(item.said, test=task.meant(item.said.test), validation=task.meant(item.said.validation))
    return dataclasses.replace(item, said=said)


def _noted(item: Tried, part: str) -> Tried:
    if item.said is None:
        return item
    note = f"{item.said.note}; {part.strip()}" if item.said.note else part.strip()
    return dataclasses.replace(item, said=dataclasses.replace(item.said, note=note))


def _drawn(divided: Divided, seed: int) -> Divided:
    """At most so many rows of each split."""
    random = np.random.default_rng(seed)

    def some(name: str, numbers: Rows) -> Rows:
        return numbers if len(numbers) <= MOST_ROWS[name] else np.sort(random.choice(numbers, MOST_ROWS[name], replace=False))

    return dataclasses.replace(divided, splits={name: some(name, numbers) for name, numbers in divided.splits.items()})


def _features(run: Run, ready: Ready, model: Model, drawn: Divided, deadline: float | None) -> RunFeatures | None:
    """Features of the network as it came, where there is time for them."""
    device = planning.processes().device
    model.to(device)
    if deadline is not None:
        needed = features.seconds_a_row(model, ready.rows, drawn.splits["train"][:SAMPLE], device) * sum(map(len, drawn.splits.values()))
        if needed > SHARE * max(0.0, deadline - time.monotonic()):
            console.say(f"scoreboard: features of the backbone are left out: about {math.ceil(needed)} s, too long for --time-limit")
            return None
    return features.of(run.work, ready.parts, model, ready.rows, drawn, device)


def _given(ready: Ready, found: Evidence, known: RunFeatures | None) -> Given:
    return Given(
        inputs={spec.column: spec.kind for spec in ready.parts.backbone.input_spec()},
        rows=lambda split: ready.rows.rows(found.rows[split]),
        truth={name: ready.parts.task.taught(found.truth[name]) for name in ("train", "validation")},
        answers=ready.parts.task.answers,
        classes=len(ready.parts.task.labels()),
        features=lambda split: known.splits[split].values if known else None,
        seed=ready.parts.recipe.seed,
        task=ready.parts.task.settings(),
    )
