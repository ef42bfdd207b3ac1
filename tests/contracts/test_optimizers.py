"""Every registered optimizer on a small quadratic, every schedule against torch's own."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests.contracts.table import plain
from torch.optim import lr_scheduler
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from tunesmith.core import registry
from tunesmith.core.fitting import OptimizerSpec, Schedule

TOTAL = 200


def optimizer_named(name: str) -> OptimizerSpec:
    made: OptimizerSpec = registry.create("optimizers", name, {})
    return made


def schedule_named(name: str) -> Schedule:
    made: Schedule = registry.create("schedules", name, {})
    return made


@pytest.mark.parametrize("name", registry.entries("optimizers"))
def test_optimizer_minimises_a_quadratic(name: str) -> None:
    torch.manual_seed(0)
    spec = optimizer_named(name)
    inputs = torch.randn(64, 6)
    truth, shift = 0.05 * torch.randn(6, 3), 0.05 * torch.randn(3)
    targets = inputs @ truth + shift
    weight, bias = torch.nn.Parameter(torch.zeros(6, 3)), torch.nn.Parameter(torch.zeros(3))
    rate = spec.rate(2e-3)
    assert rate > 0
    decay = float(spec.settings().get("weight_decay", 0.0))
    groups: list[dict[str, Any]] = [
        {"params": [weight], "lr": rate, "base_lr": rate, "weight_decay": decay},
        {"params": [bias], "lr": rate, "base_lr": rate, "weight_decay": 0.0},
    ]
    optimizer = spec.build(groups)
    assert [group["base_lr"] for group in optimizer.param_groups] == [group["base_lr"] for group in groups]
    average = spec.average(optimizer)

    def loss() -> torch.Tensor:
        return (inputs @ weight + bias - targets).square().mean()

    start = float(loss().detach())
    for _ in range(600):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        if average is not None:
            average.update()
    if average is not None:
        average.enter()
    assert float(loss().detach()) < 0.05 * start


@pytest.mark.parametrize("room", ["optimizers", "schedules"])
def test_settings_rebuild_an_equal_one(room: str) -> None:
    for name in registry.entries(room):
        made = registry.create(room, name, {})
        assert registry.create(room, name, plain(made.settings())) == made


@pytest.mark.parametrize("name", registry.entries("schedules"))
@pytest.mark.parametrize("total", [1, 2, 7, TOTAL])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
def test_factor_is_a_share(name: str, total: int, warmup: float) -> None:
    schedule = schedule_named(name)
    patience = schedule.patience()
    assert patience is None or patience > 0
    for step, drops in itertools.product(range(total), (0, 1, 5)):
        assert 0 <= schedule.factor(step, total, warmup, drops) <= 1 + 1e-9


@pytest.mark.parametrize("name", registry.entries("schedules"))
def test_warmup_rises_from_almost_nothing_to_the_whole_rate(name: str) -> None:
    factors = [schedule_named(name).factor(step, TOTAL, 0.1, 0) for step in range(TOTAL)]
    top = factors.index(max(factors))
    assert factors[0] <= 0.05
    assert factors[:top] == sorted(factors[:top])
    assert max(factors) == pytest.approx(1)
    assert all(a >= b for a, b in itertools.pairwise(factors[top:]))


def rates(build: Any, steps: int) -> list[float]:
    """The rates a scheduler of torch gives, from a base rate of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, found = build(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


RISE = TOTAL // 10
FALLS: dict[str, Any] = {
    "constant": lambda o: lr_scheduler.ConstantLR(o, 1.0),
    "linear": lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, TOTAL - RISE),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL - RISE),
}


@pytest.mark.parametrize("name", FALLS)
def test_schedule_equals_torchs(name: str) -> None:
    """After the warmup; torch's LinearLR for the warmup itself."""
    factors = [schedule_named(name).factor(step, TOTAL, 0.1, 0) for step in range(TOTAL)]
    assert factors[:RISE] == pytest.approx(rates(lambda o: lr_scheduler.LinearLR(o, 1 / (RISE + 1), 1.0, RISE), RISE))
    assert factors[RISE:] == pytest.approx(rates(FALLS[name], TOTAL - RISE), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("constant", lambda o: get_constant_schedule_with_warmup(o, RISE)),
        ("linear", lambda o: get_linear_schedule_with_warmup(o, RISE, TOTAL)),
        ("cosine", lambda o: get_cosine_schedule_with_warmup(o, RISE, TOTAL)),
    ],
)
def test_schedule_equals_that_of_transformers_after_its_warmup(name: str, build: Any) -> None:
    factors = [schedule_named(name).factor(step, TOTAL, 0.1, 0) for step in range(TOTAL)]
    assert factors[RISE:] == pytest.approx(rates(build, TOTAL)[RISE:], abs=1e-9)


def test_one_cycle_equals_torchs() -> None:
    """torch counts a cycle of n steps from 0 to n - 1; ours would reach the end at step n, as the other schedules do."""
    factors = [schedule_named("one_cycle").factor(step, TOTAL, 0.0, 0) for step in range(TOTAL)]

    def build(optimizer: torch.optim.Optimizer) -> Any:
        top = (0.3 * TOTAL + 1) / (TOTAL + 1)
        return lr_scheduler.OneCycleLR(optimizer, 1.0, TOTAL + 1, pct_start=top, div_factor=25, final_div_factor=400, cycle_momentum=False)

    assert factors == pytest.approx(rates(build, TOTAL), abs=1e-9)


def test_plateau_falls_when_validation_stalls() -> None:
    schedule = registry.create("schedules", "plateau", {"drop": 0.5, "wait": 3})
    assert [schedule.factor(50, TOTAL, 0.1, drops) for drops in (0, 1, 2)] == pytest.approx([1, 0.5, 0.25])
    assert schedule.patience() == 3
