"""A progress bar on standard error; plain lines, one an epoch, where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, final

from tunesmith.core.fitting import Callback, Progress

SHOWN = (
    "macro_f1",
    "accuracy",
    "micro_f1",
    "scaled_crps",
    "mase",
    "mse_standardised",
    "rmse_log",
    "r2_log",
    "rmse",
    "r2",
    "auroc",
    "mrr",
    "recall_at_1",
    "log_loss",
)


@final
class Bar(Callback):
    """Progress bar in a terminal, lines elsewhere."""

    name: ClassVar[str] = "progress"

    def __init__(self) -> None:
        self.bar: Any = None
        self.job: Any = None

    def in_run(self, folder: Path) -> Callback:
        return Bar()

    def train_start(self, progress: Progress) -> None:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            columns = [TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}")]
            self.bar = RichProgress(*columns, console=Console(stderr=True))
            self.bar.start()
            self.job = self.bar.add_task("", total=progress.total_steps, completed=progress.step)

    def step_end(self, progress: Progress, values: Mapping[str, float]) -> None:
        if self.bar:
            shown = f"epoch {progress.epoch + 1}/{progress.epochs}  loss {values.get('loss', 0):.4f}"
            self.bar.update(self.job, completed=progress.step, total=progress.total_steps, description=shown)

    def evaluated(self, progress: Progress, scores: Mapping[str, Any]) -> None:
        told = "  ".join(f"{name} {scores[name]:.4f}" for name in [n for n in SHOWN if n in scores] or scores)
        self._line(f"epoch {progress.epoch}/{progress.epochs}  validation: {told}")

    def _line(self, line: str) -> None:
        if self.bar:
            self.bar.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def noticed(self, progress: Progress, text: str) -> None:
        self._line(text)

    def closed(self, progress: Progress) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None
