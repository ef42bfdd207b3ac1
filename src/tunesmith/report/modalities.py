"""What each modality contributes, as a section of the page."""

from __future__ import annotations

from tunesmith.report import words
from tunesmith.report.blocks import Cell, Column, Section, Table
from tunesmith.report.contributed import named, sentence
from tunesmith.report.facts import Facts

MEANING = "Each modality is left out of the test rows, and the trained model predicts them again from the others."
PREPARED = "Training had left modalities out at random, so the model knows such gaps."
UNPREPARED = (
    "Training never left one out, so the model does not know such gaps, and these figures make each modality look more needed than it is "
    "(a backbone.modality_dropout above 0 prepares it)."
)


def contributions(facts: Facts) -> Section | None:
    """Scores without each modality; None where there is but one."""
    found = facts.part("modalities")
    if not found:
        return None
    columns = [Column("left out"), Column("columns", "long"), Column("score", "number"), Column("without", "number")]
    columns += [
        Column("difference", "number"),
        Column("interval", "number"),
        Column("p", "number"),
        Column("test rows without it", "number"),
    ]
    rows: list[list[Cell | str]] = []
    for item in found:
        line: list[Cell | str] = [named(item), ", ".join(item["columns"])]
        if "difference" not in item:
            rows.append([*line, "", "", "", "", "no row has anything else", f"{item['missing']:,}"])
            continue
        chance = "" if item["p"] is None else words.probability(item["p"])
        figures = [words.number(item["score"]), words.number(item["score_without"]), words.signed(item["difference"])]
        rows.append([*line, *figures, words.interval(item["interval"]), chance or item["note"], f"{item['missing']:,}"])
    metric = next((words.metric(item["metric"]) for item in found if "metric" in item), "")
    table = Table(f"{words.sentence(metric)} of the test rows with all that they have, and without one modality", columns, rows)
    prepared = PREPARED if all(item["prepared"] for item in found) else UNPREPARED
    return Section(
        "modalities", "What each modality contributes", [line for line in (sentence(found), f"{MEANING} {prepared}") if line], [table]
    )
