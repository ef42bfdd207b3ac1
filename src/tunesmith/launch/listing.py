"""What exists and what fits what, read from the registry."""

from __future__ import annotations

import json
from typing import Any

from tunesmith.core import registry

KINDS: dict[str, set[str]] = {
    "text encoder": {"text", "transformer"},
    "text decoder": {"text", "transformer", "decoder"},
    "GPT-2 kind": {"text", "transformer", "decoder", "transposed"},
    "image transformer": {"image", "transformer"},
    "image convolution": {"image", "convolution"},
    "audio transformer": {"audio", "transformer", "linear", "layer_norm"},
    "table transformer": {"tabular", "transformer"},
    "ConvNeXt kind": {"image", "convolution", "linear", "layer_norm"},
}


def matrix() -> list[dict[str, Any]]:
    """For each adapter: its summary, and which kinds of backbone it fits (None where it does, else the reason)."""
    rows = []
    for name, entry in registry.entries("adapters").items():
        adapter = registry.create("adapters", name, {})
        rows.append({"name": name, "summary": entry.summary, "fits": {kind: adapter.fits(traits) for kind, traits in KINDS.items()}})
    return rows


def show(room: str | None, as_json: bool) -> int:
    """Print the names of one room, or of all."""
    rooms = [room] if room else list(registry.ROOMS)
    found: dict[str, Any] = {}
    for name in rooms:
        found[name] = (
            matrix()
            if name == "adapters"
            else [{"name": entry.name, "summary": entry.summary} for entry in registry.entries(name).values()]
        )
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    for name, rows in found.items():
        print(f"{name}:")
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            print(f"  {row['name'].ljust(width)}  {row['summary']}")
        if name == "adapters":
            _print_matrix(rows, width)
    return 0


def _print_matrix(rows: list[dict[str, Any]], width: int) -> None:
    print("\nwhat fits what:")
    print("  " + " " * width + "  " + "  ".join(KINDS))
    for row in rows:
        marks = ["yes".center(len(kind)) if row["fits"][kind] is None else "-".center(len(kind)) for kind in KINDS]
        print("  " + row["name"].ljust(width) + "  " + "  ".join(marks).rstrip())
