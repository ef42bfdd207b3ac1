"""What is done to the numbers of a series before a network reads them: pure functions on (channels, steps) arrays."""

from __future__ import annotations

from random import Random

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Floats

LEAST_SCALE = 1e-6
"""A channel that varies less than this share of its own size is constant: dividing by its spread would make noise of rounding."""


def filled(values: Floats) -> Floats:
    """Missing values between two others on the line between them, at the ends as the nearest one; channels without any value stay NaN.

    Example:
        >>> filled(np.array([[np.nan, 1, np.nan, 3]])).tolist()
        [[1.0, 1.0, 2.0, 3.0]]
    """
    there = np.isfinite(values)
    if there.all():
        return values
    found = values.copy()
    steps = np.arange(values.shape[1])
    for channel, known in zip(found, there, strict=True):
        if known.any():
            channel[~known] = np.interp(steps[~known], steps[known], channel[known])
    return found


def resampled(values: Floats, steps: int) -> Floats:
    """A series of another number of steps: means of what falls into each where there are fewer, the line between values where more.

    Example:
        >>> resampled(np.array([[1.0, 3, 5, 7]]), 2).tolist()
        [[2.0, 6.0]]
    """
    length = values.shape[1]
    if length == steps:
        return values
    if length < steps:
        places = np.linspace(0, length - 1, steps)
        return np.stack([np.interp(places, np.arange(length), channel) for channel in values]).astype(values.dtype)
    edges = np.linspace(0, length, steps + 1)
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1, dtype=np.float64)], axis=1)
    below = np.floor(edges).astype(np.int64)
    share = edges - below
    after = np.minimum(below + 1, length)
    until = sums[:, below] + share * (sums[:, after] - sums[:, below])  # the integral up to each edge
    found: Floats = (np.diff(until, axis=1) * (steps / length)).astype(values.dtype)
    return found


def levels(values: Floats) -> tuple[Floats, Floats]:
    """Mean and spread of each channel, (channels,) each; NaN of a channel without any value."""
    count = np.isfinite(values).sum(axis=1)
    known = np.where(np.isfinite(values), values, 0).astype(np.float64)
    mean = np.where(count > 0, known.sum(axis=1) / np.maximum(count, 1), np.nan)
    apart = np.where(np.isfinite(values), values - mean[:, None], 0)
    spread = np.where(count > 0, np.sqrt(np.square(apart).sum(axis=1) / np.maximum(count, 1)), np.nan)
    return mean, spread


def spread_of(mean: npt.NDArray[np.floating], spread: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Spreads to divide by: 1 where a channel is constant but for rounding."""
    wide = np.asarray(spread, np.float64)
    return np.where(wide > LEAST_SCALE * np.maximum(np.abs(mean), 1e-12), wide, 1.0)


def jittered(values: Floats, rng: Random, jitter: float, scaling: float) -> Floats:
    """Noise of `jitter` standard deviations on each value, and each channel times a factor that varies by `scaling`.

    Args:
        values: normalised, so that a standard deviation is about 1.
    """
    random = np.random.default_rng(rng.getrandbits(64))
    factor = np.exp(random.normal(0, scaling, (len(values), 1))) if scaling else 1.0
    noise = random.normal(0, jitter, values.shape) if jitter else 0.0
    return np.asarray(values * factor + noise, np.float32)


def warped(values: Floats, rng: Random, amount: float) -> Floats:
    """Time that runs faster here and slower there, by factors that vary by `amount`; beginning and end stay in place (Um et al. 2017)."""
    random = np.random.default_rng(rng.getrandbits(64))
    length = values.shape[1]
    knots = np.exp(random.normal(0, amount, 5))
    speed = np.interp(np.linspace(0, 4, length), np.arange(5), knots)
    moments = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    moments *= (length - 1) / max(moments[-1], 1e-9)
    return np.stack([np.interp(moments, np.arange(length), channel) for channel in values]).astype(values.dtype)


def hidden_span(length: int, rng: Random, share: float) -> slice:
    """A span of at most `share` of the steps, to be hidden from the network."""
    steps = int(rng.random() * share * length)
    start = rng.randrange(length - steps + 1)
    return slice(start, start + steps)
