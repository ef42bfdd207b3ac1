"""Runs side by side: the verb, its differences, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest
from tests.report import runs

from tunesmith.cli import main
from tunesmith.core.errors import DataError, UsageError
from tunesmith.report.compare import compare

TARGET = ["a", "b"] * 20
WRONG = ["x"] * 12 + TARGET[12:]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("runs")
    one = runs.write(root / "one", runs.metrics(), rows=runs.predictions(WRONG, TARGET))
    better = {**runs.metrics(), "test": {"accuracy": 1.0, "macro_f1": 1.0, "rows": 40}}
    two = runs.write(root / "two", better, runs.recipe(adapter={"name": "lora", "rank": 8}), runs.predictions(TARGET, TARGET)[::-1])
    three = runs.write(root / "three", runs.metrics(), rows=runs.predictions(WRONG, TARGET))
    return [str(path) for path in (one, two, three)]


def test_each_run_is_compared_with_the_first(folders: list[str]) -> None:
    found = compare(folders)
    two, three = found.compared
    assert two.found.difference == pytest.approx(0.3)
    assert two.found.p == pytest.approx(binomtest(12, 12).pvalue)
    assert two.p == pytest.approx(2 * two.found.p)  # two comparisons
    assert two.better is True
    assert (three.found.difference, three.found.p, three.better) == (0.0, 1.0, None)
    assert found.recipes == {"adapter.name": ["head", "lora", "head"], "adapter.rank": [None, 8, None]}
    assert compare(folders[1::-1]).compared[0].better is False


def test_the_verb_prints_tables_json_and_a_page(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert main(["compare", *folders, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "two is better than one: accuracy +0.300" in told
    assert "three cannot be told from one" in told
    assert "[0.780," in told
    assert "two is better than one" in out.read_text()
    assert main(["compare", *folders, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["trainable_parameters"] for run in found["runs"]] == [90, 90, 90]
    assert found["differences"][0]["interval"][0] > 0
    assert main(["compare", *folders, "--out", str(out)]) == 1
    assert "nothing is overwritten" in capsys.readouterr().err
    assert main(["compare", *folders, "--out", "page.pdf"]) == 2


def test_rows_that_belong_together_have_no_p(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = runs.recipe()
    grouped = {**recipe, "data": {**recipe["data"], "group": "patient"}}
    other = runs.write(tmp_path / "grouped", runs.metrics(), grouped, runs.predictions(TARGET, TARGET))
    out = tmp_path / "page.html"
    assert main(["compare", folders[0], str(other), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    for text in (told, out.read_text().replace("&#39;", "'")):
        assert "rows of a 'patient' belong together" in text
        assert "p < 0.001" not in text
        assert "is better than" not in text
    assert main(["compare", folders[0], str(other), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["differences"]
    assert found["difference"] == pytest.approx(0.3)
    assert [found[key] for key in ("interval", "p", "p_of_all", "better")] == [None] * 4


def test_what_cannot_be_compared_is_refused(folders: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two different runs"):
        compare([folders[0], folders[0]])
    with pytest.raises(UsageError, match="not a run folder"):
        compare([folders[0], str(tmp_path)])
    other = runs.write(tmp_path / "other", {"test": {"rmse": 1.0}}, runs.recipe(task="regression"), [])
    with pytest.raises(UsageError, match="one is of classification, other of regression"):
        compare([folders[0], str(other)])
    fewer = runs.write(tmp_path / "fewer", runs.metrics(), rows=runs.predictions(TARGET, ["c", *TARGET[1:]])[:30])
    with pytest.raises(DataError, match="different test rows: 40 and 30, of which 29 are the same"):
        compare([folders[0], str(fewer)])
    gone = runs.write(tmp_path / "gone", runs.metrics())
    with pytest.raises(DataError, match=r"predictions\.parquet is missing"):
        compare([folders[0], str(gone)])
    (gone / "predictions.parquet").write_bytes(b"cut")
    with pytest.raises(DataError, match="cannot be read"):
        compare([folders[0], str(gone)])
