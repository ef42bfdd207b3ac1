"""Planted copies are all found, and the rows to leave out leave one of each."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from tests.gate.planting import clean_rows, clean_splits, found, sentence, view
from tests.gate.views import view_of

from tunesmith.core.contracts import Picture
from tunesmith.core.findings import Finding
from tunesmith.gate import leave_out
from tunesmith.gate._rows import file_mark
from tunesmith.gate.duplicates import Duplicates


def test_leaked_test_rows_are_all_found_and_only_their_training_copies_left_out() -> None:
    rows, splits = clean_rows(), clean_splits()
    pairs = dict(zip(splits["test"][:3], splits["train"][10:13], strict=True))
    for test, train in pairs.items():
        rows[train] = {**rows[test]}
    finding = found(view(rows, splits), "duplicates")["test_rows_in_training"]
    assert (finding.severity, finding.count, finding.of) == ("error", 3, 60)
    assert "3 test rows (5%)" in finding.what
    assert {(example.row, example.beside) for example in finding.examples} == set(pairs.items())
    assert dict(zip(finding.leave_out, finding.instead, strict=True)) == {train: test for test, train in pairs.items()}


def test_each_pair_of_splits_is_told_apart() -> None:
    rows, splits = clean_rows(), clean_splits()
    rows[splits["validation"][0]] = {**rows[splits["train"][0]]}
    rows[splits["test"][1]] = {**rows[splits["validation"][1]]}
    rows[splits["train"][3]] = {**rows[splits["train"][2]]}
    rows[splits["test"][5]] = {**rows[splits["test"][4]]}
    findings = found(view(rows, splits), "duplicates")
    assert {name: (finding.severity, finding.count) for name, finding in findings.items() if name != "contradictory_labels"} == {
        "validation_rows_in_training": ("warning", 1),
        "test_rows_in_validation": ("warning", 1),
        "copies_in_training": ("info", 1),
        "copies_in_test": ("warning", 1),
    }
    assert findings["copies_in_training"].leave_out == [splits["train"][3]]
    assert findings["copies_in_test"].leave_out == []
    assert findings["test_rows_in_validation"].leave_out == [splits["validation"][1]]


@pytest.mark.parametrize(("texts", "severity"), [(("ok", "thank you"), "warning"), (("a letter that two people wrote", "ok"), "warning")])
def test_few_short_texts_that_coincide_are_no_error(texts: tuple[str, str], severity: str) -> None:
    rng = Random(0)
    rows = [{"text": sentence(rng), "label": "ab"[i % 2]} for i in range(1600)]
    splits = {"train": list(range(800)), "validation": list(range(800, 1000)), "test": list(range(1000, 1600))}
    for place, text in enumerate(texts):
        rows[place] = {"text": text, "label": "ab"[place]}
        rows[1000 + place] = {**rows[place]}
    assert found(view(rows, splits), "duplicates")["test_rows_in_training"].severity == severity
    rows[0], rows[1000] = {**rows[5]}, {**rows[5]}  # one long text: the median of two is not short any more
    assert found(view(rows, splits), "duplicates")["test_rows_in_training"].severity == "error"


@pytest.mark.parametrize(("weighed", "severity"), [(False, "warning"), (True, "error")])
def test_rows_of_a_table_with_common_cells_coincide_by_chance(weighed: bool, severity: str) -> None:
    rows = [{"grade": str(i % 5), "size": str(i % 3)} | ({"weight": f"{i % 40}.25{i % 40}"} if weighed else {}) for i in range(60)]
    splits = ["train"] * 40 + ["test"] * 20
    kinds = {"grade": "number", "size": "category"} | ({"weight": "number"} if weighed else {})
    rows = [{**row, **(rows[i - 40] if i >= 40 else {})} for i, row in enumerate(rows)]
    finding = next(f for f in Duplicates().inspect(view_of(rows, kinds, splits, [0] * 60, "ab")) if f.name == "test_rows_in_training")
    assert (finding.count, finding.severity) == (20, severity)
    assert ("chance makes such rows equal" in finding.what) is not weighed


def test_contradictory_labels_are_counted_and_not_decided_by_the_order_of_rows() -> None:
    rows, splits = clean_rows(), clean_splits()
    one, other, third = splits["train"][:3]
    rows[other] = {**rows[one], "label": "b" if rows[one]["label"] != "b" else "c"}
    rows[third] = {**rows[one]}
    findings = found(view(rows, splits), "duplicates")
    against = findings["contradictory_labels"]
    assert (against.count, against.severity, list(against.leave_out)) == (3, "warning", [])
    assert "3 rows hold 1 input" in against.what
    assert against.examples[0].shown.endswith(f"-> {rows[one]['label']} and {rows[other]['label']}")
    assert findings["copies_in_training"].leave_out == []


def test_numbers_contradict_each_other_from_half_a_standard_deviation_on() -> None:
    rows, splits = clean_rows(), clean_splits()
    rng = np.random.default_rng(0)
    targets = {number: float(value) for number, value in enumerate(rng.normal(0, 1, len(rows)))}
    a, b, c, d = splits["train"][:4]
    rows[b], rows[d] = {**rows[a]}, {**rows[c]}
    targets.update({a: 0.0, b: 0.1, c: 0.0, d: 2.0})
    against = found(view(rows, splits, targets=targets), "duplicates")["contradictory_labels"]
    assert against.count == 2
    assert {against.examples[0].row, against.examples[0].beside} == {c, d}


def test_sets_of_labels_are_compared_whole() -> None:
    rows, splits = clean_rows(), clean_splits()
    targets = {number: [number % 2, 1] for number in range(len(rows))}
    one, other, third = splits["train"][:3]
    rows[other], rows[third] = {**rows[one]}, {**rows[one]}
    targets.update({one: [0, 1], other: [0, 1], third: [0, 1]})
    assert "contradictory_labels" not in found(view(rows, splits, targets=targets, classes=["x", "y"]), "duplicates")
    targets[third] = [1, 1]
    against = found(view(rows, splits, targets=targets, classes=["x", "y"]), "duplicates")["contradictory_labels"]
    assert against.examples[0].shown.endswith("-> [y] and [x, y]")


def test_a_row_is_a_copy_only_where_all_inputs_are_equal() -> None:
    rows, splits = clean_rows(), clean_splits()
    one, other = splits["train"][0], splits["test"][0]
    rows[other]["text"] = rows[one]["text"]
    rows[one]["channel"], rows[other]["channel"] = "app", "desk"
    both = {"text": "text", "channel": "text"}
    assert found(view(rows, splits, both), "duplicates") == {}
    rows[other]["channel"] = "app"
    assert "test_rows_in_training" in found(view(rows, splits, both), "duplicates")


def test_cells_are_not_mixed_up_by_where_they_end() -> None:
    rows, splits = clean_rows(), clean_splits()
    rows[splits["train"][0]].update(text="ab", channel="c")
    rows[splits["test"][0]].update(text="a", channel="bc")
    assert found(view(rows, splits, {"text": "text", "channel": "text"}), "duplicates") == {}


def test_pictures_are_compared_by_their_bytes_in_whatever_form_they_come(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    splits = {"train": list(range(0, 20)), "validation": list(range(20, 25)), "test": list(range(25, 30))}
    rows = []
    for number in range(30):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(tmp_path / f"{number}.png")
        rows.append({"image": str(tmp_path / f"{number}.png"), "label": "ab"[number % 2]})
    assert found(view(rows, splits, {"image": "image"}), "duplicates") == {}
    data = (tmp_path / "3.png").read_bytes()
    (tmp_path / "25.png").write_bytes(data)  # the path of a copy
    rows[26]["image"] = data  # its bytes
    rows[27]["image"] = Picture(np.zeros((2, 2, 3), np.uint8), key=file_mark(data))  # kept decoded, with its file's checksum
    finding = found(view(rows, splits, {"image": "image"}), "duplicates")["test_rows_in_training"]
    assert finding.count == 3
    assert finding.leave_out == [3]
    pixels = rng.integers(0, 255, (4, 4, 3), np.uint8)
    rows[0]["image"], rows[28]["image"] = Picture(pixels), Picture(pixels.copy())
    assert found(view(rows, splits, {"image": "image"}), "duplicates")["test_rows_in_training"].count == 4


def _finding(name: str, out: dict[int, int] | list[int]) -> Finding:
    instead = list(out.values()) if isinstance(out, dict) else []
    return Finding(name, "info", len(out), 10, "", "", leave_out=list(out), instead=instead)


@pytest.mark.parametrize(
    ("findings", "out"),
    [
        ([_finding("a", {1: 0}), _finding("b", {2: 1})], {1: "a", 2: "b"}),  # 0 stands for both
        ([_finding("a", {1: 0}), _finding("b", {0: 1})], {1: "a"}),  # never both
        ([_finding("a", {1: 0, 2: 1}), _finding("b", {0: 2})], {1: "a", 2: "a"}),
        ([_finding("a", {1: 0}), _finding("b", [0])], {0: "b"}),  # what should stay is left out for itself
        ([_finding("a", [4, 4]), _finding("b", [4])], {4: "a"}),
    ],
)
def test_a_row_is_left_out_only_where_another_stands_for_it(findings: list[Finding], out: dict[int, str]) -> None:
    assert leave_out(findings) == out


@pytest.mark.parametrize("seed", range(20))
def test_no_ring_of_copies_is_ever_left_out_whole(seed: int) -> None:
    rng = Random(seed)
    findings = [_finding(str(i), {rng.randrange(12): rng.randrange(12) for _ in range(6)}) for i in range(4)]
    out = leave_out(findings)
    links: dict[int, set[int]] = {row: {row} for row in range(12)}
    for finding in findings:
        for row, other in zip(finding.leave_out, finding.instead, strict=True):
            joined = links[row] | links[other]
            for member in joined:
                links[member] = joined
    for members in links.values():
        assert members - set(out)
