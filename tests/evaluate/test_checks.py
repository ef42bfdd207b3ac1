"""A planted fault for each check shows that it fires."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.core import bundle as bundles
from tunesmith.core import registry
from tunesmith.core.files import read_json, sha256, write_json
from tunesmith.core.fitting import Progress
from tunesmith.core.model import Model
from tunesmith.evaluate import checks, streaming


@pytest.fixture(scope="module")
def trained(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Any, Path, dict[str, int]]:
    """A model that moved, its task, its bundle, and the checksums it started with."""
    torch.manual_seed(0)
    backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    task = registry.create("tasks", "classification", {"classes": ["a", "b"]})
    model = task.build(backbone)
    adapter = registry.create("adapters", "lora", {})
    adapter.apply(model, 0)
    before = model.fingerprints()
    with torch.no_grad():
        for parameter in model.trainable().values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.eval()
    folder = tmp_path_factory.mktemp("checks") / "bundle"
    about = {"modality": "text"}
    bundles.save(folder, model=model, task=task, adapter=adapter, about=about, card="", samples=[])
    return model, task, folder, before


def rows(model: Model, task: Any) -> tuple[list[Any], list[Any]]:
    made = [model.backbone.sample(i, Random(i)) for i in range(6)]
    return made, [p for _, _, p in streaming.predict(model, task, [(i, row) for i, row in enumerate(made)])]


def test_weights_that_moved_as_they_should(trained: Any) -> None:
    model, _, _, before = trained
    found = checks.weights_moved(before, model.fingerprints(), set(model.trainable()))
    assert found.status == "passed"
    assert "frozen ones did not" in found.detail


def test_a_frozen_adapter_is_found() -> None:
    found = checks.weights_moved({"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a"})
    assert (found.status, found.detail) == ("failed", "1 of 1 trainable tensors did not move, for example a")
    assert checks.weights_moved({"a": 1}, {"a": 1}, set()).status == "failed"
    assert checks.weights_moved({"a": 1, "b": 2}, {"a": 5, "b": 2}, {"a", "b"}, {"b"}).status == "passed"


def test_frozen_weights_that_moved_are_found() -> None:
    found = checks.weights_moved({"a": 1, "b": 2}, {"a": 3, "b": 4}, {"a"})
    assert (found.status, found.detail) == ("failed", "1 frozen tensors moved, for example b")
    beside = checks.weights_moved({"a.bias": 1, "a.weight": 2}, {"a.bias": 3, "a.weight": 4}, {"a.bias"}, buffers={"a.mean"})
    assert beside.detail == "1 frozen tensors moved, for example a.weight"


def test_statistics_may_move_beside_trainable_weights_only() -> None:
    before, after = {"a.weight": 1, "a.mean": 1, "b.weight": 1, "b.mean": 1}, {"a.weight": 2, "a.mean": 2, "b.weight": 1, "b.mean": 1}
    buffers = {"a.mean", "b.mean"}
    found = checks.weights_moved(before, after, {"a.weight"}, buffers=buffers)
    assert (found.status, found.detail) == ("passed", "1 trainable tensors moved, 2 frozen ones did not")
    assert checks.weights_moved(before, {**after, "b.mean": 2}, {"a.weight"}, buffers=buffers).status == "failed"


@pytest.mark.parametrize(
    ("first", "norm", "status"), [(1.0, 2.0, "passed"), (None, 2.0, "failed"), (math.nan, 2.0, "failed"), (1.0, 0.0, "failed")]
)
def test_loss_and_gradient(first: float | None, norm: float, status: str) -> None:
    assert checks.loss_and_gradient(Progress(first_loss=first, largest_norm=norm)).status == status


def test_a_head_that_is_not_saved_is_found(trained: Any, tmp_path: Path) -> None:
    model, _, folder, before = trained
    assert checks.head_saved(model, folder, before).status == "passed"
    assert "missing from the bundle" in checks.head_saved(model, tmp_path, before).detail
    stored = load_file(folder / "head.safetensors")
    save_file({name: torch.zeros_like(tensor) for name, tensor in stored.items()}, tmp_path / "head.safetensors")
    found = checks.head_saved(model, tmp_path, before)
    assert found.status == "failed"
    assert "differ in the bundle" in found.detail
    untrained = checks.head_saved(model, folder, model.fingerprints())
    assert untrained.status == "failed"
    assert "what it was before training" in untrained.detail


@pytest.mark.slow
def test_a_bundle_that_predicts_otherwise_is_found(trained: Any, tmp_path: Path) -> None:
    """The label map is scrambled, checksums and all: only predictions can tell."""
    import shutil

    model, task, folder, _ = trained
    made, expected = rows(model, task)
    assert checks.reloaded(folder, made, expected).status == "passed"
    wrong = tmp_path / "bundle"
    shutil.copytree(folder, wrong)
    about = read_json(wrong / "bundle.json")
    about["task"]["settings"]["classes"] = ["b", "a"]
    write_json(wrong / "bundle.json", about)
    sums = read_json(wrong / "checksums.json")
    write_json(wrong / "checksums.json", {**sums, "bundle.json": sha256(wrong / "bundle.json")})
    assert checks.reloaded(wrong, made, expected).status == "failed"


def test_a_bundle_that_cannot_be_read_is_found(trained: Any, tmp_path: Path) -> None:
    model, task, _, _ = trained
    made, expected = rows(model, task)
    found = checks.reloaded(tmp_path / "none", made, expected)
    assert found.status == "failed"
    assert "there is no bundle at" in found.detail


@pytest.mark.parametrize(
    ("own", "constant", "direction", "status"),
    [
        (0.6, 0.5, "max", "passed"),
        (0.5, 0.5, "max", "failed"),
        (0.505, 0.5, "max", "failed"),  # less than one of the 100 rows
        (1.0, 2.0, "min", "passed"),
        (1.99, 2.0, "min", "failed"),
        (2.0, 1.0, "min", "failed"),
    ],
)
def test_better_than_the_constant(own: float, constant: float, direction: str, status: str) -> None:
    assert checks.better_than_constant({"m": own, "rows": 100}, {"m": constant}, ("m", direction)).status == status


@pytest.mark.parametrize(("rows", "status"), [(1, "not_applicable"), (4, "not_applicable"), (5, "passed")])
def test_a_handful_of_rows_is_not_held_against_a_constant(rows: int, status: str) -> None:
    found = checks.better_than_constant({"m": 1.0, "rows": rows}, {"m": 0.5}, ("m", "max"))
    assert found.status == status
    assert status == "passed" or f"{rows} test row" in found.detail


def test_differences() -> None:
    assert checks.differences({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]}) == 0.25
    assert checks.differences({"a": 1}, {"b": 1}) == math.inf
    assert checks.differences({"label": "x"}, {"label": "y"}) == math.inf
    assert checks.differences([1.0], [1.0, 2.0]) == math.inf
