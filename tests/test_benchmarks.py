"""The measurements start, and what they share computes what it says; the measuring itself is not for tests."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def loaded(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", ["bench_lora", "bench_probe", "bench_pictures", "bench_sentences", "run_all"])
def test_a_script_of_pairs_starts(script: str) -> None:
    done = subprocess.run([sys.executable, str(FOLDER / f"{script}.py"), "--help"], capture_output=True, text=True, check=True)
    assert "--quick" in done.stdout


def test_a_ratio_is_taken_within_a_round() -> None:
    pairs = loaded("_pairs")
    ours = [pairs.Measured(1.0, 10.0, 100.0, 0.5), pairs.Measured(4.0, 40.0, 100.0, 0.7), pairs.Measured(2.0, 20.0, 100.0, 0.6)]
    other = [pairs.Measured(3.0, 10.0, 150.0, 0.9), pairs.Measured(4.0, 20.0, 150.0, 0.9), pairs.Measured(4.0, 10.0, 150.0, 0.9)]
    *_, first, second = pairs.table({"ours": ours, "other": other}).splitlines()
    # the rounds' ratios are 3, 1, 2 and 1, 0.5, 0.5: their medians, not those of the medians (4 / 2)
    assert first == "| ours | 2.00 s | 1.00 | 20.0 s | 1.00 | 100 MB | 1.00 | 0.600 |"
    assert second == "| other | 4.00 s | 2.00 | 10.0 s | 0.50 | 150 MB | 1.50 | 0.900 |"


def test_rows_for_validation_are_none_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = loaded("_pairs")
    monkeypatch.setattr(pairs, "WORK", tmp_path / "work")
    for name in ("train", "test"):
        pairs.write_rows(tmp_path / "ag_news_4k" / f"{name}.csv", [{"text": f"{name} {i}", "label": str(i % 4)} for i in range(100)])
    held: list[set[str]] = []
    for path in pairs.ag_news(tmp_path, 60, "some"):
        with path.open() as handle:
            held.append({row["text"] for row in csv.DictReader(handle)})
    assert [len(part) for part in held] == [60, 16, 32]
    assert len(set.union(*held)) == 108


def test_an_unknown_measurement_is_named() -> None:
    with pytest.raises(SystemExit, match=r"no such measurement: nonsense; there are .*lora"):
        loaded("run_all").scripts("lora,nonsense")


def test_a_case_is_a_command_and_says_where_it_is_worse() -> None:
    results = loaded("results")
    known = results.cases()
    assert len({case.name for case in known}) == len(known)
    case = next(case for case in known if case.name == "pneumonia_full")
    assert case.command("DATA", "MADE")[:5] == [
        "DATA/pneumoniamnist",
        "--backbone",
        "torchvision:mobilenet_v2",
        "--weights",
        "DATA/weights/mobilenetv2_imagenet/model.safetensors",
    ]
    run = {"cheap": None, "failed_checks": [], "checks": 9, "seconds": 9.0, "train_seconds": 4.0, "trainable": 7}
    told = {**run, "test": {"accuracy": 0.85}, "intervals": {"accuracy": [0.8, 0.9]}}
    assert "accuracy **0.850** [0.800, 0.900] | - | 0.867: raw-pixel SVM" in results.line(case, told)
    assert "**(ours is worse)**" in results.line(case, told)
    assert "worse" not in results.line(case, {**told, "test": {"accuracy": 0.88}})
    assert results.Reference(0.5, "", "lower").below(0.6)
