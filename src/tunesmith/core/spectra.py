"""Spectra of sounds in numpy: short-time Fourier transform, bands of the mel scale, their logarithms.

    samples (n,) --frames of 25 ms every 10 ms--> |rfft|^2 --triangles on the mel scale--> bands --ln--> (frames, bands)

Frames are centred on multiples of the hop, the ends padded with zeros, so that n samples make ceil(n / hop) frames and a stretch of silence
behind a sound changes no frame but the last ones.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Floats

FRAME_SECONDS = 0.025
HOP_SECONDS = 0.01
FLOOR = 1e-8
"""Least power of a band: about what rounding to 16 bits leaves in a frame."""


def mel(hertz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Frequencies on the mel scale (O'Shaughnessy 1987): 2595 log10(1 + f / 700).

    Example:
        >>> round(float(mel(700.0)), 2)
        781.17
    """
    return 2595 * np.log10(1 + np.asarray(hertz, np.float64) / 700)


@functools.lru_cache(maxsize=16)
def mel_filters(rate: int, points: int, bands: int) -> Floats:
    """(points // 2 + 1, bands) triangles whose corners are equally far apart on the mel scale, each of height 1.

    Args:
        rate: samples a second.
        points: length of the Fourier transform.
        bands: how many.
    """
    corners = 700 * (10 ** (np.linspace(0, mel(rate / 2), bands + 2) / 2595) - 1)
    bins = np.linspace(0, rate / 2, points // 2 + 1)[:, None]
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    found: Floats = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return found


def lengths(rate: int) -> tuple[int, int, int]:
    """Samples of a frame and of a hop, and points of the Fourier transform.

    Example:
        >>> lengths(16000)
        (400, 160, 512)
    """
    frame = round(FRAME_SECONDS * rate)
    return frame, round(HOP_SECONDS * rate), 1 << (frame - 1).bit_length()


def frames_of(samples: int, rate: int) -> int:
    """How many frames so many samples make.

    Example:
        >>> frames_of(16000, 16000), frames_of(1, 16000)
        (100, 1)
    """
    hop = lengths(rate)[1]
    return -(-samples // hop)


def log_mel(samples: Floats, rate: int, bands: int) -> Floats:
    """Logarithms of the power in bands of the mel scale.

    Args:
        samples: (n,) between -1 and 1, n > 0.
        rate: samples a second.
        bands: how many.

    Returns:
        (ceil(n / hop), bands) natural logarithms.
    """
    frame, hop, points = lengths(rate)
    count = frames_of(len(samples), rate)
    padded = np.zeros((count - 1) * hop + frame, np.float32)
    start = (frame - hop) // 2
    padded[start : start + len(samples)] = samples[: len(padded) - start]
    cut = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop]  # (frames, frame)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(cut * window, points, axis=1)))  # (frames, points // 2 + 1)
    found: Floats = np.log(np.maximum(power.astype(np.float32) @ mel_filters(rate, points, bands), np.float32(FLOOR)))
    return found
