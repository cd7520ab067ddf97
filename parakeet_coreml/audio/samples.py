"""What audio is inside: mono float32 at 16 kHz, counted in whole samples. Pure."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    """Audio of shape (n,), -1 to 1, 16 kHz unless a rate is given beside it."""
else:
    # The recorder needs these numbers before the microphone runs, and NumPy must not load by then.
    Samples = object

SAMPLE_RATE = 16_000
"""Samples per second inside."""

HOP = 160
"""Samples per mel frame: 10 ms."""

SUBSAMPLING = 8
"""Mel frames per encoder frame."""

FRAME = HOP * SUBSAMPLING
"""Samples per encoder frame: 1,280, which is 80 ms."""

MODEL_WINDOW = 15 * SAMPLE_RATE
"""Longest window a Parakeet package takes: 15 s."""

MIN_RATE, MAX_RATE = 8_000, 384_000
"""Sample rates we accept, in Hz; outside, soxr can hang or a header is wrong."""

MAX_CHANNELS = 32
"""Channels we accept in a file; more means a wrong header."""


def to_samples(seconds: float) -> int:
    """Return the whole samples nearest to a time in seconds."""
    return round(seconds * SAMPLE_RATE)


def to_ms(samples: int) -> int:
    """Return the whole milliseconds of a sample count, rounded down."""
    return samples * 1000 // SAMPLE_RATE


def noise(count: int, rms: float, start: int = 0) -> "Samples":
    """Return white noise of shape (count,), always the same from `start`; `rms` is its loudness.

    Chris Wellons' `lowbias32` of the positions: `numpy.random` alone would cost 6 MiB of memory.
    """
    import numpy as np  # noqa: PLC0415  must not load before the microphone runs

    bits = np.arange(start + 1, start + count + 1, dtype=np.uint32)
    bits ^= bits >> 16
    bits *= np.uint32(0x7FEB352D)
    bits ^= bits >> 15
    bits *= np.uint32(0x846CA68B)
    bits ^= bits >> 16
    # Uniform from -1 to 1, whose RMS is one over the root of three.
    loud = bits.astype(np.float32) * np.float32(2.0**-31) - np.float32(1)
    return loud * np.float32(rms * 3**0.5)
