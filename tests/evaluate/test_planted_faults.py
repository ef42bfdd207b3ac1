"""A realistic fault planted in a real tiny run, for each check: which of the checks fire, and that none does without the fault.

The run that is no better than a constant stands in tests/test_cli.py, with the exit status that follows.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tunesmith.adapters.low_rank import Lora
from tunesmith.core import bundle as bundles
from tunesmith.core import registry
from tunesmith.core import run as runs
from tunesmith.core.contracts import Check, ScoreTable
from tunesmith.core.errors import TrainingError
from tunesmith.core.files import read_json, sha256, write_json
from tunesmith.core.model import Model
from tunesmith.core.run import Run
from tunesmith.engine.loop import Loop
from tunesmith.evaluate import checks
from tunesmith.launch import outcome, preparing, proving, training
from tunesmith.launch.proving import Scored
from tunesmith.launch.training import Trained
from tunesmith.recipe import from_plain
from tunesmith.tasks.classification import Classification


@dataclass
class Finished:
    """All that a run has when it is to prove itself."""

    run: Run
    ready: preparing.Ready
    trained: Trained
    tested: Scored
    head_before: dict[str, torch.Tensor]

    def checks(self, **changes: Any) -> list[Check]:
        given = {"tested": self.tested, "task": self.ready.parts.task, "run": self.run, **changes}
        return proving.checks_here(ready=self.ready, trained=self.trained, **given)

    def failed(self, **changes: Any) -> set[str]:
        return {check.name for check in self.checks(**changes) if check.status == "failed"}


def made_up(kind: str, source: Path, n: int = 120, task: str = "classification") -> list[dict[str, Any]]:
    backbone = registry.create("backbones", kind, {"source": str(source)})
    made: list[dict[str, Any]] = registry.create("tasks", task, {}).synthetic(n, 0, backbone.sample)
    return made


def finished(
    folder: Path, source: Path, rows: list[dict[str, Any]], plant: Callable[[Model], None] | None = None, adapter: str = "lora"
) -> Finished:
    """The steps of `launch`, up to the checks, with a fault planted before training."""
    fit = {"epochs": 3, "batch_size": 8, "lr": 0.01, "tuning": "off", "feature_cache": "off"}
    options = {"max_length": 40} if adapter == "prompt" else {}  # room for the learned tokens
    plain = {"backbone": {"name": str(source), **options}, "adapter": {"name": adapter}, "training": fit, "trackers": []}
    run = runs.new(str(folder), "run")
    preparing.prepare_process(0)
    ready = preparing.prepared(from_plain(plain), rows, run)
    model = training.adapted(ready.parts, preparing.opened(ready))
    head = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    if plant is not None:
        plant(model)
    parts, divided, table = ready.parts, ready.divided, ready.rows
    planned = training.settled(run, parts, model, table, divided, None)
    trained = training.train(run, parts, model, table, divided, planned, None)
    metrics = parts.task.metrics()
    predicted = outcome.predict_split(run, ready, trained.model, parts.task, metrics)
    tested = Scored(metrics.compute(), metrics.tables(), outcome.constant(parts.task, divided), predicted.first, metrics.compute())
    about = outcome.about(parts)
    bundles.save(run.bundle, model=trained.model, task=parts.task, adapter=parts.adapter, about=about, card="", samples=[])
    return Finished(run, ready, trained, tested, head)


@pytest.fixture(scope="module")
def rows(checkpoints: Path) -> list[dict[str, Any]]:
    return made_up("text", checkpoints / "bert")


@pytest.fixture(scope="module")
def whole(checkpoints: Path, rows: Any, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run without a fault; tests leave it as it is."""
    return finished(tmp_path_factory.mktemp("whole") / "run", checkpoints / "bert", rows)


@pytest.fixture
def bundle(whole: Finished, tmp_path: Path) -> Run:
    """A run whose bundle may be tampered with."""
    copied = Run(tmp_path / "run")
    shutil.copytree(whole.run.bundle, copied.bundle)
    shutil.copy(whole.run.predictions, copied.predictions)
    return copied


def sealed(bundle: Path) -> Path:
    """The bundle with checksums that fit whatever was put into it."""
    sums = read_json(bundle / "checksums.json")
    write_json(bundle / "checksums.json", {name: sha256(bundle / name) for name in sums})
    return bundle


def test_a_run_without_a_fault_passes(whole: Finished) -> None:
    found = {check.name: check.status for check in whole.checks()}
    assert found.pop("calibration_kept_predictions") == "not_applicable"
    assert set(found.values()) == {"passed"}
    assert len(found) == 10
    before = whole.trained.model.fingerprints()
    whole.checks()
    assert whole.trained.model.fingerprints() == before
    assert all(p.grad is None for p in whole.trained.model.parameters())


@pytest.mark.parametrize("task", ["multilabel", "regression"])
@pytest.mark.parametrize("adapter", ["dora", "prompt", "bitfit", "gradual"])
def test_other_tasks_and_adapters_pass(checkpoints: Path, tmp_path: Path, task: str, adapter: str) -> None:
    made = made_up("text", checkpoints / "bert", 90, task)
    found = finished(tmp_path / "run", checkpoints / "bert", made, adapter=adapter)
    assert found.failed() <= {"better_than_constant"}  # which three epochs of a random network need not be
    status = {check.name: check.status for check in found.checks()}
    assert status["merged_equals_adapted"] == ("passed" if adapter == "dora" else "not_applicable")
    assert status["labels_in_order"] == ("passed" if task == "multilabel" else "not_applicable")


def test_an_adapter_that_is_frozen(checkpoints: Path, rows: Any, tmp_path: Path) -> None:
    def plant(model: Model) -> None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = "lora" not in name and parameter.requires_grad

    found = finished(tmp_path / "run", checkpoints / "bert", rows, plant)
    assert "weights_moved" in found.failed()
    assert re.match(r"the adapter added \d+ tensors and none of them may move", found.checks()[0].detail)


def test_an_optimizer_that_ignores_a_group(checkpoints: Path, rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = training.groups
    monkeypatch.setattr(training, "groups", lambda parts, model: real(parts, model)[:1])
    found = finished(tmp_path / "run", checkpoints / "bert", rows)
    assert "weights_moved" in found.failed()
    assert "trainable tensors did not move" in found.checks()[0].detail


def test_statistics_of_frozen_batch_norms_that_move(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictured = made_up("image", checkpoints / "resnet", 60)
    kept = finished(tmp_path / "kept", checkpoints / "resnet", pictured, adapter="head")
    assert kept.checks()[0].status == "passed"
    monkeypatch.setattr(Model, "train", nn.Module.train)
    found = finished(tmp_path / "run", checkpoints / "resnet", pictured, adapter="head")
    assert "weights_moved" in found.failed()
    assert "frozen tensors moved, for example network" in found.checks()[0].detail
    assert "running_mean" in found.checks()[0].detail or "num_batches" in found.checks()[0].detail


def test_a_loss_that_is_not_a_number(checkpoints: Path, rows: Any, tmp_path: Path) -> None:
    """The run stops at once; what the check says of such a training stands in test_checks.py."""

    def plant(model: Model) -> None:
        with torch.no_grad():
            next(model.head.parameters()).fill_(float("nan"))

    with pytest.raises(TrainingError, match="is not finite in step 1"):
        finished(tmp_path / "run", checkpoints / "bert", rows, plant)


def test_a_loss_without_a_gradient(checkpoints: Path, rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Classification.loss
    monkeypatch.setattr(Classification, "loss", lambda *given: real(*given) * 0)
    with pytest.raises(TrainingError, match="no gradient arrives in step 1"):
        finished(tmp_path / "stopped", checkpoints / "bert", rows)
    monkeypatch.setattr(Loop, "_healthy", lambda *given: None)  # the guard is gone
    found = finished(tmp_path / "run", checkpoints / "bert", rows)
    assert found.failed() >= {"loss_finite_gradient_nonzero", "head_saved"}


def test_a_loss_that_is_averaged(whole: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Classification.loss

    def averaged(self: Classification, model: nn.Module, batch: Any, phase: str) -> torch.Tensor:
        return real(self, model, batch, phase) / len(batch["target"])

    monkeypatch.setattr(Classification, "loss", averaged)
    assert whole.failed() == {"loss_independent_of_accumulation"}


def test_test_rows_copied_into_training(checkpoints: Path, rows: Any, tmp_path: Path) -> None:
    divided = [{**row, "split": ("train", "train", "train", "validation", "test")[place % 5]} for place, row in enumerate(rows)]
    copied = [{**row, "split": "train"} for row in divided if row["split"] == "test"][:2]
    found = finished(tmp_path / "run", checkpoints / "bert", [*divided, *copied])
    assert "no_test_row_in_training" in found.failed()
    (said,) = (check.detail for check in found.checks() if check.name == "no_test_row_in_training")
    assert "test rows hold the same input as a training row: " in said


def test_a_batch_norm_in_training_mode_at_prediction(checkpoints: Path, tmp_path: Path) -> None:
    found = finished(tmp_path / "run", checkpoints / "resnet", made_up("image", checkpoints / "resnet", 60), adapter="full")
    assert "metrics_independent_of_batch_size" not in found.failed()
    norm = next(m for m in found.trained.model.modules() if isinstance(m, nn.BatchNorm2d))
    norm.train()
    norm.__dict__["train"] = lambda mode=True: norm  # `model.eval()` no longer reaches it
    assert "metrics_independent_of_batch_size" in found.failed()


def test_padding_that_leaks(whole: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    model = whole.trained.model
    real = type(model.backbone).collate

    def unmasked(self: Any, items: Any) -> Any:
        batch = real(self, items)
        return {**batch, "attention_mask": torch.ones_like(batch["attention_mask"])}

    monkeypatch.setattr(type(model.backbone), "collate", unmasked)
    texts = [{"text": "river stone bright " * (1 + 4 * (place % 2))} for place in range(6)]
    found = checks.metrics_independent_of_batch_size(model, texts, checks.outputs_of(model, texts))
    assert found.status == "passed"  # every batch holds a long text
    texts = sorted(texts, key=lambda row: len(row["text"]))
    assert checks.metrics_independent_of_batch_size(model, texts, checks.outputs_of(model, texts)).status == "failed"


def test_a_wrong_scale_in_merging(whole: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Lora.merge

    def doubled(self: Lora, model: Model) -> bool:
        for module in model.network.modules():
            if isinstance(scaling := getattr(module, "scaling", None), dict):
                scaling.update({name: 2 * value for name, value in scaling.items()})
        return real(self, model)

    monkeypatch.setattr(Lora, "merge", doubled)
    assert whole.failed() == {"merged_equals_adapted"}


def test_what_cannot_be_merged_says_why(whole: Finished, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, said = whole.trained.model, [row for row, _ in whole.tested.shown]
    outputs = checks.outputs_of(model, said)
    from tunesmith.evaluate.checks import prediction

    monkeypatch.setattr(prediction, "MOST_BYTES", 1000)
    found = checks.merged_equals_adapted(model, whole.ready.parts.adapter, said, outputs)
    assert (found.status, "would be too large" in found.detail) == ("not_applicable", True)
    plain = whole.ready.parts.task.build(whole.ready.parts.backbone)
    bare = checks.merged_equals_adapted(plain, registry.create("adapters", "full", {}), said, checks.outputs_of(plain, said))
    assert bare.detail == "full adds nothing to the network's own weights, so there is nothing to fold"


@pytest.mark.parametrize("fault", ["missing", "before training"])
def test_a_head_that_is_not_the_trained_one(whole: Finished, bundle: Run, fault: str) -> None:
    path = bundle.bundle / "head.safetensors"
    path.unlink()
    if fault == "before training":
        save_file(whole.head_before, path)
    assert whole.failed(run=bundle) == {"head_saved"}


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 1]])
def test_a_label_map_in_another_order(whole: Finished, bundle: Run, order: list[int]) -> None:
    about = read_json(bundle.bundle / "bundle.json")
    classes = about["task"]["settings"]["classes"]
    about["task"]["settings"]["classes"] = [classes[i] for i in order]
    write_json(bundle.bundle / "bundle.json", about)
    assert whole.failed(run=bundle) == {"labels_in_order"}


def test_a_task_that_lost_its_order_after_training(whole: Finished, bundle: Run) -> None:
    """Bundle and model in memory agree; only the table's own labels tell."""
    task = whole.ready.parts.task
    assert isinstance(task, Classification)
    turned = dataclasses.replace(task, classes=task.classes[::-1])
    about = read_json(bundle.bundle / "bundle.json")
    about["task"]["settings"]["classes"] = list(turned.classes)
    write_json(bundle.bundle / "bundle.json", about)
    found = {check.name: check for check in whole.checks(run=bundle, task=turned)}
    assert found["labels_in_order"].status == "failed"
    assert "was 0 in training" in found["labels_in_order"].detail or "was 2 in training" in found["labels_in_order"].detail


def test_scores_that_are_not_numbers_or_not_of_all_rows(whole: Finished, bundle: Run) -> None:
    import pyarrow.parquet as parquet

    nan = dataclasses.replace(whole.tested, scores={**whole.tested.scores, "roc_auc": float("nan")})
    assert whole.failed(tested=nan) == {"scores_finite"}
    (matrix,) = (table for table in whole.tested.tables if table.matrix)
    short = ScoreTable(matrix.name, matrix.index, matrix.columns, [[v + 1 for v in line] for line in matrix.values], matrix=True)
    assert whole.failed(tested=dataclasses.replace(whole.tested, tables=[short])) == {"scores_finite"}
    written = parquet.read_table(bundle.predictions)
    for rows, told in ((written.slice(1), "1 test rows are missing"), (written.take([0, *range(len(written))]), "1 stand there twice")):
        parquet.write_table(rows, bundle.predictions)
        assert whole.failed(run=bundle) == {"scores_finite"}
        assert any(told in check.detail for check in whole.checks(run=bundle))


def test_a_temperature_that_changes_predictions(whole: Finished, monkeypatch: pytest.MonkeyPatch, bundle: Run) -> None:
    task = whole.ready.parts.task
    assert isinstance(task, Classification)
    warm = dataclasses.replace(task, temperature=3.0)
    outputs = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    assert checks.calibration_kept_predictions(task, warm, outputs).status == "passed"
    two = dataclasses.replace(task, classes=("a", "b"), temperature=2.0)
    asked = dataclasses.replace(two, threshold=0.7)
    assert checks.calibration_kept_predictions(two, asked, outputs[:, :2]).status == "not_applicable"

    def of_one_class(self: Classification, outputs: Any) -> Any:
        from tunesmith.core.arrays import softmax

        return softmax(outputs.astype(np.float64) / np.asarray([self.temperature, 1.0, 1.0]))

    monkeypatch.setattr(Classification, "_probabilities", of_one_class)
    found = checks.calibration_kept_predictions(task, warm, outputs)
    assert (found.status, "predictions changed, for example" in found.detail) == ("failed", True)


def other_order(bundle: Path) -> None:
    about = read_json(bundle / "bundle.json")
    about["task"]["settings"]["classes"].reverse()
    write_json(bundle / "bundle.json", about)


def other_tokens(bundle: Path) -> None:
    path = bundle / "backbone" / "tokenizer.json"
    held = json.loads(path.read_text())
    words = held["model"]["vocab"]
    first = [word for word in words if word in ("river", "stone", "bright", "market", "price", "bond", "doctor", "ward", "fever")]
    numbers = [words[word] for word in first]
    words.update(zip(first, numbers[1:] + numbers[:1], strict=True))
    path.write_text(json.dumps(held))


def own_weights(bundle: Path) -> None:
    """What the adapter learned is lost; its matrices are those it started with."""
    path = bundle / "adapter" / "adapter_model.safetensors"
    save_file({name: tensor * ("lora_B" not in name) for name, tensor in load_file(path).items()}, path)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [other_order, other_tokens, own_weights])
def test_a_bundle_that_predicts_otherwise(whole: Finished, bundle: Run, fault: Callable[[Path], None]) -> None:
    fault(bundle.bundle)
    said = [row for row, _ in whole.tested.shown], [prediction for _, prediction in whole.tested.shown]
    assert checks.reloaded(sealed(bundle.bundle), *said).status == "failed"


@pytest.mark.slow
def test_a_bundle_with_the_backbones_own_weights(checkpoints: Path, rows: Any, tmp_path: Path) -> None:
    found = finished(tmp_path / "run", checkpoints / "bert", rows, adapter="full")
    said = [row for row, _ in found.tested.shown], [prediction for _, prediction in found.tested.shown]
    assert checks.reloaded(found.run.bundle, *said).status == "passed"
    weights = found.run.bundle / "backbone" / "model.safetensors"
    save_file(copy.deepcopy(load_file(checkpoints / "bert" / "model.safetensors")), weights, {"format": "pt"})
    assert checks.reloaded(sealed(found.run.bundle), *said).status == "failed"


SPLITS = {"train": np.arange(6), "validation": np.arange(6, 8), "test": np.arange(8, 11)}


def pure(**changes: Any) -> Check:
    given = {"splits": SPLITS, "marks": SPLITS, "origin": lambda number: ("a.csv", f"line {number + 2}"), **changes}
    return checks.no_test_row_in_training(**given)


def test_a_division_that_leaks_names_the_rows() -> None:
    assert pure(groups=SPLITS, times=SPLITS).status == "passed"
    both = pure(splits={**SPLITS, "test": np.asarray([5, 8, 9])})
    assert (both.status, both.detail) == ("failed", "1 rows are in train and test: a.csv line 7")
    same = pure(marks={**SPLITS, "test": np.asarray([8, 2, 10])})
    assert same.detail == "1 of 3 test rows hold the same input as a training row: a.csv line 11 = a.csv line 4"
    group = pure(groups={**SPLITS, "test": np.asarray([0, 0, 10])})
    assert group.detail == "2 test rows are of a group that trained: a.csv line 10, a.csv line 11"
    late = pure(times={**SPLITS, "train": np.asarray([0, 1, 2, 3, 9, 99])})
    assert late.detail == "2 training rows are later than the first test row: a.csv line 6, a.csv line 7"
    assert {both.status, same.status, group.status, late.status} == {"failed"}


def test_random_rows_collide_as_a_set_says() -> None:
    rng = Random(0)
    for _ in range(20):
        marks = {name: np.asarray([rng.randrange(30) for _ in SPLITS[name]]) for name in SPLITS}
        shared = sum(mark in set(marks["train"].tolist()) for mark in marks["test"].tolist())
        found = pure(marks=marks)
        assert found.status == ("failed" if shared else "passed")
        assert not shared or found.detail.startswith(f"{shared} of 3 test rows")
