"""Runs the inspections that are registered, and says which rows a cleaned copy of the data leaves out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from tunesmith.core import registry
from tunesmith.core.findings import Finding, Inspection, Severity, View


@dataclass(frozen=True, eq=False)
class Inspected:
    """What inspecting the data gave.

    Attributes:
        findings: errors first, then warnings, then what is to be known; of one severity, what concerns the largest share first.
        skipped: inspection -> why there was nothing to inspect.
        seconds: inspection -> what it took.
    """

    findings: Sequence[Finding]
    skipped: Mapping[str, str]
    seconds: Mapping[str, float]


def inspect(view: View, names: Sequence[str] | None = None) -> Inspected:
    """Run inspections over the divided data.

    Args:
        view: the data.
        names: the inspections to run; None for all that are registered.

    Raises:
        UnknownNameError: no inspection is called so.
    """
    findings: list[Finding] = []
    skipped: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for name in registry.entries("inspections") if names is None else names:
        inspection: Inspection = registry.create("inspections", name, {})
        reason = _unmeant(inspection, view) or inspection.applies(view)
        if reason is not None:
            skipped[inspection.name] = reason
            continue
        began = time.perf_counter()
        findings.extend(inspection.inspect(view))
        seconds[inspection.name] = time.perf_counter() - began
    return Inspected(_sorted(findings), skipped, seconds)


def _unmeant(inspection: Inspection, view: View) -> str | None:
    wanted = inspection.answers
    return f"it is for {' and '.join(wanted)}, not for {view.answers}" if wanted and view.answers not in wanted else None


def _sorted(findings: Sequence[Finding]) -> list[Finding]:
    rank = {severity: -place for place, severity in enumerate(get_args(Severity))}
    return sorted(findings, key=lambda found: (rank[found.severity], -found.count / max(1, found.of), found.name))


def leave_out(findings: Sequence[Finding]) -> dict[int, str]:
    """Rows that a cleaned copy of the data lacks, each with the name of the finding that says so.

    Where findings say which row stays instead (`Finding.instead`), no row is left out unless one that stays stands for it: of
    two copies that two findings would each take out, one stays.

    Example:
        >>> one = Finding("a", "info", 1, 2, "", "", leave_out=[0], instead=[1])
        >>> other = Finding("b", "info", 1, 2, "", "", leave_out=[1], instead=[0])
        >>> leave_out([one, other])
        {0: 'a'}
    """
    result: dict[int, str] = {}
    stays: dict[int, int] = {}
    for found in findings:
        if not len(found.instead):
            result.update((int(row), found.name) for row in found.leave_out if int(row) not in result)
    for found in findings:
        for row, other in zip(map(int, found.leave_out), map(int, found.instead), strict=True) if len(found.instead) else ():
            while other in stays:
                other = stays[other]
            if row not in result and other not in result and other != row:
                result[row] = found.name
                stays[row] = other
    return dict(sorted(result.items()))
