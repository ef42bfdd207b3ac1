"""What a run says while it works: on standard error, so that standard output stays for results."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tunesmith.data.columns import Column, table
from tunesmith.data.decisions import Decision


def say(text: str) -> None:
    """One line for the person who waits; of several processes the first one speaks."""
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr, flush=True)


def decisions(found: Sequence[Decision]) -> None:
    """What was decided, why, and the flag that overrules it."""
    width = max((len(d.what) for d in found), default=0)
    for item in found:
        say(f"  {item.what.ljust(width)}  {item.value}  ({item.why}; {item.flag})")


def columns(found: Sequence[Column]) -> None:
    """What every column is, and how to overrule it."""
    say("  columns (--inputs says which are read, --kinds COLUMN=KIND what one holds)")
    for line in table(found):
        say(f"    {line}")
