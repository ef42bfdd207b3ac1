"""Near texts against a comparison of all pairs, and planted ones across splits."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np
import pytest
from datasketch import MinHash
from tests.gate.planting import WORDS, clean_rows, clean_splits, found, sentence, view

from tunesmith.gate import _minhash, leave_out
from tunesmith.gate._texts import words


def _edited(text: str, rng: Random, times: int) -> str:
    parts = text.split()
    for _ in range(times):
        parts[rng.randrange(len(parts))] = rng.choice(WORDS)
    return " ".join(parts)


def _pairs_of(text: str) -> set[tuple[str, str]]:
    parts = words(text)
    return set(itertools.pairwise(parts))


def _many(seed: int, count: int) -> list[str]:
    """Texts, and copies of them in which none to twelve words are others."""
    rng = Random(seed)
    texts = [sentence(rng, rng.randint(8, 40)) for _ in range(count)]
    return texts + [_edited(text, rng, rng.randint(0, 12)) for text in texts]


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_that_a_comparison_of_all_finds(seed: int) -> None:
    texts = _many(seed, 250)
    pairs, similar = _minhash.near_pairs(_minhash.shingles(map(words, texts), 2), 0.7)
    sets = [_pairs_of(text) for text in texts]
    wanted = {}
    for i, one in enumerate(sets):
        for j in range(i):
            share = len(one & sets[j]) / len(one | sets[j])
            if share >= 0.7:
                wanted[(j, i)] = share
    assert len(wanted) > 30
    got = {(int(a), int(b)): float(share) for (a, b), share in zip(pairs, similar, strict=True)}
    assert set(got) <= set(wanted)
    assert len(got) >= 0.98 * len(wanted)  # the search may miss one in a hundred
    for pair, share in got.items():
        assert share == pytest.approx(wanted[pair], abs=1e-12)


def test_signatures_estimate_similarity_as_well_as_those_of_datasketch() -> None:
    texts = _many(7, 200)
    sets = [_pairs_of(text) for text in texts]
    pairs = [(i, i + 200) for i in range(200)]
    truth = np.asarray([len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for i, j in pairs])
    signed = _minhash.signatures(_minhash.shingles(map(words, texts), 2))
    ours = np.asarray([(signed[i] == signed[j]).mean() for i, j in pairs])
    theirs = []
    for i, j in pairs:
        made = []
        for place in (i, j):
            sketch = MinHash(num_perm=signed.shape[1])
            sketch.update_batch([" ".join(pair).encode() for pair in sets[place]])
            made.append(sketch)
        theirs.append(made[0].jaccard(made[1]))
    error, reference = np.sqrt(np.mean((ours - truth) ** 2)), np.sqrt(np.mean((np.asarray(theirs) - truth) ** 2))
    assert error < 1.25 * reference
    assert abs((ours - truth).mean()) < 0.01


def test_shingles_are_those_of_each_text_alone() -> None:
    worded = [["a", "b", "c"], [], ["a"], ["a", "b", "a", "b"], ["b", "c"]]
    made = _minhash.shingles(worded, 2)
    assert made.sizes.tolist() == [2, 0, 0, 2, 1]
    held = [set(made.values[made.starts[i] : made.starts[i + 1]].tolist()) for i in range(5)]
    assert held[4] < held[0]  # b c
    assert len(held[0] & held[3]) == 1  # a b
    assert held[3] - held[0]  # b a is not a b


def test_chains_are_one_component() -> None:
    pairs = np.asarray([[4, 5], [3, 4], [2, 3], [0, 7]])
    assert _minhash.components(9, pairs).tolist() == [0, 1, 2, 2, 2, 2, 6, 0, 8]


def test_many_near_copies_of_one_text_are_linked_without_comparing_all() -> None:
    rng = Random(0)
    base = sentence(rng, 40)
    texts = [f"{base} number {i}" for i in range(300)]
    pairs, _ = _minhash.near_pairs(_minhash.shingles(map(words, texts), 2), 0.7)
    assert len(pairs) < 300 * 299 / 4
    assert set(_minhash.components(300, pairs).tolist()) == {0}


def test_near_test_rows_are_found_and_their_training_twins_left_out() -> None:
    rows, splits = clean_rows(), clean_splits()
    rng = Random(5)
    twins = dict(zip(splits["train"][:2], splits["test"][:2], strict=True))
    for train, test in twins.items():
        text = sentence(rng, 25)
        rows[test]["text"], rows[train]["text"] = text, text.upper().replace(" ", "  ", 3) + " !"  # only case and marks differ
    rows[splits["validation"][0]]["text"] = rows[splits["train"][9]]["text"] + " indeed"
    findings = found(view(rows, splits), "near_texts")
    test = findings["near_test_rows_in_training"]
    assert (test.severity, test.count, test.of) == ("error", 2, 60)
    assert dict(zip(test.leave_out, test.instead, strict=True)) == twins
    assert "(100% alike)" in test.examples[0].shown
    assert findings["near_validation_rows_in_training"].leave_out == [splits["train"][9]]
    assert set(leave_out(list(findings.values()))) == {*twins, splits["train"][9]}


def test_one_near_row_in_many_is_a_warning() -> None:
    rng = Random(0)
    rows = [{"text": sentence(rng), "label": "ab"[i % 2]} for i in range(600)]
    splits = {"train": list(range(400)), "validation": list(range(400, 450)), "test": list(range(450, 600))}
    rows[500]["text"] = "so " + rows[7]["text"]
    finding = found(view(rows, splits), "near_texts")["near_test_rows_in_training"]
    assert (finding.severity, finding.examples[0].row, finding.examples[0].beside) == ("warning", 500, 7)


def test_partners_are_rows_of_the_split_that_is_told() -> None:
    rows, splits = clean_rows(), clean_splits()
    train, test = splits["train"], splits["test"]
    rows[train[0]]["text"] = rows[test[0]]["text"]  # stands in test as well
    rows[train[5]]["text"] = rows[test[0]]["text"] + " indeed"
    example = found(view(rows, splits), "near_texts")["near_copies_in_training"].examples[0]
    assert {example.row, example.beside} == {train[0], train[5]}


def test_equal_texts_are_left_to_duplicates() -> None:
    rows, splits = clean_rows(), clean_splits()
    rows[splits["train"][0]] = {**rows[splits["test"][0]]}
    assert found(view(rows, splits), "near_texts") == {}


def test_short_texts_that_share_most_words_are_no_copies() -> None:
    rows, splits = clean_rows(), clean_splits()
    rows[splits["train"][0]]["text"] = "a very good film and so on"
    rows[splits["test"][0]]["text"] = "A very good film, and so on!"
    assert found(view(rows, splits), "near_texts") == {}


def test_texts_without_spaces_are_compared_by_their_characters() -> None:
    rows, splits = clean_rows(), clean_splits()
    one = "酒店的位置很好离地铁站只有五分钟早餐也不错服务员非常热情下次还会再来住"
    rows[splits["train"][0]]["text"], rows[splits["test"][0]]["text"] = one, one.replace("五", "十") + "。"
    assert found(view(rows, splits), "near_texts")["near_test_rows_in_training"].count == 1


def test_columns_of_codes_are_not_compared() -> None:
    rows, splits = clean_rows(), clean_splits()
    columns = [f"c{i}" for i in range(12)]
    coded = [{**dict.fromkeys(columns, "1"), "c0": str(number), "label": row["label"]} for number, row in enumerate(rows)]
    assert found(view(coded, splits, dict.fromkeys(columns, "text")), "near_texts") == {}


def test_above_the_bound_a_sample_is_compared_and_the_finding_says_so() -> None:
    from tunesmith.gate.near_texts import NearTexts

    rows, splits = clean_rows(), clean_splits()
    for test, train in zip(splits["test"], splits["train"], strict=False):
        rows[test]["text"] = rows[train]["text"] + " indeed"
    (finding, *_) = NearTexts(most=120).inspect(view(rows, splits))
    assert finding.of == 30
    assert 5 <= finding.count <= 15  # 60 of 240 training rows were drawn, of 30 test rows a quarter has its twin among them
    assert "120 of 360 rows were drawn" in finding.what
