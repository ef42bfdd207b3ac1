"""The layers of any network, from input to output: what freezing, layer-wise rates and gradual unfreezing count.

Read off the structure alone: the children of a plain container (`Sequential`, `ModuleList`) are layers; a module that holds a
container, and whose class occurs once in the network (BERT's encoder), is a trunk and is opened; everything else is a piece of its
neighbour. So embeddings are one block before the first layer, a final norm belongs to the last layer, and a norm, activation or
dropout that stands in a `Sequential` belongs to the layer before it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class _Piece:
    """A part of a network; a `layer` begins a block, anything else joins the one before it."""

    module: nn.Module
    layer: bool


def layers(network: nn.Module) -> list[nn.Module]:
    """Divide a network into its layers; together they hold every parameter once, from input to output.

    Example:
        >>> [len(list(block.parameters())) for block in layers(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 1)))]
        [4, 2]
    """
    classes = Counter(type(module) for module in network.modules())
    pieces = _pieces(network, classes, _is_container(network))
    if not any(piece.layer for piece in pieces):  # no container anywhere: the network's own parts are its layers
        pieces = [_Piece(piece.module, _has_matrix(piece.module)) for piece in pieces]
    blocks: list[list[nn.Module]] = []
    for piece in pieces:
        if not blocks or (piece.layer and any(_holds_parameters(module) for module in blocks[-1])):
            blocks.append([piece.module])
        else:
            blocks[-1].append(piece.module)
    return [group[0] if len(group) == 1 else nn.ModuleList(group) for group in blocks]


def _holds_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _has_matrix(module: nn.Module) -> bool:
    return any(p.ndim > 1 for p in module.parameters())


def _is_container(module: nn.Module) -> bool:
    return type(module) in (nn.Sequential, nn.ModuleList)


def _pieces(module: nn.Module, classes: Counter[type[nn.Module]], in_container: bool) -> list[_Piece]:
    """Parts of a module in the order in which they were registered, its own parameters first."""
    result: list[_Piece] = []
    own = list(module.parameters(recurse=False))
    if own:
        result.append(_Piece(nn.ParameterList(own), False))
    for child in module.children():
        trunk = not in_container and classes[type(child)] == 1 and any(_is_container(inner) for inner in child.modules())
        if _is_container(child) or trunk:
            result.extend(_pieces(child, classes, _is_container(child)))
        else:
            result.append(_Piece(child, in_container and _has_matrix(child)))
    return result
