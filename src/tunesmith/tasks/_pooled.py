"""What the tasks on one pooled vector share: building, the head without torch, reading a label cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.core.arrays import Arrays, Floats, gelu, linear
from tunesmith.core.contracts import Backbone, Row
from tunesmith.core.errors import RowError

if TYPE_CHECKING:
    from tunesmith.core.model import Model


@dataclass(frozen=True)
class HeadSettings:
    """Shape of the head."""

    dropout: float
    hidden: int

    def build(self, backbone: Backbone, outputs: int) -> Model:
        """Network and head as one model; of pairs, a head that holds both sides against each other."""
        from tunesmith.core.model import Model
        from tunesmith.tasks._head import PooledHead

        network = backbone.open()
        sides = backbone.sides(network)
        if sides is not None:
            from tunesmith.tasks._pairs import MatchHead

            return Model(backbone, network, MatchHead(sides, outputs, self.dropout, self.hidden))
        return Model(backbone, network, PooledHead(backbone.width(network), outputs, self.dropout, self.hidden))

    def light(self, weights: Arrays, outputs: int) -> Callable[[Floats], Floats] | None:
        """The head with its saved weights, (rows, width) -> (rows, outputs); None where they are not those of this head."""
        layers = ["hidden.0", "out"] if self.hidden else ["out"]
        if set(weights) != {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")} or len(weights["out.bias"]) != outputs:
            return None

        def head(pooled: Floats) -> Floats:
            if self.hidden:
                pooled = gelu(linear(pooled, weights["hidden.0.weight"], weights["hidden.0.bias"]))
            return linear(pooled, weights["out.weight"], weights["out.bias"])

        return head


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
