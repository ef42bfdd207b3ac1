"""Differences against closed forms and simulation, McNemar by hand, and verdicts whose answer is known."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tunesmith.core import registry
from tunesmith.core.outcomes import Outcome
from tunesmith.evaluate.paired import Contender, bootstrapped, jackknifed, least_p, mcnemar, replicated, right, verdict

RNG = np.random.default_rng(0)


def weightings(unit: np.ndarray, replicates: int = 1000, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each row counts where units are drawn, a hundred replicates at a time."""
    rng, count = np.random.default_rng(seed), int(unit.max()) + 1
    for _ in range(replicates // 100):
        yield rng.multinomial(count, np.full(count, 1 / count), 100)[:, unit].astype(float)


def mean_of(values: np.ndarray) -> Any:
    return lambda weights: weights @ values / weights.sum(axis=1)


def contender(name: str, values: np.ndarray, seconds: float = 10.0, validation: float | None = 0.5, **others: Any) -> Contender:
    kind = "adapter" if name == "lora" else "baseline"
    return Contender(name, kind, mean_of(values), float(values.mean()), validation, seconds, **others)


def test_the_interval_of_a_mean_difference_is_the_normal_one() -> None:
    n = 400
    one, other = RNG.random((2, n)) < 0.8
    scores = replicated({"one": mean_of(one), "other": mean_of(other)}, weightings(np.arange(n), 4000))
    difference = float(one.mean() - other.mean())
    found = bootstrapped(difference, scores["one"] - scores["other"], n)
    error = (one.astype(float) - other).std() / math.sqrt(n)
    assert found.low == pytest.approx(difference - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(difference + 1.96 * error, abs=0.1 * error)
    assert found.p == pytest.approx(math.erfc(abs(difference) / error / math.sqrt(2)), abs=0.05)
    blocks = np.ones((100, n)) - np.kron(np.eye(100), np.ones((1, n // 100)))
    scores = replicated({"one": mean_of(one), "other": mean_of(other)}, [blocks])
    large = jackknifed(difference, scores["one"] - scores["other"])
    assert large.high - large.low == pytest.approx(2 * 1.98 * error, rel=0.2)


def test_what_both_find_hard_falls_out() -> None:
    hard = RNG.random(300) < 0.4
    one, other = np.where(hard, 0.0, 1.0), np.where(hard, 0.0, 1.0)
    other[:3] = 1 - other[:3]
    scores = replicated({"one": mean_of(one), "other": mean_of(other)}, weightings(np.arange(300)))
    paired = bootstrapped(0.0, scores["one"] - scores["other"], 300)
    assert paired.high - paired.low < (np.quantile(scores["one"], 0.975) - np.quantile(scores["one"], 0.025)) / 3


def test_groups_make_the_interval_wider() -> None:
    unit = np.repeat(np.arange(30), 10)
    gain = RNG.standard_normal(30)[unit]
    widths = []
    for units in (np.arange(300), unit):
        scores = replicated({"a": mean_of(gain), "b": mean_of(np.zeros(300))}, weightings(units))
        found = bootstrapped(float(gain.mean()), scores["a"] - scores["b"], int(units.max()) + 1)
        widths.append(found.high - found.low)
    assert widths[1] / widths[0] == pytest.approx(math.sqrt(10), rel=0.15)


def test_p_is_uniform_where_there_is_no_difference() -> None:
    found = []
    for seed in range(200):
        gain = np.random.default_rng(seed).standard_normal(60)
        scores = np.concatenate([mean_of(gain)(w) for w in weightings(np.arange(60), 400, seed)])
        found.append(bootstrapped(float(gain.mean()), scores, 60).p)
    assert 0.01 < np.mean(np.array(found) < 0.05) < 0.1
    assert 0.4 < np.mean(np.array(found) < 0.5) < 0.6


def test_few_units_have_the_interval_and_p_of_students_t() -> None:
    gain = np.random.default_rng(3).standard_normal(8) + 0.8
    scores = np.concatenate([mean_of(gain)(w) for w in weightings(np.arange(8), 20_000)])
    found, reference = bootstrapped(float(gain.mean()), scores, 8), stats.ttest_1samp(gain, 0)
    assert found.p == pytest.approx(reference.pvalue, rel=0.1)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval()), abs=0.02)


def test_equal_contenders_have_p_1_and_undefined_replicates_are_left_out() -> None:
    assert bootstrapped(0.0, np.zeros(99), 50).p == 1
    assert bootstrapped(1.0, np.array([1.0, np.nan, 1.2, 0.8]), 50).replicates == 3
    assert np.isnan(bootstrapped(1.0, np.full(3, np.nan), 50).p)


@pytest.mark.parametrize("units", [3, 5, 10, 20, 50])
def test_equals_are_rarely_said_to_be_better(units: int) -> None:
    """At most 2.5 of 100 times and what 1,000 trials add by chance; percentile intervals would say so 13, 9, 5, 3.5, 4 times."""
    rng = np.random.default_rng(units)
    draws = list(weightings(np.arange(units), 300))
    said = 0
    for _ in range(1000):
        base = rng.random(units)
        both = [contender("lora", base + rng.standard_normal(units)), contender("probe", base)]
        said += verdict(both, "lora", ("mae", "max"), draws, units=units).worth == "yes"
    assert said <= (0 if units <= 5 else 40)


@pytest.mark.parametrize("units", [5, 20, 50])
def test_equal_classes_are_rarely_said_to_be_better(units: int) -> None:
    rng = np.random.default_rng(units)
    draws = list(weightings(np.arange(units), 300))
    said = 0
    for _ in range(400):
        one, other = rng.random((2, units)) < 0.8
        both = [contender(name, flags.astype(float), right=flags) for name, flags in (("lora", one), ("probe", other))]
        found = verdict(both, "lora", ("accuracy", "max"), draws, units=units)
        said += found.worth == "yes"
        if found.p is None:  # every row favours the same one
            assert found.worth == "unclear"
            continue
        assert found.p >= found.mcnemar
        assert (found.p < 0.05) == (not found.interval[0] <= 0 <= found.interval[1])
    assert said <= 14  # 10 and little more


def test_p_is_no_smaller_than_so_few_units_allow() -> None:
    assert [least_p(units) for units in (1, 2, 5, 10)] == [1, 0.5, 0.0625, 2 / 1024]
    one = np.array([True] * 4 + [False] * 40)
    assert least_p(44, one, np.zeros(44, bool)) == 0.125
    assert least_p(2, one, np.zeros(44, bool)) == 0.5
    macro = [contender("lora", one.astype(float), right=one), contender("probe", np.zeros(44), right=np.zeros(44, bool))]
    found = verdict(macro, "lora", ("macro_f1", "max"), weightings(np.arange(44)), units=44)
    assert (found.worth, found.p, found.interval[0]) == ("unclear", 0.125, 0)


@pytest.mark.parametrize(("gain", "units", "why"), [([1.0], 1, "a single row"), ([1.0] * 20, 1, "a single"), ([1.0] * 20, 20, "the same")])
def test_what_does_not_vary_proves_nothing(gain: list[float], units: int, why: str) -> None:
    rows = len(gain)
    unit = np.arange(rows) if units == rows else np.zeros(rows, np.int64)
    both = [contender("lora", np.array(gain)), contender("probe", np.zeros(rows))]
    for method in ("bootstrap", "jackknife"):
        found = verdict(both, "lora", ("accuracy", "max"), weightings(unit), method, units=units)
        assert (found.worth, found.interval, found.p) == ("unclear", None, None)
        assert why in found.sentence
        assert json.loads(json.dumps(found.plain()))["p"] is None


def test_groups_have_no_mcnemar() -> None:
    one, other = RNG.random((2, 100)) < 0.7
    both = [contender(name, flags.astype(float), right=flags) for name, flags in (("lora", one), ("probe", other))]
    found = verdict(both, "lora", ("accuracy", "max"), weightings(np.arange(100) // 10), units=10)
    assert found.mcnemar is None


def test_mcnemar_by_hand() -> None:
    one = np.array([True] * 9 + [False] * 2 + [True] * 50)
    other = np.array([False] * 9 + [True] * 2 + [True] * 50)
    tail = sum(math.comb(11, k) for k in (0, 1, 2)) / 2**11
    assert mcnemar(one, other) == pytest.approx(2 * tail)
    assert mcnemar(one, one) == 1


def answers(share: float, n: int = 500, seed: int = 1) -> np.ndarray:
    """Right answers in order of a hardness that all contenders share, but for a tenth of them."""
    rng = np.random.default_rng(seed)
    found = np.zeros(n)
    found[: int(share * n)] = 1
    found[rng.choice(n, n // 10, replace=False)] = rng.integers(0, 2, n // 10)
    return found


def test_worth_it() -> None:
    lora, probe = answers(0.9), answers(0.7, seed=2)
    found = verdict(
        [
            contender("lora", lora, 220, right=lora > 0),
            contender("probe", probe, 8, 0.7, right=probe > 0),
            contender("constant", answers(0.3), 1, 0.3),
        ],
        "lora",
        ("accuracy", "max"),
        weightings(np.arange(500)),
        units=500,
    )
    assert (found.worth, found.against, found.chosen, found.cost) == ("yes", "probe", "validation", 27.5)
    assert found.difference == pytest.approx(lora.mean() - probe.mean())
    assert found.interval is not None
    assert found.interval[0] > 0
    assert found.mcnemar == mcnemar(lora > 0, probe > 0)
    assert found.sentence.startswith("lora scored 0.")
    assert "in 220 s; probe scored 0." in found.sentence
    assert found.sentence.endswith("p < 0.001): adapting paid here, at 28 times the seconds.")
    assert json.loads(json.dumps(found.plain()))["interval"] == list(found.interval)


def test_not_worth_it() -> None:
    lora, probe = answers(0.8), answers(0.81, seed=2)
    draws = list(weightings(np.arange(500)))
    found = verdict([contender("lora", lora, 220), contender("probe", probe, 8)], "lora", ("accuracy", "max"), draws, units=500)
    assert found.worth == "no"
    assert found.mcnemar is None
    assert found.sentence.endswith(f"no gain was shown (p = {found.p:.2g}); the cheap one costs 28 times less.")
    found = verdict([contender("lora", lora, 8), contender("probe", probe, 8)], "lora", ("accuracy", "max"), draws, units=500)
    assert found.worth == "unclear"
    assert found.sentence.endswith("and the cheap one costs no less.")
    worse = [contender("lora", answers(0.6), 220), contender("probe", probe, 8)]
    found = verdict(worse, "lora", ("accuracy", "max"), draws, units=500)
    assert found.worth == "no"
    assert found.interval[1] < 0
    assert found.sentence.endswith("adapting is worse here; ship the cheap one, which costs 28 times less.")


def test_few_rows_leave_it_unclear() -> None:
    lora, probe = np.array([1.0] * 8 + [0, 0]), np.array([1.0] * 7 + [0, 0, 0])
    found = verdict(
        [contender("lora", lora, 220), contender("probe", probe, 8)], "lora", ("accuracy", "max"), weightings(np.arange(10)), units=10
    )
    assert found.worth == "unclear"
    assert "may be chance" in found.sentence


def test_less_may_be_better() -> None:
    error = RNG.random(200)
    better = [contender("lora", 0.5 * error), contender("a", error, validation=0.2), contender("b", 3 * error, validation=0.9)]
    found = verdict(better, "lora", ("mae", "min"), weightings(np.arange(200)), units=200)
    assert (found.worth, found.against) == ("yes", "a")
    assert found.difference is not None
    assert found.difference < 0
    worse = [contender("lora", 2 * error), contender("a", error)]
    assert verdict(worse, "lora", ("mae", "min"), weightings(np.arange(200)), units=200).worth == "no"


def test_a_baseline_chosen_by_the_test_rows_is_allowed_for() -> None:
    lora = answers(0.8)
    cheap = [contender(name, answers(0.72, seed=seed), validation=None) for seed, name in enumerate("abcd", 2)]
    found = verdict([contender("lora", lora), *cheap], "lora", ("accuracy", "max"), weightings(np.arange(500)), units=500)
    best = max(cheap, key=lambda item: item.test)
    alone = verdict(
        [contender("lora", lora), contender(best.name, answers(0.72, seed="abcd".index(best.name) + 2), validation=0.1)],
        "lora",
        ("accuracy", "max"),
        weightings(np.arange(500)),
        units=500,
    )
    assert (found.chosen, found.against) == ("test", best.name)
    assert found.p == pytest.approx(min(1, 4 * alone.p))
    assert found.interval[1] - found.interval[0] > alone.interval[1] - alone.interval[0]
    assert "the best of 4 by the test rows" in found.sentence


def test_without_a_baseline_nothing_is_claimed() -> None:
    found = verdict([contender("lora", answers(0.8))], "lora", ("accuracy", "max"), weightings(np.arange(500)), units=500)
    assert (found.worth, found.against) == ("unclear", None)
    assert json.dumps(found.plain())


def test_right_and_wrong_follow_the_tasks_own_decoding() -> None:
    task = registry.create("tasks", "classification", {}).fit(["no", "yes", "no"])
    outcome = Outcome(np.arange(3), np.array([[2, 1], [0, 1], [0, 3]], np.float32), np.array([0, 0, 1]))
    assert right(task, outcome).tolist() == [True, False, True]
    numbers = registry.create("tasks", "regression", {}).fit([1.0, 2.0])
    assert right(numbers, Outcome(np.arange(2), np.zeros((2, 1), np.float32), np.zeros(2))) is None
