"""From a recipe with gaps to one without: every gap is filled by a rule, and the rule is told."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from tunesmith.core import registry
from tunesmith.core.contracts import Adapter, Backbone, Defaults, Task
from tunesmith.core.errors import AdapterError, BackboneError, UnknownNameError, UsageError
from tunesmith.core.fitting import OptimizerSpec, Schedule
from tunesmith.data.decisions import Columns, Decision
from tunesmith.engine.levers import named
from tunesmith.recipe import Choice, Recipe

EPOCHS = 5
MOST_EPOCHS = 400
"""Passes over the training rows where nothing was asked for: as a rule, and of so few rows that these would be a few steps only."""

FRESH_STEPS = 300
"""Steps that networks which begin at random beside pretrained ones are given at least, whatever the adapter."""


@dataclass
class Parts:
    """The implementations a recipe names, and the recipe without gaps."""

    recipe: Recipe
    task: Task
    backbone: Backbone
    adapter: Adapter
    optimizer: OptimizerSpec
    schedule: Schedule
    decisions: list[Decision]


def backbone_of(recipe: Recipe, columns: Columns) -> Backbone:
    """The backbone a recipe names, without its weights."""
    modality = columns.modality
    family: type[Backbone] = registry.find("backbones", modality).load()
    options: dict[str, Any] = {**recipe.backbone.options, **family.options_for({name: columns.kinds[name] for name in columns.inputs})}
    named = recipe.backbone.name
    if named and named != modality:  # a backbone without a source is named as its modality
        options["source"] = named
    if recipe.weights:
        options["weights"] = recipe.weights
    if recipe.scratch:
        options["scratch"] = True
    backbone: Backbone = registry.create("backbones", modality, options)
    return backbone if columns.windows is None else backbone.over(columns.windows)


def resolve(recipe: Recipe, columns: Columns) -> Parts:
    """Fill the gaps of a recipe.

    Args:
        recipe: what the user said.
        columns: what the columns of the data mean.

    Raises:
        UnknownNameError, RecipeError: a name or field that does not exist.
        AdapterError: the adapter does not fit the backbone.
    """
    found: list[Decision] = []
    task: Task = registry.create("tasks", columns.task, {**recipe.task.options, "label": columns.label})
    named = recipe.backbone.name
    if columns.windows is not None:
        columns = dataclasses.replace(columns, windows=dataclasses.replace(columns.windows, horizon=task.ahead()))
    task, backbone = task.meet(backbone_of(recipe, columns))
    source: str = named or str(getattr(backbone, "source", "") or columns.modality)
    found.append(Decision("backbone", source, "as given" if named else f"the default for {columns.modality}", "--backbone"))
    traits = backbone.traits()
    _serving(task, traits, source)
    adapter_name, why = _adapter_of(recipe, traits)
    found.append(Decision("adapter", adapter_name, why, "--adapter"))
    adapter: Adapter = registry.create("adapters", adapter_name, recipe.adapter.options)
    _fitting(adapter_name, adapter, traits, source)
    if adapter.penalties() is not None and not task.divides:
        raise AdapterError(
            f"adapter '{adapter_name}' fits a head part by part, and task '{task.name}' holds the rows of a batch against each other; use "
            "--adapter head, which trains it step by step"
        )
    if recipe.training.accumulate > 1 and not task.divides:
        raise UsageError(
            f"--accumulate computes a batch in pieces, and task '{task.name}' holds the rows of a batch against each other; give a smaller "
            "--batch-size, or --gradient-checkpointing"
        )
    if backbone.repeated and not (recipe.data.group or recipe.data.time):
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, group=backbone.repeated))
        found.append(Decision("group", backbone.repeated, "rows of one picture stay on one side of the split", "--group"))
    if adapter.penalties() is not None and task.reads != "pooled":
        raise AdapterError(
            f"adapter '{adapter_name}' fits a head on pooled features in one go, and task '{task.name}' reads the {task.reads}; use "
            "--adapter head, which trains it step by step"
        )
    for name in recipe.proof.compare or []:
        _fitting(name, registry.create("adapters", name, {}), traits, source)
    defaults = adapter.defaults(traits)
    optimizer: OptimizerSpec = registry.create("optimizers", recipe.optimizer.name or "adamw", recipe.optimizer.options)
    schedule_name = recipe.schedule.name or optimizer.schedule or defaults.schedule
    schedule: Schedule = registry.create("schedules", schedule_name, recipe.schedule.options)
    full = _filled(recipe, columns, task, adapter_name, source, optimizer, schedule_name, defaults)
    found.append(
        Decision("penalty", "chosen on validation", "the head is fitted in one go", "--set adapter.strengths=[...]")
        if adapter.penalties() is not None
        else Decision(
            "rate",
            f"{full.training.lr:g}, head {full.training.head_lr:g}",
            f"{optimizer.name}, schedule {schedule_name}",
            "--lr, --head-lr",
        )
    )
    return Parts(full, task, backbone, adapter, optimizer, schedule, found)


def with_epochs(parts: Parts, rows: int) -> Parts:
    """Fill in how often training goes through the rows, which only their number tells.

    Args:
        parts: as `resolve` gives them.
        rows: training rows.
    """
    training = parts.recipe.training
    if training.epochs is not None:
        return parts
    traits = parts.backbone.traits()
    least = max(parts.adapter.defaults(traits).steps, FRESH_STEPS if "fresh" in traits else 0)
    steps = math.ceil(rows / training.batch_size)
    epochs = min(MOST_EPOCHS, max(EPOCHS, math.ceil(least / steps)))
    recipe = dataclasses.replace(parts.recipe, training=dataclasses.replace(training, epochs=epochs))
    if epochs == EPOCHS or parts.adapter.penalties() is not None:
        return dataclasses.replace(parts, recipe=recipe)
    why = f"weights begin at random, and {rows} rows make {steps} step{'s' * (steps > 1)} each"
    return dataclasses.replace(parts, recipe=recipe, decisions=[Decision("epochs", str(epochs), why, "--epochs")])


def _serving(task: Task, traits: set[str], source: str) -> None:
    """Refuse a backbone that lacks what the task needs."""
    lacking = [trait for trait in task.needs if trait not in traits]
    if lacking:
        raise BackboneError(f"task '{task.name}' needs a backbone of kind {lacking[0]}, and {source} is none; use --modality {lacking[0]}")


def _adapter_of(recipe: Recipe, traits: set[str]) -> tuple[str, str]:
    """Name of the adapter, and why it is this one."""
    if recipe.adapter.name:
        return recipe.adapter.name, "as given"
    if recipe.scratch or "untrained" in traits:
        return "full", "random weights have nothing to preserve"
    if "transformer" in traits:
        return "lora", "the default for a transformer"
    if "fusion" in traits:
        return "head", "the default for convolutional networks beside others: what is new trains, they stay as they are"
    return "full", "the default for a convolutional network"


def _fitting(name: str, adapter: Adapter, traits: set[str], source: str) -> None:
    """Refuse an adapter that does not fit the backbone, with those that do."""
    reason = adapter.fits(traits)
    if reason:
        fitting = [name for name in registry.entries("adapters") if registry.create("adapters", name, {}).fits(traits) is None]
        raise AdapterError(f"adapter '{name}' does not fit the backbone {source}: it {reason}. Adapters that fit: {', '.join(fitting)}")


def _memory_gb() -> float:
    """Memory that a piece of a batch may keep: half of an accelerator's; on a processor what its caches and allocator like.

    On a processor larger pieces are slower: arrays of more than 32 MB are mapped anew each time, page by page.
    """
    import torch

    return round(torch.cuda.get_device_properties(0).total_memory / 2**31, 2) if torch.cuda.is_available() else 0.125


def _filled(
    recipe: Recipe, columns: Columns, task: Task, adapter: str, source: str, optimizer: OptimizerSpec, schedule: str, defaults: Defaults
) -> Recipe:
    given = recipe.training
    lr = given.lr if given.lr is not None else optimizer.rate(defaults.lr)
    head_lr = (
        given.head_lr if given.head_lr is not None else max(lr, optimizer.rate(defaults.head_lr)) if given.lr is None else max(lr, 1e-3)
    )
    if not (0 < lr < math.inf and 0 < head_lr < math.inf):
        name, rate = ("lr", lr) if not 0 < lr < math.inf else ("head_lr", head_lr)
        raise UsageError(f"field '{name}' must be a number above 0 (got {rate:g})")
    monitor = given.monitor or next(iter(task.directions()))
    if monitor not in task.directions():
        raise UnknownNameError("validation metric", monitor, task.directions())
    for tracker in recipe.trackers:
        registry.find("trackers", tracker)
    for lever in given.levers or []:
        named(lever)
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, inputs=columns.inputs, label=columns.label, modality=columns.modality),
        task=Choice(columns.task, recipe.task.options),
        backbone=Choice(source, recipe.backbone.options),
        adapter=Choice(adapter, recipe.adapter.options),
        optimizer=Choice(optimizer.name, recipe.optimizer.options),
        schedule=Choice(schedule, recipe.schedule.options),
        training=dataclasses.replace(given, lr=lr, head_lr=head_lr, monitor=monitor, memory_gb=given.memory_gb or _memory_gb()),
    )
