"""Turn audio of any rate and channel count into 16 kHz mono. Sole importer of soxr."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import MAX_RATE, MIN_RATE, SAMPLE_RATE, Samples

LOUDEST = 32_768.0
"""Samples are clipped to plus and minus this: a float file scaled like 16-bit PCM survives, 1e30
does not become infinite on the way."""

PIECES_PER_SECOND = 10
"""Channels are weighed against each other over 100 ms at a time."""

CANCELLED = 0.1
"""A mean with less than this share of the loudest channel's energy has cancelled it out."""

LAG = 1 / 8_000
"""Seconds between the samples whose second difference is taken for the voice."""

FADE = 0.95
"""What a piece's energy counts in the next one: half after 1.4 s."""

CHANGE = 1.5
"""Another channel is taken where it is so much louder; equal ones would take turns, and click."""


@dataclass(slots=True)
class Counts:
    """What went through, for the accounting at the end of a recording."""

    bad_samples: int = 0
    """Input values that were NaN or infinite and became 0."""


def to_16k(
    blocks: Iterable[NDArray[np.float32]], rate: int, *, counts: Counts
) -> Iterator[Samples]:
    """Return the blocks as mono audio at 16 kHz.

    Blocks have shape (n,) or (n, channels) at `rate` Hz, the same channel count throughout. However
    the input is cut into blocks, the joined output is the same bit for bit, and as long as the
    input to one sample. Raises `ValueError` for a rate outside `MIN_RATE` to `MAX_RATE`: soxr never
    comes back from NaN.
    """
    if not (math.isfinite(rate) and MIN_RATE <= rate <= MAX_RATE):
        raise ValueError(f"rate of {rate} Hz")
    mono = _mono(_sanitised(blocks, counts), rate)
    return mono if rate == SAMPLE_RATE else _resampled(mono, rate)


def _resampled(blocks: Iterable[Samples], rate: int) -> Iterator[Samples]:
    """Resample mono blocks in one stream: a filter for each block would click at its edges."""
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in blocks:
        out = stream.resample_chunk(block)
        if out.size:
            yield out
    out = stream.resample_chunk(np.empty(0, np.float32), last=True)
    if out.size:
        yield out


def _sanitised(
    blocks: Iterable[NDArray[np.float32]], counts: Counts
) -> Iterator[NDArray[np.float32]]:
    """Replace what is not finite by 0 and clip what is huge; skip empty blocks."""
    for block in blocks:
        if not block.size:
            continue
        finite = np.isfinite(block)
        bad = block.size - int(np.count_nonzero(finite))
        counts.bad_samples += bad
        clean = np.where(finite, block, np.float32(0)) if bad else block
        yield np.clip(clean, np.float32(-LOUDEST), np.float32(LOUDEST))


def _mono(blocks: Iterable[NDArray[np.float32]], rate: float) -> Iterator[Samples]:
    """Pass mono on as it comes; mix more channels down in pieces of exactly 100 ms."""
    size = round(rate / PIECES_PER_SECOND)
    mixer = _Mixer(max(1, round(rate * LAG)))
    rest: NDArray[np.float32] | None = None
    for block in blocks:
        if block.ndim == 1 or block.shape[1] == 1:
            yield block.reshape(-1)
            continue
        # The mix depends on a piece's energy, so the pieces must not depend on the blocks.
        joined = block if rest is None else np.concatenate((rest, block))
        whole = len(joined) - len(joined) % size
        for start in range(0, whole, size):
            yield mixer.mixed(joined[start : start + size])
        rest = joined[whole:]
    if rest is not None and len(rest):
        yield mixer.mixed(rest)


class _Mixer:
    """Takes the mean of the channels, or one of them where the mean cancels its voice out.

    Opposite phase makes a mean of nothing, and one live channel among sixteen one of -24 dB. What
    is compared is the voice: hum is the same in both wires of a balanced plug, and louder.
    """

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._mean = 0.0
        self._energies: NDArray[np.float64] | None = None
        self._channel = 0

    def mixed(self, piece: NDArray[np.float32]) -> Samples:
        """Return one piece of shape (n, channels) as mono."""
        exact = piece.astype(np.float64)
        mean: NDArray[np.float64] = exact.mean(axis=1)
        alone = np.square(self._voice(mean)).sum()
        energies = np.square(self._voice(exact)).sum(axis=0)
        # Loud pieces decide for the quiet ones behind them, or pauses would switch back and forth.
        self._mean = FADE * self._mean + float(alone)
        self._energies = energies + (0 if self._energies is None else FADE * self._energies)
        loudest = int(self._energies.argmax())
        if self._energies[loudest] > CHANGE * self._energies[self._channel]:
            self._channel = loudest
        if alone < CANCELLED * energies.max() or self._mean < CANCELLED * self._energies[loudest]:
            return np.ascontiguousarray(piece[:, self._channel])
        return mean.astype(np.float32)

    def _voice(self, sound: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is left without hum and offset: 50 Hz lies 52 dB below 1 kHz."""
        lag = self._lag
        if len(sound) <= 2 * lag:
            return sound
        return sound[2 * lag :] - 2 * sound[lag:-lag] + sound[: -2 * lag]
