"""The head that tells hidden cells of a table, in torch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tunesmith.core.contracts import Batch, Cells, Features
from tunesmith.core.errors import BackboneError

GONE, MASKED = 0, 2
VARIANCE = 1 / 3
"""Of places between -1 and 1 where all are as likely, which brings squared errors near 1 where nothing is known."""

MOMENTUM = 0.002
"""Least weight of a batch among those before it, from the 500th on."""


class CellsHead(nn.Module):
    """Of each number its place between the least (-1) and the greatest (1), of each category a logit for each of its codes.

    What could be said without the other cells (the mean of places, shares of codes) is measured on the batches of training and kept in
    buffers, so that losses can be put in relation to it.

    Args:
        width: of a token.
        cells: what the table holds.
    """

    mean: torch.Tensor
    shares: torch.Tensor
    batches: torch.Tensor

    def __init__(self, width: int, cells: Cells) -> None:
        super().__init__()
        self.cells = cells
        codes = sum(cells.sizes)
        self.numbers = nn.Parameter(torch.empty(len(cells.numbers), width).normal_(std=0.02)) if cells.numbers else None
        self.codes = nn.Linear(width, codes) if codes else None
        self.register_buffer("mean", torch.zeros(len(cells.numbers)))
        self.register_buffer("batches", torch.zeros(()))
        self.register_buffer("shares", torch.cat([torch.full((size,), 1 / size) for size in cells.sizes]) if codes else torch.zeros(0))

    def forward(self, features: Features) -> torch.Tensor:
        """(batch, numbers + codes of all categories)."""
        if features.tokens is None:
            raise BackboneError("this task needs a token for each cell, which the backbone does not give")
        tokens, count = features.tokens, len(self.cells.numbers)
        said = []
        if self.numbers is not None:
            said.append((tokens[:, :count] * self.numbers).sum(dim=-1))
        if self.codes is not None:
            start = 0
            for place, size in enumerate(self.cells.sizes):
                weight, bias = self.codes.weight[start : start + size], self.codes.bias[start : start + size]
                said.append(F.linear(tokens[:, count + place], weight, bias))
                start += size
        return torch.cat(said, dim=1)

    def places(self, inputs: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, numbers) places, and whether each is there."""
        bins = inputs["numbers"].new_tensor(self.cells.bins)
        return inputs["numbers"][..., :-2].sum(dim=-1) / bins * 2 - 1, inputs["numbers"][..., -2] == 0

    def losses(self, said: torch.Tensor, inputs: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, cells) squared errors in units of VARIANCE, and minus log-likelihoods; and whether each cell is there."""
        true, there = self.places(inputs)
        count = true.shape[1]
        found, known = [(said[:, :count] - true).square() / VARIANCE], [there]
        start = count
        for place, size in enumerate(self.cells.sizes):
            codes = inputs["codes"][:, place]
            found.append(F.cross_entropy(said[:, start : start + size].float(), codes, reduction="none")[:, None])
            known.append((codes != GONE)[:, None])
            start += size
        return torch.cat(found, dim=1), torch.cat(known, dim=1)

    def alone(self, like: torch.Tensor) -> torch.Tensor:
        """What could be said of each cell without the others, as `forward` says it: (batch, numbers + codes)."""
        return torch.cat([self.mean, self.shares.clamp_min(1e-6).log()]).expand(len(like), -1)

    @torch.no_grad()
    def measure(self, inputs: Batch) -> None:
        """Take in a batch of training."""
        self.batches += 1
        weight = max(MOMENTUM, 1 / float(self.batches))
        true, there = self.places(inputs)
        for place in range(true.shape[1]):
            values = true[there[:, place], place]
            if len(values):
                self.mean[place].lerp_(values.mean(), weight)
        start = 0
        for place, size in enumerate(self.cells.sizes):
            codes = inputs["codes"][:, place]
            codes = codes[codes != GONE]
            if len(codes):
                shares = torch.bincount(codes, minlength=size).to(self.shares) / len(codes)
                self.shares[start : start + size].lerp_(shares, weight)
            start += size


def hidden(inputs: Batch, cells: Cells, where: torch.Tensor) -> Batch:
    """The batch with some cells hidden.

    Args:
        inputs: as the backbone collated it.
        cells: what the table holds.
        where: (batch, columns) which.
    """
    numbers, codes = inputs["numbers"].clone(), inputs["codes"]
    if cells.numbers:
        gone = where[:, list(cells.numbers)]
        numbers[gone] = 0
        numbers[..., -1] = gone.to(numbers.dtype)
    if cells.categories:
        codes = codes.masked_fill(where[:, list(cells.categories)], MASKED)
    return {"numbers": numbers, "codes": codes}
