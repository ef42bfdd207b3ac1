"""The main job on data that comes with tunesmith: messages of a bank's customers, sorted by what they want."""

from __future__ import annotations

from pathlib import Path

from tunesmith.launch.local import Result, launch
from tunesmith.recipe import from_plain

DATA = Path(__file__).parent.parent / "demo" / "bank_messages.csv"


def demo(out: str | None = None) -> Result | None:
    """Adapt the embedded MiniLM to the bank messages.

    Args:
        out: folder of the run; None for the next free runs/bank_messages-N.
    """
    values = {
        "data": {"path": [str(DATA)], "label": ["intent"]},
        "backbone": "minilm",
        "adapter": "lora",
        "training": {"epochs": 8, "batch_size": 16},
        "out": out,
    }
    return launch(from_plain(values))
