"""Two processes on this machine train as one does."""

from __future__ import annotations

import csv
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.core import registry


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(checkpoints: Path, tmp_path: Path) -> None:
    still = tmp_path / "bert"  # without dropout, whose random numbers each process draws for itself
    shutil.copytree(checkpoints / "bert", still)
    config = json.loads((still / "config.json").read_text())
    (still / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}))
    backbone = registry.create("backbones", "text", {"source": str(still)})
    rows = registry.create("tasks", "classification", {}).synthetic(70, 0, backbone.sample)
    table = tmp_path / "rows.csv"
    with table.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows)
    given = ["-m", "tunesmith", "tune", str(table), "--backbone", str(still), "--adapter", "full", "--optimizer", "sgd", "--lr", "0.01"]
    given += ["--epochs", "2", "--batch-size", "8", "--set", "task.dropout=0", "--trackers", "jsonl", "--allow-failed-checks", "--out"]
    subprocess.run([sys.executable, *given, str(tmp_path / "one")], check=True, capture_output=True, timeout=120)
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    done = subprocess.run(
        [sys.executable, *launcher, *given, str(tmp_path / "two")], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("evaluating on the test split") == 1

    def losses(run: str) -> list[float]:
        lines = [json.loads(line) for line in (tmp_path / run / "logs" / "metrics.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines if line["event"] == "step"]

    assert losses("two") == pytest.approx(losses("one"), abs=1e-4)
    for name in ("head.safetensors", "backbone/model.safetensors"):
        one, two = (load_file(tmp_path / run / "bundle" / name) for run in ("one", "two"))
        for key in one:
            torch.testing.assert_close(one[key], two[key], atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--adapter", "probe"], "--adapter probe is fitted in one process; start it without torchrun"),
        (["--time-limit", "10m"], "--time-limit works in one process"),
    ],
    ids=["probe", "limit"],
)
def test_what_one_process_alone_can_do_is_refused_before_any_work(tmp_path: Path, given: list[str], told: str) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("text,label\n" + "".join(f"row {i},{'ab'[i % 2]}\n" for i in range(40)))
    out = tmp_path / "run"
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    command = [sys.executable, *launcher, "-m", "tunesmith", "tune", str(table), *given, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode != 0
    assert told in done.stderr
    assert "data: " not in done.stderr, "nothing was read"
    assert not out.exists()
