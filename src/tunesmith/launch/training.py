"""Puts model, optimizer, batches and callbacks together and runs the loop."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tunesmith import recipe as recipes
from tunesmith.core import registry
from tunesmith.core.contracts import Picture
from tunesmith.core.errors import AdapterError, BackboneError, UsageError
from tunesmith.core.files import write_text
from tunesmith.core.fitting import Callback, Progress, Setup
from tunesmith.core.model import Model
from tunesmith.core.run import Run
from tunesmith.data.prepare import Divided, store_division
from tunesmith.data.ready import AnyRows
from tunesmith.engine import closed_form, lr_finder
from tunesmith.engine.averages import Ema
from tunesmith.engine.batches import Examples, Loader
from tunesmith.engine.clock import Clock
from tunesmith.engine.levers import called
from tunesmith.engine.loop import Limits, Loop
from tunesmith.evaluate import streaming
from tunesmith.launch import console
from tunesmith.launch.estimate import peak_memory
from tunesmith.launch.planning import Planned, accelerator, fewer_rows, groups, plan, processes
from tunesmith.launch.resolve import Parts


@dataclass
class Trained:
    """A model whose best weights are in it, and what the checks need to know."""

    model: Model
    progress: Progress
    validation: dict[str, Any]
    before: dict[str, int]
    after: dict[str, int]
    names: set[str]
    may_rest: set[str]
    trainable: int
    monitor: tuple[str, str]
    device: torch.device
    peak_memory: float


def opened(parts: Parts) -> Model:
    """The model with its pretrained weights, before an adapter touches it.

    Args:
        parts: implementations; the task is fitted.

    Raises:
        BackboneError: the weights are not to be had.
    """
    model = parts.task.build(parts.backbone)
    _tell_origin(parts)
    return model


def adapted(parts: Parts, model: Model) -> Model:
    """The same model with its adapter, before anything is trained.

    Raises:
        AdapterError: the adapter does not fit this network.
    """
    parts.adapter.apply(model, parts.recipe.seed)
    if not model.trainable():
        raise AdapterError(
            f"adapter '{parts.adapter.name}' changes the head alone, and with task '{parts.task.name}' the checkpoint's own decoder stands "
            "in its place: nothing could be trained. Use another one, such as --adapter full or --adapter lora"
        )
    model.dropout = parts.recipe.training.dropout
    if parts.recipe.training.gradient_checkpointing:
        parts.backbone.save_memory(model._bare[0])
    return model


def check_features(model: Model, table: AnyRows, divided: Divided) -> None:
    """Refuse a backbone that gives the same features for different rows: nothing can be learned from them.

    Raises:
        BackboneError: with what usually is the cause.
    """
    backbone = model.backbone
    rows = [table[int(number)] for number in divided.splits["train"][:8]]
    model.eval()
    with torch.inference_mode():
        pooled = model.features({"inputs": backbone.collate([backbone.encode(row) for row in rows])}).pooled
    different = {tuple(_told(row.get(column)) for column in backbone.columns) for row in rows}
    if pooled is not None and len(rows) > 1 and len(different) > 1 and float(pooled.std(dim=0).max()) == 0.0:
        raise BackboneError(
            f"the backbone gives the same features for {len(rows)} different rows, so nothing can be learned from them; pictures are often "
            "read too small for it (--set backbone.size=96 or more), or its weights are damaged"
        )


def _told(value: Any) -> Any:
    """What tells a cell apart."""
    if isinstance(value, Picture):
        return value.key
    return value.tobytes() if isinstance(value, np.ndarray) else value


def settled(run: Run, parts: Parts, model: Model, table: AnyRows, divided: Divided, deadline: float | None) -> Planned:
    """What the run will do and take, told and written down.

    Args:
        run: its recipe is given the choices, so that a resumed or repeated run makes the same.
        parts: implementations; the task is fitted.
        model: what `build` gave.
        table: the rows.
        divided: row numbers of the splits, and targets; training rows are left out where the time does not suffice for all, once in a run.
        deadline: when training must have ended, by `time.monotonic`; None for whenever it has.
    """
    left = math.inf if deadline is None else max(0.0, deadline - time.monotonic())
    planned = plan(parts, model, table, divided, run.work, left)
    training = parts.recipe.training
    chosen = [called(lever) for lever in planned.tuning.levers if lever.precision is None]
    _write_training(run, parts, precision=training.precision or planned.precision or "fp32", levers=chosen, workers=planned.tuning.workers)
    planned.tell()
    if deadline is not None:
        planned.deadline = deadline - planned.expected.after_seconds
        if not divided.settled:
            fewer_rows(planned, parts, table, divided)
            divided.settled = True
            store_division(divided, run.work)
    return planned


def train(run: Run, parts: Parts, model: Model, table: AnyRows, divided: Divided, planned: Planned, checkpoint: Path | None) -> Trained:
    """Train by a resolved recipe.

    Args:
        run: where checkpoints and logs go.
        parts: implementations; the task is fitted.
        model: what `build` gave.
        table: the rows.
        divided: row numbers of the splits, and targets.
        planned: what `settled` gave.
        checkpoint: where to go on from, or None.
    """
    recipe = parts.recipe
    own = accelerator(recipe.training.precision)
    before, names = model.fingerprints(), set(model.trainable())
    trainable = sum(p.numel() for p in model.trainable().values())
    assert recipe.training.monitor is not None
    monitor = (recipe.training.monitor, parts.task.directions()[recipe.training.monitor])
    with planned.on():
        progress, after = _fit(run, parts, model, table, divided, planned, own, monitor, checkpoint)
    if progress.stop:
        console.say(f"stopped early: {progress.stop}")
    own.wait_for_everyone()
    best = next(item for item in progress.history if item["step"] == progress.best_step)
    model.eval()
    return Trained(
        model=model,
        progress=progress,
        validation=dict(best),
        before=before,
        after=after,
        names=names,
        may_rest={name for name in names if parts.adapter.may_rest(name)},
        trainable=trainable,
        monitor=monitor,
        device=own.device,
        peak_memory=peak_memory(),
    )


def _write_training(run: Run, parts: Parts, **changes: Any) -> None:
    """Change the recipe of training; of several processes the first writes it."""
    parts.recipe = dataclasses.replace(parts.recipe, training=dataclasses.replace(parts.recipe.training, **changes))
    if not processes().is_main_process:
        return
    write_text(run.recipe, recipes.to_yaml(dataclasses.replace(parts.recipe, out=None)))


def _fit(
    run: Run,
    parts: Parts,
    model: Model,
    table: AnyRows,
    divided: Divided,
    planned: Planned,
    accelerator: Any,
    monitor: tuple[str, str],
    checkpoint: Path | None,
) -> tuple[Progress, dict[str, int]]:
    """Fit in one go or step by step; gives what happened and the checksums of the parameters at the end."""

    def evaluate() -> dict[str, Any]:
        numbers = divided.splits["validation"]
        rows = zip(map(int, numbers), table.rows(numbers), strict=True)
        return streaming.evaluate(model, parts.task, rows, divided.targets.__getitem__)

    loader = dataclasses.replace(planned.loader, examples=Examples(table, divided.targets, model.backbone))
    callbacks = [_tracker(name, run) for name in parts.recipe.trackers]
    penalties = parts.adapter.penalties()
    if penalties is not None:
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        found = closed_form.gathered(loader, run.work / "probe.bin", accelerator.device)
        seconds = None if planned.deadline is None else planned.deadline - time.monotonic()
        clock = Clock(seconds, 1, planned.expected.epoch_seconds, planned.expected.evaluation_seconds, unit="penalties")
        search = closed_form.Search(penalties, monitor, clock)
        return closed_form.fit(model, parts.task, found, search, evaluate, run.checkpoints, callbacks)
    setup = _setup(parts, model, loader, accelerator, planned.fused)
    recipe = parts.recipe
    if recipe.training.find_lr and checkpoint is None:
        recipe = _with_found_rate(run, parts, setup, accelerator)
    loop = Loop(
        setup=setup,
        model=model,
        accelerator=accelerator,
        adapter=parts.adapter,
        schedule=parts.schedule,
        limits=Limits(
            epochs=recipe.training.passes,
            clip=recipe.training.clip,
            warmup=recipe.training.warmup,
            patience=recipe.training.patience,
            monitor=monitor,
            checkpoint_steps=recipe.training.checkpoint_steps,
            seconds=None if planned.deadline is None else planned.deadline - time.monotonic(),
            step_seconds=planned.expected.epoch_seconds / planned.expected.steps,
            evaluation_seconds=planned.expected.evaluation_seconds,
        ),
        evaluate=evaluate,
        folder=run.checkpoints,
        callbacks=callbacks,
    )
    return loop.run(len(loader.plan), checkpoint), loop.ended


def _tell_origin(parts: Parts) -> None:
    whole = parts.backbone.origin()
    for origin in whole.get("parts", {"": whole}).values():
        if "matched" not in origin:
            continue
        counts = f"{origin['matched']} tensors matched, {origin['missing']} missing, {origin['unexpected']} unexpected"
        told = f"weights: {origin['source']}: {counts}"
        if origin["missing"]:
            told += f" (missing, so random: {', '.join(origin['missing_names'])})"
        if parts.recipe.scratch:
            told = "weights: random (--scratch): nothing was pretrained"
        console.say(told)


def _setup(parts: Parts, model: Model, loader: Loader, accelerator: Any, fused: bool) -> Setup:
    recipe, task = parts.recipe, parts.task
    raw = parts.optimizer.build(groups(parts, model), fused=fused)
    averages = [found] if (found := parts.optimizer.average(raw)) else []
    if recipe.training.ema:
        averages.append(Ema(model.trainable(), recipe.training.ema))
    wrapped, optimizer = accelerator.prepare(model, raw)
    if wrapped is model:  # its forward would stay in the number format of training, also in evaluation; the loop sets that itself
        model.__dict__.pop("forward", None)
    return Setup(
        model=wrapped,
        optimizers={task.phases[0]: optimizer},
        loss=task.loss,
        weight=task.weight,
        batches=loader.batches,
        averages=averages,
        divides=task.divides,
    )


def _with_found_rate(run: Run, parts: Parts, setup: Setup, accelerator: Any) -> Any:
    """Sweep rates, take the suggested one, and write it into the recipe."""
    if accelerator.num_processes > 1:
        raise UsageError("--find-lr sweeps in one process: find the rate without torchrun first, then give it with --lr")
    if parts.optimizer.finds_rate:
        raise UsageError(f"--find-lr and --optimizer {parts.optimizer.name} exclude each other: it finds the rate by itself")
    seen = lr_finder.sweep(setup, accelerator.device)
    rate = lr_finder.suggested(seen)
    old = parts.recipe.training.lr
    assert old is not None
    console.say(f"learning-rate finder: {rate:.3g} (the default was {old:g}; the loss falls most steeply there)")
    for optimizer in setup.optimizers.values():
        largest = max(group["base_lr"] for group in optimizer.param_groups)
        for group in optimizer.param_groups:
            group["base_lr"] *= rate / largest
    scale = rate / max(old, parts.recipe.training.head_lr or old)
    _write_training(run, parts, lr=old * scale, head_lr=(parts.recipe.training.head_lr or old) * scale, find_lr=False)
    return parts.recipe


def _tracker(name: str, run: Run) -> Callback:
    made: Callback = registry.find("trackers", name).load()()
    return made.in_run(run.folder)
