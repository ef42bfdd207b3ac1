"""Pairs of near texts among many, without comparing all pairs: MinHash and locality-sensitive hashing in numpy.

A text is the set of its shingles, each a few words in a row. The smallest of the set's values under a random hash function is equal in two
texts with a chance of their Jaccard similarity J (Broder 1997). `BANDS` bands of `WIDTH` such values each: two texts that agree in a whole
band become candidates, which 1 - (1 - J^WIDTH)^BANDS of the pairs do: 99% at J = 0.7, 1% at J = 0.2. Candidates are verified exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Unsigned = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

WIDTH = 5
BANDS = 25
NEIGHBOURS = 16
"""With how many of those that share a band a text is compared; a longer run of near texts is then still linked one to the next."""

_STEP = 8192
_LESS = 0.2
"""How far the share of equal values may lie below the threshold in a pair that is worth verifying: more than 4 standard errors."""


@dataclass(frozen=True, eq=False)
class Shingles:
    """The shingles of many texts.

    Attributes:
        values: all of them, each text's once and ascending.
        starts: (texts + 1,) where each text's begin.
    """

    values: Unsigned
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> Ints:
        """(texts,)."""
        return np.diff(self.starts)


def shingles(worded: Iterable[Sequence[str]], length: int) -> Shingles:
    """Every `length` words in a row of each text; none of a text with fewer."""
    known: dict[str, int] = {}
    coded = [[known.setdefault(word, len(known)) for word in text] for text in worded]
    hashed = np.fromiter(
        (int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little") for word in known), np.uint64, len(known)
    )
    sizes = np.fromiter(map(len, coded), np.int64, len(coded))
    flat = hashed[np.fromiter((code for text in coded for code in text), np.int64, int(sizes.sum()))]
    rolled = np.zeros(max(0, len(flat) - length + 1), np.uint64)
    for place in range(length):
        rolled = mixed(rolled + flat[place : place + len(rolled)])
    within = np.arange(len(flat)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    whole = np.flatnonzero(within + length <= np.repeat(sizes, sizes))
    owner = np.repeat(np.arange(len(sizes)), sizes)[whole]
    order = np.lexsort((rolled[whole], owner))
    owner, values = owner[order], rolled[whole][order]
    fresh = np.ones(len(values), np.bool_)
    fresh[1:] = (values[1:] != values[:-1]) | (owner[1:] != owner[:-1])
    counts = np.bincount(owner[fresh], minlength=len(sizes))
    return Shingles(values[fresh], np.concatenate([[0], np.cumsum(counts)]))


def mixed(values: Unsigned) -> Unsigned:
    """Each 64-bit value scattered, none lost: the finalizer of MurmurHash3 (Appleby)."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)
    return values


def signatures(found: Shingles) -> npt.NDArray[np.uint32]:
    """(texts, BANDS * WIDTH) smallest values of each text, which holds one shingle at least, under as many hash functions."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 2**63, BANDS * WIDTH, np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = rng.integers(0, 2**63, BANDS * WIDTH, np.uint64)
    result = np.empty((len(found), BANDS * WIDTH), np.uint32)
    for first in range(0, len(found), 2000):
        last = min(first + 2000, len(found))
        values = found.values[found.starts[first] : found.starts[last]]
        starts = found.starts[first:last] - found.starts[first]
        for place, (factor, offset) in enumerate(zip(factors, offsets, strict=True)):
            hashed = ((values * factor + offset) >> np.uint64(32)).astype(np.uint32)
            result[first:last, place] = np.minimum.reduceat(hashed, starts)
    return result


def jaccard(found: Shingles, pairs: Ints) -> npt.NDArray[np.float64]:
    """(pairs,) shared shingles over all shingles of the two texts of each pair.

    Args:
        found: the shingles.
        pairs: (pairs, 2) places of texts.
    """
    owner = np.repeat(np.arange(len(found)), found.sizes).astype(np.uint64)
    held = np.sort(_keyed(found.values, owner))
    result = np.empty(len(pairs))
    for first in range(0, len(pairs), _STEP):
        left, right = pairs[first : first + _STEP].T
        sizes = found.sizes[left]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        asked = _keyed(found.values[np.repeat(found.starts[left], sizes) + within], np.repeat(right, sizes).astype(np.uint64))
        places = np.minimum(np.searchsorted(held, asked), len(held) - 1)
        shared = np.add.reduceat(held[places] == asked, np.cumsum(sizes) - sizes, dtype=np.int64)
        result[first : first + _STEP] = shared / (sizes + found.sizes[right] - shared)
    return result


def _keyed(values: Unsigned, owner: Unsigned) -> Unsigned:
    """A shingle and the text that holds it as one value."""
    return mixed(values ^ mixed(owner + np.uint64(0x9E3779B97F4A7C15)))


def near_pairs(found: Shingles, least: float) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Pairs of texts with a similarity of at least `least`, and the similarities.

    Args:
        found: shingles of texts that hold one at least.
        least: Jaccard similarity.

    Returns:
        (pairs, 2) places, the smaller first, ascending; (pairs,).
    """
    if len(found) < 2:
        return np.empty((0, 2), np.int64), np.empty(0)
    signed = signatures(found)
    tie = np.zeros(len(found), np.uint64)  # an order of the texts that does not depend on that of the rows
    for place in range(BANDS * WIDTH):
        tie = mixed(tie + signed[:, place])
    codes = np.empty(0, np.int64)
    for band in range(BANDS):
        key = np.zeros(len(found), np.uint64)
        for place in range(band * WIDTH, (band + 1) * WIDTH):
            key = mixed(key + signed[:, place])
        order = np.lexsort((tie, key))
        key = key[order]
        fresh = []
        for step in range(1, min(NEIGHBOURS, len(found) - 1) + 1):
            same = np.flatnonzero(key[step:] == key[:-step])
            if not len(same):
                break
            one, other = order[same], order[same + step]
            fresh.append(np.minimum(one, other) * len(found) + np.maximum(one, other))
        codes = np.unique(np.concatenate([codes, *fresh]))
    pairs = np.stack([codes // len(found), codes % len(found)], axis=1)
    likely = [
        (signed[piece[:, 0]] == signed[piece[:, 1]]).mean(axis=1) >= least - _LESS
        for piece in (pairs[first : first + _STEP] for first in range(0, len(pairs), _STEP))
    ]
    pairs = pairs[np.concatenate(likely)] if likely else pairs
    similar = jaccard(found, pairs)
    return pairs[similar >= least], similar[similar >= least]


def components(count: int, pairs: Ints) -> Ints:
    """(count,) of each text the smallest place among those it is linked to, by one pair or by a chain of them."""
    least = np.arange(count)
    while True:
        before = least.copy()
        np.minimum.at(least, pairs[:, 0], before[pairs[:, 1]])
        np.minimum.at(least, pairs[:, 1], before[pairs[:, 0]])
        least = least[least]
        if np.array_equal(least, before):
            return least
