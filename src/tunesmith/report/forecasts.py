"""Sections of the report for forecasts: windows of the test split as pictures, scores by step and column, skill against a naive one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.core.contracts import ScoreTable
from tunesmith.report import charts, words
from tunesmith.report.blocks import Block, Column, Figure, Figures, Section, Table
from tunesmith.report.facts import Facts

NAIVE = ("seasonal_naive", "naive")
MOST_STEPS = 12
CAPTIONS = {
    "scores_by_column": ("column", "Scores by column"),
    "scores_by_step": ("steps ahead", "Scores by how many steps ahead"),
    "quantiles": ("level", "How often the truth lies at or below each quantile"),
}


def skill(facts: Facts) -> str | None:
    """How much better than a naive forecast of the same test windows, in words; None where there is none to compare with."""
    board = {item["name"]: item for item in facts.part("scoreboard") or () if "scores" in item}
    own = next((item for item in board.values() if item.get("kind") == "adapter"), None)
    other = next((board[name] for name in NAIVE if name in board), None)
    metric = facts.main
    if own is None or other is None or not other["scores"].get(metric):
        return None
    gain = 1 - own["scores"][metric] / other["scores"][metric]
    way = "lower" if gain >= 0 else "higher"
    return (
        f"{words.metric(metric)} is {words.share(abs(gain))} {way} than that of {words.metric(other['name'])} "
        f"({words.number(own['scores'][metric])} against {words.number(other['scores'][metric])}): a skill of {gain:.2f}."
    )


def examples(facts: Facts) -> Section | None:
    """Windows of the test split with what was forecast and what came."""
    found = facts.part("forecasts")
    if not found:
        return None
    figures = [_figure(item) for item in found]
    prose = [words.sentence(text) for text in [skill(facts)] if text]
    prose.append("Windows of the test split by their error: one of the best tenth, the middle one, one of the worst tenth.")
    return Section("forecasts", "Forecasts", prose, [Figures(figures)])


def _figure(item: Mapping[str, Any]) -> Figure:
    past = [(float(at - len(item["past"]) + 1), value) for at, value in enumerate(item["past"]) if value is not None]
    truth = [(float(at + 1), value) for at, value in enumerate(item["truth"]) if value is not None]
    said = [(float(at + 1), value) for at, value in enumerate(item["forecast"])]
    band = []
    if item.get("low") and item.get("high"):
        band = [(float(at + 1), low, high) for at, (low, high) in enumerate(zip(item["low"], item["high"], strict=True))]
    whose = f"{item['series']}, " if item.get("series") else ""
    better = words.share(float(item["better_than"]))
    caption = (
        f"{whose}{item['column']} from {item['from']}: MASE {words.number(item['score'])}; {better} of test windows have a larger error."
    )
    svg = charts.fan(past, truth, said, band, caption)
    return Figure(svg, caption, [(1, "what came"), (2, "forecast" + (", with its interval" if band else ""))])


def tables(facts: Facts) -> Section | None:
    """Scores by column, by step ahead, and how often the truth lies below each quantile."""
    if facts.part("forecasts") is None:
        return None
    known = {table.name: table for table in facts.tables}
    blocks: list[Block] = [_table(known[name], *caption) for name, caption in CAPTIONS.items() if name in known and known[name].columns]
    return Section("steps", "By column and step", (), blocks) if blocks else None


def _table(table: ScoreTable, first: str, caption: str) -> Table:
    places = range(len(table.index))
    note = ""
    if first == "steps ahead" and len(table.index) > MOST_STEPS:
        last = len(table.index) - 1
        places = sorted({round(at * last / (MOST_STEPS - 1)) for at in range(MOST_STEPS)})  # type: ignore[assignment]
        note = f"All steps stand in report/{table.name}.csv."
    columns = [Column(first), *(Column(words.metric(name), "number") for name in table.columns)]
    return Table(caption, columns, [[table.index[at], *map(words.number, table.values[at])] for at in places], note)
