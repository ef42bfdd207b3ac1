"""Scores on real data, beside references: writes docs/results.md.

    python benchmarks/results.py [--data ../shared/data] [--only ag_news_lora,...] [--work build/results]

Each case is one `tunesmith tune` command in a process of its own, as a user would give it. Beside it stands a linear probe made without
tunesmith's training code: scikit-learn's logistic regression on the same frozen, pooled features. A finished case is kept in the work
folder and not run again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MOBILENET = [
    "--backbone",
    "torchvision:mobilenet_v2",
    "--weights",
    "{data}/weights/mobilenetv2_imagenet/model.safetensors",
    "--set",
    "backbone.same_padding=true",
    "--set",
    "backbone.mean=[0.5,0.5,0.5]",
    "--set",
    "backbone.std=[0.5,0.5,0.5]",
]


@dataclass(frozen=True)
class Case:
    """One command and what it is held against."""

    name: str
    data: str
    arguments: list[str]
    reference: str
    metrics: tuple[str, ...] = ("accuracy", "macro_f1", "auroc")
    probe: bool = True
    note: str = field(default="")


CASES = [
    Case("ag_news_lora", "ag_news_4k", ["--adapter", "lora", "--epochs", "2"], "TF-IDF + logistic regression 0.866 (measured)"),
    Case("ag_news_head", "ag_news_4k", ["--adapter", "head", "--epochs", "3"], "TF-IDF + logistic regression 0.866 (measured)"),
    Case(
        "sst2_lora",
        "sst2",
        ["--adapter", "lora", "--epochs", "2"],
        "TF-IDF + logistic regression 0.811 (measured); BERT-base 0.93 (published)",
    ),
    Case(
        "chnsenticorp_lora",
        "chnsenticorp_htl",
        ["--adapter", "lora", "--epochs", "2", "--set", "backbone.max_length=128"],
        "character TF-IDF + logistic regression 0.876 (measured)",
        note="MiniLM was pretrained on English: most characters are unknown to it",
    ),
    Case(
        "pneumonia_full",
        "pneumoniamnist",
        [*MOBILENET, "--adapter", "full", "--epochs", "12", "--set", "backbone.size=64"],
        "raw-pixel SVM 0.867, AUC 0.934 (measured); ResNet-18 0.854, AUC 0.944 (published, full data)",
    ),
    Case(
        "cifar10_full",
        "cifar10_images",
        [*MOBILENET, "--adapter", "full", "--epochs", "6", "--set", "backbone.size=96"],
        "linear probe at 128 px, 1,500 pictures: 0.675 (measured); raw-pixel SVM 0.37",
    ),
]


def run_case(case: Case, data: Path, work: Path) -> dict[str, Any]:
    """Run one case, or read what an earlier call kept."""
    kept = work / f"{case.name}.json"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    run = work / case.name
    shutil.rmtree(run, ignore_errors=True)
    arguments = [part.format(data=data) for part in case.arguments]
    command = [sys.executable, "-m", "tunesmith", "tune", str(data / case.data), *arguments, "--out", str(run), "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{case.name} ended with exit status {done.returncode}")
    told = json.loads(done.stdout)
    result = {
        "test": told["test"],
        "failed_checks": [c["name"] for c in told["checks"] if c["status"] == "failed"],
        "checks": len(told["checks"]),
        "seconds": time.perf_counter() - started,
        "train_seconds": told["cost"]["train_seconds"],
        "trainable": told["cost"]["trainable_parameters"],
        "probe": probe(run) if case.probe else None,
    }
    kept.write_text(json.dumps(result, indent=2))
    return result


def probe(run: Path) -> float:
    """Test accuracy of scikit-learn's logistic regression on the frozen features of the run's own splits."""
    import dataclasses

    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tunesmith import recipe as recipes
    from tunesmith.core import registry
    from tunesmith.data import prepare
    from tunesmith.data.infer import infer
    from tunesmith.launch.resolve import backbone_of

    recipe = recipes.from_plain(recipes.read_yaml(run / "recipe.yaml"))
    rows = run / "probe.arrow"
    was = prepare.read(recipe.data, recipe.data.path, rows)
    columns = infer(was.table, recipe.data, recipe.task.name)
    was.table.path_columns = [name for name in columns.inputs if columns.kinds[name] == "image"]
    backbone = backbone_of(recipe, columns)
    task = registry.create("tasks", columns.task, {"label": columns.label})
    divided = prepare.divide(was, columns.split, dataclasses.replace(recipe.data), task, backbone, recipe.seed)
    network = backbone.open().eval()

    def features(split: str) -> tuple[Any, list[int]]:
        numbers = sorted(map(int, divided.splits[split]), key=lambda n: int(backbone.sizes([was.table[n]])[0]))
        found = []
        with torch.inference_mode():
            for start in range(0, len(numbers), 64):
                part = [backbone.encode(was.table[n]) for n in numbers[start : start + 64]]
                pooled = backbone.features(network, backbone.collate(part)).pooled
                assert pooled is not None
                found.append(pooled)
        return torch.cat(found).numpy(), [divided.targets[n] for n in numbers]

    x, y = features("train")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)).fit(x, y)
    rows.unlink()
    return float(model.score(*features("test")))


def page(found: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    lines = [
        "# Results on real data",
        "",
        f"Written by `benchmarks/results.py` on {datetime.date.today().isoformat()}, {platform.machine()}, {os.cpu_count()} cores, no GPU. "
        "Each row is one `tunesmith tune` command, given below. The linear probe is scikit-learn's logistic regression on the same frozen "
        "features. Where an adapted model is below a cheap reference, the reference is the better choice for that data. "
        "Seconds of training were taken while other programs ran, and are upper limits.",
        "",
        "| case | accuracy | macro F1 | AUROC | linear probe | reference | trained weights | training | checks |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        if case.name not in found:
            continue
        r = found[case.name]
        scores = " | ".join(f"{r['test'][m]:.3f}" for m in case.metrics)
        probe_shown = f"{r['probe']:.3f}" if r["probe"] is not None else "-"
        passed = f"{r['checks'] - len(r['failed_checks'])} of {r['checks']}" + (
            f" (failed: {', '.join(r['failed_checks'])})" if r["failed_checks"] else ""
        )
        lines.append(
            f"| {case.name} | {scores} | {probe_shown} | {case.reference} | {r['trainable']:,} | {r['train_seconds']:.0f} s | {passed} |"
        )
    lines += ["", "## Commands", ""]
    for case in CASES:
        if case.name in found:
            shown = " ".join(part.format(data="DATA") for part in case.arguments)
            lines += [f"- `{case.name}`: `tunesmith tune DATA/{case.data} {shown}`" + (f" ({case.note})" if case.note else "")]
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
    wanted = options.only.split(",") if options.only else [case.name for case in CASES]
    found = {}
    for case in CASES:
        if case.name in wanted or (options.work / f"{case.name}.json").exists():
            found[case.name] = run_case(case, options.data.resolve(), options.work)
            test = found[case.name]["test"]
            print(
                f"{case.name}: {', '.join(f'{m} {test[m]:.3f}' for m in case.metrics)}; linear probe {found[case.name]['probe']:.3f}",
                flush=True,
            )
    (ROOT / "docs" / "results.md").write_text(page(found))


if __name__ == "__main__":
    main()
