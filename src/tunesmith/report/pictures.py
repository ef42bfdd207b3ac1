"""Pictures of a run: learning curves and matrices, in the colours of a scale that colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.contracts import ScoreTable
from tunesmith.core.errors import require
from tunesmith.core.files import disk_errors

MOST_CELLS = 40


def _figure(width: float, height: float) -> tuple[Any, Any]:
    require("matplotlib", "the pictures of the report")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def matrix(table: ScoreTable, path: Path) -> None:
    """Draw a truth-against-prediction matrix: colour is the share of the true class, figures are counts."""
    import numpy as np

    counts = np.asarray(table.values)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(14.0, 3.0 + 0.5 * len(table.index))
    figure, axes = _figure(side + 1, side)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    if len(table.index) <= MOST_CELLS:
        axes.set_xticks(range(len(table.columns)), table.columns, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(len(table.index)), table.index, parse_math=False)
        for y, x in np.ndindex(counts.shape):
            if counts[y, x]:
                axes.text(
                    x, y, f"{counts[y, x]:g}", ha="center", va="center", fontsize=8, color="white" if shares[y, x] > 0.55 else "#222222"
                )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("Confusion matrix, test split")
    with disk_errors(path):
        figure.savefig(path, dpi=120)


def learning_curves(steps: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], monitor: str, path: Path) -> None:
    """Draw the training loss of each step (and its running mean) with the monitored validation metric."""
    import numpy as np

    figure, axes = _figure(7.5, 4.2)
    if steps:
        x = np.asarray([s["step"] for s in steps])
        y = np.asarray([s["loss"] for s in steps], float)
        width = max(1, len(y) // 20)
        smooth = np.convolve(np.pad(y, (width - 1, 0), mode="edge"), np.ones(width) / width, mode="valid")
        axes.plot(x, y, color="#9ecae1", linewidth=0.8, label="loss of each step")
        axes.plot(x, smooth, color="#08519c", linewidth=1.8, label="training loss, running mean")
    axes.set_xlabel("step")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel("loss")
    right = axes.twinx()
    right.plot(
        [e["step"] for e in evaluations], [e[monitor] for e in evaluations], color="#d95f02", marker="o", label=f"validation {monitor}"
    )
    right.set_ylabel(monitor)
    lines = [*axes.get_lines(), *right.get_lines()]
    axes.legend(
        lines, [line.get_label() for line in lines], loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False, fontsize=8
    )
    axes.set_title("Learning curves")
    with disk_errors(path):
        figure.savefig(path, dpi=120)
