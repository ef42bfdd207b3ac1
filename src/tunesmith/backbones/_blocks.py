"""The layers of any network, from input to output: what freezing, layer-wise rates and gradual unfreezing count."""

from __future__ import annotations

from torch import nn


def layers(network: nn.Module) -> list[nn.Module]:
    """Divide a network into its repeated layers; together they hold every parameter.

    Plain containers (`Sequential`, `ModuleList`), and modules that hold containers and most of the parameters, are opened; whatever
    is not a repeated layer joins its neighbour: embeddings form one block before the first layer, a final norm joins the last.
    """
    total = _count(network)
    pieces = _pieces(network, total)
    blocks: list[list[nn.Module]] = []
    started = False
    for piece, repeated in pieces:
        if not blocks or (repeated and (started or blocks)):
            blocks.append([piece])
        else:
            blocks[-1].append(piece)
        started = started or repeated
    return [group[0] if len(group) == 1 else nn.ModuleList(group) for group in blocks]


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _is_container(module: nn.Module) -> bool:
    return type(module) in (nn.Sequential, nn.ModuleList)


def _pieces(module: nn.Module, total: int, repeated: bool = False) -> list[tuple[nn.Module, bool]]:
    result: list[tuple[nn.Module, bool]] = []
    own = list(module.parameters(recurse=False))
    if own:
        result.append((nn.ParameterList(own), False))
    for child in module.children():
        if _count(child) == 0:
            continue
        holds = any(_is_container(inner) for inner in child.modules())
        if _is_container(child) or (holds and _count(child) > total / 2):
            result.extend(_pieces(child, total, _is_container(child)))
        else:
            result.append((child, repeated))
    return result
