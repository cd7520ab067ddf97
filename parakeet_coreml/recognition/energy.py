"""Where speech is: adaptive energy floor, pauses, ends. Pure.

Energy decides where to cut and where speech ends. It never deletes speech: only a window far below
any voice (`is_silence`) is kept from the model. Levels are RMS per *tick* of 20 ms, with the tick's
mean removed, so that a constant offset of the microphone is not sound.
"""

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples

TICK = SAMPLE_RATE // 50
"""Samples per level: 20 ms."""

Levels = NDArray[np.float32]
"""RMS per tick, shape (ticks,)."""

FLOOR_MIN, FLOOR_MAX = 0.0005, 0.02
"""A quiet room is no quieter, and a floor above this would be speech itself."""

START, END = 2.0, 1.41
"""Speech starts 6 dB above the floor and goes on until it stays below 3 dB above it."""

START_TICKS, END_TICKS = 3, 15
"""60 ms of sound start speech, 300 ms of quiet end it."""

TAIL = SAMPLE_RATE // 5
"""Kept after the last voiced tick: soft ends lie below the floor. 200 ms."""

SOFT_TAIL = 2 * SAMPLE_RATE // 5
"""After `TAIL`, so much more is kept if half of it is above the floor. 400 ms."""


GATED = 0.5
"""Share of digital zeros in what is not speech from which on a noise gate made them."""


def levels_of(audio: Samples) -> Levels:
    """Return the RMS of each whole tick; a rest shorter than a tick is left out."""
    ticks = len(audio) // TICK
    frames = audio[: ticks * TICK].reshape(ticks, TICK)
    level: Levels = frames.std(axis=1, dtype=np.float32)
    return level


def floor_of(levels: Levels) -> float:
    """Return the level of the background: twice the 10th percentile, digital silence left out."""
    heard = np.sort(levels[levels > 0])
    if not len(heard):
        return FLOOR_MIN
    # Not np.percentile: it loads numpy.ma, which costs as much as a bare interpreter's start.
    place, rest = divmod((len(heard) - 1) / 10, 1)
    below, above = heard[int(place)], heard[min(int(place) + 1, len(heard) - 1)]
    tenth = (float(above) - float(below)) * rest + float(below)
    return min(max(2 * tenth, FLOOR_MIN), FLOOR_MAX)


def voiced(levels: Levels, floor: float) -> NDArray[np.bool_]:
    """Return which ticks are speech, with hysteresis: shape (ticks,)."""
    loud = np.flatnonzero(sustained(levels > START * floor, START_TICKS))
    above = np.flatnonzero(levels > END * floor)
    flags = np.zeros(len(levels), dtype=np.bool_)
    for first, last in runs(above, END_TICKS):
        begin = np.searchsorted(loud, first)
        if begin < len(loud):
            flags[loud[begin] : last + 1] = True
    return flags


def sustained(flags: NDArray[np.bool_], ticks: int) -> NDArray[np.bool_]:
    """Keep only the runs of True that last at least `ticks`."""
    edges = np.diff(np.concatenate(([0], flags.astype(np.int8), [0])))
    kept = np.zeros(len(flags), dtype=np.bool_)
    for start, stop in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True):
        if stop - start >= ticks:
            kept[start:stop] = True
    return kept


def runs(indices: NDArray[np.int64], gap: int) -> list[tuple[int, int]]:
    """Group rising indices into (first, last) runs whose steps are at most `gap`."""
    if not len(indices):
        return []
    breaks = np.flatnonzero(np.diff(indices) > gap)
    firsts = np.concatenate(([0], breaks + 1))
    lasts = np.concatenate((breaks, [len(indices) - 1]))
    return [(int(indices[a]), int(indices[b])) for a, b in zip(firsts, lasts, strict=True)]


def is_silence(audio: Samples) -> bool:
    """Return whether no voice can be in there, not even a whisper: all three measures agree.

    The bounds are far below quiet speech: whispering lies around RMS 0.002 with peaks of 0.011.
    """
    if not len(audio):
        return True
    centred = audio - audio.mean(dtype=np.float64).astype(np.float32)
    if np.abs(centred).max() >= 0.006 or centred.std() >= 0.00125:  # noqa: PLR2004  bounds above
        return False
    pairs = levels_of(centred)
    squares = np.square(pairs[: len(pairs) // 2 * 2]).reshape(-1, 2).mean(axis=1)
    return bool((squares < 0.002**2).all())


def spoken(levels: Levels, floor: float) -> NDArray[np.bool_]:
    """Return which ticks are speech where it is looked for its end: shape (ticks,).

    Where pauses are digital zeros, as behind a noise gate, every sound that is not zero is speech:
    a word much softer than the others lies below any floor made of levels.
    """
    flags = voiced(levels, floor)
    heard = np.flatnonzero(levels)
    if len(heard):
        quiet = levels[heard[0] :][~flags[heard[0] :]]
        zeros = len(quiet) - np.count_nonzero(quiet)
        if zeros >= max(END_TICKS, GATED * len(quiet)):
            flags |= levels > 0
    return flags


def with_tail(levels: Levels, last: int, floor: float) -> int:
    """Return the sample, from the first level, where speech has ended whose last tick is `last`.

    200 ms later, and 400 ms more if they are mostly above the floor.
    """
    end = (last + 1) * TICK + TAIL
    after = levels[end // TICK : (end + SOFT_TAIL) // TICK]
    if len(after) and (after > floor).mean() >= 0.5:  # noqa: PLR2004  half
        end += SOFT_TAIL
    return end


def quietest(levels: Levels) -> int:
    """Return the sample, from the first level, in the middle of the quietest stretch.

    Levels are smoothed over 100 ms; among stretches within 1 dB of the minimum the longest wins,
    then the one nearest to the middle: equal loudness everywhere gives the exact middle.
    """
    if not len(levels):
        return 0
    power = np.square(levels, dtype=np.float64)
    smooth = np.convolve(np.pad(power, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    low = np.flatnonzero(smooth <= smooth.min() * 1.26 + 1e-12)
    middle = len(levels) / 2

    def preference(run: tuple[int, int]) -> tuple[int, float]:
        return run[1] - run[0], -abs((run[0] + run[1] + 1) / 2 - middle)

    first, last = max(runs(low, 1), key=preference)
    return (first + last + 1) * TICK // 2


def longest_pause(flags: NDArray[np.bool_]) -> int | None:
    """Return the tick in the middle of the longest pause between speech; None if there is none."""
    spoken = np.flatnonzero(flags)
    if len(spoken) < 2:  # noqa: PLR2004  a pause has two sides
        return None
    gaps = np.diff(spoken)
    widest = int(gaps.argmax())
    if gaps[widest] < 2:  # noqa: PLR2004  adjacent ticks
        return None
    return int(spoken[widest] + gaps[widest] // 2)
