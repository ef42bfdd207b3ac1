"""Backbones judged by their features: one that tells the classes apart before one that does not, and features that a run finds again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.cli import main


def test_the_better_backbone_comes_first(
    table: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch
    import transformers

    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    blind = tmp_path / "blind"  # its layers add noise that drowns the words
    network = transformers.AutoModel.from_pretrained(str(checkpoints / "bert"))
    with torch.no_grad():
        network.embeddings.word_embeddings.weight.mul_(0.001)
    network.save_pretrained(blind)
    transformers.AutoTokenizer.from_pretrained(str(checkpoints / "bert")).save_pretrained(blind)
    assert main(["rank", str(table), "--backbones", f"{blind},{checkpoints / 'bert'}", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [Path(item["backbone"]).name for item in told] == ["bert", "blind"]
    assert told[0]["logme"] > told[1]["logme"]
    # of twelve rows, by features whose tiny vocabulary is learned anew in each test session: a row or two are chance
    assert told[0]["knn_accuracy"] >= told[1]["knn_accuracy"] - 2 / 12
    run = ["tune", str(table), "--backbone", str(checkpoints / "bert"), "--adapter", "probe", "--out", str(tmp_path / "run")]
    main([*run, "--allow-failed-checks", "--trackers", "jsonl"])
    assert ": 0 of 120 computed" in capfd.readouterr().err


def test_rank_without_a_backbone_says_what_to_give(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", str(table)]) == 2
    assert "--backbones minilm" in capsys.readouterr().err
