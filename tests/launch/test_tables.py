"""A table from the command line to predictions with reasons: one run, and everything that is particular to tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith
from tunesmith.cli import main
from tunesmith.core import bundle as bundles
from tunesmith.core.contracts import Row
from tunesmith.evaluate import streaming

SMALL = ["--set", "backbone.hidden=16", "--set", "backbone.heads=2", "--set", "backbone.depth=1", "--tuning", "off", "--trackers", "jsonl"]


def rows(n: int = 300, seed: int = 0) -> list[dict[str, Any]]:
    """Credit by income and by whether there is a guarantor; sex tells nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        income, backed = int(rng.integers(10, 90)), rng.random() < 0.4
        found.append(
            {
                "id": f"C-{number:04d}",
                "income": "?" if number % 29 == 0 else str(income),
                "guarantor": "yes" if backed else "none at all",
                "sex": "fm"[number % 2],
                "opened": f"20{10 + number % 13}-0{1 + number % 9}-15",
                "class": "good" if income + 30 * backed + rng.normal(0, 5) > 55 else "bad",
            }
        )
    return found


def written(path: Path, table: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    table = written(folder / "credit.csv", rows())
    out = folder / "run"
    assert main(["tune", str(table), "--epochs", "12", "--lr", "0.01", "--fairness", "sex", *SMALL, "--out", str(out)]) == 0
    return out


def test_trees_and_logistic_regression_stand_beside_it(run: Path) -> None:
    found = json.loads((run / "metrics.json").read_text())
    scores = {item["name"]: item["scores"]["auroc"] for item in found["scoreboard"] if "scores" in item}
    assert {"full", "boosting", "logistic", "constant"} <= set(scores)
    assert min(scores["full"], scores["boosting"], scores["logistic"]) > 0.85
    [fair] = found["fairness"]
    assert fair["column"] == "sex"
    page = (run / "report.html").read_text()
    assert "Groups of people" in page
    assert "pipeline_tag: tabular-classification" in (run / "bundle" / "README.md").read_text()


def test_inputs_are_told_from_names_of_rows(run: Path) -> None:
    recipe = (run / "recipe.yaml").read_text()
    assert "- income\n  - guarantor\n  - sex\n  - opened\n" in recipe


def test_reasons_add_up_to_the_distance_from_a_typical_row(run: Path) -> None:
    model = tunesmith.load(run / "bundle")
    row = {"income": "12", "guarantor": "none at all", "sex": "f", "opened": "2015-03-15"}
    [found] = model.predict([row], reasons=4)
    assert found["label"] == "bad"
    assert found["reasons"][0]["column"] == "income"
    assert all(item["effect"] > 0 for item in found["reasons"])
    bundle = bundles.load(run / "bundle")
    typical = bundle.backbone.typical()
    assert typical is not None

    def score(given: Row) -> float:
        [(_, outputs)] = streaming.outputs(bundle.model, bundle.task.predict, [(0, given)])
        found_score = bundle.task.score_of(outputs, found)
        assert found_score is not None
        return float(found_score[0])

    from tunesmith.evaluate.reasons import effects

    all_of_them = effects(lambda some: np.asarray([score(one) for one in some]), row, typical, bundle.backbone.columns)
    assert sum(all_of_them.values()) == pytest.approx(score(row) - score(typical), abs=1e-4)
    assert all_of_them["income"] == pytest.approx(found["reasons"][0]["effect"], abs=1e-4)
    p = found["probability"]
    assert score(row) == pytest.approx(np.log(p / (1 - p)), abs=1e-4)


def test_what_a_prediction_was_not_trained_for_is_named_and_counted(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = rows(6, seed=1)
    table[0]["guarantor"] = table[1]["guarantor"] = "the state"
    table[2]["income"] = "lots"
    table[3]["income"] = "4000"
    path, out = written(tmp_path / "new.csv", table), tmp_path / "said.csv"
    assert main(["predict", str(run / "bundle"), str(path), "--reasons", "2", "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "1 row(s) could not be used, first: new.csv, line 4: column 'income': 'lots' is no number" in said
    assert "note: 2 row(s): guarantor: a category that training hardly saw or never, read as 'other'" in said
    assert "note: 1 row(s): income: a number outside of training (10 to 89), read as the nearest in it" in said
    with out.open() as handle:
        found = list(csv.DictReader(handle))
    assert len(found) == 5
    assert {"reason_1", "reason_1_value", "reason_1_effect", "reason_2"} <= set(found[0])
    without = written(tmp_path / "less.csv", [{k: v for k, v in row.items() if k != "income"} for row in rows(3)])
    assert main(["predict", str(run / "bundle"), str(without)]) != 0
    assert "no input column in less.csv called 'income'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_without_labels_is_gone_on_with(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = [{k: v for k, v in row.items() if k != "class"} for row in rows(200)]
    path = written(tmp_path / "unlabelled.csv", table)
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["tune", str(path), "--task", "masked_cells", "--epochs", "2", *SMALL, "--no-gate", "--out", str(first)]) in (0, 3)
    assert 0 <= json.loads((first / "metrics.json").read_text())["test"]["surprise"] < 5
    credit = written(tmp_path / "credit.csv", rows(150, seed=2))
    arguments = ["tune", str(credit), "--backbone", str(first / "bundle" / "backbone"), "--epochs", "2", "--no-gate", "--no-scoreboard"]
    assert main([*arguments, "--tuning", "off", "--trackers", "jsonl", "--out", str(second)]) in (0, 3)
    told = json.loads((second / "metrics.json").read_text())["backbone"]
    assert (told["missing"], told["unexpected"]) == (0, 0)
    assert "lora" in (second / "recipe.yaml").read_text()
    capsys.readouterr()
    assert main(["predict", str(first / "bundle"), str(path), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[0])["cells"]) == {"income", "guarantor", "sex", "opened"}


def test_fairness_is_for_classes_and_columns_that_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = written(tmp_path / "credit.csv", rows(60))
    assert main(["tune", str(table), "--fairness", "gender", *SMALL, "--out", str(tmp_path / "a")]) != 0
    assert "no column of groups (--fairness) called 'gender'" in capsys.readouterr().err
    assert (
        main(["tune", str(table), "--label", "income", "--task", "regression", "--fairness", "sex", *SMALL, "--out", str(tmp_path / "b")])
        != 0
    )
    assert "--fairness compares which class groups are given; the task regression gives none" in capsys.readouterr().err
