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
    mono = _mono(_sanitised(blocks, counts), round(rate / PIECES_PER_SECOND))
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


def _mono(blocks: Iterable[NDArray[np.float32]], size: int) -> Iterator[Samples]:
    """Pass mono on as it comes; mix more channels down in pieces of exactly `size` samples."""
    rest: NDArray[np.float32] | None = None
    for block in blocks:
        if block.ndim == 1 or block.shape[1] == 1:
            yield block.reshape(-1)
            continue
        # The mix depends on a piece's energy, so the pieces must not depend on the blocks.
        joined = block if rest is None else np.concatenate((rest, block))
        whole = len(joined) - len(joined) % size
        for start in range(0, whole, size):
            yield _mixed(joined[start : start + size])
        rest = joined[whole:]
    if rest is not None and len(rest):
        yield _mixed(rest)


def _mixed(piece: NDArray[np.float32]) -> Samples:
    """Return the mean of the channels, or the loudest one where the mean cancels it out.

    Opposite phase makes a mean of nothing, and one live channel among sixteen one of -24 dB.
    """
    exact = piece.astype(np.float64)
    mean: NDArray[np.float64] = exact.mean(axis=1)
    energies = np.square(exact).sum(axis=0)
    loudest = int(energies.argmax())
    if np.square(mean).sum() < CANCELLED * energies[loudest]:
        return np.ascontiguousarray(piece[:, loudest])
    return mean.astype(np.float32)
