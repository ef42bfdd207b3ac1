"""Files of the UCR and UEA archives, written as their format says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.core.errors import DataError
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.sources import open_source
from tunesmith.data.ts_files import TsReader

HEADER = "#About\n@problemName Test\n@timeStamps {stamps}\n@univariate {univariate}\n@classLabel true a b\n@data\n"


def read(path: Path, text: str, *, stamps: str = "false", univariate: str = "false") -> tuple[list[dict[str, str | None]], BadRows]:
    path.write_text(HEADER.format(stamps=stamps, univariate=univariate) + text)
    bad = BadRows()
    return [row for _, row in TsReader(path).rows(bad)], bad


def test_channels_gaps_and_labels(tmp_path: Path) -> None:
    rows, bad = read(tmp_path / "x.ts", "1,2,?:.5,-1e-3,3:a\n\n4,5:6,7,8:b\n")
    assert [json.loads(str(row["series"])) for row in rows] == [[[1, 2, None], [0.5, -0.001, 3]], [[4, 5, None], [6, 7, 8]]]
    assert [row["label"] for row in rows] == ["a", "b"]
    assert not bad.total


def test_a_univariate_series_is_a_plain_list(tmp_path: Path) -> None:
    rows, bad = read(tmp_path / "x.ts", "1,2:a\n1,2:3,4:a\n1,x:b\n", univariate="true")
    assert [row["series"] for row in rows] == ["[1.0,2.0]"]
    assert [item.where for item in bad.named] == ["line 8", "line 9"]
    assert "2 channels where the header says 1" in bad.named[0].reason
    assert "'x' is no number" in bad.named[1].reason


def test_moments_are_put_onto_an_even_grid(tmp_path: Path) -> None:
    text = "(0,1),(1,2),(2,3),(5,6):(0,9),(2,7):a\n(2020-01-01 00:00:00,1),(2020-01-02 00:00:00,?),(2020-01-03 00:00:00,3):b\n"
    rows, bad = read(tmp_path / "x.ts", text, stamps="true")
    assert not bad.total, bad.summary()
    assert json.loads(str(rows[0]["series"])) == [[1, 2, 3, None, None, 6], [9, None, 7, None, None, None]]
    assert json.loads(str(rows[1]["series"])) == [1, None, 3]
    assert [row["stamps"] for row in rows] == ["uneven", "even"]


def test_other_files_of_this_ending_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.ts").write_text("export const a = 1;\n")
    with pytest.raises(DataError, match="before @data"):
        list(TsReader(tmp_path / "x.ts").rows(BadRows()))
    (tmp_path / "y.ts").write_text("@problemName x\n")
    with pytest.raises(DataError, match="no line @data"):
        list(TsReader(tmp_path / "y.ts").rows(BadRows()))


def test_a_folder_of_the_archive_is_train_and_test(tmp_path: Path) -> None:
    for part in ("TRAIN", "TEST"):
        read(tmp_path / f"Gun_{part}.ts", "1,2:a\n", univariate="true")
    assert {part.reader.label: part.split for part in open_source(tmp_path).parts} == {"Gun_TRAIN.ts": "train", "Gun_TEST.ts": "test"}
