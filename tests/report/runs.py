"""A finished run's folder, made without training, with every key of metrics.json filled."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import yaml

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
SOURCE = "estimate (12 W a core)"


def recipe(**changes: Any) -> dict[str, Any]:
    data = {"path": ["/somewhere/messages.csv"], "inputs": ["text"], "label": ["intent"], "modality": "text"}
    whole = {"data": data, "task": "classification", "backbone": "minilm", "adapter": "head", "optimizer": "adamw", "schedule": "cosine"}
    return {**whole, "training": {"epochs": 2, "lr": 0.005, "monitor": "macro_f1"}, "seed": 0, **changes}


def contender(name: str, kind: str, score: float, **more: Any) -> dict[str, Any]:
    cost = {
        "seconds": 2.0,
        "peak_memory_gb": 0.1,
        "learned": 1540,
        "energy_wh": 0.01,
        "energy_source": SOURCE,
        "drift": None,
        "skipped": None,
    }
    return {"name": name, "kind": kind, "scores": {"macro_f1": score}, "interval": [score - 0.02, score + 0.02], **cost, **more}


def metrics() -> dict[str, Any]:
    test = {"accuracy": 0.84, "macro_f1": 0.83, "log_loss": 0.61, "rows": 200}
    pairs = {"accuracy": [0.79, 0.88], "macro_f1": [0.78, 0.87], "log_loss": [0.55, 0.68]}
    bins = [
        {"low": 0.4, "high": 0.6, "count": 50, "confidence": 0.5, "accuracy": 0.55},
        {"low": 0.8, "high": 1.0, "count": 150, "confidence": 0.93, "accuracy": 0.94},
    ]
    before = [{"low": 0.4, "high": 0.6, "count": 200, "confidence": 0.45, "accuracy": 0.84}]
    example = {
        "row": 3,
        "file": "messages.csv",
        "where": "line 5",
        "shown": f"again {HOSTILE}",
        "beside": {"row": 9, "file": "messages.csv", "where": "line 11"},
    }
    finding = {"name": "test_rows_in_training", "severity": "error", "count": 3, "of": 200, "what": "3 test rows also stand in training."}
    mistake = {"row": 7, "file": "messages.csv", "where": "line 9", "target": "fee", "prediction": "card", "confidence": 0.97}
    return {
        "test": test,
        "validation": {**test, "step": 4, "epoch": 2, "macro_f1": 0.85},
        "constant": {"accuracy": 0.5, "macro_f1": 0.33, "rows": 200},
        "intervals": {"level": 0.95, "method": "BCa", "replicates": 1000, "grouped": False, "scores": pairs, "notes": {}},
        "calibration": {
            "temperature": 0.4,
            "ece": {"before": 0.38, "after": 0.012},
            "bins": bins,
            "bins_before": before,
            "conformal": {"kind": "lac", "wanted": 0.9, "measured": 0.915, "interval": [0.87, 0.95], "size": 1.2},
            "threshold": {
                "value": 0.31,
                "asked": {"recall": 0.95},
                "measured": {"recall": 0.96, "interval": [0.9, 0.99]},
                "missed": 4,
                "false_alarms": 17,
            },
            "notes": {},
        },
        "abstention": [{"coverage": 0.5, "confidence": 0.9, "score": 0.97}, {"coverage": 1.0, "confidence": 0.4, "score": 0.84}],
        "modalities": [
            {
                "name": "image",
                "columns": ["photo", HOSTILE],
                "kinds": ["image"],
                "rows": 200,
                "missing": 3,
                "metric": "macro_f1",
                "direction": "max",
                "score": 0.83,
                "score_without": 0.82,
                "difference": 0.01,
                "interval": [-0.02, 0.04],
                "p": 0.4,
                "note": "",
                "prepared": False,
            },
            {"name": "text", "columns": ["text"], "kinds": ["text"], "rows": 0, "missing": 0, "prepared": False},
        ],
        "slices": [
            {"column": "words", "value": "1 to 5", "rows": 40, "score": 0.6, "interval": [0.45, 0.73], "p": 0.01},
            {"column": "words", "value": "6 to 40", "rows": 160, "score": 0.9, "interval": [0.85, 0.94], "p": 1.0},
        ],
        "worst_slice": 0,
        "slice_metric": "accuracy",
        "scoreboard": [
            contender("constant", "baseline", 0.33),
            contender("tfidf", "baseline", 0.76),
            contender("head", "adapter", 0.83, drift={"drift": 0.125, "cosine": 0.9, "rows": 200}),
            {"name": "pixels", "kind": "baseline", "skipped": "there are no pictures"},
        ],
        "verdict": {"worth": "yes", "against": "tfidf", "metric": "macro_f1", "sentence": "Adapting paid here."},
        "gate": {"seconds": 0.2, "rows": 900, "findings": [{**finding, "advice": "Leave them out.", "examples": [example]}], "skipped": {}},
        "mistakes": [
            {**mistake, "shown": f"a fee {HOSTILE}", "picture": None},
            {**mistake, "shown": "a picture", "picture": "mistake.png"},
        ],
        "checks": [
            {"name": "weights_moved", "status": "passed", "detail": "2 tensors moved"},
            {"name": "merged_same", "status": "not_applicable", "detail": "nothing is merged"},
        ],
        "cost": {
            "total_seconds": 40.0,
            "train_seconds": 12.0,
            "steps": 4,
            "peak_memory_gb": 1.4,
            "parameters": 9000,
            "trainable_parameters": 90,
        },
        "expected": {"trainable": 90, "epochs": 2, "steps": 2, "epoch_seconds": 5.0, "memory_bytes": 2**30},
        "data": {"train": 700, "validation": 100, "test": 200, "bad_rows": 1, "notes": ["a note"]},
        "backbone": {"source": "minilm", "matched": 103, "missing": 0, "unexpected": 0},
    }


def predictions(said: list[str], target: list[str]) -> list[dict[str, Any]]:
    return [
        {"row": i, "file": "messages.csv", "where": f"line {i + 2}", "target": t, "label": s}
        for i, (s, t) in enumerate(zip(said, target, strict=True))
    ]


def write(folder: Path, found: dict[str, Any], written: dict[str, Any] | None = None, rows: list[dict[str, Any]] | None = None) -> Path:
    """The folder of a run with these metrics, recipe and predictions."""
    (folder / "report").mkdir(parents=True)
    (folder / "logs").mkdir()
    (folder / "metrics.json").write_text(json.dumps(found))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(written or recipe()))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11.7", "cores": 2, "packages": {"torch": "2.15.0"}}))
    steps = [{"event": "step", "step": i, "loss": 1 / i} for i in range(1, 5)]
    scored = [{"event": "validation", "step": i, "macro_f1": 0.4 + i / 10} for i in (2, 4)]
    (folder / "logs" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*steps, *scored]))
    tables = {
        "classification_report": [
            ["", "precision", "recall", "f1", "support"],
            ["card", 0.9, 0.8, 0.85, 120],
            [HOSTILE, 0.7, 0.9, 0.8, 80],
        ],
        "confusion_matrix": [["", "card", HOSTILE], ["card", 96, 24], [HOSTILE, 8, 72]],
    }
    for name, table in tables.items():
        with (folder / "report" / f"{name}.csv").open("w", newline="") as handle:
            csv.writer(handle, lineterminator="\n").writerows(table)
    (folder / "report" / "mistake.png").write_bytes(PIXEL)
    if rows is not None:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "predictions.parquet")
    return folder
