"""Too little memory and too little time: what the loop does, and that the result stays what it should be."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.test_loop import bench, furthest, weights_of

from tunesmith.core.fitting import Callback, Progress
from tunesmith.engine.batches import Plan
from tunesmith.recipe import seconds

SCRIPT = """
import json, resource, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from tests.engine.test_limits import Told
from tests.engine.test_loop import bench, weights_of
from tunesmith.core.errors import TrainingError
from tunesmith.engine.batches import Loader, Plan

checkpoints, folder, megabytes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
made = bench(checkpoints)
rows = [{**row, "text": " ".join([row["text"]] * 8)} for row in made.rows] * 20
made.loader.examples.rows, made.loader.examples.targets = rows, [made.targets[i % 40] for i in range(len(rows))]
made.loader.plan = Plan(np.arange(len(rows)), np.full(len(rows), 64), 800, 1, 3)
made.setup.loss(made.model, made.loader.collate([made.loader.examples[0, None]]), "main").backward()  # threads and pools are there now
made.model.zero_grad()
if len(sys.argv) > 4:  # one row that is as large as all of them
    whole = {**made.loader.collate([made.loader.examples[i, None] for i in range(len(rows))]), "row": [7]}
    made.setup.batches = lambda *_: iter([[whole]])
if megabytes:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + megabytes * 2**20, resource.RLIM_INFINITY))
loop = made.loop(folder, epochs=1)
told = Told()
loop.callbacks = [told]
try:
    loop.run(1)
except TrainingError as error:
    told.texts.append(f"error: {error}")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
torch.save(weights_of(made.model), folder / "weights.pt")
print(json.dumps({"halvings": loop.progress.halvings, "texts": told.texts, "step": loop.progress.step}))
"""


class Told(Callback):
    """Keeps what the loop says."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.totals: list[int] = []

    def noticed(self, progress: Progress, text: str) -> None:
        self.texts.append(text)

    def step_end(self, progress: Progress, values: Any) -> None:
        self.totals.append(progress.total_steps)


def limited(checkpoints: Path, folder: Path, megabytes: int, *more: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(checkpoints), str(folder), str(megabytes), *more],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1]), torch.load(folder / "weights.pt", weights_only=True)


def test_a_batch_that_does_not_fit_is_computed_in_smaller_pieces(checkpoints: Path, tmp_path: Path) -> None:
    free, expected = limited(checkpoints, tmp_path / "free", 0)
    tight, found = limited(checkpoints, tmp_path / "tight", 100)
    assert free["halvings"] == 0
    assert tight["halvings"] >= 1
    assert tight["step"] == free["step"] == 1
    assert f"{2 ** tight['halvings']} times as many pieces" in tight["texts"][-1]
    assert furthest(expected, found) < 1e-5


def test_a_row_that_does_not_fit_ends_the_run_with_advice(checkpoints: Path, tmp_path: Path) -> None:
    found, _ = limited(checkpoints, tmp_path / "none", 50, "single")
    assert found["texts"][-1].startswith("error: memory ran out in step 1 with a single row (number 7)")
    assert "--gradient-checkpointing" in found["texts"][-1]


def test_pieces_keep_to_their_budget_and_batches_stay() -> None:
    import numpy as np

    sizes = np.random.default_rng(0).integers(1, 100, 500)
    plain = Plan(np.arange(500), sizes, 32, 1, 0)
    for budget, halvings in ((400, 0), (1000, 0), (1000, 2)):
        plan = Plan(np.arange(500), sizes, 32, 1, 0, budget=budget)
        for whole, pieces in zip(plain.epoch(3), plan.epoch(3, halvings=halvings), strict=True):
            np.testing.assert_array_equal(np.concatenate(whole), np.concatenate(pieces))
            assert all(len(piece) == 1 or len(piece) * sizes[piece].max() <= budget * 1.5 / 2**halvings for piece in pieces)
    shares = Plan(np.arange(500), sizes, 32, 2, 0, budget=700, processes=2)
    assert {len(batch) % 2 for batch in shares.epoch(0)} == {0}


def test_training_ends_within_its_time_and_the_rate_falls_to_its_end(checkpoints: Path, tmp_path: Path) -> None:
    made = bench(checkpoints)
    loop = made.loop(tmp_path, epochs=10_000, seconds=3.0)
    told = Told()
    loop.callbacks = [told]
    started = time.perf_counter()
    progress = loop.run(len(made.loader.plan))
    assert time.perf_counter() - started < 4.5
    assert progress.stop is not None
    assert "time limit" in progress.stop
    assert progress.history[-1]["step"] == progress.step, "what was trained last was evaluated"
    assert 1 < progress.step < 10_000 * len(made.loader.plan)
    assert told.totals[-1] - progress.step <= 2 + 0.05 * progress.step, "the schedule ended where training did"


def test_a_limit_that_is_never_reached_changes_nothing(checkpoints: Path, tmp_path: Path) -> None:
    results = []
    for name, limit in (("with", 600.0), ("without", None)):
        made = bench(checkpoints)
        progress = made.loop(tmp_path / name, seconds=limit).run(len(made.loader.plan))
        assert progress.stop is None
        results.append(weights_of(made.model))
    assert furthest(*results) == 0.0


@pytest.mark.parametrize("text", ["", "0", "10x", "-3m", "m"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time_limit"):
        seconds(text)
