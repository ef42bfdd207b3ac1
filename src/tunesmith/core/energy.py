"""Energy that a block of code takes, from the best source at hand.

| source | what is read | what it covers |
|---|---|---|
| rapl | Intel's and AMD's counters of the processor packages in /sys/class/powercap | the whole machine's processors, also other programs |
| nvml | the counters of the named NVIDIA accelerators | these accelerators, also other programs |
| estimate | seconds of processor time of this process and its finished children | this program, times a typical power |

The counters of packages can often be read by root only, and virtual machines have none: then processor time is multiplied by
`WATTS_A_CORE`. Accelerators are added to either.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

WATTS_A_CORE = 12.0
"""Power of a busy core where the processor is not known: the figure of the Green Algorithms calculator (Lannelongue, Grealey and
Inouye 2021, doi:10.1002/advs.202100707, table of processors, row "Any"), whose processors lie between 4 and 24 W a core."""

POWERCAP = Path("/sys/class/powercap")
JOULES_A_WATT_HOUR = 3600.0


@dataclass(frozen=True)
class Used:
    """Energy that was used.

    Attributes:
        joules: how much.
        source: `rapl` or `estimate (12 W a core)`, with ` + nvml` where accelerators were read.
    """

    joules: float
    source: str

    @property
    def watt_hours(self) -> float:
        """The same in Wh."""
        return self.joules / JOULES_A_WATT_HOUR


class Energy(AbstractContextManager["Energy"]):
    """Measures a block of code.

    A package's counter starts again at `max_energy_range_uj`, some minutes to hours of full load; a block in which it does so more than
    once is measured too low.

    Args:
        gpus: UUIDs of the NVIDIA accelerators to read (`torch.cuda.get_device_properties(device).uuid`).
        powercap: folder of the kernel's counters.

    Example:
        >>> with Energy() as energy:
        ...     total = sum(range(1000))
        >>> energy.used.joules >= 0
        True
    """

    def __init__(self, gpus: Sequence[str] = (), powercap: Path = POWERCAP) -> None:
        self.packages = packages(powercap)
        self.nvml, self.handles = _accelerators(gpus)
        self.used = Used(0.0, "")

    def __enter__(self) -> Energy:
        self._counters = [_microjoules(package) for package in self.packages]
        self._processor = processor_seconds()
        self._accelerators = self._millijoules()
        return self

    def __exit__(self, *error: object) -> None:
        seconds = processor_seconds() - self._processor
        accelerators = (self._millijoules() - self._accelerators) / 1e3
        if self.packages:
            grown = [
                grown_by(before, _microjoules(package), package) for before, package in zip(self._counters, self.packages, strict=True)
            ]
            joules, source = sum(grown) / 1e6, "rapl"
        else:
            joules, source = seconds * WATTS_A_CORE, f"estimate ({WATTS_A_CORE:g} W a core)"
        self.used = Used(joules + accelerators, source + (" + nvml" if self.handles else ""))

    def _millijoules(self) -> int:
        return sum(int(self.nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in self.handles) if self.nvml else 0


def packages(powercap: Path) -> list[Path]:
    """Folders of the processor packages whose counters can be read; their parts (cores, memory) lie in `intel-rapl:0:0` and so on.

    All or none: with one package of two unread the sum would be too low.
    """
    found = sorted(path for path in powercap.glob("intel-rapl:*") if path.name.count(":") == 1)
    try:
        for path in found:
            _microjoules(path)
    except OSError:
        return []
    return found


def grown_by(before: int, after: int, package: Path) -> int:
    """Microjoules between two readings of a counter that starts again at its range."""
    if after >= before:
        return after - before
    return after - before + int((package / "max_energy_range_uj").read_text())


def processor_seconds() -> float:
    """Seconds of processor time of this process and of its children that have ended."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def _microjoules(package: Path) -> int:
    return int((package / "energy_uj").read_text())


def _accelerators(gpus: Sequence[str]) -> tuple[ModuleType | None, list[Any]]:
    """The module pynvml and handles of the accelerators whose counters it can read (Volta and later); none where it is not installed."""
    if not gpus:
        return None, []
    try:
        nvml = importlib.import_module("pynvml")
    except ModuleNotFoundError:
        return None, []
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByUUID(gpu if gpu.startswith("GPU-") else f"GPU-{gpu}") for gpu in gpus]
        for handle in handles:
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError:
        return None, []
    return nvml, handles
