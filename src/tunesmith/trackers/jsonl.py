"""One JSON object a line in RUN/logs/metrics.jsonl: `{"event": "step", "step": 12, "loss": 0.81, ...}`.

A resumed run first takes out what was logged after its checkpoint, so that no step stands there twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TextIO, final

from tunesmith.core.files import disk_errors, plain_json, write_text
from tunesmith.core.fitting import Callback, Progress


@final
class JsonLines(Callback):
    """Steps and evaluations as JSON lines."""

    name: ClassVar[str] = "jsonl"

    def __init__(self) -> None:
        self.path = Path()
        self.handle: TextIO | None = None

    def in_run(self, folder: Path) -> Callback:
        made = JsonLines()
        made.path = folder / "logs" / "metrics.jsonl"
        return made

    def train_start(self, progress: Progress) -> None:
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                lines = [line for line in self.path.read_text(encoding="utf-8").splitlines() if _whole(line)]
                write_text(self.path, "".join(line + "\n" for line in lines if json.loads(line)["step"] <= progress.step))
            self.handle = self.path.open("a", encoding="utf-8", buffering=1)  # a line that was logged survives a kill

    def step_end(self, progress: Progress, values: Mapping[str, float]) -> None:
        self._write({"event": "step", "step": progress.step, "epoch": progress.epoch + 1, **values})

    def evaluated(self, progress: Progress, scores: Mapping[str, Any]) -> None:
        self._write({"event": "validation", "step": progress.step, "epoch": progress.epoch, **scores})

    def noticed(self, progress: Progress, text: str) -> None:
        self._write({"event": "notice", "step": progress.step, "text": text})

    def failed(self, progress: Progress, error: BaseException) -> None:
        self._write({"event": "failed", "step": progress.step, "error": f"{type(error).__name__}: {error}"})

    def closed(self, progress: Progress) -> None:
        if self.handle:
            self.handle.close()
            self.handle = None

    def _write(self, record: Mapping[str, Any]) -> None:
        if self.handle:
            with disk_errors(self.path):
                self.handle.write(json.dumps(plain_json(dict(record))) + "\n")


def _whole(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:  # the last line of a killed run may be cut
        return False
