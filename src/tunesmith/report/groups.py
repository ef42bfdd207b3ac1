"""How groups of people fare, as a section of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.report import words
from tunesmith.report.blocks import Block, Cell, Column, Section, Table
from tunesmith.report.facts import Facts

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")
MEANING = (
    "Selection rate: how often the answer is given. True and false positive rate: how often among rows of which it is true, and of which "
    "it is not. Whether a difference is unfair, and which of these ought to be equal, is for people to decide; they cannot all be, where "
    "the groups themselves differ."
)


def fairness(facts: Facts) -> Section | None:
    """Rates of groups, and their largest differences; None where no column of groups was named."""
    found = facts.part("fairness")
    if not found:
        return None
    blocks: list[Block] = [_table(item) for item in found]
    return Section("fairness", "Groups of people", [*(str(item["sentence"]) for item in found), MEANING], blocks)


def _table(item: Mapping[str, Any]) -> Table:
    columns = [Column("group"), Column("rows", "number")]
    for name in RATES:
        columns += [Column(words.metric(name), "number"), Column("interval", "number")]
    rows: list[list[Cell | str]] = []
    for group in item["groups"]:
        cells: list[Cell | str] = [str(group["value"]) if group["compared"] else f"{group['value']} (few rows)", f"{group['rows']:,}"]
        for name in RATES:
            rate = group[name] or {}
            cells += [words.number(rate.get("value")), words.interval(rate.get("interval"))]
        rows.append(cells)
    notes = [
        f"{title}: difference {words.number(part['difference'])} {words.interval(part['interval'])}, ratio {words.number(part['ratio'])}."
        for title, part in (("Demographic parity", item["demographic_parity"]), ("Equalised odds", item["equalised_odds"]))
        if part
    ]
    notes += [f"{words.counted(item['ungrouped'], 'row')} of groups too small to be shown."] if item["ungrouped"] else []
    return Table(f"'{item['answer']}' by {item['column']}", columns, rows, " ".join(notes))
