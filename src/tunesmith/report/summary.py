"""A run in plain words: what was done, what came out, whether it was worth it, and how far it can be believed.

Every line is made of metrics.json and left out where that does not hold what it tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.report import contributed, words
from tunesmith.report.facts import Facts

Tone = Literal["good", "bad", "open", "plain"]
WORTH: Mapping[str, Tone] = {"yes": "good", "no": "bad", "unclear": "open"}


@dataclass(frozen=True)
class Point:
    """One line of the summary.

    Attributes:
        name: the question it answers.
        text: one or two sentences.
        tone: how it is to be taken.
    """

    name: str
    text: str
    tone: Tone = "plain"


def lead(facts: Facts) -> str:
    """What was adapted on what, in a sentence."""
    data = facts.metrics.get("data") or {}
    rows = {name: words.counted(int(data[name]), "row") for name in ("train", "validation", "test") if isinstance(data.get(name), int)}
    about = words.listed(facts.column_names("inputs"))
    label = words.listed(facts.column_names("label"))
    sentence = f"{facts.named('backbone')} was adapted with {facts.named('adapter')} for {facts.named('task')}"
    sentence += f" of {label} from {about}" if about and label else ""
    sentence += f", on {rows['train']} of {facts.data}" if "train" in rows else f", on {facts.data}"
    if "test" in rows:
        chosen = f"; {rows['validation']} chose the weights to keep" if "validation" in rows else ""
        sentence += f"{chosen}, and {rows['test']} that it never saw gave the scores"
    return words.sentence(sentence + ".")


def points(facts: Facts) -> list[Point]:
    """The summary."""
    found = (
        _score(facts),
        _chance(facts),
        _worth(facts),
        _modalities(facts),
        _weakest(facts),
        _gate(facts),
        _checks(facts),
        *_sure(facts),
        _cost(facts),
    )
    return [point for point in found if point]


def _score(facts: Facts) -> Point | None:
    name, test = facts.main, facts.metrics["test"]
    if not name:
        return None
    text = f"{words.metric(name)} {words.number(test[name])}"
    intervals = facts.part("intervals") or {}
    pair = (intervals.get("scores") or {}).get(name)
    if pair:
        text += f", {words.share(intervals.get('level', 0.95))} interval {words.interval(pair)}"
    if test.get("rows"):
        text += f", on {words.counted(int(test['rows']), 'test row')}"
    constant = (facts.part("constant") or {}).get(name)
    against = f"; a constant prediction gets {words.number(constant)}" if constant is not None else ""
    return Point("Score", words.sentence(f"{text}{against}."))


def _chance(facts: Facts) -> Point | None:
    text = facts.metrics.get("chance")
    return Point("Better than chance?", str(text), "bad") if text else None


def _worth(facts: Facts) -> Point | None:
    verdict = facts.part("verdict")
    return Point("Worth adapting?", str(verdict["sentence"]), WORTH.get(verdict.get("worth"), "plain")) if verdict else None


def _modalities(facts: Facts) -> Point | None:
    text = contributed.sentence(facts.part("modalities") or ())
    return Point("What carries it", text) if text else None


def slice_name(item: Mapping[str, Any]) -> str:
    """A slice in words."""
    return f"{item['column']} = {item['value']}"


def weakest(facts: Facts) -> str | None:
    """The worst slice in a sentence; that there is none where slices were looked at; None where they were not."""
    slices = facts.part("slices")
    if not slices:
        return None
    worst = facts.metrics.get("worst_slice")
    if worst is None:
        return f"None of {words.counted(len(slices), 'part')} of the test rows is worse than the others by more than chance."
    item = slices[worst]
    metric = words.metric(facts.metrics.get("slice_metric") or facts.main)
    pair = f" {words.interval(item['interval'])}" if item.get("interval") else ""
    overall = facts.metrics["test"].get(facts.metrics.get("slice_metric") or facts.main)
    against = f", against {words.number(overall)} of all" if overall is not None else ""
    return f"Where {slice_name(item)}, {metric} is {words.number(item['score'])}{pair} on {words.counted(item['rows'], 'row')}{against}."


def _weakest(facts: Facts) -> Point | None:
    text = weakest(facts)
    return Point("Weakest part", text, "plain" if facts.metrics.get("worst_slice") is None else "open") if text else None


def severities(facts: Facts) -> Counter[str] | None:
    """How many findings of each severity; None where the data was not inspected."""
    gate = facts.part("gate")
    return None if gate is None else Counter(str(item["severity"]) for item in gate.get("findings") or ())


def _gate(facts: Facts) -> Point | None:
    found = severities(facts)
    if found is None:
        return None
    errors, warnings, rest = found["error"], found["warning"], found["info"]
    if not errors and not warnings:
        also = f"; {words.counted(rest, 'remark')}" if rest else ""
        return Point("Data", f"The inspections found nothing to worry about{also}.", "good")
    parts = [words.counted(count, noun) for count, noun in ((errors, "error"), (warnings, "warning"), (rest, "remark")) if count]
    worst = next(item for item in facts.metrics["gate"]["findings"] if item["severity"] == ("error" if errors else "warning"))
    text = f"The inspections found {words.listed(parts)}. First: {worst['what']}"
    return Point("Data", text, "bad" if errors else "open")


def _checks(facts: Facts) -> Point | None:
    checks = facts.part("checks")
    if not checks:
        return None
    count = Counter(check["status"] for check in checks)
    asked = len(checks) - count["not_applicable"]
    failed = [words.metric(str(check["name"])) for check in checks if check["status"] == "failed"]
    text = f"{count['passed']} of {asked} passed" + (f"; failed: {words.listed(failed)}" if failed else "") + "."
    return Point("Checks", text, "bad" if failed else "good")


def sure(calibration: Mapping[str, Any] | None) -> list[str]:
    """How far confidence can be believed, in sentences."""
    if not calibration:
        return []
    found = []
    ece = calibration.get("ece")
    if ece and ece.get("after") is not None:
        before = f" ({100 * ece['before']:.1f} before calibration)" if ece.get("before") is not None else ""
        found.append(f"Stated probabilities are off by {100 * ece['after']:.1f} percentage points on average{before}.")
    conformal = calibration.get("conformal")
    if conformal:
        kind = conformal.get("kind")
        what = "Stated intervals hold" if kind in ("absolute", "steps") else "Sets of classes hold"
        size = (
            f"they are {words.number(conformal['size'])} wide" if kind != "lac" else f"they have {conformal['size']:.2f} classes on average"
        )
        size += " (in errors of a seasonal naive step)" if kind == "steps" else ""
        pair = f" {words.shares(conformal['interval'])}" if conformal.get("interval") else ""
        wanted, what_of = words.share(conformal["wanted"]), "numbers" if kind == "steps" else "rows"
        found.append(f"{what} the truth in {words.share(conformal['measured'])}{pair} of test {what_of} ({wanted} wanted); {size}.")
    return found


def _sure(facts: Facts) -> list[Point]:
    found = sure(facts.part("calibration"))
    return [Point("How sure", " ".join(found))] if found else []


def bundle_gb(bundle: Path) -> float | None:
    """Size of the bundle in GB (2^30 bytes); None where there is none."""
    if not bundle.is_dir():
        return None
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) / 2**30


def _cost(facts: Facts) -> Point | None:
    cost = facts.part("cost")
    if not cost:
        return None
    learned, all_of = cost.get("trainable_parameters"), cost.get("parameters")
    parts = []
    if learned is not None:
        parts.append(f"{learned:,} of {all_of:,} weights learned" if all_of is not None else f"{learned:,} weights learned")
    if cost.get("total_seconds") is not None:
        parts.append(f"{words.duration(cost['total_seconds'])} on {cost.get('device', 'this machine')}")
    if cost.get("peak_memory_gb") is not None:
        parts.append(f"{words.gigabytes(cost['peak_memory_gb'])} of memory")
    if cost.get("energy_wh") is not None:
        parts.append(f"{words.number(float(cost['energy_wh']))} Wh by {cost.get('energy_source') or 'an unknown source'}")
    size = bundle_gb(facts.run.bundle)
    if size is not None:
        parts.append(f"a bundle of {words.gigabytes(size)}")
    return Point("Size and cost", "; ".join(parts) + ".") if parts else None
