"""Energy from a made-up tree of counters and from processor time, and the peak of memory against what was allocated."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from tunesmith.core.energy import WATTS_A_CORE, Energy, Used, packages
from tunesmith.core.spending import Meter, Spent


def counters(root: Path, **values: int) -> dict[str, Path]:
    """Folders as the kernel lays them out: `package_part` is a part of `package`."""
    found = {}
    for name, value in values.items():
        folder = root / f"intel-rapl:{name.lstrip('p').replace('_', ':')}"
        folder.mkdir(parents=True)
        (folder / "energy_uj").write_text(f"{value}\n")
        (folder / "max_energy_range_uj").write_text("1000000000\n")
        found[name] = folder / "energy_uj"
    return found


def test_counters_of_packages_are_added_and_start_again(tmp_path: Path) -> None:
    found = counters(tmp_path, p0=100, p1=999_000_000, p0_0=5)
    with Energy(powercap=tmp_path) as energy:
        found["p0"].write_text("7200000100\n")
        found["p1"].write_text("400000\n")  # 1.0 J to its end, and 0.4 J from its beginning
        found["p0_0"].write_text("900000000\n")  # is in that of its package
    assert energy.used == Used(pytest.approx(7200.0 + 1.4), "rapl")  # type: ignore[arg-type]
    assert energy.used.watt_hours == pytest.approx(7201.4 / 3600)


def test_counters_that_cannot_be_read_are_left_alone(tmp_path: Path) -> None:
    found = counters(tmp_path, p0=1, p1=2)
    found["p1"].unlink()
    assert packages(tmp_path) == []
    with Energy(powercap=tmp_path) as energy:
        pass
    assert energy.used.source == "estimate (12 W a core)"


def test_the_estimate_follows_processor_time(tmp_path: Path) -> None:
    with Energy(powercap=tmp_path) as resting:
        time.sleep(0.2)
    with Energy(powercap=tmp_path) as working:
        before = time.process_time()
        while time.process_time() < before + 0.2:
            pass
    assert working.used.joules == pytest.approx(0.2 * WATTS_A_CORE, rel=0.3)
    assert resting.used.joules < working.used.joules / 3


def test_accelerators_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the functions of NVML's documentation; there is no accelerator here."""

    class NVMLError(Exception):
        pass

    read = iter([500, 1000, 4000])  # millijoules: when it is looked for, at the beginning, at the end
    nvml = ModuleType("pynvml")
    nvml.NVMLError = NVMLError  # type: ignore[attr-defined]
    nvml.nvmlInit = lambda: None  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetHandleByUUID = lambda uuid: uuid  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetTotalEnergyConsumption = lambda handle: next(read)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    with Energy(["1-2"], tmp_path) as energy:
        pass
    assert energy.used.joules == pytest.approx(3.0, abs=0.5)
    assert energy.used.source == "estimate (12 W a core) + nvml"

    def absent(uuid: str) -> str:
        raise NVMLError

    nvml.nvmlDeviceGetHandleByUUID = absent  # type: ignore[attr-defined]
    with Energy(["1-2"], tmp_path) as energy:
        pass
    assert energy.used.source == "estimate (12 W a core)"


ALONE = """
import time
import numpy as np
from tunesmith.core.memory import Peak
with Peak() as peak:
    held = np.ones(12_500_000)  # 100 MB
    time.sleep(0.3)
    del held
with Peak() as nothing:
    time.sleep(0.05)
print(peak.bytes, nothing.bytes)
"""


def test_the_peak_is_seen_though_it_is_gone_at_the_end() -> None:
    """In a process of its own: what other tests leave behind may be given back meanwhile."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    peak, nothing = map(int, done.stdout.split())
    assert 80e6 < peak < 160e6
    assert nothing < 40e6


def test_costs_add_up_and_are_known_after_an_error() -> None:
    both = Spent(1.0, 5, 2.0, "rapl") + Spent(2.0, 3, 1.0, "rapl")
    assert both == Spent(3.0, 5, 3.0, "rapl")
    assert (both + Spent(0.0, 0, 0.0, "estimate (12 W a core)")).energy_source == "rapl, estimate (12 W a core)"
    meter = Meter()

    def failing() -> None:
        with meter:
            time.sleep(0.1)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        failing()
    assert 0.1 <= meter.spent.seconds < 5
