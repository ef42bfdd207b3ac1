"""Results as tables for people, on standard output."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from tunesmith.core.files import to_json
from tunesmith.report import contributed
from tunesmith.report.words import duration

if TYPE_CHECKING:
    from tunesmith.launch.checking import Checked
    from tunesmith.launch.estimate import Estimate
    from tunesmith.launch.local import Result
    from tunesmith.launch.ranking import Ranked

COLOURS = {"error": "red", "warning": "yellow", "info": "dim"}
MARKS = {"passed": "[green]passed[/]", "failed": "[red]failed[/]", "not_applicable": "[dim]n/a[/]"}


def result(run: Result) -> None:
    """Scores, checks and places of a run."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    scores = Table(title="Scores", title_justify="left")
    level = run.metrics["intervals"]["level"]
    for name in ("metric", "test", f"{level:.0%} interval", "validation, uncalibrated", "constant prediction"):
        scores.add_column(name, justify="left" if name == "metric" else "right")
    for name in run.metrics["test"]:
        interval = _interval(run.metrics["intervals"]["scores"].get(name))
        test, validation, constant = (_shown(run.metrics[part].get(name)) for part in ("test", "validation", "constant"))
        scores.add_row(name, test, interval, validation, constant)
    console.print(scores)
    console.print(_board(run.metrics["scoreboard"]))
    checks = Table(title="Checks", title_justify="left")
    for name in ("check", "status", "detail"):
        checks.add_column(name)
    for check in run.checks:
        checks.add_row(check.name, MARKS[check.status], check.detail)
    console.print(checks)
    for line in _words(run.metrics):
        console.print(line, markup=False)
    cost = run.metrics["cost"]
    console.print(
        f"trained {cost['trainable_parameters']:,} parameters for {cost['train_seconds']:.1f} s; whole run {cost['total_seconds']:.1f} s"
    )
    console.print(f"run:    {run.folder}", soft_wrap=True, markup=False)
    console.print(f"bundle: {run.bundle}", soft_wrap=True, markup=False)
    if run.failed:
        console.print(f"[red]{len(run.failed)} check(s) failed[/]: {', '.join(check.name for check in run.failed)}")


def _board(entries: Sequence[dict[str, Any]]) -> Any:
    from rich.table import Table

    metric = next(item["metric"] for item in entries if "metric" in item)
    board = Table(title="Scoreboard", title_justify="left")
    for name in ("", f"test {metric}", "interval", "time", "memory added", "learned numbers"):
        board.add_column(name, justify="left" if not name else "right")
    for item in entries:
        if "scores" in item:
            cells = (f"{item['peak_memory_gb'] * 1000:.0f} MB", f"{item['learned']:,}")
            board.add_row(item["name"], _shown(item["scores"].get(metric)), _interval(item["interval"]), duration(item["seconds"]), *cells)
    return board


def _words(metrics: dict[str, Any]) -> list[str]:
    """What the figures come to, in sentences."""
    found = []
    if metrics.get("chance"):
        found.append(metrics["chance"])
    if metrics["verdict"]:
        found.append(metrics["verdict"]["sentence"])
    if told := contributed.sentence(metrics.get("modalities") or ()):
        found.append(told)
    decided = (metrics["calibration"] or {}).get("threshold")
    if decided and decided.get("measured"):
        reached = (
            f"recall {decided['measured']['recall']:.3f} on test rows ({decided['missed']} missed, {decided['false_alarms']} false alarms)"
        )
        found.append(f"threshold {decided['value']:.3f}, chosen on validation as was asked: {reached}")
    if metrics["worst_slice"] is not None:
        worst = metrics["slices"][metrics["worst_slice"]]
        place = f"{worst['column']} = {worst['value']}"
        found.append(f"worst slice: {place}: {metrics['slice_metric']} {worst['score']:.4f} of {worst['rows']} rows")
    found += [item["sentence"] for item in metrics.get("fairness") or ()]
    if metrics["gate"] and metrics["gate"]["findings"]:
        counts = Counter(item["severity"] for item in metrics["gate"]["findings"])
        told = ", ".join(f"{counts[name]} {name}" for name in ("error", "warning", "info") if counts[name])
        found.append(f"data gate: {told} (metrics.json, key gate)")
    return found


def _interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def estimate(found: Estimate, as_json: bool) -> None:
    """What a run would take."""
    if as_json:
        whole = {"training_seconds": found.training_seconds, "total_seconds": found.training_seconds + found.after_seconds}
        print(to_json({**dataclasses.asdict(found), **whole}), end="")
        return
    from rich.console import Console
    from rich.table import Table

    from tunesmith.launch.estimate import GB

    table = Table(title="Estimate", title_justify="left", show_header=False)
    for name, value in (
        ("parameters", f"{found.parameters:,}"),
        ("that change", f"{found.trainable:,}"),
        ("operations of all training", f"{found.operations:.3g}"),
        ("peak memory", f"{found.memory_bytes / GB:.2f} GB"),
        ("frozen part, once", duration(found.features_seconds) if found.features_seconds else "computed in every epoch"),
        (f"an epoch of {found.steps} steps", duration(found.epoch_seconds)),
        ("scoring validation", duration(found.evaluation_seconds)),
        (f"training, {found.epochs} epochs", duration(found.training_seconds)),
        ("test, bundle, checks", duration(found.after_seconds)),
    ):
        table.add_row(name, value)
    Console(highlight=False).print(table)


def checked(found: Checked, as_json: bool) -> None:
    """What the data gate found, and where the cleaned copy is."""
    copy = found.copy
    if as_json:
        written = {"kept": copy.kept, "left_out": copy.left_out, "files": [str(file) for file in copy.files]} if copy else None
        print(to_json({**found.gate, "copy": written}), end="")
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(title=f"Findings in {found.gate['rows']:,} rows", title_justify="left", show_lines=True)
    for name in ("severity", "what", "what to do", "for example"):
        table.add_column(name)
    for item in found.gate["findings"]:
        examples = "\n".join(_example(example) for example in item["examples"][:3])
        table.add_row(
            f"[{COLOURS[item['severity']]}]{item['severity']}[/]", *(escape(text) for text in (item["what"], item["advice"], examples))
        )
    console.print(table if found.gate["findings"] else "nothing was found")
    if copy:
        console.print(
            f"{copy.kept:,} rows kept, {copy.left_out:,} left out: {', '.join(map(str, copy.files))}", soft_wrap=True, markup=False
        )


def _example(item: dict[str, Any]) -> str:
    place = f"{item['file']}, {item['where']}: " if item["row"] is not None else ""
    beside = f" (beside {item['beside']['file']}, {item['beside']['where']})" if item["beside"] else ""
    return f"{place}{item['shown']}{beside}"


def ranking(found: Sequence[Ranked], as_json: bool) -> None:
    """Backbones, the most suitable first."""
    if as_json:
        print(to_json([dataclasses.asdict(item) for item in found]), end="")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Backbones by their frozen features", title_justify="left")
    for name in ("backbone", "LogME", "k-NN accuracy", "width", "time"):
        table.add_column(name, justify="left" if name == "backbone" else "right")
    for item in found:
        table.add_row(item.backbone, f"{item.logme:.3f}", _shown(item.knn_accuracy), str(item.width), duration(item.seconds))
    Console(highlight=False).print(table)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
