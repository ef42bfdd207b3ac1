"""Scores on real data, beside references: writes docs/results.md.

    python benchmarks/results.py [--data ../shared/data] [--only ag_news_lora,...] [--work build/results]

Each case of cases.yaml is one `tunesmith tune` command in a process of its own, as a user would give it. Beside its scores stand the best
cheap way on the same rows, from the run's own scoreboard, and a figure that was reached by other means. A finished case is kept in the
work folder and not run again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent


@dataclass(frozen=True)
class Reference:
    """A figure reached by other means."""

    value: float
    source: str
    better: str = "higher"

    def below(self, score: float) -> bool:
        """Whether a score is worse than this one."""
        return score > self.value if self.better == "lower" else score < self.value


@dataclass(frozen=True)
class Case:
    """One command and what it is held against; see cases.yaml."""

    name: str
    data: str
    flags: str
    scores: tuple[str, ...]
    reference: Reference | None = None
    made: str | None = None
    note: str = ""

    def command(self, data: str, made: str) -> list[str]:
        """The arguments of `tune`."""
        return [part.format(data=data, made=made) for part in shlex.split(f"{self.data} {self.flags}")]


def cases(path: Path = FOLDER / "cases.yaml") -> list[Case]:
    """All cases, in the file's order."""
    found = []
    for item in yaml.safe_load(path.read_text(encoding="utf-8")):
        reference = Reference(**item.pop("reference")) if item.get("reference") else None
        found.append(Case(**{**item, "scores": tuple(item["scores"])}, reference=reference))
    return found


def run_case(case: Case, data: Path, work: Path) -> dict[str, Any]:
    """Run one case, or read what an earlier call kept."""
    kept = work / f"{case.name}.json"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    run, made = work / case.name, work / "made" / case.name
    shutil.rmtree(run, ignore_errors=True)
    if case.made:
        import made as makers

        made.mkdir(parents=True, exist_ok=True)
        getattr(makers, case.made)(data, made)
    command = [sys.executable, "-m", "tunesmith", "tune", *case.command(str(data), str(made)), "--out", str(run), "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{case.name} ended with exit status {done.returncode}")
    told = json.loads(done.stdout)
    cheap = [line for line in told["scoreboard"] if line["kind"] == "baseline" and line.get("scores")]
    result = {
        "test": told["test"],
        "intervals": told["intervals"]["scores"],
        "cheap": {"name": cheap[0]["name"], "metric": cheap[0]["metric"], "scores": cheap[0]["scores"]} if cheap else None,
        "failed_checks": [check["name"] for check in told["checks"] if check["status"] == "failed"],
        "checks": sum(check["status"] != "not_applicable" for check in told["checks"]),
        "seconds": time.perf_counter() - started,
        "train_seconds": told["cost"]["train_seconds"],
        "trainable": told["cost"]["trainable_parameters"],
    }
    kept.write_text(json.dumps(result, indent=2))
    return result


def line(case: Case, found: dict[str, Any]) -> str:
    """A case as a line of the table."""
    first, *others = case.scores
    score = found["test"][first]
    interval = found["intervals"].get(first)
    shown = f"{first} **{score:.3f}**" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")
    shown += "".join(f", {name} {found['test'][name]:.3f}" for name in others if name in found["test"])
    cheap = found["cheap"]
    beside = f"{cheap['name']} {cheap['scores'][first]:.3f}" if cheap and first in cheap["scores"] else "-"
    reference = "-" if case.reference is None else f"{case.reference.value:g}: {case.reference.source}"
    if case.reference is not None and case.reference.below(score):
        reference += " **(ours is worse)**"
    passed = f"{found['checks'] - len(found['failed_checks'])} of {found['checks']}"
    passed += f" (failed: {', '.join(found['failed_checks'])})" if found["failed_checks"] else ""
    cost = f"{found['trainable']:,} | {found['train_seconds']:.0f} s of {found['seconds']:.0f} s"
    return f"| {case.name} | {shown} | {beside} | {reference} | {cost} | {passed} |"


def page(known: list[Case], found: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    ran = [case for case in known if case.name in found]
    lines = [
        "# Results on real data",
        "",
        f"Written by `benchmarks/results.py` on {datetime.date.today().isoformat()}, {platform.machine()}, {os.cpu_count()} cores, no GPU. "
        "Each row is one `tunesmith tune` command, given below. Beside the test scores (the first with its 95% interval) stand the best "
        "cheap way on the same rows, from the run's own scoreboard, and a figure that was reached by other means. Where ours is worse than "
        "either, that is the better choice for such data. Seconds were taken while other programs ran, and are upper limits.",
        "",
        "| case | test scores | best cheap way | reference | trained weights | training, of the whole | checks |",
        "|---|---|---|---|---|---|---|",
        *(line(case, found[case.name]) for case in ran),
        "",
        "## Commands",
        "",
    ]
    for case in ran:
        shown = " ".join(case.command("DATA", "MADE"))
        notes = "; ".join([*([case.note] if case.note else []), *([f"MADE by `made.{case.made}`"] if case.made else [])])
        lines.append(f"- `{case.name}`: `tunesmith tune {shown}`" + (f" ({notes})" if notes else ""))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the cases and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "results")
    parser.add_argument("--only", help="names of cases, separated by commas")
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit(f"there is no data at {options.data}; name its folder with --data")
    options.work.mkdir(parents=True, exist_ok=True)
    known = cases()
    wanted = options.only.split(",") if options.only else [case.name for case in known]
    if unknown := set(wanted) - {case.name for case in known}:
        raise SystemExit(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(case.name for case in known)}")
    found = {}
    for case in known:
        if case.name in wanted or (options.work / f"{case.name}.json").exists():
            found[case.name] = run_case(case, options.data.resolve(), options.work)
            print(line(case, found[case.name]), flush=True)
    (ROOT / "docs" / "results.md").write_text(page(known, found))


if __name__ == "__main__":
    main()
