"""Levers: what is tried, what is taken, where it is remembered; and the estimate as a verb."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tests.engine.test_loop import bench as loop_bench

from tunesmith.cli import main
from tunesmith.core import registry
from tunesmith.core.errors import UnknownNameError
from tunesmith.engine import levers
from tunesmith.engine.batches import Loader
from tunesmith.engine.levers import Bench, Bf16, ChannelsLast, Fused, Lever, Threads
from tunesmith.launch import tuning
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
    arguments = ["tune", str(table), "--backbone", str(checkpoints / "bert"), "--adapter", "full", "--epochs", "100000"]
    started = time.perf_counter()
    status = main([*arguments, "--time-limit", limit, "--allow-failed-checks", "--trackers", "jsonl", "--out", str(tmp_path / "run")])
    assert status == 0
    assert time.perf_counter() - started < 60, "far from the 100,000 epochs, on however busy a machine"
    told = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "time limit" in told["cost"]["stopped"]
    assert (tmp_path / "run" / "bundle" / "checksums.json").is_file()
    assert "estimate: " in capfd.readouterr().err


def test_the_recipe_of_a_run_holds_what_was_found(table: Path, checkpoints: Path, tmp_path: Path) -> None:
    arguments = ["tune", str(table), "--backbone", str(checkpoints / "bert"), "--adapter", "full", "--epochs", "1", "--levers", "fused"]
    assert main([*arguments, "--trackers", "jsonl", "--allow-failed-checks", "--out", str(tmp_path / "run")]) == 0
    training = read_yaml(tmp_path / "run" / "recipe.yaml")["training"]
    assert training["levers"] == ["fused"]
    assert training["precision"] == "fp32"
    assert training["workers"] == 0
