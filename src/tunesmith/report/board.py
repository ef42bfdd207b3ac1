"""The section of the report that shows the run beside baselines and other adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.report import charts, words
from tunesmith.report.blocks import Block, Cell, Column, Section, Table
from tunesmith.report.facts import Facts


def scoreboard(facts: Facts) -> Section | None:
    """The run beside its baselines and other adapters: score with interval, and what each cost."""
    board: Sequence[Mapping[str, Any]] = facts.part("scoreboard") or ()
    if not board:
        return None
    verdict = facts.part("verdict")
    ran = [item for item in board if not item.get("skipped")]
    blocks: list[Block] = [_contenders(facts, ran)] if ran else []
    skipped = [[str(item["name"]), str(item["skipped"])] for item in board if item.get("skipped")]
    if skipped:
        blocks.append(Table("Left out of the scoreboard", [Column("name"), Column("why", "long")], skipped))
    return Section(
        "scoreboard", "Scoreboard", [*([str(verdict["sentence"])] if verdict else []), *filter(None, [_compared(facts, ran)])], blocks
    )


def _contenders(facts: Facts, ran: Sequence[Mapping[str, Any]]) -> Table:
    name = facts.main
    values = [(item.get("scores") or {}).get(name) for item in ran]
    own = _own(facts, ran)
    best = (max if facts.directions.get(name, "max") == "max" else min)((v for v in values if v is not None), default=None)
    real = [
        (item, v) for item, v in zip(ran, values, strict=True) if v is not None and item["name"] != "constant"
    ]  # it would press the rest together
    scale = charts.spread([*(v for _, v in real), *(end for item, _ in real for end in item.get("interval") or ())])
    sources = list(dict.fromkeys(str(item["energy_source"]) for item in ran if item.get("energy_source")))
    drifts = any(item.get("drift") is not None for item in ran)
    columns = [Column("name"), Column("kind"), Column(words.metric(name), "number"), Column("interval", "number")]
    columns += [Column(words.ends(scale), "bar"), Column("time", "number"), Column("memory", "number"), Column("learned", "number")]
    columns += [
        Column("energy, Wh", "number"),
        *([Column("energy by")] if len(sources) > 1 else []),
        *([Column("drift", "number")] if drifts else []),
    ]
    rows = []
    for item, value in zip(ran, values, strict=True):
        top = value is not None and value == best
        bar = charts.whisker(value, item.get("interval"), scale, strong=top) if value is not None and scale[0] <= value <= scale[1] else ""
        kind = "this run" if item is own else str(item.get("kind") or "")
        cells: list[Cell | str] = [Cell(str(item["name"]), strong=top), kind, Cell(words.number(value), strong=top)]
        cells += [words.interval(item.get("interval")), Cell(svg=bar), _or_none(item.get("seconds"), words.duration)]
        cells += [
            _or_none(item.get("peak_memory_gb"), words.gigabytes),
            words.number(item.get("learned")),
            words.number(item.get("energy_wh")),
        ]
        cells += [str(item.get("energy_source") or "")] if len(sources) > 1 else []
        rows.append(cells + ([_drift(item.get("drift"))] if drifts else []))
    note = f"Energy by {sources[0]}." if len(sources) == 1 else ""
    return Table(words.sentence(f"{words.metric(name)} of the test split, and what it cost"), columns, rows, note)


def _own(facts: Facts, ran: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The line of the run itself: adapters that were compared stand beside it."""
    return next((item for item in ran if item.get("kind") == "adapter" and item["name"] == facts.named("adapter")), None)


def _compared(facts: Facts, ran: Sequence[Mapping[str, Any]]) -> str | None:
    """Which of the adapters that were trained scored best, in a sentence; None where there was one.

    Args:
        ran: lines of the scoreboard, the best first.
    """
    name, own = facts.main, _own(facts, ran)
    adapters = [item for item in ran if item.get("kind") == "adapter" and (item.get("scores") or {}).get(name) is not None]
    if own not in adapters or len(adapters) < 2:
        return None
    best = adapters[0]
    told = ", ".join(f"{item['name']} {words.number(item['scores'][name])}" for item in adapters)
    if best is own:
        return f"Of the adapters compared, this run's scored best by {words.metric(name)}: {told}."
    mine, other = own.get("interval"), best.get("interval")
    apart = mine and other and (mine[1] < other[0] or other[1] < mine[0])
    chance = "the intervals do not overlap" if apart else "the intervals overlap, so chance may have done it"
    return f"Of the adapters compared, {best['name']} scored best by {words.metric(name)} ({told}); {chance}."


def _drift(value: Any) -> str:
    """How far adapting moved the features: the number, or the first of several that were measured."""
    return words.number(value.get("drift") if isinstance(value, Mapping) else value)


def _or_none(value: Any, shown: Any) -> str:
    return "" if value is None else str(shown(float(value)))
