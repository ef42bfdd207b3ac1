"""Letters of DNA against definitions by hand."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tunesmith.core.dna import AMBIGUOUS, codes, kmers, read_strand, reverse_complement
from tunesmith.core.errors import RowError


def text(seed: int, length: int = 200) -> str:
    rng = Random(seed)
    return "".join(rng.choice("ACGTN") for _ in range(length))


def test_reverse_complement_pairs_letters_from_the_other_end() -> None:
    pairs = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}
    letters = text(0)
    assert reverse_complement(letters) == "".join(pairs[letter] for letter in reversed(letters))
    assert reverse_complement(reverse_complement(letters)) == letters


def test_every_iupac_letter_is_n_and_u_is_t() -> None:
    found = read_strand(f"a{AMBIGUOUS.lower()}u", "x")
    assert found.letters == "A" + "N" * 10 + "T"
    assert found.ambiguous == 10
    with pytest.raises(RowError, match="letter 'E' at position 2"):
        read_strand("AE", "x")


@pytest.mark.parametrize(("k", "stride"), [(1, 1), (3, 1), (3, 3), (4, 2)])
def test_kmers_are_numbers_to_the_base_of_four(k: int, stride: int) -> None:
    letters = text(1)
    words = [letters[i : i + k] for i in range(0, len(letters) - k + 1, stride)]
    expected = [-1 if "N" in word else int(word.translate(str.maketrans("ACGT", "0123")), 4) for word in words]
    assert kmers(letters, k, stride).tolist() == expected
    assert kmers("AC", 3).tolist() == []


def test_codes() -> None:
    assert np.array_equal(codes("ACGTNA"), [0, 1, 2, 3, 4, 0])
