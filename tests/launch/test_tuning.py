"""Levers: what is tried, what is taken, where it is remembered; and the estimate as a verb."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tests.contracts.table import backbone, case
from tests.engine.test_loop import bench as loop_bench

from tunesmith import recipe as recipes
from tunesmith.cli import main
from tunesmith.core import registry
from tunesmith.core.errors import UnknownNameError
from tunesmith.core.run import Run
from tunesmith.engine import levers
from tunesmith.engine.batches import Examples, Loader, Plan
from tunesmith.engine.levers import Bench, Bf16, ChannelsLast, Fused, Lever, Threads
from tunesmith.launch import planning, preparing, training, tuning
from tunesmith.recipe import read_yaml


def bench_of(checkpoints: Path) -> tuple[Bench, Loader]:
    made = loop_bench(checkpoints)
    optimizer = registry.create("optimizers", "adamw", {})
    groups = [{"params": list(made.model.parameters()), "lr": 1e-3, "weight_decay": 0.0}]
    ((batch,), *_) = made.loader.batches(0)
    return Bench(made.model, made.task, batch, torch.device("cpu"), optimizer, groups), made.loader


@dataclass(frozen=True)
class Slept(Lever):
    """Makes passes slower, faster, or wrong."""

    name: ClassVar[str] = "slept"
    kind: str

    def fits(self, bench: Bench) -> bool:
        return True

    @contextmanager
    def on(self, bench: Bench) -> Iterator[None]:
        before = bench.precision
        layer = bench.model.head.out

        @contextmanager
        def slower() -> Iterator[None]:
            time.sleep(0.05)
            yield

        if self.kind == "slow":
            bench.precision = slower
        if self.kind == "fast":
            bench.precision = nullcontext
        if self.kind == "wrong":
            bench.precision, layer.bias.data = nullcontext, layer.bias.data + torch.tensor([9.0, 0.0, 0.0])
        yield
        bench.precision = before
        if self.kind == "wrong":
            layer.bias.data = layer.bias.data - torch.tensor([9.0, 0.0, 0.0])


def test_what_is_faster_is_taken_and_what_is_slower_or_wrong_is_not(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    bench, loader = bench_of(checkpoints)

    @contextmanager
    def slow() -> Iterator[None]:
        time.sleep(0.03)
        yield

    bench.precision = slow  # so that there is something to gain
    tried: list[Lever] = [Slept("slow"), Slept("wrong"), Slept("fast")]
    monkeypatch.setattr(levers, "called", lambda lever: f"slept {lever.kind}")
    monkeypatch.setattr(tuning, "called", lambda lever: f"slept {lever.kind}")
    monkeypatch.setattr(tuning, "candidates", lambda *_: tried)
    found = tuning.tune(bench, loader, "max", 0.0, workers=0)
    assert {item["lever"]: item["taken"] for item in found.tried} == {"slept slow": False, "slept wrong": False, "slept fast": True}
    assert found.levers == [Slept("fast")]
    assert found.gain > 1.5
    assert bench.precision is slow, "after a trial everything is as before"

    def forbidden(*_: Any) -> AbstractContextManager[None]:
        raise AssertionError("what is known is not tried again")

    monkeypatch.setattr(Slept, "gain", forbidden)
    again = tuning.tune(bench, loader, "max", 0.0, workers=0)
    assert again.known
    assert again.levers == found.levers
    assert "as an earlier run found" in again.line()


def test_a_short_run_tries_nothing_it_cannot_win_back(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    bench, loader = bench_of(checkpoints)
    found = tuning.tune(bench, loader, "auto", 1e-6)
    assert not found.tried
    assert "compile" in found.left_out
    assert "--tuning max" in found.line()
    assert not list(tmp_path.rglob("*.json")), "nothing was found, so nothing is remembered"


def test_trials_end_with_their_budget_in_any_mode(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    bench, loader = bench_of(checkpoints)

    @dataclass(frozen=True)
    class Named(Lever):
        name: ClassVar[str] = "named"
        word: str
        least: float  # type: ignore[misc]

        def fits(self, bench: Bench) -> bool:
            return True

        def on(self, bench: Bench) -> AbstractContextManager[None]:
            return nullcontext()

        def gain(self, bench: Bench) -> float:
            time.sleep(0.5)
            return 1.0

    monkeypatch.setattr(tuning, "called", lambda lever: lever.word)
    monkeypatch.setattr(
        tuning, "candidates", lambda *_: [Named("long", 1e4), Named("first", 0.0), Named("second", 0.0), Named("late", 1e3)]
    )
    found = tuning.tune(bench, loader, "max", 0.0, workers=0, budget=1e3)
    assert [item["lever"] for item in found.tried] == ["first", "second"]
    assert found.left_out == ["long", "late"], "what takes more than is allowed, or than is left of it"


@dataclass(frozen=True)
class Told(Lever):
    """Says what it gains, and does nothing."""

    name: ClassVar[str] = "told"
    said: float
    passes: int = 12  # type: ignore[misc]
    costly: bool = False  # type: ignore[misc]

    def fits(self, bench: Bench) -> bool:
        return not (self.costly and bench.remembers)

    def on(self, bench: Bench) -> AbstractContextManager[None]:
        return nullcontext()

    def gain(self, bench: Bench) -> float:
        TRIALS.append(self.said)
        return self.said


TRIALS: list[float] = []


@pytest.fixture
def told(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Bench, Loader]:
    """A bench whose steps take a second, and levers that say what they gain: a cheap one, a long one, and one that each run pays for."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(Bench, "seconds", lambda _: 1.0)
    monkeypatch.setattr(tuning, "called", lambda lever: f"told {lever.said}")
    monkeypatch.setattr(tuning, "candidates", lambda *_: [Told(1.5), Told(2.0, 100), Told(3.0, 1000, True)])
    TRIALS.clear()
    return bench_of(checkpoints)


def tuned(told: tuple[Bench, Loader], passes: float, mode: str = "auto") -> tuning.Tuning:
    """By a run in which there is time for trials of so many passes."""
    return tuning.tune(*told, mode, passes / tuning.PAYS + 1e-6, workers=0)


def test_what_a_short_run_left_out_a_longer_one_tries(told: tuple[Bench, Loader]) -> None:
    short = tuned(told, 20)
    assert TRIALS == [1.5]
    assert short.left_out == ["told 2.0", "told 3.0"]
    longer = tuned(told, 200)
    assert TRIALS == [1.5, 2.0], "what is known is not tried again"
    assert longer.gain == pytest.approx(1.5 * 2.0)
    assert (longer.known, longer.left_out) == (1, ["told 3.0"])
    assert "1 known from earlier runs" in longer.line()
    again = tuned(told, 20)
    assert TRIALS == [1.5, 2.0]
    assert again.levers == longer.levers, "what is known costs nothing, however short the run"
    assert "as an earlier run found" in again.line()


def test_what_each_run_pays_for_is_taken_by_long_ones_only(told: tuple[Bench, Loader]) -> None:
    assert tuned(told, 0, "max").gain == pytest.approx(1.5 * 2.0 * 3.0)
    short = tuned(told, 200)
    assert short.gain == pytest.approx(1.5 * 2.0)
    assert short.left_out == ["told 3.0"]
    assert tuned(told, 1000).gain == pytest.approx(1.5 * 2.0 * 3.0)
    assert len(TRIALS) == 3


def test_the_gain_is_that_of_what_applies_here(told: tuple[Bench, Loader]) -> None:
    tuned(told, 0, "max")
    told[0].remembers = True
    found = tuned(told, 0, "max")
    assert found.levers == [Told(1.5), Told(2.0, 100)]
    assert found.gain == pytest.approx(1.5 * 2.0)
    assert len(TRIALS) == 3


def test_a_trial_in_another_number_format_or_layout_is_another_one(told: tuple[Bench, Loader], checkpoints: Path) -> None:
    bench = told[0]
    plain = tuning._key(bench)
    bench.format = "bf16"
    assert tuning._key(bench) != plain
    made = case(backbone(checkpoints, "resnet"), "classification", {}, rows=4)
    batch = {"inputs": made.backbone.collate([made.backbone.encode(row) for row in made.rows])}
    pictures = Bench(made.model, made.task, batch, torch.device("cpu"), bench.optimizer, [])
    plain = tuning._key(pictures)
    with ChannelsLast().on(pictures):
        assert tuning._key(pictures) != plain
    assert tuning._key(pictures) == plain


def test_levers_that_cannot_apply_are_no_candidates(checkpoints: Path) -> None:
    bench, _ = bench_of(checkpoints)
    fitting = [lever for lever in levers.candidates(bench.device, 4) if lever.fits(bench)]
    assert {lever.precision for lever in fitting} == {None, "bf16"}
    assert any(lever.costly for lever in fitting)
    assert torch.get_num_threads() not in {lever.count for lever in fitting if isinstance(lever, Threads)}
    bench.format, bench.remembers = "fp32", True
    fitting = [lever for lever in levers.candidates(bench.device, 4) if lever.fits(bench)]
    assert {lever.precision for lever in fitting} == {None}
    assert not any(lever.costly for lever in fitting)


def test_trials_are_training_and_leave_no_trace(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(tuning, "candidates", lambda *_: [Threads(2), ChannelsLast(), Fused()])
    made = case(backbone(checkpoints, "resnet"), "classification", {}, rows=8)
    numbers = np.arange(8)
    loader = Loader(Plan(numbers, np.ones(8, np.int32), 8, 1, 0), Examples(made.rows, made.targets, made.backbone), made.task, False)
    model = made.model.eval()
    groups = [{"params": list(model.parameters()), "lr": 1e-3, "weight_decay": 0.0}]
    ((batch,),) = loader.batches(0)
    bench = Bench(model, made.task, batch, torch.device("cpu"), registry.create("optimizers", "adamw", {}), groups)
    norm = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
    passes: list[tuple[bool, bool]] = []
    model.head.register_forward_pre_hook(lambda *_: passes.append((torch.is_grad_enabled(), norm.training)))
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    found = tuning.tune(bench, loader, "max", 0.0)
    assert {item["lever"] for item in found.tried} >= {"threads 2", "channels_last", "fused"}
    assert {training for graded, training in passes if graded} == {True}
    assert {training for graded, training in passes if not graded} == {False}, "losses are compared without random layers"
    assert not model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_reading_is_timed_on_as_many_steps_however_short_an_epoch(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, loader = bench_of(checkpoints)
    loader.plan = dataclasses.replace(loader.plan, batch_size=len(loader.plan.rows))
    assert len(loader.plan) == 1
    steps: list[int] = []
    monkeypatch.setattr(tuning, "train_once", lambda _m, _t, batch, _p: steps.append(len(batch["row"])))
    assert tuning._flow(bench, loader, 0) > 0
    assert steps == [len(loader.plan.rows)] * tuning.STEPS


def test_a_run_that_tried_levers_trains_as_one_that_did_not(
    table: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning, "candidates", lambda *_: [Threads(2), Bf16(), Fused()])
    monkeypatch.setattr(tuning, "GAIN", 1e9)  # all are tried, none is taken
    states = []
    for mode in ("max", "off"):
        given = {"data": {"path": [str(table)]}, "backbone": {"name": str(checkpoints / "bert")}, "adapter": {"name": "full"}}
        recipe = recipes.from_plain({**given, "training": {"tuning": mode}})
        preparing.prepare_process(recipe.seed)
        run = Run(tmp_path / mode)
        ready = preparing.prepared(recipe, recipe.data.path, run)
        model = training.adapted(ready.parts, preparing.opened(ready))
        planned = planning.plan(ready.parts, model, ready.was.table, ready.divided, run.work)
        assert len(planned.tuning.tried) >= (3 if mode == "max" else 0)
        assert not planned.tuning.levers
        states.append({**model.state_dict(), "random": torch.get_rng_state()})
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize("lever", [Threads(1), ChannelsLast(), Bf16(), Fused()], ids=lambda lever: lever.name)
def test_a_lever_leaves_everything_as_it_was(checkpoints: Path, lever: Lever) -> None:
    bench, _ = bench_of(checkpoints)
    before = {name: (p.detach().clone(), p.stride()) for name, p in bench.model.named_parameters()}
    threads, loss = torch.get_num_threads(), bench.loss()
    with lever.on(bench):
        assert bench.loss() == pytest.approx(loss, rel=0.05)
    assert torch.get_num_threads() == threads
    assert bench.loss() == pytest.approx(loss, abs=1e-6)
    for name, parameter in bench.model.named_parameters():
        assert torch.equal(before[name][0], parameter)
        assert before[name][1] == parameter.stride()


def test_an_unknown_lever_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="fused"):
        levers.named("fuzed")


def test_an_unknown_lever_is_refused_before_anything_is_written(table: Path, checkpoints: Path, tmp_path: Path) -> None:
    arguments = ["tune", str(table), "--backbone", str(checkpoints / "bert"), "--levers", "fuzed", "--out", str(tmp_path / "run")]
    assert main(arguments) == 1
    assert not (tmp_path / "run").exists()


def test_estimate_tells_and_writes_nothing(
    table: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["estimate", str(table), "--backbone", str(checkpoints / "bert"), "--adapter", "full", "--epochs", "3"]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    network = registry.create("backbones", "text", {"source": str(checkpoints / "bert")}).open()
    head = 32 * 3 + 3
    assert told["parameters"] == told["trainable"] == sum(p.numel() for p in network.parameters()) + head
    assert told["epochs"] == 3
    assert told["steps"] == 3
    assert told["operations"] > 0
    assert 1e8 < told["memory_bytes"] < 1e11
    assert list(tmp_path.iterdir()) == []
    assert main(arguments) == 0
    assert "peak memory" in capsys.readouterr().out


@pytest.mark.parametrize("limit", ["25s", "1s"])
def test_a_run_within_a_time_limit_says_so_and_is_whole(
    table: Path, checkpoints: Path, tmp_path: Path, limit: str, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "tune",
        str(table),
        "--backbone",
        str(checkpoints / "bert"),
        "--adapter",
        "full",
        "--epochs",
        "100000",
        "--precision",
        "fp32",
    ]
    started = time.perf_counter()
    status = main([*arguments, "--time-limit", limit, "--allow-failed-checks", "--trackers", "jsonl", "--out", str(tmp_path / "run")])
    assert status == 0
    assert time.perf_counter() - started < 600, "far from the 100,000 epochs, on however busy a machine"
    told = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "time limit" in told["cost"]["stopped"]
    assert told["cost"]["train_seconds"] < {"25s": 25, "1s": 10}[limit], (
        "what it spends in steps, the one that is taken in any case included"
    )
    assert "compile" in told["tuning"]["left_out"], "its trial alone takes longer"
    assert told["tuning"]["seconds"] < 25
    assert (tmp_path / "run" / "bundle" / "checksums.json").is_file()
    assert "estimate: " in capfd.readouterr().err


def test_the_recipe_of_a_run_holds_what_was_found(table: Path, checkpoints: Path, tmp_path: Path) -> None:
    arguments = ["tune", str(table), "--backbone", str(checkpoints / "bert"), "--adapter", "full", "--epochs", "1", "--levers", "fused"]
    assert main([*arguments, "--trackers", "jsonl", "--allow-failed-checks", "--out", str(tmp_path / "run")]) == 0
    training = read_yaml(tmp_path / "run" / "recipe.yaml")["training"]
    assert training["levers"] == ["fused"]
    assert training["precision"] == "fp32"
    assert training["workers"] == 0


def test_runs_of_one_process_have_each_their_own_number_format() -> None:
    for precision, mixed in (("bf16", "bf16"), ("fp32", "no"), (None, "no")):
        assert planning.accelerator(precision).mixed_precision == mixed
