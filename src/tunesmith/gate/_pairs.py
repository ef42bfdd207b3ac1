"""Which rows of two sets are alike: in blocks, so that memory holds no matrix of all pairs, and on a bounded number of rows.

Rows are drawn where there are many, so that the time of an inspection has a limit; a finding then says of how many rows it speaks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tunesmith.core.findings import SPLITS, View

if TYPE_CHECKING:
    from tunesmith.core.arrays import Floats

    Places = npt.NDArray[np.int64]

BLOCK = 512


def drawn(view: View, each: int, total: int | None = None) -> dict[str, Places]:
    """Rows to look at: all, or some drawn at random.

    Args:
        view: the data.
        each: rows of a split at most.
        total: rows of all splits at most, about; of each split the same share is then drawn.

    Returns:
        Split -> ascending places in it; splits without rows are left out.
    """
    found = {}
    there = sum(map(len, view.splits.values()))
    for code, split in enumerate(SPLITS):
        rows = len(view.splits.get(split, ()))
        most = each if total is None or there <= total else min(each, math.ceil(rows * total / there))
        if rows > most:
            chosen = np.random.default_rng([view.seed, code]).choice(rows, most, replace=False)
            found[split] = np.sort(chosen).astype(np.int64)
        elif rows:
            found[split] = np.arange(rows)
    return found


def remark(view: View, places: Mapping[str, Places]) -> str:
    """What a sentence adds where rows were drawn."""
    looked, there = sum(map(len, places.values())), sum(len(view.splits[split]) for split in places)
    return f" (looked at {looked:,} of {there:,} rows, drawn at random)" if looked < there else ""


def first_twins(
    hashes: npt.NDArray[np.uint64], vectors: Floats, others: npt.NDArray[np.uint64], other_vectors: Floats, *, bits: int, least: float
) -> tuple[Places, Places]:
    """The first twin of each row in the other set, and of each of the others among the rows.

    Args:
        hashes: (n,) perceptual hashes.
        vectors: (n, width) of length 1.
        others: (m,) perceptual hashes.
        other_vectors: (m, width) of length 1.
        bits: in how many bits the hashes of twins differ at most.
        least: product of the vectors of twins.

    Returns:
        (n,) places among the others, (m,) places among the rows; -1 where there is no twin.
    """
    here, there = np.full(len(hashes), -1), np.full(len(others), -1)
    for start in range(0, len(hashes), BLOCK):
        near = _near(hashes[start : start + BLOCK], vectors[start : start + BLOCK], others, other_vectors, bits, least)
        rows, columns = np.nonzero(near)
        # Assigned from the last to the first, so that the first stays.
        here[start + rows[::-1]] = columns[::-1]
        new = there[columns] < 0
        there[columns[new][::-1]] = start + rows[new][::-1]
    return here, there


def earlier_twins(hashes: npt.NDArray[np.uint64], vectors: Floats, *, bits: int, least: float) -> Places:
    """(n,) place of the first row before each that is its twin, as `first_twins` has it; -1 where there is none."""
    found = np.full(len(hashes), -1)
    for start in range(0, len(hashes), BLOCK):
        stop = min(start + BLOCK, len(hashes))
        near = _near(hashes[start:stop], vectors[start:stop], hashes[:stop], vectors[:stop], bits, least)
        rows, columns = np.nonzero(np.tril(near, start - 1))
        found[start + rows[::-1]] = columns[::-1]
    return found


def _near(
    hashes: npt.NDArray[np.uint64], vectors: Floats, others: npt.NDArray[np.uint64], other_vectors: Floats, bits: int, least: float
) -> npt.NDArray[np.bool_]:
    """(n, m) whether two are twins; products are worked out only where some hash comes near."""
    near: npt.NDArray[np.bool_] = np.bitwise_count(hashes[:, None] ^ others[None, :]) <= bits
    columns = np.flatnonzero(near.any(axis=0))
    near[:, columns] &= vectors @ other_vectors[columns].T >= least
    return near


def nearest(rows: Floats, others: Floats, rank: int) -> tuple[Places, Floats, Floats]:
    """The most similar of the others to each row.

    Args:
        rows: (n, width) of length 1.
        others: (m, width) of length 1.
        rank: which neighbour's similarity is given as well, from 1 (the nearest) to m.

    Returns:
        (n,) places of the nearest, (n,) their similarities, (n,) similarities of the neighbours of that rank.
    """
    places = np.empty(len(rows), np.int64)
    first, ranked = np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        similar = rows[part] @ others.T  # (block, m)
        places[part] = similar.argmax(axis=1)
        first[part] = similar.max(axis=1)
        ranked[part] = np.partition(similar, len(others) - rank, axis=1)[:, len(others) - rank]
    return places, first, ranked
