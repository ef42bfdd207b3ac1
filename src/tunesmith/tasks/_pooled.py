"""What the tasks on one pooled vector share: head, building, reading a label cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tunesmith.core.contracts import Backbone, Features, Row
from tunesmith.core.errors import BackboneError, RowError
from tunesmith.core.model import Model


class PooledHead(nn.Module):
    """Dropout and a linear layer on the pooled features, with one hidden layer before it where asked for.

    Args:
        width: width of the pooled features.
        outputs: number of outputs.
        dropout: share of features dropped in training.
        hidden: width of the hidden layer; 0 for none.
    """

    def __init__(self, width: int, outputs: int, dropout: float = 0.1, hidden: int = 0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Sequential(nn.Linear(width, hidden), nn.GELU()) if hidden else nn.Identity()
        self.out = nn.Linear(hidden or width, outputs)
        nn.init.trunc_normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Features) -> torch.Tensor:
        """(batch, outputs)."""
        if features.pooled is None:
            raise BackboneError("this task needs pooled features, which the backbone does not give")
        outputs: torch.Tensor = self.out(self.dropout(self.hidden(features.pooled.to(self.out.weight.dtype))))
        return outputs


@dataclass(frozen=True)
class HeadSettings:
    """Shape of the head."""

    dropout: float
    hidden: int

    def build(self, backbone: Backbone, outputs: int) -> Model:
        """Network and head as one model."""
        network = backbone.open()
        return Model(backbone, network, PooledHead(backbone.width(network), outputs, self.dropout, self.hidden))


def cell(row: Row, column: str) -> Any:
    """The label cell of a row.

    Raises:
        RowError: it is missing.
    """
    value = row.get(column)
    if value is None or str(value).strip() == "" or str(value).strip().lower() == "nan":
        raise RowError("the label is missing", column)
    return value


def shown_input(row: Row, columns: tuple[str, ...]) -> str:
    """The inputs of a row, shortened to a line."""
    parts = [str(row[c]) if not isinstance(row.get(c), bytes) else f"<{len(row[c])} bytes>" for c in columns if row.get(c) is not None]
    text = " | ".join(parts).replace("\n", " ")
    return text if len(text) <= 100 else text[:97] + "..."
