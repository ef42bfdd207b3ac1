"""Tables: what is learned of columns, how cells are read, and that networks of an earlier run are gone on with."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.preprocessing import KBinsDiscretizer

from tunesmith.backbones._cells import Scale, knots_of
from tunesmith.backbones.tabular import Tabular
from tunesmith.core.errors import BackboneError, DataError, RowError

KINDS = {"age": "number", "job": "category", "since": "date"}


def rows(n: int = 60) -> list[dict[str, Any]]:
    return [
        {"age": str(20 + i), "job": ["clerk", "cook", "smith"][i % 3] if i else "pilot", "since": f"2020-{1 + i % 12:02d}-11"}
        for i in range(n)
    ]


def made(**options: Any) -> Tabular:
    given = {"columns": tuple(KINDS), "kinds": tuple(KINDS.values()), "hidden": 16, "heads": 2, **options}
    return Tabular(**given)


def fitted(**options: Any) -> Tabular:
    return made(**options).fit(lambda: iter(rows()), 0)


def test_bins_end_where_scikit_learn_puts_quantiles() -> None:
    values = np.random.default_rng(0).lognormal(size=4000)
    ends = KBinsDiscretizer(8, encode="ordinal", strategy="quantile", quantile_method="linear").fit(values[:, None]).bin_edges_[0]
    assert set(np.round(ends, 2)) <= {round(knot, 2) for knot in knots_of(values, 16)}


def test_a_number_is_how_much_of_each_bin_lies_below_it() -> None:
    scale = Scale([(0.0, 10.0, 40.0), (0.0, 1.0)])
    found = scale.encoded(np.asarray([[25.0, 0.25], [-3.0, math.nan], [99.0, 7.0]]))
    assert found.tolist() == [
        [[1, 0.5, 0, 0], [0.25, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 1, 0]],
        [[1, 1, 0, 0], [1, 0, 0, 0]],
    ]


def test_a_value_that_most_rows_have_leaves_bins_for_the_others() -> None:
    values = np.concatenate([np.zeros(5000), np.linspace(100, 9000, 300)])
    assert sum(knot > 0 for knot in knots_of(values, 16)) >= 7
    assert knots_of(np.asarray([math.nan, math.nan]), 4) == (0.0, 1.0)
    assert knots_of(np.asarray([7.0, 7.0]), 4) == (7.0, 8.0)


def test_what_the_training_rows_tell() -> None:
    found = fitted()
    assert found.words == (("cook", "smith", "clerk"),)  # of 20, 20 and 19 rows; the pilot is one of a kind
    assert (found.knots[0][0], found.knots[0][-1]) == (20.0, 79.0)
    assert found.usual[0] in ("49", "50")
    assert found.usual[1] == "cook"
    assert len(found.knots) == 1 + 4
    shuffled = rows()
    Random(1).shuffle(shuffled)
    assert made().fit(lambda: iter(shuffled), 0) == found


def test_missing_and_unseen_cells_are_told_apart() -> None:
    found = fitted()
    given = found.encode({"age": " ? ", "job": "N/A", "since": None} | {"age": "33"})
    assert given["codes"] == [0]
    assert found.encode({"age": "33", "job": "pilot"})["codes"] == found.encode({"age": "33", "job": "astronaut"})["codes"] == [1]
    assert math.isnan(found.encode({"age": "?", "job": "cook"})["numbers"][0])
    assert found.encode({"age": "39", "since": "2020-03-01T12:00:00"})["numbers"] == [39.0, 18322.5, 2020.0, 3.0, 6.0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"age": "old", "job": "cook"}, "column 'age': 'old' is no number"),
        ({"age": "inf", "job": "cook"}, "column 'age': 'inf' is no finite number"),
        ({"age": "3", "since": "yesterday"}, "column 'since': 'yesterday' is no date such as 2026-01-31"),
        ({"age": "?", "job": "", "since": None}, "every cell of the row is missing"),
    ],
)
def test_a_cell_that_means_nothing_is_refused(row: dict[str, Any], said: str) -> None:
    with pytest.raises(RowError, match=said):
        fitted().check(row)


def test_what_training_never_saw_is_said() -> None:
    found = fitted()
    assert found.unseen({"age": "33", "job": "cook", "since": "2020-05-11"}) == []
    said = found.unseen({"age": "120", "job": "astronaut", "since": "2031-01-01"})
    assert [line.split(":")[0] for line in said] == ["job", "age", "since"]
    assert "20 to 79" in said[1]
    assert "2020-01-11 to 2020-12-11" in said[2]


def test_memory_does_not_grow_with_rows_and_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.backbones._cells.MOST_ROWS", 100)
    monkeypatch.setattr("tunesmith.backbones._cells.MOST_COUNTED", 50)
    many = ({"age": str(i % 1000), "job": f"job {i}" if i % 2 else "cook", "since": "2020-01-11"} for i in range(5000))
    found = made(most=7).fit(lambda: many, 0)
    assert found.words[0][0] == "cook"
    assert len(found.words[0]) <= 7
    assert 300 < float(np.median(found.knots[0])) < 700  # drawn from all of them, not the first


def test_a_network_without_categories_or_without_numbers() -> None:
    for columns, kinds in ((("age",), ("number",)), (("job",), ("category",))):
        found = made(columns=columns, kinds=kinds).fit(lambda: iter(rows()), 0)
        network = found.open()
        assert all(parameter.numel() for parameter in network.parameters())
        batch = found.collate([found.encode(row) for row in rows(5)])
        assert found.features(network, batch).pooled.shape == (5, 16)  # type: ignore[union-attr]


def saved(folder: Path) -> Tabular:
    first = fitted()
    network = first.open()
    first.save(network, network.state_dict(), folder)
    return first


def test_fewer_columns_of_a_network_read_the_same_tokens(tmp_path: Path) -> None:
    first = saved(tmp_path)
    less = made(source=str(tmp_path), columns=("since", "job"), kinds=("date", "category")).fit(lambda: iter(rows()), 0)
    assert less.words == first.words
    assert less.origin() == {"source": str(tmp_path)}
    network, whole = less.open(), first.moved(tmp_path).open()
    row = rows()[7]
    with torch.no_grad():
        few = network.tokenizer(*less.collate([less.encode(row)]).values())
        all_of_them = whole.tokenizer(*first.collate([first.encode(row)]).values())
    assert torch.equal(few, all_of_them[:, [0, 2, 3, 4, 5, 6]])


def test_a_network_refuses_columns_that_it_does_not_know(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(DataError, match="has not learned the column town; it knows age, job, since"):
        made(source=str(tmp_path), columns=("age", "town"), kinds=("number", "category")).fit(lambda: iter(rows()), 0)
    with pytest.raises(DataError, match="reads the column age as a number, and here it was taken for a category; say --kinds age=number"):
        made(source=str(tmp_path), columns=("age",), kinds=("category",)).fit(lambda: iter(rows()), 0)
    with pytest.raises(BackboneError, match="is no network for tables"):
        made(source=str(tmp_path / "none")).fit(lambda: iter(rows()), 0)


@pytest.mark.parametrize("kinds", [KINDS, {"age": "number"}, {"job": "category"}])
def test_the_form_in_numpy_gives_the_vectors_of_torch(kinds: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = made(columns=tuple(kinds), kinds=tuple(kinds.values()), depth=3).fit(lambda: iter(rows()), 0)
    network = first.open()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    first.save(network, network.state_dict(), tmp_path)
    again = first.moved(tmp_path)
    light = again.light(lambda weights: weights)
    assert light is not None
    some = [*rows(9), {"age": "400", "job": "astronaut", "since": "1999-01-01"}]
    some += [{"age": "?", "job": "cook"}] if "job" in kinds else []
    with torch.no_grad():
        expected = again.features(again.open().eval(), again.collate([again.encode(row) for row in some])).pooled
    assert expected is not None
    np.testing.assert_allclose(light(some), expected.numpy(), atol=2e-5)
    assert first.light(lambda weights: weights) is None
    assert again.light(lambda weights: None) is None


def test_settings_survive_columns_called_like_our_own_fields(tmp_path: Path) -> None:
    found = Tabular(columns=("source", "weights"), kinds=("number", "category")).fit(
        lambda: iter([{"source": str(i), "weights": "ab"[i % 2]} for i in range(20)]), 0
    )
    network = found.open()
    found.save(network, network.state_dict(), tmp_path)
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept["columns"] == ["source", "weights"]
    again = dataclasses.replace(Tabular(columns=("source", "weights"), kinds=("number", "category")), source=str(tmp_path))
    assert again.learned.words == found.words
