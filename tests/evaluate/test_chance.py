"""When classification does no better than chance, it is said."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.core import registry
from tunesmith.evaluate.chance import no_better
from tunesmith.evaluate.intervals import intervals


@pytest.mark.parametrize(("signal", "said"), [(0.0, True), (1.5, False)])
def test_noise_is_called_chance_and_signal_is_not(signal: float, said: bool) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 400)
    task = registry.create("tasks", "classification", {}).fit(["down", "up"] * 10)
    outputs = rng.normal(size=(400, 2)).astype(np.float32)
    outputs[np.arange(400), truth] += signal
    statistic = task.statistic(outputs, truth)
    scores = statistic(np.ones(400))
    found = intervals(statistic, 400, None, 0)
    sentence = no_better(scores, {"accuracy": max(truth.mean(), 1 - truth.mean())}, found.scores)
    assert (sentence is not None) == said
    if sentence:
        assert sentence.startswith("This does no better than chance: accuracy 0.")
        assert "AUROC" in sentence


def test_a_rare_class_that_is_ranked_well_is_no_chance() -> None:
    told = {"accuracy": (0.93, 0.97), "auroc": (0.8, 0.9)}
    assert no_better({"accuracy": 0.95, "auroc": 0.85}, {"accuracy": 0.95}, told) is None
