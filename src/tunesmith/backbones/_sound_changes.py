"""Random changes of sounds in training: speed, loudness, noise, a late start, and stretches and bands that are hidden (SpecAugment).

All are drawn from the generator of the row and epoch, so that a resumed run hears the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tunesmith.core.arrays import Floats

Generator = np.random.Generator


@dataclass(frozen=True)
class Masks:
    """Stretches and bands of a spectrum that are hidden (SpecAugment, Park et al. 2019).

    Attributes:
        count: how many of each kind.
        time: greatest share of the frames that one hides.
        bands: greatest share of the bands that one hides.
        rng: draws them.
    """

    count: int
    time: float
    bands: float
    rng: Generator

    def spectrum(self, values: Floats, real: int, fill: float) -> Floats:
        """A spectrum with hidden parts.

        Args:
            values: (frames, bands).
            real: how many frames are no padding.
            fill: stands in their place.
        """
        found = values.copy()
        for start, stop in self._drawn(real, self.time):
            found[start:stop] = fill
        for start, stop in self._drawn(values.shape[1], self.bands):
            found[:real, start:stop] = fill
        return found

    def wave(self, values: Floats) -> Floats:
        """(n,) samples with hidden stretches."""
        found = values.copy()
        for start, stop in self._drawn(len(values), self.time):
            found[start:stop] = 0
        return found

    def _drawn(self, length: int, share: float) -> list[tuple[int, int]]:
        sizes = self.rng.integers(0, int(length * share) + 1, self.count)
        return [(start, start + int(size)) for size in sizes for start in [int(self.rng.integers(0, length - size + 1))]]


def faster(wave: Floats, factor: float) -> Floats:
    """The wave played so much faster, and higher, by linear interpolation.

    Example:
        >>> faster(np.arange(6, dtype=np.float32), 2.0).tolist()
        [0.0, 2.0, 4.0]
    """
    count = max(1, int(len(wave) / factor))
    found: Floats = np.interp(np.arange(count) * factor, np.arange(len(wave)), wave).astype(np.float32)
    return found


def louder(wave: Floats, decibels: float) -> Floats:
    """The wave at another loudness.

    Example:
        >>> louder(np.ones(1, np.float32), 20.0).tolist()
        [10.0]
    """
    return wave * np.float32(10 ** (decibels / 20))


def noisy(wave: Floats, snr: float, rng: Generator) -> Floats:
    """The wave with white noise; a silent one stays as it is.

    Args:
        wave: (n,) samples.
        snr: power of the wave over that of the noise, in decibels.
        rng: makes the noise.
    """
    level = np.sqrt(float(np.square(wave, dtype=np.float64).mean()) / 10 ** (snr / 10))
    return wave + rng.standard_normal(len(wave), np.float32) * np.float32(level)


def later(wave: Floats, samples: int) -> Floats:
    """The wave behind so many samples of silence."""
    return np.concatenate([np.zeros(samples, np.float32), wave])
