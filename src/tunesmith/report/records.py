"""Sections of the report that say how a run was made, and what proves it: checks, cost, recipe, machine, how to do it again."""

from __future__ import annotations

from typing import Any

from tunesmith.report import words
from tunesmith.report.blocks import Block, Cell, Column, Listing, Section, Table
from tunesmith.report.facts import Facts
from tunesmith.report.summary import Tone, bundle_gb

STATUS: dict[str, Tone] = {"passed": "good", "failed": "bad", "not_applicable": "plain"}
COST = {
    "total_seconds": "whole run",
    "features_seconds": "frozen part, once",
    "train_seconds": "training steps",
    "peak_memory_gb": "peak memory",
    "train_peak_memory_gb": "peak memory of training",
    "energy_wh": "energy, Wh",
    "energy_source": "energy measured by",
    "parameters": "weights",
    "trainable_parameters": "weights that were learned",
    "epochs": "epochs",
    "steps": "steps",
    "stopped": "stopped early",
    "device": "device",
}
PROOF = {
    "features_seconds": "features of the backbone as it came",
    "gate_seconds": "inspecting the data",
    "baselines_seconds": "cheap ways",
    "judging_seconds": "intervals, slices, comparison",
    "compare_seconds": "training other adapters (not in the whole run)",
}


def checks(facts: Facts) -> Section | None:
    """What the run proves about itself."""
    found = facts.part("checks")
    if not found:
        return None
    rows: list[list[Cell | str]] = [
        [
            words.metric(str(check["name"])),
            Cell(check["status"].replace("_", " "), tone=STATUS.get(check["status"], "plain")),
            str(check["detail"]),
        ]
        for check in found
    ]
    columns = [Column("check"), Column("status"), Column("detail", "long")]
    return Section(
        "checks", "Checks", ["What the run proved about itself before it ended."], [Table("Each check, and what was seen", columns, rows)]
    )


def cost(facts: Facts) -> Section | None:
    """Time, memory, energy, size."""
    found: dict[str, Any] = facts.part("cost") or {}
    if not found:
        return None
    size = bundle_gb(facts.run.bundle)
    proof = {name: value for name, value in (found.get("proof") or {}).items() if value is not None}
    named = {**{key: COST[key] for key in COST if key in found}, **{key: words.metric(key) for key in found if key not in {*COST, "proof"}}}
    rows = [[name, _cost(key, found[key])] for key, name in named.items() if found[key] is not None]
    rows += [[PROOF.get(key, words.metric(key)), _cost(key, value)] for key, value in proof.items()]
    rows += [["size of the bundle", words.gigabytes(size)]] if size is not None else []
    return Section("cost", "Cost and energy", (), [Table("What the run took", [Column("what"), Column("measured", "number")], rows)])


def _cost(key: str, value: Any) -> str:
    if key.endswith("_seconds"):
        return words.duration(float(value))
    return words.gigabytes(float(value)) if key.endswith("_gb") else words.number(value)


def expected(facts: Facts) -> Section | None:
    """What was told before the run beside what was measured."""
    told, found = facts.part("expected"), facts.part("cost")
    if not told or not found:
        return None
    epochs = told.get("epochs") or 0
    seconds = epochs * (told.get("epoch_seconds") or 0)
    steps = epochs * (told.get("steps") or 0)
    pairs = [
        ("weights that change", told.get("trainable"), found.get("trainable_parameters"), words.number),
        ("steps", steps, found.get("steps"), words.number),
        ("frozen part, once", told.get("features_seconds"), found.get("features_seconds"), words.duration),
        ("training steps", seconds, found.get("train_seconds"), words.duration),
        ("peak memory", (told.get("memory_bytes") or 0) / 2**30, found.get("peak_memory_gb"), words.gigabytes),
    ]
    rows = [
        [name, shown(before), shown(after), f"{after / before:.2f}" if before else ""]
        for name, before, after, shown in pairs
        if before and after is not None
    ]
    columns = [Column("what"), Column("expected", "number"), Column("measured", "number"), Column("measured / expected", "number")]
    return (
        Section("expected", "Expected and measured", (), [Table("The estimate before the run beside what came", columns, rows)])
        if rows
        else None
    )


def recipe(facts: Facts) -> Section:
    """The recipe without gaps, and where the weights came from."""
    import yaml

    backbone = facts.part("backbone") or {}
    prose = ["With every choice filled in that was left open."]
    if "matched" in backbone:
        counts = (backbone.get(key, 0) for key in ("matched", "missing", "unexpected"))
        prose.append("Weights of the backbone: {} tensors matched, {} missing, {} unexpected.".format(*counts))
    text = yaml.safe_dump(dict(facts.recipe), sort_keys=False, allow_unicode=True)
    return Section("recipe", "Recipe", prose, [Listing(text, "recipe.yaml")])


def environment(facts: Facts) -> Section | None:
    """Machine and versions."""
    if not facts.environment:
        return None
    packages = facts.environment.get("packages") or {}
    rows = [[name, str(value)] for name, value in facts.environment.items() if name != "packages"]
    rows += [[name, str(version)] for name, version in packages.items()]
    return Section("environment", "Environment", (), [Table("Machine and versions", [Column("what"), Column("value")], rows)])


def reproduce(facts: Facts) -> Section:
    """The command that does it again."""
    prose = ["In the run's folder, with the same data where the recipe says it is and the versions above:"]
    command = "tunesmith tune --recipe recipe.yaml"
    if not (facts.recipe.get("data") or {}).get("path"):
        prose = ["The rows were given in memory. In the run's folder, with the same rows and the versions above:"]
        command = 'tunesmith.tune(rows, recipe="recipe.yaml")'
    blocks: list[Block] = [Listing(command, "command")]
    return Section("reproduce", "How to reproduce it", prose, blocks)
