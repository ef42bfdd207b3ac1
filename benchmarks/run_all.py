"""Runs every measurement of this folder, one after another, and writes docs/benchmarks.md from what they print.

    python benchmarks/run_all.py [--quick] [--only lora,flops] [--out docs/benchmarks.md]

An error of a script ends the run and leaves the page as it was. Scripts print Markdown; their other words go to the terminal.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent


def scripts(only: str | None) -> list[Path]:
    """The measurements, in the order of their names, or those named."""
    found = sorted(FOLDER.glob("bench_*.py"))
    if only is None:
        return found
    known = {path.stem.removeprefix("bench_"): path for path in found}
    if unknown := set(only.split(",")) - set(known):
        raise SystemExit(f"no such measurement: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [known[name] for name in only.split(",")]


def section(script: Path, flags: list[str]) -> str:
    """Run a measurement; its command and what it printed, under the first line of its docstring."""
    command = [sys.executable, str(script), *flags]
    print(f"==> {script.name} {' '.join(flags)}", flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}, check=False)
    print(done.stdout, flush=True)
    if done.returncode:
        raise SystemExit(f"{script.name} ended with exit status {done.returncode}; {ROOT / 'docs' / 'benchmarks.md'} is as it was")
    title = script.read_text(encoding="utf-8").removeprefix('"""').splitlines()[0].rstrip(".")
    shown = " ".join(["python", f"benchmarks/{script.name}", *flags])
    return f"## {title}\n\n`{shown}`\n\n{done.stdout.strip()}\n"


def processor() -> str:
    """Name of the processor."""
    told = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in told.read_text().splitlines() if line.startswith("model name")] if told.exists() else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def page(sections: list[str], quick: bool) -> str:
    """The page: date and machine, then the sections."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft"))
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {datetime.date.today().isoformat()}: {processor()}, {os.cpu_count()} cores, no GPU; {packages}, "
        f"Python {platform.python_version()}. Both sides of a table ran in turn on this machine; figures are medians "
        "of the rounds, and ratios are taken within a round. What a script compares, and what the seconds hold, stands at its top.",
        "",
    ]
    if quick:
        lines += ["**Made with `--quick`: few rows and one round. This shows that the scripts run; the figures measure nothing.**", ""]
    return "\n".join(lines) + "\n" + "\n".join(sections)


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="pass --quick to the scripts that know it, and say so on the page")
    parser.add_argument("--only", help="names of measurements, separated by commas")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()
    sections = []
    for script in scripts(options.only):
        knows = "--quick" in subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=True).stdout
        sections.append(section(script, ["--quick"] if options.quick and knows else []))
    options.out.write_text(page(sections, options.quick), encoding="utf-8")


if __name__ == "__main__":
    main()
