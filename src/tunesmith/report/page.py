"""The report of a run as one HTML file: no script, nothing loaded from elsewhere, light and dark, for screens from a phone up, and paper.

RUN/*.json, recipe.yaml, logs/, report/ --facts--> Facts --results, records--> Sections --templates--> report.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.errors import require
from tunesmith.core.files import write_text
from tunesmith.report import board, forecasts, groups, modalities, records, results, words
from tunesmith.report import facts as facts_of
from tunesmith.report.blocks import Section
from tunesmith.report.facts import Facts
from tunesmith.report.summary import Point, lead, points

TEMPLATES = Path(__file__).with_name("templates")
MARKS = {"good": "✓", "bad": "✕", "open": "!", "plain": ""}
CLOSING = "This page holds excerpts of the data: pass it on only to those who may see them."
SECTIONS = (
    board.scoreboard,
    results.all_scores,
    results.learning_curves,
    forecasts.examples,
    forecasts.tables,
    results.confusion,
    results.per_class,
    results.counted,
    results.calibration,
    modalities.contributions,
    results.slices,
    groups.fairness,
    results.mistakes,
    results.findings,
    records.checks,
    records.cost,
    records.expected,
    records.recipe,
    records.environment,
    records.reproduce,
)


def sections(facts: Facts) -> list[Section]:
    """The sections that the facts have something for, in order."""
    return [section for section in (make(facts) for make in SECTIONS) if section is not None]


def render(title: str, intro: str, summary: Sequence[Point], parts: Sequence[Section], closing: str = "") -> str:
    """A page.

    Args:
        title: its heading.
        intro: a sentence below it.
        summary: lines that stand first.
        parts: sections; their ids differ.
        closing: a line at the end.
    """
    jinja = require("jinja2", "the report")
    environment = jinja.Environment(
        loader=jinja.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    page = environment.get_template("page.html.j2")
    return str(page.render(title=title, intro=intro, summary=summary, sections=parts, style=style, marks=MARKS, closing=closing))


def html(facts: Facts) -> str:
    """The report of a run."""
    title = f"{facts.data}: {words.metric(facts.named('task'))} with {facts.named('backbone')} and {facts.named('adapter')}"
    return render(title, lead(facts), points(facts), sections(facts), CLOSING)


def write(folder: Path, metrics: Mapping[str, Any] | None = None) -> Path:
    """Write `report.html` into a run folder.

    Args:
        folder: of the run; recipe.yaml, environment.json, logs/ and report/ are read from it.
        metrics: what metrics.json will hold, where that is written later; None reads it.

    Returns:
        The file.
    """
    found = facts_of.read(folder, metrics)
    write_text(found.run.page, html(found))
    return found.run.page
