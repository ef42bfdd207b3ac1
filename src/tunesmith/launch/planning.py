"""What a run will do and take, settled before it trains: batches that fit memory, levers that pay, and an estimate.

a few rows --engine/cost.py--> Cost --> pieces of a batch, and the estimate
                                    --> launch/tuning.py --> levers --> a better estimate
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Task
from tunesmith.core.errors import UsageError, require
from tunesmith.core.model import Model
from tunesmith.data.prepare import Divided
from tunesmith.data.ready import AnyRows
from tunesmith.engine import closed_form
from tunesmith.engine import cost as costs
from tunesmith.engine.batches import Examples, Loader, Plan, sizes_of
from tunesmith.engine.cost import Cost
from tunesmith.engine.groups import parameter_groups
from tunesmith.engine.levers import Bench, precision_of, pulled
from tunesmith.launch import console, estimate, tuning
from tunesmith.launch.estimate import GB, Estimate
from tunesmith.launch.remembering import StandIn, stand_in, wanted
from tunesmith.launch.resolve import Parts
from tunesmith.launch.tuning import Tuning
from tunesmith.report.words import duration

SHARE = 0.6
"""Share of a time limit that computing what is frozen may take."""

TRIALS = 0.1
"""Share of a time limit that trials of levers may take."""


@dataclass
class Planned:
    """All that training needs, and what it will take.

    Attributes:
        bench: what levers were tried on.
        loader: gives the batches.
        stand_in: what computes what is frozen once per row; None where it is computed anew each time.
        tuning: the levers that pay.
        expected: time and memory.
        deadline: when training must have ended, by `time.monotonic`; None for whenever it has.
    """

    bench: Bench
    loader: Loader
    stand_in: StandIn | None
    tuning: Tuning
    expected: Estimate
    deadline: float | None = None

    @property
    def precision(self) -> str | None:
        """The number format that a lever chose."""
        return next((lever.precision for lever in self.tuning.levers if lever.precision), None)

    @property
    def fused(self) -> bool:
        """Whether a lever makes the optimizer's step one operation."""
        return any(lever.fuses for lever in self.tuning.levers)

    def on(self) -> AbstractContextManager[None]:
        """The levers that were chosen, within a context."""
        return pulled(self.tuning.levers, self.bench)

    def tell(self) -> None:
        """The estimate and the levers, for people."""
        console.say(f"{self.expected.line()} ({self.bench.device})")
        if self.tuning.tried or self.tuning.left_out:
            console.say(self.tuning.line())


def plan(parts: Parts, model: Model, table: AnyRows, divided: Divided, work: Path, left: float = math.inf) -> Planned:
    """Put the model on its device, see what a few rows cost, batch the rows so that the pieces fit memory, and tune.

    Args:
        parts: with a recipe without gaps.
        model: with its adapter.
        table: the rows.
        divided: which rows train.
        work: folder of the run, for what is not to outlast it.
        left: seconds that training may take, of which trials may take a share.
    """
    training = parts.recipe.training
    state = processes()
    model.to(state.device)
    loader = _loader(parts, model, table, divided, state)
    precision = precision_of(training.precision, state.device)
    memory = (training.memory_gb or 1.0) * GB
    cost = costs.measure(model, parts.task, loader, state.device, precision, memory)
    loader = dataclasses.replace(loader, plan=dataclasses.replace(loader.plan, budget=_budget(model, parts.task, cost, loader, memory)))
    remembers = wanted(parts, model, cost.frozen, state.num_processes)
    found = stand_in(work, parts, model, table, divided, state.device) if remembers else None
    values = found.count(divided) if found else 0

    def expected(cost: Cost) -> Estimate:
        return estimate.expected(parts, model, cost, loader.plan, divided, values, state.num_processes)

    batch = _typical(loader, cost, memory, state.device)
    changing = groups(parts, model)
    bench = Bench(model, parts.task, batch, state.device, parts.optimizer, changing, precision, training.precision, found is not None)
    # with nothing but a head to train there are no steps worth the name, and several processes would not choose alike
    off = training.tuning == "off" or training.levers is not None or state.num_processes > 1 or model.frozen_blocks() is None
    cost = dataclasses.replace(cost, update=bench.update(), solving=_solving(parts, model, loader, state.device))
    first = expected(cost)
    chosen = (
        tuning.given(bench, training.levers or [], loader.workers)
        if off
        else tuning.tune(bench, loader, training.tuning, min(left, first.epochs * first.epoch_seconds), training.workers, TRIALS * left)
    )
    return Planned(bench, dataclasses.replace(loader, workers=chosen.workers), found, chosen, expected(cost.faster(chosen.gain)))


def _solving(parts: Parts, model: Model, loader: Loader, device: Any) -> float:
    """Seconds of a pass of the solver over the features of all training rows; 0 where training goes step by step."""
    if parts.adapter.penalties() is None:
        return 0.0
    rows = loader.plan.rows
    targets = [loader.examples.targets[int(row)] for row in rows[: closed_form.PART]]
    return closed_form.pass_seconds(model.head, parts.task, model.backbone.width(model._bare[0]), targets, len(rows), device)


def _budget(model: Model, task: Task, cost: Cost, loader: Loader, memory: float) -> int:
    """Work of the largest piece whose forward pass keeps no more than so many bytes.

    0 (no limit) where it keeps next to nothing, and where a smaller piece would change the result.
    """
    if model.mixes_rows() or not task.divides:
        return 0
    a_unit = cost.kept.base + cost.kept.slope * float(loader.plan.sizes.max())  # bytes for each unit of a row's size
    return max(1, int(memory / a_unit)) if a_unit > 1 else 0


def _typical(loader: Loader, cost: Cost, memory: float, device: Any) -> Any:
    """A batch of rows of middling size, of which a pass takes long enough to be timed."""
    order = np.argsort(loader.plan.sizes, kind="stable")
    middle = len(order) // 2
    count = costs.rows_for(cost, int(loader.plan.sizes[order[middle]]), loader.plan.batch_size, memory)
    places = order[max(0, middle - count // 2) :][:count]
    return costs.batch_of(loader, places.tolist(), device)


def fewer_rows(planned: Planned, parts: Parts, table: AnyRows, divided: Divided) -> None:
    """Leave training rows out where computing what is frozen would take most of the time that is left.

    Rows whose values are known cost nothing and stay. Nothing is left out where nothing is remembered: there the steps are fewer.

    Args:
        planned: its loader is given the rows that stay.
        parts: with a recipe without gaps.
        table: the rows.
        divided: is given the rows that stay.
    """
    needed, found = planned.expected.features_seconds, planned.stand_in
    if planned.deadline is None or found is None or needed <= SHARE * (planned.deadline - time.monotonic()):
        return
    rows, old = divided.splits["train"], planned.loader.plan
    missing, others = found.missing(parts, table, divided)
    seconds = needed / found.count(divided)
    room = int(SHARE * max(0.0, planned.deadline - time.monotonic()) / seconds) - others
    places = kept(missing, room, old.batch_size, old.seed)
    if len(places) < len(rows):
        divided.splits["train"] = rows[places]
        planned.loader = dataclasses.replace(planned.loader, plan=dataclasses.replace(old, rows=rows[places], sizes=old.sizes[places]))
        of_all = duration(seconds * (int(missing.sum()) + others))
        console.say(f"time limit: {len(places):,} of {len(rows):,} training rows are used, as all of them would take {of_all}")


def kept(missing: npt.NDArray[np.int64], room: int, least: int, seed: int) -> npt.NDArray[np.int64]:
    """Places of the rows to train on, ascending: those that need nothing, and as many others at random as there is room for.

    Args:
        missing: (rows,) values to be computed of each.
        room: values there is time for.
        least: rows to keep, whatever the room.
        seed: decides which.

    Example:
        >>> kept(np.array([0, 2, 2, 0, 2]), 4, 1, 0).tolist()
        [0, 2, 3, 4]
    """
    order = np.random.default_rng(seed).permutation(len(missing))
    order = order[np.argsort(missing[order] > 0, kind="stable")]
    count = int(np.searchsorted(missing[order].cumsum(), max(0, room), side="right"))
    return np.sort(order[: max(count, least)])


def groups(parts: Parts, model: Model) -> list[dict[str, Any]]:
    """Parameter groups of a recipe without gaps."""
    training = parts.recipe.training
    assert training.lr is not None and training.head_lr is not None
    return parameter_groups(
        model,
        lr=training.lr,
        head_lr=training.head_lr,
        layer_decay=training.layer_decay,
        weight_decay=float(parts.optimizer.settings().get("weight_decay", 0.0)),
    )


def _loader(parts: Parts, model: Model, table: AnyRows, divided: Divided, state: Any) -> Loader:
    recipe = parts.recipe
    rows = divided.splits["train"]
    world = state.num_processes
    sizes = sizes_of(table, rows, model.backbone)
    batches = Plan(rows, sizes, recipe.training.batch_size, recipe.training.accumulate * world, recipe.seed, processes=world)
    examples = Examples(table, divided.targets, model.backbone)
    augment = recipe.training.augment and parts.backbone.augments
    place = (state.process_index, world)
    return Loader(batches, examples, parts.task, augment, recipe.training.workers or 0, place, recipe.training.views)


def processes() -> Any:
    """This process among those that run the recipe."""
    return require("accelerate", "training").PartialState(**_on_processors())


def accelerator(precision: str | None) -> Any:
    """accelerate's, for a number format."""
    accelerate = require("accelerate", "training")
    if precision == "fp16" and not accelerate.PartialState(**_on_processors()).device.type == "cuda":
        raise UsageError("--precision fp16 needs a GPU; on a processor use fp32 (fastest on most) or bf16")
    accelerate.state.AcceleratorState._reset_state()  # a run before this one in the same process may have had another format
    return accelerate.Accelerator(mixed_precision="no" if precision in (None, "fp32") else precision, **_on_processors())


def _on_processors() -> dict[str, bool]:
    """What accelerate must be told to use several processes where there is no accelerator: by itself it sees only one."""
    import torch

    return {"cpu": True} if "LOCAL_RANK" in os.environ and not torch.accelerator.is_available() else {}
