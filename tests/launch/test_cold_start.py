"""A few rows are predicted without torch, as torch would predict them; every other case is torch's, as before."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.cli import main
from tunesmith.core import bundle as bundles
from tunesmith.core import registry
from tunesmith.core.errors import UsageError
from tunesmith.core.files import read_json, sha256, write_json
from tunesmith.data.bad_rows import BadRows
from tunesmith.evaluate import checks
from tunesmith.evaluate.checks import differences
from tunesmith.launch import inference
from tunesmith.launch.inference import FEW, Predictor

HEAVY = ("torch", "transformers", "peft", "sklearn", "scipy", "pandas", "matplotlib", "accelerate")
TASKS: dict[str, list[Any]] = {"classification": ["a", "b", "c"], "multilabel": [("x",), ("y", "z")], "regression": [1.0, 5.0, 90.0]}


def made(folder: Path, checkpoint: Path, task: str = "classification", adapter: str = "head") -> Path:
    """A bundle whose head, and adapter where there is one, hold more than zeros."""
    torch.manual_seed(0)
    backbone = registry.create("backbones", "text", {"source": str(checkpoint), "max_length": 40})
    fitted = registry.create("tasks", task, {"hidden": 8}).fit(TASKS[task])
    model = fitted.build(backbone)
    method = registry.create("adapters", adapter, {})
    method.apply(model, 0)
    with torch.no_grad():
        for parameter in model.trainable().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    bundles.save(folder, model=model.eval(), task=fitted, adapter=method, about={}, card="", samples=[])
    return folder


@pytest.fixture(scope="module")
def bundle(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("cold") / "bundle", checkpoints / "bert", adapter="lora")


def fresh(arguments: list[str]) -> tuple[int, str, str, list[str]]:
    """Exit status, outputs and heavy modules of a fresh process."""
    code = (
        "import sys; from tunesmith.cli import main; status = main(sys.argv[1:]); "
        f"print('LOADED', *[m for m in {HEAVY} if m in sys.modules], file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    *said, loaded = done.stderr.splitlines()
    return done.returncode, done.stdout, "\n".join(said), loaded.split()[1:]


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_texts_on_the_command_line_are_predicted_without_torch(checkpoints: Path, tmp_path: Path, task: str, adapter: str) -> None:
    folder = made(tmp_path / "bundle", checkpoints / "bert", task, adapter)
    texts = ["where is my card", "a film " * 200]
    status, out, said, loaded = fresh(["predict", str(folder), "--text", texts[0], "--text", texts[1], "--json"])
    assert (status, said, loaded) == (0, "", [])
    expected = Predictor(folder, "torch").predict(texts)
    printed = [json.loads(line) for line in out.splitlines()]
    assert len(printed) == 2
    for found, wanted in zip(printed, expected, strict=True):
        assert differences(wanted, {key: found[key] for key in wanted}) < 1e-4


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_short_table_is_predicted_without_torch(bundle: Path, tmp_path: Path, ending: str) -> None:
    table = tmp_path / "rows.csv"
    with table.open("w", newline="") as handle:
        csv.writer(handle).writerows([["text", "n"], ["a bond", 1], [" ", 2], ["river stone", 3]])
    status, _, said, loaded = fresh(["predict", str(bundle), str(table), "--out", str(tmp_path / f"out.{ending}")])
    assert (status, [name for name in loaded if name != "pandas"]) == (0, [])  # pyarrow may look for pandas
    assert "the text is empty" in said
    assert "2 predictions in" in said


def test_errors_come_before_torch(bundle: Path, tmp_path: Path) -> None:
    import shutil

    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    path = damaged / "backbone" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    unfinished = tmp_path / "run"
    (unfinished / "work").mkdir(parents=True)
    (unfinished / "recipe.yaml").write_text("task: classification\n")
    for arguments, told in (
        (
            [str(unfinished / "bundle"), "--text", "a"],
            f"is not finished, so there is no bundle yet; go on with: tunesmith tune --resume {unfinished}",
        ),
        ([str(damaged), "--text", "a"], "was altered or cut short: backbone/model.safetensors"),
        ([str(tmp_path / "none"), "--text", "a"], "there is no bundle at"),
        ([str(bundle), "--text", " "], "no row could be predicted"),
        ([str(bundle), "none.csv"], "none.csv"),
    ):
        status, out, said, loaded = fresh(["predict", *arguments])
        assert (status, out, loaded) == (1, "", []), arguments
        assert told in said


def test_both_runtimes_agree_and_the_number_of_rows_decides(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = bundles.load(bundle).backbone
    rows = [dict(backbone.sample(i, Random(i))) for i in range(FEW + 1)]
    auto = Predictor(bundle)
    few = auto.predict(rows[:FEW])
    assert "model" not in vars(auto.bundle)
    many = auto.predict(rows)
    assert "model" in vars(auto.bundle)
    torchs, numpys = Predictor(bundle, "torch"), Predictor(bundle, "numpy")
    assert many == torchs.predict(rows)
    assert few == numpys.predict(rows)[:FEW]
    assert "light" not in vars(torchs.bundle)
    assert "model" not in vars(numpys.bundle)
    assert 0 < max(map(differences, few, many[:FEW])) < 1e-5
    monkeypatch.setattr(inference, "FEW", 2)
    bad = BadRows()
    mixed = [{"text": text} for text in ("a", "", "b", "  ", "c", "")]
    assert [row["text"] for _, row, _ in Predictor(bundle).stream(mixed, bad)] == ["a", "b", "c"]
    assert bad.total == 3


def test_scores_of_a_few_rows_are_torchs(bundle: Path) -> None:
    backbone = bundles.load(bundle).backbone
    rows = [{**backbone.sample(i, Random(i)), "label": "abc"[i % 3]} for i in range(FEW)]
    light = Predictor(bundle)
    assert light.evaluate(rows) == pytest.approx(Predictor(bundle, "torch").evaluate(rows), abs=1e-4)
    assert "model" not in vars(light.bundle)


@pytest.mark.parametrize(("checkpoint", "adapter"), [("gpt2", "head"), ("bert", "dora"), ("bert", "prompt")])
def test_what_has_no_form_in_numpy_is_torchs(checkpoints: Path, tmp_path: Path, checkpoint: str, adapter: str) -> None:
    folder = made(tmp_path / "bundle", checkpoints / checkpoint, adapter=adapter)
    auto = Predictor(folder)
    assert auto.predict(["river stone"]) == Predictor(folder, "torch").predict(["river stone"])
    assert "model" in vars(auto.bundle)
    with pytest.raises(UsageError, match="no form in numpy"):
        Predictor(folder, "numpy")
    assert main(["predict", str(folder), "--text", "a", "--runtime", "numpy"]) == 2


def test_a_head_that_is_not_the_tasks_is_refused_as_torch_refuses_it(bundle: Path, tmp_path: Path) -> None:
    import shutil

    from tunesmith.core.errors import BundleError

    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    head = load_file(folder / "head.safetensors")
    save_file({name: tensor[:2] if name.startswith("out.") else tensor for name, tensor in head.items()}, folder / "head.safetensors")
    sign(folder, "head.safetensors")
    with pytest.raises(BundleError, match="cannot be rebuilt"):
        Predictor(folder).predict(["a"])


def sign(folder: Path, name: str) -> None:
    """Write the checksum of an altered file."""
    sums = read_json(folder / "checksums.json")
    write_json(folder / "checksums.json", {**sums, name: sha256(folder / name)})


@pytest.mark.slow
def test_the_check_covers_both_runtimes(bundle: Path, tmp_path: Path) -> None:
    """A tokenizer class of transformers that overrules the tokenizer's file makes numpy alone predict otherwise."""
    import shutil

    rows = [{"text": text} for text in ("River Stone", "the Market PRICE", "a film")]
    expected = Predictor(bundle, "torch").predict(rows)
    found = checks.reloaded(bundle, rows, expected)
    assert found.status == "passed"
    assert "largest difference 0 in torch, " in found.detail
    assert "in numpy" in found.detail
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    path = folder / "backbone" / "tokenizer_config.json"
    write_json(path, {**read_json(path), "tokenizer_class": "BertTokenizer", "do_lower_case": True})
    sign(folder, "backbone/tokenizer_config.json")
    expected = Predictor(folder, "torch").predict(rows)
    found = checks.reloaded(folder, rows, expected)
    assert found.status == "failed"
    assert "largest difference 0 in torch, " in found.detail
