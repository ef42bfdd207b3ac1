"""DNA that leaks or shifts: planted faults are found with the rows that carry them, and rows without any give nothing."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
from tests.gate.planting import clean_splits, found, view

from tunesmith.core.dna import reverse_complement
from tunesmith.core.findings import Finding

SPLITS = clean_splits()
TRAIN, VALIDATION, TEST = (SPLITS[name] for name in ("train", "validation", "test"))


def piece(rng: Random, length: int = 80, gc: float = 0.5) -> str:
    return "".join(rng.choice("GC") if rng.random() < gc else rng.choice("AT") for _ in range(length))


def clean(length: int = 80) -> list[dict[str, Any]]:
    rng = Random(0)
    return [{"sequence": piece(rng, length), "label": "ab"[i % 2]} for i in range(sum(map(len, SPLITS.values())))]


def of(rows: list[dict[str, Any]]) -> Mapping[str, Finding]:
    return found(view(rows, SPLITS, {"sequence": "dna"}), "dna")


def test_nothing_is_found_where_nothing_is() -> None:
    assert of(clean()) == {}


def test_the_other_strand_of_a_training_row_is_a_leak() -> None:
    rows = clean()
    rows[TEST[3]]["sequence"] = reverse_complement(rows[TRAIN[5]]["sequence"])
    rows[TEST[4]]["sequence"] = rows[TRAIN[6]]["sequence"].lower()
    rows[VALIDATION[1]]["sequence"] = reverse_complement(rows[TRAIN[7]]["sequence"].replace("T", "U").replace("U", "T"))
    findings = of(rows)
    assert set(findings) == {"test_dna_on_other_strand", "validation_dna_on_other_strand"}
    leak = findings["test_dna_on_other_strand"]
    assert (leak.severity, leak.count, leak.of) == ("error", 2, 60)
    assert sorted(leak.leave_out) == sorted([TRAIN[5], TRAIN[6]])
    assert dict(zip(leak.leave_out, leak.instead, strict=True)) == {TRAIN[5]: TEST[3], TRAIN[6]: TEST[4]}
    assert {(example.row, example.beside) for example in leak.examples} == {(TEST[3], TRAIN[5]), (TEST[4], TRAIN[6])}
    assert findings["validation_dna_on_other_strand"].severity == "warning"


def test_equal_cells_are_left_to_the_inspection_of_copies() -> None:
    rows = clean()
    rows[TEST[3]]["sequence"] = rows[TRAIN[5]]["sequence"]
    assert of(rows) == {}


def test_windows_that_overlap_are_found_on_either_strand() -> None:
    rows = clean()
    source = rows[TRAIN[5]]["sequence"]
    rows[TEST[3]]["sequence"] = source[10:] + piece(Random(1), 10)  # 70 of 80 letters
    rows[TEST[4]]["sequence"] = reverse_complement(source[25:] + piece(Random(2), 25))
    rows[TEST[5]]["sequence"] = source[50:] + piece(Random(3), 50)  # 7 of 57 runs
    findings = of(rows)
    assert set(findings) == {"test_dna_overlapping_training"}
    overlap = findings["test_dna_overlapping_training"]
    assert (overlap.severity, overlap.count) == ("warning", 2)
    assert {example.row for example in overlap.examples} == {TEST[3], TEST[4]}
    assert list(overlap.leave_out) == [TRAIN[5]]
    for place in range(6, 14):
        rows[TEST[place]]["sequence"] = rows[TRAIN[place]]["sequence"][5:] + "ACGTA"
    assert of(rows)["test_dna_overlapping_training"].severity == "error"


def test_overlaps_of_long_sequences_are_found_by_a_share_of_their_runs() -> None:
    rows = clean(600)
    rows[TEST[3]]["sequence"] = rows[TRAIN[5]]["sequence"][100:] + piece(Random(1), 100)
    from tunesmith.gate.dna import Dna

    seen = view(rows, SPLITS, {"sequence": "dna"})
    sampled = Dna(runs=20_000).inspect(seen)  # one of seven
    assert [(finding.name, [example.row for example in finding.examples]) for finding in sampled] == [
        ("test_dna_overlapping_training", [TEST[3]])
    ]


def test_much_n_and_unusual_lengths() -> None:
    rows = clean()
    rows[TRAIN[3]]["sequence"] = "N" * 40 + rows[TRAIN[3]]["sequence"][40:]
    rows[TEST[3]]["sequence"] = piece(Random(5), 900)
    rows[TRAIN[9]]["sequence"] = "ACGTACG"
    findings = of(rows)
    assert set(findings) == {"dna_much_n", "dna_unusual_length"}
    assert [example.row for example in findings["dna_much_n"].examples] == [TRAIN[3]]
    assert {example.row for example in findings["dna_unusual_length"].examples} == {TEST[3], TRAIN[9]}
    assert "7 to 900 letters" in findings["dna_unusual_length"].what


def test_other_shares_of_g_and_c() -> None:
    rows, rng = clean(), Random(7)
    for number in TEST:
        rows[number]["sequence"] = piece(rng, 80, 0.65)
    findings = of(rows)
    assert set(findings) == {"dna_gc_shift"}
    share = np.mean([sum(letter in "GC" for letter in rows[number]["sequence"]) / 80 for number in TEST])
    assert f"{share:.1%} G and C" in findings["dna_gc_shift"].what
