"""Finished runs side by side: scores, cost, what their recipes differ in, and how sure the differences are.

The first run is what the others are compared with. All must have been scored on the same test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError, UsageError
from tunesmith.evaluate import pairing
from tunesmith.report import charts, words
from tunesmith.report.blocks import Block, Cell, Column, Section, Table
from tunesmith.report.facts import Facts, read, scores
from tunesmith.report.page import render
from tunesmith.report.summary import Point, Tone

DIFFERENT_FROM = 0.05
"""p below which runs are called different."""

COSTS = {
    "seconds": ("time", "total_seconds", words.duration),
    "peak_memory_gb": ("peak memory", "peak_memory_gb", words.gigabytes),
    "trainable_parameters": ("weights learned", "trainable_parameters", words.number),
    "energy_wh": ("energy, Wh", "energy_wh", words.number),
}


@dataclass(frozen=True)
class Compared:
    """A run against the first one.

    Attributes:
        run, against: names.
        metric: a score that is a mean over rows.
        rows: that both were scored on.
        found: how far they are apart.
        p: for all comparisons at once (Holm); None where rows are not independent.
        better: whether the run is better, by more than chance: None where chance may have done it.
        group: column by which rows belong together, in any of the recipes. Predictions do not say which rows do, so chance is then not
            judged.
    """

    run: str
    against: str
    metric: str
    rows: int
    found: pairing.Difference
    p: float | None
    better: bool | None
    group: str | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the difference; None where rows are not independent."""
        return None if self.group else self.found.interval

    @property
    def sentence(self) -> str:
        """For a person."""
        metric, pair = words.metric(self.metric), self.interval
        if pair is None or self.p is None:
            difference = f"{metric} {words.signed(self.found.difference)} on the same {self.rows:,} rows"
            return f"{self.run} against {self.against}: {difference}; {_dependent(str(self.group))}."
        figures = f"{words.signed(self.found.difference)}, 95% interval {words.signed(pair[0])} to {words.signed(pair[1])}"
        word = {True: "is better than", False: "is worse than", None: "cannot be told from"}[self.better]
        return f"{self.run} {word} {self.against}: {metric} {figures}, {words.probability(self.p)}, on the same {self.rows:,} rows."


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs side by side.

    Attributes:
        names: of the runs, in the order given.
        runs: what they left.
        compared: each but the first against the first.
    """

    names: Sequence[str]
    runs: Sequence[Facts]
    compared: Sequence[Compared]

    @property
    def recipes(self) -> dict[str, list[Any]]:
        """Fields that the recipes differ in, with the value of each run."""
        flat = [_flat({key: value for key, value in run.recipe.items() if key != "out"}) for run in self.runs]
        fields = dict.fromkeys(name for leaves in flat for name in leaves)
        values = {name: [leaves.get(name) for leaves in flat] for name in fields}
        return {name: found for name, found in values.items() if any(value != found[0] for value in found)}

    def cost(self, key: str) -> list[float | None]:
        """A figure of each run's cost."""
        return [(run.part("cost") or {}).get(COSTS[key][1]) for run in self.runs]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "runs": [
                {
                    "name": name,
                    "folder": str(run.run.folder),
                    "scores": scores(run.metrics["test"]),
                    "intervals": (run.part("intervals") or {}).get("scores") or {},
                    **{key: self.cost(key)[place] for key in COSTS},
                }
                for place, (name, run) in enumerate(zip(self.names, self.runs, strict=True))
            ],
            "differences": [
                {
                    "run": item.run,
                    "against": item.against,
                    "metric": item.metric,
                    "rows": item.rows,
                    "difference": item.found.difference,
                    "interval": None if item.interval is None else list(item.interval),
                    "p": None if item.p is None else item.found.p,
                    "p_of_all": item.p,
                    "test": None if item.p is None else item.found.test,
                    "group": item.group,
                    "better": item.better,
                    "sentence": item.sentence,
                }
                for item in self.compared
            ],
            "recipes": self.recipes,
        }


def _dependent(group: str) -> str:
    return f"rows of a '{group}' belong together and are not independent, so neither interval nor p is given"


def _flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Leaves of nested values by their path; a choice that is only named is its `name`."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{key}.")
        else:
            named = not before and key in ("task", "backbone", "adapter", "optimizer", "schedule")
            found[f"{before}{key}.name" if named else f"{before}{key}"] = value
    return found


def compare(folders: Sequence[str]) -> Comparison:
    """Compare runs.

    Args:
        folders: of at least two finished runs; the first is what the others are compared with.

    Raises:
        UsageError: fewer than two, one twice, no run folder, a run that has not ended, or runs of different tasks.
        DataError: they were not scored on the same test rows.
    """
    paths = [Path(folder) for folder in folders]
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise UsageError("compare needs at least two different runs: tunesmith compare RUN RUN ...")
    runs = [read(path) for path in paths]
    short = [path.resolve().name for path in paths]
    names = short if len(set(short)) == len(short) else [str(path) for path in paths]
    for name, run in zip(names, runs, strict=True):
        if run.named("task") != runs[0].named("task"):
            tasks = f"{names[0]} is of {runs[0].named('task')}, {name} of {run.named('task')}"
            raise UsageError(f"the runs have different tasks: {tasks}; compare runs of one task")
    return Comparison(names, runs, _compared(names, runs))


def _compared(names: Sequence[str], runs: Sequence[Facts]) -> list[Compared]:
    first = pairing.read(runs[0].run.predictions)
    base = first.by_row()
    found: list[tuple[str, pairing.Difference]] = []
    for name, run in zip(names[1:], runs[1:], strict=True):
        other = pairing.read(run.run.predictions)
        mine, theirs = pairing.matched(first, other)
        if not len(mine) == len(first) == len(other):
            counts = f"{len(first):,} and {len(other):,}, of which {len(mine):,} are the same (file, place and target)"
            raise DataError(
                f"{names[0]} and {name} were scored on different test rows: {counts}; give both the same data and test split, or the same "
                "--seed and --split"
            )
        found.append((name, pairing.difference(base[mine], other.by_row()[theirs])))
    metric = first.metric
    sign = -1 if metric == "mae" else 1
    group = next((column for run in runs if (column := (run.recipe.get("data") or {}).get("group"))), None)
    result = []
    for (name, item), p in zip(found, pairing.holm([item.p for _, item in found]), strict=True):
        better = sign * item.difference > 0 if p < DIFFERENT_FROM else None
        whole = Compared(name, names[0], metric, len(first), item, p, better)
        result.append(replace(whole, p=None, better=None, group=group) if group else whole)
    return result


def page(found: Comparison) -> str:
    """The comparison as one HTML file."""
    tones: dict[bool | None, Tone] = {True: "good", False: "bad", None: "open"}
    summary = [Point(item.run, item.sentence, tones[item.better]) for item in found.compared]
    intro = f"{words.counted(len(found.runs), 'run')} of {words.metric(found.runs[0].named('task'))}, compared with {found.names[0]}."
    parts = [_scores(found), _differences(found), _costs(found), _recipes(found)]
    return render(f"{words.listed(list(found.names))} side by side", intro, summary, [part for part in parts if part])


def _scores(found: Comparison) -> Section:
    main, directions = found.runs[0].main, found.runs[0].directions
    names = dict.fromkeys([main, *(name for run in found.runs for name in scores(run.metrics["test"]))])
    blocks: list[Block] = []
    pairs = [((run.part("intervals") or {}).get("scores") or {}) for run in found.runs]
    values = [run.metrics["test"].get(main) for run in found.runs]
    scale = charts.spread([*(v for v in values if v is not None), *(end for pair in pairs for end in pair.get(main) or ())], 0.1)
    best = (max if directions.get(main, "max") == "max" else min)(v for v in values if v is not None)
    rows: list[list[Cell | str]] = [
        [
            Cell(name, strong=value == best),
            Cell(words.number(value), strong=value == best),
            words.interval(pair.get(main)),
            Cell(svg="" if value is None else charts.whisker(value, pair.get(main), scale, values[0], strong=value == best)),
        ]
        for name, value, pair in zip(found.names, values, pairs, strict=True)
    ]
    columns = [Column("run"), Column(words.metric(main), "number"), Column("interval", "number")]
    columns.append(Column(f"{words.number(scale[0])} to {words.number(scale[1])}", "bar"))
    blocks.append(Table("The score that decides", columns, rows, f"Dashed: {found.names[0]}."))
    every = [[words.metric(name), *(words.number(run.metrics["test"].get(name)) for run in found.runs)] for name in names]
    blocks.append(Table("All test scores", [Column("score"), *(Column(name, "number") for name in found.names)], every))
    return Section("scores", "Scores", (), blocks)


def _differences(found: Comparison) -> Section:
    rows = [
        [
            item.run,
            words.metric(item.metric),
            words.signed(item.found.difference),
            f"[{words.signed(item.interval[0])}, {words.signed(item.interval[1])}]" if item.interval else "",
            words.probability(item.found.p) if item.p is not None else "",
            words.probability(item.p) if item.p is not None else "",
        ]
        for item in found.compared
    ]
    columns = [Column("run"), Column("score"), Column("difference", "number"), Column("interval", "number")]
    columns += [Column("alone", "number"), Column("of all comparisons", "number")]
    first = found.compared[0]
    prose = [f"On the same rows; p by {first.found.test}. Rows are taken to be independent of each other."]
    if first.group:
        prose = [f"On the same rows; {_dependent(first.group)}."]
    return Section("differences", "Differences", prose, [Table(f"Each run minus {found.names[0]}", columns, rows)])


def _costs(found: Comparison) -> Section | None:
    rows = [
        [title, *("" if value is None else show(value) for value in found.cost(key))]
        for key, (title, _, show) in COSTS.items()
        if any(value is not None for value in found.cost(key))
    ]
    columns = [Column("what"), *(Column(name, "number") for name in found.names)]
    return Section("cost", "Cost", (), [Table("What each run took", columns, rows)]) if rows else None


def _recipes(found: Comparison) -> Section:
    rows = [[name, *("" if value is None else str(value) for value in values)] for name, values in found.recipes.items()]
    if not rows:
        return Section("recipes", "Recipes", ["The recipes are the same."])
    columns = [Column("field"), *(Column(name) for name in found.names)]
    return Section("recipes", "Recipes", (), [Table("What the recipes differ in", columns, rows)])
