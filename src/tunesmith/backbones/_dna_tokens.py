"""DNA as tokens: letters, runs of k letters, or pieces that were found by byte-pair encoding.

    ACGTAC   character: A C G T A C      kmer, k=3, stride 1: ACG CGT GTA TAC      kmer, k=3, stride 3: ACG TAC      bpe: ACG TA C

Overlapping runs are what DNABERT reads (Ji et al. 2021), runs side by side what the Nucleotide Transformer reads (Dalla-Torre et al.
2023): the latter begins anew after each N and spells N and what is left at an end in single letters. Pieces are what DNABERT-2 reads
(Zhou et al. 2023), single letters what HyenaDNA reads (Nguyen et al. 2023).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tunesmith.core.dna import BASES, LETTERS, codes
from tunesmith.core.errors import BackboneError, require

Kind = Literal["character", "kmer", "bpe"]
Numbers = npt.NDArray[np.int64]

PAD, UNKNOWN = 0, 1
MOST_K = 8
"""Letters of a run at most where the vocabulary is our own: 4 to the power of k runs are learned."""
PIECES = 512
"""Tokens of a vocabulary of pieces that is found on the training rows."""
PIECE_LETTERS, MOST_LETTERS = 2_000, 500_000
"""Letters of a sequence, and of all together, that pieces are found on."""
RARE = 10
"""How often a pair must occur to become a piece."""
APART = -1
LONGEST = 64
"""Letters that a piece holds at most, about: what lies further on than that many times the tokens is not read."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """Letters -> numbers of tokens.

    Attributes:
        kind: what a token is.
        body: letters -> numbers of tokens, without special ones.
        size: of the vocabulary.
        pad: number that fills up.
        before: special tokens in front of a sequence.
        after: special tokens behind it.
        letters: letters from a token to the next, at most.
    """

    kind: Kind
    body: Callable[[str], list[int]]
    size: int
    pad: int = PAD
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    letters: int = 1

    def read(self, letters: str, length: int) -> tuple[list[int], bool]:
        """The tokens of a sequence, at most `length` of them, and whether some of it was left out."""
        room = length - len(self.before) - len(self.after)
        most = room * self.letters + LONGEST
        body = self.body(letters[:most])
        return [*self.before, *body[:room], *self.after], len(body) > room or len(letters) > most


def words(letters: str, k: int, stride: int) -> list[str]:
    """Runs of k letters.

    Args:
        letters: of A, C, G, T and N.
        k: letters of a run.
        stride: letters from the beginning of a run to that of the next; k for runs side by side.

    Example:
        >>> words("ACGTA", 3, 1), words("ACGTNACGT", 3, 3)
        (['ACG', 'CGT', 'GTA'], ['ACG', 'T', 'N', 'ACG', 'T'])
    """
    if stride != k:
        last = max(1, len(letters) - k + 1)
        return [letters[start : start + k] for start in range(0, last, stride)]
    found: list[str] = []
    for part in re.findall("N|[^N]+", letters):
        whole = len(part) // k * k
        found += [part[start : start + k] for start in range(0, whole, k)]
        found += part[whole:]
    return found


def own(kind: Kind, k: int, stride: int, merges: Sequence[str]) -> Tokens:
    """Tokens of the small encoder, which has no checkpoint to ask."""
    if kind == "character":
        numbers = {letter: place for place, letter in enumerate(LETTERS, UNKNOWN + 1)}
        return Tokens(kind, lambda letters: [numbers[letter] for letter in letters], len(numbers) + 2)
    if kind == "kmer":
        runs = map("".join, itertools.product(BASES, repeat=k))
        numbers = {word: place for place, word in enumerate([*LETTERS, *runs], UNKNOWN + 1)}
        return Tokens(kind, lambda letters: _looked_up(words(letters, k, stride), numbers, UNKNOWN), len(numbers) + 2, letters=stride)
    tokenizer = _pieces(merges)
    return Tokens(
        kind, lambda letters: [number + 2 for number in tokenizer.encode(letters).ids], tokenizer.get_vocab_size() + 2, letters=LONGEST
    )


def of_checkpoint(tokenizer: Any, kind: Kind | None, k: int | None, stride: int | None) -> Tokens:
    """Tokens as the checkpoint was trained on, read off its vocabulary where nobody says.

    Args:
        tokenizer: of transformers.
        kind: what a token is; None finds it.
        k: letters of a run; None finds it.
        stride: letters from one run to the next; None finds it.

    Raises:
        BackboneError: the vocabulary does not hold such tokens.
    """
    vocabulary: Mapping[str, int] = tokenizer.get_vocab()
    counts = Counter(len(word) for word in vocabulary if not word.strip(BASES))
    longest = max(counts, default=0)
    runs = longest if longest > 1 and set(counts) <= {1, longest} and counts[longest] == 4**longest else None
    found = kind or ("kmer" if runs else "character" if set(counts) == {1} and counts[1] == len(BASES) else "bpe")
    special = tuple(tokenizer("")["input_ids"])
    cut = 1 if special and special[0] in (tokenizer.cls_token_id, tokenizer.bos_token_id) else 0
    unknown = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id
    around: dict[str, Any] = {"pad": tokenizer.pad_token_id, "before": special[:cut], "after": special[cut:]}
    size = max(vocabulary.values()) + 1
    if found == "bpe":
        return Tokens(found, lambda letters: _tokenized(tokenizer, letters), size, letters=LONGEST, **around)
    if found == "character":
        if counts[1] < len(BASES):
            raise BackboneError("the checkpoint's vocabulary does not hold single letters; leave backbone.tokenizer out")
        return Tokens(found, lambda letters: _looked_up(letters, vocabulary, unknown), size, **around)
    length = k or runs
    if not length or counts[length] < 4**length:
        raise BackboneError(f"the checkpoint's vocabulary does not hold all runs of {length or 'k'} letters; leave backbone.k out")
    step = stride or (length if counts[1] == len(BASES) else 1)
    return Tokens(found, lambda letters: _looked_up(words(letters, length, step), vocabulary, unknown), size, letters=step, **around)


def found_pieces(sequences: Iterable[str], size: int = PIECES) -> tuple[str, ...]:
    """The merges of byte-pair encoding (Sennrich et al. 2016), most frequent first, each as `left right`; of equals the first by letters.

    The trainer of the library that reads texts breaks ties as its hash table happens to lie, so that a run could not be repeated.

    Args:
        sequences: of A, C, G, T and N; a bounded number of their letters is used.
        size: of the vocabulary.

    Example:
        >>> found_pieces(["TATA" * 20] * 5, 7)
        ('T A', 'TA TA')
    """
    words = list(LETTERS)
    held = _joined(sequences)
    merges: list[str] = []
    while len(words) < size and len(held) > 1:
        pairs = held[:-1] * size + held[1:]
        pairs[(held[:-1] == APART) | (held[1:] == APART)] = -1
        counts = np.bincount(pairs + 1, minlength=2)[1:]
        most = int(counts.max())
        if most < RARE:
            break
        best = min(np.flatnonzero(counts == most).tolist(), key=lambda pair: (words[pair // size], words[pair % size]))
        left, right = divmod(best, size)
        merges.append(f"{words[left]} {words[right]}")
        joined = words[left] + words[right]
        if joined not in words:  # A and CA, AC and A make the same piece
            words.append(joined)
        held = _merged(held, pairs == best, words.index(joined))
    return tuple(merges)


def _joined(sequences: Iterable[str]) -> Numbers:
    """Letters of all sequences as numbers; N, which joins nothing, and what lies between two sequences is `APART`."""
    parts: list[Numbers] = []
    total = 0
    for text in sequences:
        part = codes(text[:PIECE_LETTERS]).astype(np.int64)
        part[part == len(BASES)] = APART
        parts += [part, np.asarray([APART])]
        total += len(part)
        if total >= MOST_LETTERS:
            break
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _merged(held: Numbers, here: npt.NDArray[np.bool_], word: int) -> Numbers:
    """The pairs that begin `here` as one word each, from left to right; of those that overlap (A A A) every other."""
    places = np.flatnonzero(here)
    begins = np.concatenate([[True], np.diff(places) > 1])
    first = np.maximum.accumulate(np.where(begins, np.arange(len(places)), 0))
    places = places[(np.arange(len(places)) - first) % 2 == 0]
    held = held.copy()
    held[places] = word
    return np.delete(held, places + 1)


def _pieces(merges: Sequence[str]) -> Any:
    """A byte-pair tokenizer; an N stands alone."""
    tokenizers = require("tokenizers", "pieces of DNA")
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys([*LETTERS, *("".join(pair) for pair in pairs)]))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, pairs))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("N", "isolated")
    return tokenizer


def _looked_up(parts: Iterable[str], numbers: Mapping[str, int], unknown: int) -> list[int]:
    return [numbers.get(part, unknown) for part in parts]


def _tokenized(tokenizer: Any, letters: str) -> list[int]:
    found: list[int] = tokenizer(letters, add_special_tokens=False, verbose=False)["input_ids"]
    return found
