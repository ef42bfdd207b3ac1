"""Reading sounds: wav, flac, ogg (Vorbis and Opus) and mp3 by libsndfile, from a path or from bytes, as one channel at a wanted rate.

    "calls/0001.flac" (44,100 a second, stereo)  ->  Outline(frames=..., rate=44100, channels=2)
                                                 ->  float32 (n,) between -1 and 1 at 16,000 a second

Channels are averaged. Only the stretch that is asked for is read and resampled, so that a recording of an hour costs as little as what
is read of it. `heard` goes through a whole recording in pieces and tells what a person should know of it.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.arrays import Floats
from tunesmith.core.errors import RowError, require

PIECE = 1 << 18
"""Samples that are read at once."""

EDGE = 256
"""Samples at each end of a stretch by which a resampler still hears where it was cut."""

MOST_FRAMES = 1 << 40
"""More than any recording has: some streams do not tell their length, and libsndfile then names the greatest number it knows."""

LEAST_READ = 0.9
"""Share of the samples a header promises that must be there; a few less are what encoders cut from the ends."""

FULL_SCALE = 0.999
"""A sample is at full scale from here on; rounding to 16 bits leaves the loudest ones a little below 1."""

CLIPPED = 0.001
"""Share of samples at full scale, in runs of at least three, from which a recording counts as clipped."""


@dataclass(frozen=True)
class Outline:
    """What a sound's header says.

    Attributes:
        frames: samples of each channel.
        rate: samples a second.
        channels: how many.
    """

    frames: int
    rate: int
    channels: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.frames / self.rate

    def at(self, rate: int) -> int:
        """How many samples it has at another rate."""
        return -(-self.frames * rate // self.rate)


@dataclass(frozen=True)
class Heard:
    """What listening to a whole recording tells.

    Attributes:
        outline: what its header says.
        peak: greatest distance from 0; 1 is full scale.
        clipped: share of samples that stand at full scale, three or more in a row.
        power: mean square of all samples.
    """

    outline: Outline
    peak: float
    clipped: float
    power: float

    @property
    def silent(self) -> bool:
        """Whether nothing can be heard: no sample above what rounding to 16 bits makes of nothing."""
        return self.peak <= 1 / 32768


def outline(value: Any, column: str) -> Outline:
    """Read a sound's header.

    Args:
        value: path of a file, or the bytes of one.
        column: where the value stands, for the message.

    Raises:
        RowError: missing, empty, of no known format, or without a sample.
    """
    with _opened(value, column) as file:
        return _outline(file, value, column)


def read_sound(value: Any, column: str, rate: int, start: int = 0, count: int | None = None) -> Floats:
    """A sound, or a stretch of it, as one channel.

    Args:
        value: path of a file, or the bytes of one.
        column: where the value stands, for messages.
        rate: samples a second that are wanted.
        start: first sample, at that rate.
        count: how many; None for all that follow.

    Returns:
        (n,) float32 between -1 and 1; `count` samples unless the sound ends before.

    Raises:
        RowError: as `outline`; or it is damaged, or holds what is not a number.
    """
    soxr = require("soxr", "sounds")
    with _opened(value, column) as file, _damage(value, column):
        told = _outline(file, value, column)
        wanted = told.at(rate) - start if count is None else min(count, told.at(rate) - start)
        before = start - _aligned(start, told.rate, rate)
        first = (start - before) * told.rate // rate
        most = min(told.frames - first, -(-(before + wanted + EDGE) * told.rate // rate))
        if first:
            file.seek(first)
        samples = file.read(most, dtype="float32", always_2d=True)
    _whole(len(samples), most, value, column)
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if not np.isfinite(mono).all():
        raise RowError(f"the sound {_shown(value)} holds values that are no numbers", column)
    if told.rate != rate:
        mono = soxr.resample(mono, told.rate, rate)
    mono = mono[before : before + wanted]
    found: Floats = np.zeros(wanted, np.float32)  # what an encoder cut from the end is silence
    found[: len(mono)] = mono
    return found


def _aligned(start: int, own: int, rate: int) -> int:
    """The sample to read from, so that it falls on one of the file's own and the resampler's beginning lies before what is wanted.

    Example:
        >>> _aligned(4000, 44_100, 16_000), _aligned(100, 44_100, 16_000), _aligned(4000, 8000, 8000)
        (3680, 0, 4000)
    """
    period = rate // math.gcd(rate, own)
    return start if own == rate else max(0, (start - EDGE) // period * period)


def heard(value: Any, column: str) -> Heard:
    """Listen to a whole recording, a piece at a time.

    Args:
        value: path of a file, or the bytes of one.
        column: where the value stands, for messages.

    Raises:
        RowError: as `read_sound`.
    """
    peak = power = 0.0
    count = full = 0
    with _opened(value, column) as file, _damage(value, column):
        told = _outline(file, value, column)
        while len(piece := file.read(max(1, PIECE // told.channels), dtype="float32", always_2d=True)):
            loud = np.abs(piece)
            most = float(loud.max())
            if not np.isfinite(most):
                raise RowError(f"the sound {_shown(value)} holds values that are no numbers", column)
            peak = max(peak, most)
            power += float(np.square(piece, dtype=np.float64).mean(axis=1).sum())
            at_top = loud >= FULL_SCALE
            full += int((at_top[:-2] & at_top[1:-1] & at_top[2:]).any(axis=1).sum())
            count += len(piece)
    _whole(count, told.frames, value, column)
    return Heard(told, peak, full / count, power / count)


def _outline(file: Any, value: Any, column: str) -> Outline:
    frames = int(file.frames)
    if frames > MOST_FRAMES:
        raise RowError(f"the sound {_shown(value)} does not tell its length; write it anew, to wav or flac", column)
    if frames == 0:
        raise RowError(f"the sound {_shown(value)} has a header but not one sample", column)
    promised = _promised(value)
    if promised is not None:
        raise RowError(
            f"the sound {_shown(value)} is cut off: its header tells of {promised[0]:,} bytes, {promised[1]:,} are there", column
        )
    return Outline(frames, int(file.samplerate), int(file.channels))


def _promised(value: Any) -> tuple[int, int] | None:
    """Bytes that a wav file's header tells of and that are there, where too many are missing: libsndfile says nothing of it."""
    if isinstance(value, bytes):
        start, there = value[:12], len(value)
    else:
        with Path(value).open("rb") as handle:
            start, there = handle.read(12), Path(value).stat().st_size
    if start[:4] != b"RIFF" or start[8:12] != b"WAVE":
        return None
    told = struct.unpack("<I", start[4:8])[0] + 8
    streamed = told <= 8 or told >= 0x7FFFFFFF  # written to a pipe, where the length was not known
    return None if streamed or there >= LEAST_READ * told else (told, there)


def _whole(count: int, promised: int, value: Any, column: str) -> None:
    """Refuse a sound of which too much is missing.

    Raises:
        RowError: it is.
    """
    if count < LEAST_READ * promised:
        raise RowError(f"the sound {_shown(value)} is damaged: only {count:,} of {promised:,} samples can be read", column)


@contextmanager
def _opened(value: Any, column: str) -> Iterator[Any]:
    soundfile = require("soundfile", "sounds")
    if value is None or value in ("", b""):
        raise RowError("the sound is missing", column)
    if isinstance(value, str):
        path = Path(value)
        if not path.is_file():
            raise RowError(f"the sound {_shown(value)} does not exist", column)
        if path.stat().st_size == 0:
            raise RowError(f"the sound {_shown(value)} is empty (0 bytes)", column)
    try:
        file = soundfile.SoundFile(io.BytesIO(value) if isinstance(value, bytes) else value)
    except soundfile.LibsndfileError as error:
        raise RowError(f"{_shown(value)} is no sound that can be read ({error.error_string.rstrip('.')})", column) from None
    except TypeError:  # an ending (.raw) that libsndfile reads only when it is told the rate
        raise RowError(f"{_shown(value)} is no sound that can be read", column) from None
    with file:
        yield file


@contextmanager
def _damage(value: Any, column: str) -> Iterator[None]:
    soundfile = require("soundfile", "sounds")
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise RowError(f"the sound {_shown(value)} is damaged ({error.error_string.rstrip('.')})", column) from None


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return value if len(value) <= 200 else f"{value[:200]}..."
