"""The table: tiny backbones of every modality, and the variants of tasks and adapters that are put through their contracts.

What is registered is read from the registry, so a task, adapter, optimizer or schedule that is added is tested without an edit here. A
new modality needs a line in TINY.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from tests.backbones import series_checkpoints

from tunesmith.core import registry
from tunesmith.core.arrays import Outputs
from tunesmith.core.contracts import Adapter, Backbone, Batch, Task
from tunesmith.core.model import Model


@dataclass(frozen=True)
class Tiny:
    """A tiny backbone: its registered name, traits, fields given the folder of the fixture `checkpoints`, and what tasks can read of it."""

    modality: str
    traits: set[str]
    options: Callable[[Path], dict[str, Any]]
    gives: tuple[str, ...] = ("pooled",)


def _text(root: Path, name: str) -> dict[str, Any]:
    return {"source": str(root / name), "max_length": 40}  # of 64 positions: leaves room for learned tokens


def _image(root: Path, name: str) -> dict[str, Any]:
    return {"source": str(root / name)}


def _tabular(root: Path) -> dict[str, Any]:
    columns = {"age": "number", "job": "category", "since": "date", "town": "category"}
    return {"source": str(root / "tabular"), "columns": list(columns), "kinds": list(columns.values())}


TOKENS = ("pooled", "tokens")
TINY = {
    "bert": Tiny("text", {"text", "transformer"}, lambda root: _text(root, "bert")),
    "gpt2": Tiny("text", {"text", "transformer", "decoder", "transposed"}, lambda root: _text(root, "gpt2")),
    "vit": Tiny("image", {"image", "transformer", "linear", "layer_norm"}, lambda root: _image(root, "vit")),
    "resnet": Tiny("image", {"image", "convolution"}, lambda root: _image(root, "resnet")),
    "timm_resnet": Tiny("image", {"image", "convolution"}, lambda root: _image(root, "timm_resnet")),
    "dna": Tiny("dna", {"dna", "convolution", "linear", "layer_norm"}, lambda root: {"source": str(root / "dna")}),
    "sounds": Tiny("audio", {"audio", "convolution", "linear", "layer_norm"}, lambda root: _image(root, "sounds"), TOKENS),
    "wav2vec2": Tiny("audio", {"audio", "transformer", "linear", "layer_norm"}, lambda root: _image(root, "wav2vec2"), TOKENS),
    "series": Tiny("series", {"series", "convolution"}, lambda root: {"source": str(series_checkpoints.small(root)), "channels": 2}),
    "patchtst": Tiny("series", {"series", "transformer"}, lambda root: {"source": str(series_checkpoints.patchtst(root)), "channels": 2}),
    "tabular": Tiny("tabular", {"tabular", "transformer"}, lambda root: _tabular(root), TOKENS),
    "forecaster": Tiny(
        "forecaster",
        {"forecaster", "convolution", "linear", "layer_norm"},
        lambda root: {"source": str(root / "forecaster"), "context": 12, "hidden": 32, "depth": 3, "dropout": 0.0},
    ),
    "fusion": Tiny(
        "fusion",
        {"fusion", "transformer", "linear", "layer_norm"},
        lambda root: {"parts": {"text": _text(root, "bert"), "image": _image(root, "vit")}},
    ),
    "fusion_attention": Tiny(
        "fusion",
        {"fusion", "fresh", "transformer", "linear", "layer_norm"},
        lambda root: {
            "parts": {"text": _text(root, "bert"), "image": _image(root, "vit")},
            "how": "attention",
            "joint_width": 8,
            "joint": str(root / "attention.safetensors"),
        },
    ),
    "siglip_texts": Tiny("text", {"text", "transformer", "tower"}, lambda root: {"source": str(root / "siglip")}),
    "clip": Tiny(
        "dual_encoder",
        {"dual_encoder", "transformer", "linear", "layer_norm"},
        lambda root: {"source": str(root / "clip"), "text": {"max_length": 40}},
    ),
    "two_encoders": Tiny(
        "dual_encoder",
        {"dual_encoder", "transformer", "convolution"},
        lambda root: {"source": f"{root / 'timm_resnet'}+{root / 'bert'}", "text": {"max_length": 40}},
    ),
}

WRITERS = {
    "whisper": Tiny(
        "audio", {"audio", "transformer", "linear", "layer_norm"}, lambda root: _image(root, "whisper"), ("pooled", "tokens", "decoder")
    )
}
"""Those with a decoder of their own, for the tasks that need one; the encoder by itself is tested with the others of its modality."""

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "classification": [{}, {"class_weights": "balanced", "label_smoothing": 0.1, "hidden": 8}],
    "contrastive": [{"width": 8}, {"loss_name": "sigmoid", "width": 8}],
    "transcription": [{"longest": 8}],
    "regression": [{}, {"loss_name": "huber"}, {"scale": "log"}],
    "forecasting": [{"horizon": 3}, {"horizon": 3, "loss_name": "squared"}],
}
"""Settings of a task that change its loss; one plain variant where nothing is said."""


def tasks() -> list[tuple[str, dict[str, Any]]]:
    """Every registered task in its variants."""
    return [(name, options) for name in registry.entries("tasks") for options in VARIANTS.get(name, [{}])]


def pairs(suiting: bool) -> list[tuple[str, str, dict[str, Any]]]:
    """(tiny backbone, task, its options) where the backbone gives what the task needs and reads, or where it does not."""
    every = {**TINY, **WRITERS}
    found = []
    for tiny, (name, options) in itertools.product(every, tasks()):
        family: type[Task] = registry.find("tasks", name).load()
        suits = family.reads in every[tiny].gives and set(family.needs) <= every[tiny].traits
        if suits == suiting and (tiny in TINY or family.reads == "decoder"):
            found.append((tiny, name, options))
    return found


def adapters(fitting: bool) -> list[tuple[str, str]]:
    """(adapter, tiny backbone) where the adapter says that it fits, or that it does not."""
    names = registry.entries("adapters")
    return [(name, tiny) for name in names for tiny in TINY if (adapter(name).fits(TINY[tiny].traits) is None) == fitting]


def adapter(name: str, **options: Any) -> Adapter:
    """An adapter with its defaults, but for these options."""
    made: Adapter = registry.create("adapters", name, options)
    return made


def backbone(checkpoints: Path, tiny: str, **options: Any) -> Backbone:
    """A tiny backbone."""
    found = {**TINY, **WRITERS}[tiny]
    made: Backbone = registry.create("backbones", found.modality, {**found.options(checkpoints), **options})
    return made


@dataclass
class Case:
    """A fitted task on a tiny backbone, with a batch of its own synthetic rows."""

    task: Task
    backbone: Backbone
    model: Model
    rows: list[dict[str, Any]]
    raws: list[Any]
    targets: list[Any]

    def batch(self, start: int = 0, stop: int | None = None) -> Batch:
        """Rows from start to stop as one batch."""
        rows, targets = self.rows[start:stop], self.targets[start:stop]
        return {"inputs": self.backbone.collate([self.backbone.encode(row) for row in rows]), "target": self.task.collate(targets)}

    def outputs(self) -> torch.Tensor:
        """The model's outputs for all rows, in evaluation."""
        self.model.eval()
        with torch.no_grad():
            found: torch.Tensor = self.model({"inputs": self.batch()["inputs"]})
        return found

    def predicted(self) -> Outputs:
        """What the task predicts by, for all rows."""
        self.model.eval()
        with torch.no_grad():
            return self.task.predict(self.model, {"inputs": self.batch()["inputs"]})


def case(made: Backbone, name: str, options: dict[str, Any], rows: int = 12) -> Case:
    """Fit a task to synthetic rows and build its model."""
    torch.manual_seed(0)
    created: Task = registry.create("tasks", name, options)
    task, made = created.meet(made)
    examples = task.synthetic(rows, 1, made.sample)
    Random(2).shuffle(examples)
    raws = [task.raw(row) for row in examples]
    task = task.fit(raws)
    return Case(task, made, task.build(made), examples, raws, [task.target(raw) for raw in raws])


def plain(value: Any) -> Any:
    """A value after a journey through JSON."""
    return json.loads(json.dumps(value))
