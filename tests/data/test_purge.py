"""Purging and embargo against a count by hand of which labels reach where."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.data.purge import blocks, kept, span


def by_hand(times: dict[str, np.ndarray], ahead: int, wait: int) -> dict[str, list[bool]]:
    """One row a day: a label of day d is known on day d + ahead."""
    starts = {name: times[name].min() for name in ("validation", "test")}
    result: dict[str, list[bool]] = {}
    for name, values in times.items():
        later = [start for other, start in starts.items() if start > values.min()]
        result[name] = [
            all(day + ahead < start for start in later) and (name == "train" or day >= starts[name] + wait) for day in values.tolist()
        ]
    return result


@pytest.mark.parametrize(("ahead", "wait"), [(1, 0), (5, 3), (2, 7)])
def test_steps_and_days_and_a_column_say_the_same(ahead: int, wait: int) -> None:
    days = np.repeat(np.arange(60.0), 3)  # three series
    times = {"train": days[:90], "validation": days[90:135], "test": days[135:]}
    expected = by_hand(times, ahead, wait)
    known = {name: values + ahead for name, values in times.items()}
    seconds = {name: values * 86400 for name, values in times.items()}
    for found in (
        kept(times, None, span(str(ahead)), span(str(wait))),
        kept(times, known, span("known_on"), span(str(wait))),
        kept(seconds, None, span(f"{ahead}d"), span(f"{wait}d")),
    ):
        assert {name: flags.tolist() for name, flags in found.items()} == expected


def test_blocks_hold_what_overlaps() -> None:
    days = np.repeat(np.arange(40.0), 2)
    found = blocks(days, days + 5, span("until"))
    np.testing.assert_array_equal(found[:-12], (days // 10)[:-12])
    np.testing.assert_array_equal(blocks(days, None, span("5")), days // 10)
    np.testing.assert_array_equal(blocks(days * 86400, None, span("5d"))[:-12], (days // 10)[:-12])
