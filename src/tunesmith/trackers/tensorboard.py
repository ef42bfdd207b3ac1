"""Event files for TensorBoard in RUN/logs; look at them with `tensorboard --logdir RUN/logs`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, final

from tunesmith.core.errors import require
from tunesmith.core.fitting import Callback, Progress


@final
class TensorBoard(Callback):
    """Event files for TensorBoard."""

    name: ClassVar[str] = "tensorboard"

    def __init__(self) -> None:
        self.folder = Path()
        self.writer: Any = None

    def in_run(self, folder: Path) -> Callback:
        require("tensorboard", "the tracker 'tensorboard'")
        made = TensorBoard()
        made.folder = folder / "logs"
        return made

    def train_start(self, progress: Progress) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(self.folder), purge_step=progress.step + 1)

    def step_end(self, progress: Progress, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"train/{name}", value, progress.step)

    def evaluated(self, progress: Progress, scores: Mapping[str, Any]) -> None:
        for name, value in scores.items():
            self.writer.add_scalar(f"validation/{name}", value, progress.step)

    def closed(self, progress: Progress) -> None:
        if self.writer:
            self.writer.close()
