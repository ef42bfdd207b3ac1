"""Sections of the report that show what a run scored: each a function of the facts, None where they hold nothing for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.core.contracts import ScoreTable
from tunesmith.evaluate.counts import AVERAGES
from tunesmith.report import charts, words
from tunesmith.report.blocks import Block, Cell, Column, Entries, Entry, Figure, Figures, Section, Table, embedded
from tunesmith.report.facts import Facts, scores
from tunesmith.report.summary import Tone, slice_name, sure, weakest

MOST_CLASSES = 40
"""Classes of a matrix that can be read; of more the pairs that are confused most are shown."""

MOST_PAIRS = 15
MOST_SLICES = 30
MOST_ROWS = 100
TONES: Mapping[str, Tone] = {"error": "bad", "warning": "open"}


def all_scores(facts: Facts) -> Section:
    """Every score of the test split with its interval, beside validation and the constant prediction."""
    test, validation, constant = (scores(facts.part(key) or {}) for key in ("test", "validation", "constant"))
    intervals = facts.part("intervals") or {}
    pairs = intervals.get("scores") or {}
    columns = [Column("score"), Column("test", "number"), Column("interval", "number"), Column("0 to 1", "bar")]
    columns += [Column("validation, uncalibrated", "number"), Column("constant prediction", "number")]
    rows: list[list[Cell | str]] = []
    for name, value in test.items():
        pair = pairs.get(name)
        unit = facts.directions.get(name, "max") == "max" and all(0 <= v <= 1 for v in (value, *(pair or ())))
        bar = charts.whisker(value, pair, (0.0, 1.0), constant.get(name)) if unit else ""
        others = (words.number(part.get(name)) for part in (validation, constant))
        main = name == facts.main
        rows.append(
            [Cell(words.metric(name), strong=main), Cell(words.number(value), strong=main), words.interval(pair), Cell(svg=bar), *others]
        )
    prose = [words.sentence(f"{words.metric(facts.main)} decides.") if facts.main else "", _method(intervals)]
    note = "Dashed: the constant prediction." if constant else ""
    table = Table(f"Scores of {words.counted(int(facts.metrics['test'].get('rows') or 0), 'test row')}", columns, rows, note)
    return Section("scores", "Scores", [line for line in prose if line], [table])


def _method(intervals: Mapping[str, Any]) -> str:
    if not intervals:
        return ""
    drawn = f" of {words.counted(int(intervals['replicates']), 'replicate')}" if intervals.get("replicates") else ""
    grouped = intervals.get("grouped_by") or intervals.get("grouped")
    by = f", drawn by {'group' if grouped is True else grouped}" if grouped else ""
    level = words.share(float(intervals.get("level", 0.95)))
    return f"Intervals hold the true score with {level} confidence ({intervals.get('method', 'bootstrap')}{drawn}{by})."


def learning_curves(facts: Facts) -> Section | None:
    """Training loss by step, and the validation score that decided."""
    loss = [(float(item["step"]), float(item["loss"])) for item in facts.log if item["event"] == "step" and item.get("loss") is not None]
    name = (facts.recipe.get("training") or {}).get("monitor") or facts.main
    held = [item for item in facts.log if item["event"] == "validation" and item.get(name) is not None]
    score = [(float(item["step"]), float(item[name])) for item in held]
    figures = []
    if len(loss) > 1:
        smooth = charts.running_mean(loss, max(1, len(loss) // 20))
        shown = [
            charts.Line("each step", charts.thinned(loss), 1, faint=True),
            charts.Line("running mean", charts.thinned(smooth), 1),
        ]
        label = f"Training loss over {len(loss)} steps, from {words.number(smooth[0][1])} to {words.number(smooth[-1][1])}"
        figures.append(Figure(charts.lines(shown, "step", "loss", label), "Training loss: each step (faint) and its running mean."))
    if len(score) > 1:
        label = (
            f"Validation {words.metric(name)} of {len(score)} evaluations, from {words.number(score[0][1])} to {words.number(score[-1][1])}"
        )
        line = charts.Line("validation", charts.thinned(score), 2, marks=len(score) <= 60)
        figures.append(Figure(charts.lines([line], "step", words.metric(name), label), f"Validation {words.metric(name)}."))
    return Section("learning", "Learning curves", (), [Figures(figures)]) if figures else None


def confusion(facts: Facts) -> Section | None:
    """Which classes are taken for which."""
    table = next((table for table in facts.tables if table.matrix), None)
    if table is None or not table.index:
        return None
    pairs = sorted(
        (
            (count, true, said)
            for true, row in zip(table.index, table.values, strict=True)
            for said, count in zip(table.columns, row, strict=True)
        ),
        key=lambda item: -item[0],
    )
    wrong = [(count, true, said) for count, true, said in pairs if true != said and count]
    prose = []
    if wrong:
        count, true, said = wrong[0]
        prose = [f"Most often confused: {true}, taken for {said} in {words.counted(int(count), 'row')}."]
    blocks: list[Block] = [_matrix(table)] if len(table.index) <= MOST_CLASSES else []
    if len(table.index) > 8 and wrong:
        rows = [[true, said, f"{count:.0f}"] for count, true, said in wrong[:MOST_PAIRS]]
        blocks.append(Table("Classes confused most", [Column("true"), Column("predicted"), Column("rows", "number")], rows))
    return Section("confusion", "Confusion matrix", prose, blocks)


def _matrix(table: ScoreTable) -> Table:
    rows: list[list[Cell | str]] = []
    for name, values in zip(table.index, table.values, strict=True):
        total = sum(values) or 1
        rows.append(
            [
                name,
                *(Cell(f"{value:.0f}", heat=value / total, strong=name == said) for said, value in zip(table.columns, values, strict=True)),
            ]
        )
    columns = [Column("true ↓, predicted →"), *(Column(name, "number") for name in table.columns)]
    return Table("Rows by true class (down) and predicted class (across)", columns, rows, "Filled by the share of the true class.")


def per_class(facts: Facts) -> Section | None:
    """Scores of each class, the weakest first where there are many."""
    table = next((table for table in facts.tables if "support" in table.columns), None)
    if table is None or not table.index:
        return None
    order = [i for i, name in enumerate(table.index) if name not in AVERAGES]
    if "f1" in table.columns:
        place = table.columns.index("f1")
        order.sort(key=lambda i: table.values[i][place])
    shown = [*order[:MOST_ROWS], *(i for i, name in enumerate(table.index) if name in AVERAGES)]
    columns = [Column("class"), *(Column(words.metric(name), "number") for name in table.columns)]
    rows = [
        [
            table.index[i],
            *(f"{v:,.0f}" if name == "support" else words.number(v) for name, v in zip(table.columns, table.values[i], strict=True)),
        ]
        for i in shown
    ]
    note = f"{len(order) - MOST_ROWS} more classes in report/{table.name}.csv." if len(order) > MOST_ROWS else ""
    return Section("classes", "Classes", (), [Table("Scores of each class, the lowest F1 first", columns, rows, note)])


def counted(facts: Facts) -> Section | None:
    """Tables of counts: errors of transcripts by kind, words that were taken for others."""
    tables = [table for table in facts.tables if not table.matrix and "support" not in table.columns and table.index]
    blocks: list[Block] = []
    for table in tables:
        columns = [Column(""), *(Column(words.metric(name), "number") for name in table.columns)]
        whole = all(value == int(value) for values in table.values for value in values)
        rows: list[list[Cell | str]] = [
            [name, *(words.number(int(value) if whole else value) for value in values)]
            for name, values in zip(table.index, table.values, strict=True)
        ]
        blocks.append(Table(words.sentence(words.metric(table.name)), columns, rows[:MOST_ROWS]))
    return Section("counts", "Errors in detail", (), blocks) if blocks else None


def calibration(facts: Facts) -> Section | None:
    """How far stated confidence can be believed, and what leaving the unsure rows unanswered gains."""
    found, curve = facts.part("calibration") or {}, facts.part("abstention") or ()
    prose = sure(found)
    temperature = found.get("temperature")
    if temperature is not None:
        prose.append(f"Temperature {words.number(float(temperature))}, chosen on validation.")
    prose += [words.sentence(f"{words.metric(part)} {why}.") for part, why in (found.get("notes") or {}).items()]
    if found.get("conformal") and (time := (facts.recipe.get("data") or {}).get("time")):
        prose.append(
            f"The coverage is promised for rows that are exchangeable with the validation rows. Test rows are later ones (by '{time}'), so "
            "only what was measured on them counts, and it may change further."
        )
    figures = []
    if found.get("bins"):
        legend = [(1, "after calibration"), *([(2, "before")] if found.get("bins_before") else [])]
        svg = charts.reliability(
            found["bins"], found.get("bins_before") or (), f"Reliability diagram of {len(found['bins'])} bins. {' '.join(prose[:1])}"
        )
        figures.append(
            Figure(svg, "Confidence against the share that is right; on the dashed line they agree. Bars: how many rows.", legend)
        )
    if len(curve) > 1:
        name = words.metric(facts.metrics.get("slice_metric") or facts.main)
        points = sorted((float(item["coverage"]), float(item["score"])) for item in curve)
        label = (
            f"{name} of the surest rows: {words.number(points[0][1])} of {words.share(points[0][0])}, {words.number(points[-1][1])} of all"
        )
        line = charts.Line("answered", points, 1, marks=True)
        svg = charts.lines([line], "share of rows that are answered", name, label, show=charts.plain)
        figures.append(Figure(svg, words.sentence(f"{name} when only the surest rows are answered.")))
    blocks: list[Block] = [Figures(figures)] if figures else []
    blocks += _threshold(found.get("threshold"))
    return Section("calibration", "How sure it may be", prose, blocks) if blocks or prose else None


def _threshold(found: Mapping[str, Any] | None) -> list[Table]:
    """The decision threshold, or one for each label."""
    if not found:
        return []
    each = {"positive": found} if "value" in found else found
    rows = []
    for label, item in each.items():
        measured = item.get("measured") or {}
        asked = ", ".join(f"{name} {words.number(value)}" for name, value in (item.get("asked") or {}).items())
        counts = (words.number(item.get(key)) for key in ("missed", "false_alarms"))
        rows.append(
            [
                label,
                words.number(item["value"]),
                asked,
                words.number(measured.get("recall")),
                words.interval(measured.get("interval")),
                *counts,
            ]
        )
    columns = [
        Column("label"),
        Column("threshold", "number"),
        Column("asked for"),
        Column("recall", "number"),
        Column("interval", "number"),
    ]
    return [Table("Decision thresholds", [*columns, Column("missed", "number"), Column("false alarms", "number")], rows)]


def slices(facts: Facts) -> Section | None:
    """Scores by the values of columns, the worst first."""
    found = facts.part("slices")
    text = weakest(facts)
    if not found or text is None:
        return None
    name = facts.metrics.get("slice_metric") or facts.main
    overall = facts.metrics["test"].get(name)
    shown, worst = found[:MOST_SLICES], facts.metrics.get("worst_slice")
    scale = charts.spread([*(item["score"] for item in shown), *(end for item in shown for end in item.get("interval") or ())])
    rows: list[list[Cell | str]] = []
    for place, item in enumerate(shown):
        bad = place == worst
        bar = charts.whisker(item["score"], item.get("interval"), scale, overall, strong=bad)
        cell = Cell(slice_name(item), strong=bad, tone="bad" if bad else "plain")
        rows.append([cell, f"{item['rows']:,}", words.number(item["score"]), words.interval(item.get("interval")), Cell(svg=bar)])
    columns = [Column("where"), Column("rows", "number"), Column(words.metric(name), "number"), Column("interval", "number")]
    columns.append(Column(words.ends(scale), "bar"))
    note = f"{len(found) - len(shown)} more in metrics.json." if len(found) > len(shown) else ""
    note = f"Dashed: all test rows. {note}".strip() if overall is not None else note
    return Section(
        "slices",
        "Parts of the data",
        [text],
        [Table(words.sentence(f"{words.metric(name)} by part, the worst first"), columns, rows, note)],
    )


def mistakes(facts: Facts) -> Section | None:
    """Where the model was surest and wrong, or farthest from a number."""
    found = facts.part("mistakes")
    if not found:
        return None
    pictures = [embedded(facts.run.report / str(item["picture"])) if item.get("picture") else "" for item in found]
    columns = [Column("row"), Column("content", "long"), Column("true"), Column("predicted"), Column("confidence", "number")]
    rows: list[list[Cell | str]] = []
    for item, picture in zip(found, pictures, strict=True):
        place = ", ".join(str(item[key]) for key in ("file", "where") if item.get(key)) or f"row {item.get('row')}"
        shown = str(item.get("shown") or "")
        confidence = item.get("confidence")
        cells: list[Cell | str] = [place, Cell(shown, picture=picture), words.said(item.get("target")), words.said(item.get("prediction"))]
        rows.append([*cells, words.number(confidence)])
    prose = ["Some of these may be wrong labels rather than wrong predictions."]
    return Section("mistakes", "Most confident mistakes", prose, [Table("Wrong predictions, the surest first", columns, rows)])


def findings(facts: Facts) -> Section | None:
    """What the inspections found in the data, with examples, beside how many rows there were."""
    data, gate = facts.part("data") or {}, facts.part("gate")
    if not data and gate is None:
        return None
    rows = [f"{name} {words.number(value)}" for name, value in data.items() if isinstance(value, int) and name != "bad_rows"]
    prose = [f"Rows: {', '.join(rows)}; {words.counted(int(data.get('bad_rows') or 0), 'row')} could not be used."] if rows else []
    prose += [str(note) for note in data.get("notes") or ()]
    blocks: list[Block] = []
    if gate is not None:
        entries = [_entry(item) for item in gate.get("findings") or ()]
        took = f" in {words.duration(gate['seconds'])}" if isinstance(gate.get("seconds"), int | float) else ""
        prose.append(
            f"The inspections found {words.counted(len(entries), 'thing')}{took}." if entries else f"The inspections found nothing{took}."
        )
        blocks += [Entries(entries)] if entries else []
        skipped = [[words.metric(name), str(why)] for name, why in (gate.get("skipped") or {}).items()]
        if skipped:
            blocks.append(Table("Not inspected", [Column("inspection"), Column("why", "long")], skipped))
    return Section("data", "Data", prose, blocks)


def _entry(item: Mapping[str, Any]) -> Entry:
    tone: Tone = TONES.get(item["severity"], "plain")
    examples = []
    for example in item.get("examples") or ():
        place = ", ".join(str(example[key]) for key in ("file", "where") if example.get(key))
        other = example.get("beside")
        beside = f" (beside {other['file']}, {other['where']})" if other else ""
        examples.append(f"{place}: {example['shown']}{beside}" if place else f"{example['shown']}{beside}")
    title = words.metric(str(item["name"])).capitalize()
    count = f"{item['count']:,} of {item['of']:,}"
    return Entry(f"{title} ({count})", str(item["severity"]), tone, [str(item["what"]), str(item["advice"])], examples)
