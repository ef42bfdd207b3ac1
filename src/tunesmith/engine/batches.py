"""Which rows make which batch, and the loader that encodes them.

The plan of an epoch is a pure function of seed and epoch, so a resumed run meets the same batches, and any number of workers
gives the same ones. Rows of alike size are put together: within pools of many batches the shuffled rows are sorted by size, cut into
batches, and the batches shuffled, so that texts are padded little and the order stays random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from tunesmith.core.contracts import Backbone, Batch, Task

POOL = 50  # batches that are sorted by size together


@dataclass(frozen=True)
class Plan:
    """Rows and how they are batched.

    Args:
        rows: (n,) row numbers.
        sizes: (n,) work each row is.
        batch_size: rows of a batch.
        pieces: parts a batch is computed in at the least, over all processes.
        seed: decides the order.
        budget: work (rows times the longest of them) a piece may hold; 0 for no limit.
        processes: the pieces are a multiple of these.
    """

    rows: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.integer[Any]]
    batch_size: int
    pieces: int
    seed: int
    budget: int = 0
    processes: int = 1

    def __len__(self) -> int:
        whole, rest = divmod(len(self.rows), self.batch_size)
        return max(1, whole + (rest >= self.pieces))

    def epoch(self, number: int, start: int = 0, halvings: int = 0) -> Iterator[list[npt.NDArray[np.int64]]]:
        """The epoch's batches from number `start` on, each as pieces of row numbers, made one by one.

        A last batch with fewer rows than pieces joins the one before it, so that every process has a share of every batch.

        Args:
            number: of the epoch, from 0.
            start: number of the first batch.
            halvings: how often the pieces are halved; the batches stay as they are.
        """
        return ([self.rows[piece] for piece in batch] for batch in self._cut(number, start, halvings))

    def pieces_of(self, number: int) -> Iterator[list[tuple[int, int]]]:
        """Of each piece of the epoch's batches the rows, and the size of the longest of them."""
        return ([(len(piece), int(self.sizes[piece].max())) for piece in batch] for batch in self._cut(number, 0, 0))

    def _cut(self, number: int, start: int, halvings: int) -> Iterator[list[npt.NDArray[np.int64]]]:
        """`epoch`, as places in `rows`."""
        rng = np.random.default_rng([self.seed, number])
        order = rng.permutation(len(self.rows))
        if self.sizes.size and self.sizes.min() != self.sizes.max():
            pool = POOL * self.batch_size
            for i in range(0, len(order), pool):
                part = order[i : i + pool]
                order[i : i + pool] = part[np.argsort(self.sizes[part], kind="stable")]
        cuts = np.append(np.arange(len(self)) * self.batch_size, len(order))
        for i in rng.permutation(len(self))[start:]:
            batch = order[cuts[i] : cuts[i + 1]]
            yield np.array_split(batch, self._count(batch, halvings))

    def _count(self, batch: npt.NDArray[np.int64], halvings: int) -> int:
        """In how many pieces a batch is computed."""
        work = len(batch) * int(self.sizes[batch].max())
        wanted = max(self.pieces, math.ceil(work / self.budget) if self.budget else 1) << halvings
        return min(math.ceil(wanted / self.processes) * self.processes, len(batch))


class Examples(Dataset[Any]):
    """Encodes rows; an item is asked for as (row number, seed of its augmentation)."""

    def __init__(self, rows: Any, targets: Any, backbone: Backbone) -> None:
        self.rows, self.targets, self.backbone = rows, targets, backbone

    def __getitem__(self, key: tuple[int, str | None]) -> tuple[int, Any, Any]:
        number, augmentation = key
        rng = Random(augmentation) if augmentation is not None else None
        return number, self.backbone.encode(self.rows[number], rng), self.targets[number]


@dataclass
class Loader:
    """Gives the batches of an epoch.

    Args:
        plan: which rows make which batch.
        examples: encodes rows.
        task: collates targets.
        augment: whether rows change at random from epoch to epoch.
        views: after how many epochs a row's random changes come again; 0 for never.
        workers: processes that encode; 0 for this one.
        process: (number of this process, number of processes).
    """

    plan: Plan
    examples: Examples
    task: Task
    augment: bool
    workers: int = 0
    process: tuple[int, int] = (0, 1)
    views: int = 0

    def collate(self, items: Sequence[tuple[int, Any, Any]]) -> Batch:
        """Encoded rows as one batch."""
        numbers, inputs, targets = zip(*items, strict=True)
        return {"inputs": self.examples.backbone.collate(inputs), "target": self.task.collate(targets), "row": list(numbers)}

    def batches(self, epoch: int, start: int = 0, halvings: int = 0) -> Iterator[list[Batch]]:
        """The epoch's batches from number `start` on, each as this process's pieces, halved as often as asked for."""
        rank, world = self.process
        seed = self.plan.seed
        view = epoch % self.views if self.views else epoch

        def keys(piece: npt.NDArray[np.int64]) -> list[tuple[int, str | None]]:
            return [(int(row), augmentation(seed, view, int(row)) if self.augment else None) for row in piece]

        def plan() -> Iterator[list[npt.NDArray[np.int64]]]:
            return (batch[rank::world] for batch in self.plan.epoch(epoch, start, halvings))

        flat: Any = _Lazily(lambda: (keys(piece) for batch in plan() for piece in batch))
        own = torch.Generator().manual_seed(seed)  # without it the loader would draw from the generator that dropout uses
        loader = DataLoader(self.examples, batch_sampler=flat, collate_fn=self.collate, num_workers=self.workers, generator=own)
        pieces = iter(loader)
        for batch in plan():
            yield [next(pieces) for _ in batch]


class _Lazily:
    """What the loader may go through, made while it goes: a list of all keys would grow with the rows."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self.make = make

    def __iter__(self) -> Iterator[Any]:
        return self.make()


def augmentation(seed: int, view: int, row: int) -> str:
    """Seed of a row's random changes in a view (an epoch, or one of the views that come again)."""
    return f"{seed}/{view}/{row}"


def sizes_of(rows: Any, numbers: npt.NDArray[np.int64], backbone: Backbone, group: int = 4096) -> npt.NDArray[np.int32]:
    """(n,) work each of the numbered rows is, a group of rows in memory at a time."""
    found = np.empty(len(numbers), np.int32)
    for start in range(0, len(numbers), group):
        some = numbers[start : start + group]
        found[start : start + group] = backbone.sizes(list(rows.rows(some, backbone.columns)))
    return found
