"""DNA through the command line: a run on FASTA with bad records and pieces of its own, its bundle, both strands."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tunesmith import cli, load
from tunesmith.backbones.dna import Dna
from tunesmith.core.dna import reverse_complement

TINY = ["--set", "backbone.hidden=16", "--set", "backbone.heads=2", "--set", "backbone.convolutions=1", "--tuning", "off"]


def fasta(path: Path, rows: int = 150) -> Path:
    """Records of three classes whose motif tells them, one of each kind of damage among them."""
    rng, made = Random(0), Dna()
    records = [f">s{i} label=c{i % 3}\n{made.sample(i, rng)['sequence']}\n" for i in range(rows)]
    records += [
        ">foreign label=c0\nACGTXACGTACGT\n",
        ">unknown label=c1\nNNNNNNNNNNNNNN\n",
        ">empty label=c2\n",
        ">lower label=c0\nacgtrTATAAAacgu\n",
    ]
    path.write_text("".join(records))
    return path


def tune(*arguments: object) -> int:
    return cli.main(["tune", *map(str, arguments)])


def metrics(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return found


def test_a_run_on_fasta_names_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    pieces = ["--set", "backbone.tokenizer=bpe"]
    assert tune(fasta(tmp_path / "genes.fa"), "--out", run, "--epochs", "12", "--split", "0.6,0.2,0.2", *pieces, *TINY) == 0
    said = capsys.readouterr().err
    assert "sequence holds DNA" in said
    assert "random weights have nothing to preserve" in said
    assert "letters that stand for several bases" in said
    bad = (run / "bad_rows.csv").read_text()
    assert "letter 'X' at position 5" in bad
    assert "nothing but N" in bad
    assert "a header without a sequence" in bad
    assert metrics(run)["test"]["accuracy"] > 0.45
    assert {item["status"] for item in metrics(run)["checks"]} <= {"passed", "not_applicable"}
    assert {"kmers", "constant"} <= {row["name"] for row in metrics(run)["scoreboard"]}
    stored = json.loads((run / "bundle" / "backbone" / "config.json").read_text())
    assert "TATAAA" in {merge.replace(" ", "") for merge in stored["reading"]["merges"]}
    assert load(run / "bundle").predict(["acgtTATAAAacgt"])[0]["label"] in {"c0", "c1", "c2"}
    assert cli.main(["predict", str(run / "bundle"), str(tmp_path / "genes.fa")]) in (0, 1)
    told = capsys.readouterr()
    assert "letter 'X' at position 5" in told.out + told.err


def test_a_bundle_of_both_strands_says_the_same_of_both(tmp_path: Path) -> None:
    run = tmp_path / "run"
    data = fasta(tmp_path / "genes.fa", 90)
    strands = ["--set", "backbone.reverse_complement=average", "--no-gate"]
    assert tune(data, "--out", run, "--epochs", "1", "--split", "0.6,0.2,0.2", *TINY, *strands) in (0, 3)
    predictor, rng = load(run / "bundle"), Random(5)
    sequences = ["".join(rng.choice("ACGTN") for _ in range(rng.randint(8, 40))) + "A" for _ in range(20)]
    forward, backward = predictor.predict(sequences), predictor.predict([reverse_complement(text) for text in sequences])
    for one, other in zip(forward, backward, strict=True):
        assert one["label"] == other["label"]
        for name, value in one["probabilities"].items():
            assert value == pytest.approx(other["probabilities"][name], abs=1e-6)
