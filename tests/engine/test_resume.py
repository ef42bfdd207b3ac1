"""A run killed with SIGKILL goes on with the numbers of one that was not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SETTINGS = ["--epochs", "6", "--batch-size", "8", "--checkpoint-steps", "4", "--ema", "0.9", "--schedule", "plateau", "--trackers", "jsonl"]
SETTINGS += ["--tuning", "off"]  # two trials need not choose alike, and a fused optimizer rounds otherwise


def command(table: Path, checkpoints: Path, out: Path, adapter: str) -> list[str]:
    start = [sys.executable, "-m", "tunesmith", "tune", str(table), "--backbone", str(checkpoints / "bert"), "--adapter", adapter]
    return [*start, *SETTINGS, "--allow-failed-checks", "--out", str(out)]


def steps(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "logs" / "metrics.jsonl").read_text().splitlines()]


def kill_in_the_middle(arguments: list[str], out: Path, after: int) -> str:
    """Start a run and kill it with SIGKILL once a checkpoint at or after step `after` is there; gives the checkpoint's name."""
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = sorted(p.name for p in (out / "work" / "checkpoints").glob("step-*"))
        if found and int(found[-1].split("-")[1]) >= after:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return found[-1]
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    raise AssertionError("no checkpoint appeared")


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "gradual"])
def test_a_killed_run_resumes_with_the_same_numbers(table: Path, checkpoints: Path, tmp_path: Path, adapter: str) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(table, checkpoints, whole, adapter), check=True, capture_output=True)
    kill_in_the_middle(command(table, checkpoints, broken, adapter), broken, after=15)
    assert not (broken / "metrics.json").exists()
    assert not (broken / "bundle").exists()
    done = subprocess.run([sys.executable, "-m", "tunesmith", "tune", "--resume", str(broken)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    assert "resuming" in done.stderr

    first, second = (json.loads((run / "metrics.json").read_text()) for run in (whole, broken))
    assert first["test"] == second["test"]
    assert first["validation"] == second["validation"]
    assert steps(whole) == steps(broken)
    assert [s["step"] for s in steps(broken) if s["event"] == "step"] == list(range(1, 73))
    for name in ("head.safetensors", "backbone/model.safetensors"):
        a, b = load_file(whole / "bundle" / name), load_file(broken / "bundle" / name)
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert (whole / "recipe.yaml").read_text() == (broken / "recipe.yaml").read_text()


def test_a_complete_run_has_nothing_to_resume_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    from tunesmith.core.errors import UsageError
    from tunesmith.launch.local import resume

    with pytest.raises(UsageError, match="holds no run that can be resumed"):
        resume(str(tmp_path))
