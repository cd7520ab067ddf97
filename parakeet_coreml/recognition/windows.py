"""Cut a stream into overlapping windows; the last one ends where speech ends. Pure.

A window spans `size` samples and the next one starts `size - overlap` later. Inside what two
windows share, one cut is fixed by the audio alone: the quietest place near the middle, with real
context on both sides. Counters are whole samples, never a clock.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.recognition import energy
from parakeet_coreml.recognition.geometry import Geometry

MIN_DECODE = SAMPLE_RATE // 10
"""Shorter recordings hold no word: 0.1 s."""

MEMORY = 30 * SAMPLE_RATE
"""Audio kept behind the newest sample: enough for the last window and for the noise floor."""

SLACK = 5 * SAMPLE_RATE
"""Room for new audio before old audio is moved out of the way."""

FAINT = SAMPLE_RATE // 5
"""So much faint sound that rises from the room may be a voice after all: 0.2 s."""

SHORT = 2 * SAMPLE_RATE
"""A recording this short may be one word without a pause to measure the room by."""

CONTEXT = 2 * SAMPLE_RATE
"""Audio before the new part that is looked at to find where speech ends."""


Stretches = tuple[tuple[int, int], ...]
"""First sample and the one after the last, counted from the start of the recording."""


def length_of(stretches: Stretches) -> int:
    """Return how many samples there are in all."""
    return sum(stop - start for start, stop in stretches)


def outside(stretches: Stretches, start: int, stop: int) -> Stretches:
    """Return what of the stretches does not lie in `start` to `stop`."""
    before = ((first, min(last, start)) for first, last in stretches if first < start)
    behind = ((max(first, stop), last) for first, last in stretches if last > stop)
    return (*before, *behind)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A stretch of the recording for one call of the backend, and what the audio says of it."""

    start: int
    """First sample, counted from the start of the recording."""
    stop: int
    """Sample after the last."""
    cut: int
    """Words centred before it are this window's, the others the next one's."""
    audio: Samples
    silent: bool
    """Nothing in it can be a voice: it need not be decoded."""
    speech: Stretches
    """Where speech is in it; nowhere in a silent one."""
    closes_line: bool = False
    """A line of the protocol ends with this window."""
    final: bool = False
    """Ends the recording: nothing is held back after it."""
    ready: float | None = None
    """When it was cut, on the monotonic clock, for whoever keeps time."""

    @property
    def voiced(self) -> int:
        """Samples of speech in it."""
        return length_of(self.speech)


class Tape:
    """The newest audio of a recording, addressed by samples from its start."""

    def __init__(self) -> None:
        self.start = 0
        self.stop = 0
        self._audio = np.empty(MEMORY + SLACK, dtype=np.float32)

    def append(self, block: Samples) -> None:
        """Add up to 1 s of audio and forget what is older than `MEMORY`, in whole ticks."""
        self._make_room(len(block))
        at = self.stop - self.start
        self._audio[at : at + len(block)] = block
        self.stop += len(block)

    def _make_room(self, samples: int) -> None:
        if self.stop - self.start + samples <= len(self._audio):
            return
        keep = max(self.start, (self.stop - MEMORY) // energy.TICK * energy.TICK)
        kept = self._audio[keep - self.start : self.stop - self.start].copy()
        self._audio[: len(kept)] = kept
        self.start = keep

    def read(self, start: int, stop: int) -> Samples:
        """Return a copy of the samples from `start` to `stop`."""
        if not self.start <= start <= stop <= self.stop:
            raise ValueError((start, stop, self.start, self.stop))
        return self._audio[start - self.start : stop - self.start].copy()


def into_windows(blocks: Iterable[Samples], geometry: Geometry) -> Iterator[Window]:
    """Yield each window as soon as its last sample is there, then the last, end-aligned one.

    How the stream is cut into blocks leaves no trace.
    """
    tape = Tape()
    due = geometry.size
    for block in blocks:
        for piece in _pieces(block):
            tape.append(piece)
            while tape.stop >= due:
                yield _regular(tape, due, geometry)
                due += geometry.hop
    last = due - geometry.hop if due > geometry.size else 0
    window = _last(tape, last, geometry)
    if window is not None:
        yield window


def _pieces(block: Samples) -> Iterator[Samples]:
    """Cut a long block so that no window is older than the tape remembers when it is due."""
    for at in range(0, len(block), SAMPLE_RATE):
        yield block[at : at + SAMPLE_RATE]


def _regular(tape: Tape, stop: int, geometry: Geometry) -> Window:
    window = _window(tape, stop - geometry.size, stop, _cut(tape, stop, geometry.overlap))
    return replace(window, closes_line=geometry.closes_line(stop))


def _window(tape: Tape, start: int, stop: int, cut: int) -> Window:
    audio = tape.read(start, stop)
    flags = energy.voiced(energy.levels_of(audio), _floor(tape, stop))
    spoken = tuple(
        (start + first * energy.TICK, start + (last + 1) * energy.TICK)
        for first, last in energy.runs(np.flatnonzero(flags), 1)
    )
    # A turned-down microphone is below every absolute bound, but its voice is not flat.
    silent = energy.is_silence(audio) and length_of(spoken) < FAINT
    return Window(start, stop, cut, audio, silent=silent, speech=() if silent else spoken)


def _floor(tape: Tape, stop: int) -> float:
    """Return the noise floor of the last 30 s before `stop`.

    Bounded by `stop`, not by the tape's end, so that it does not matter how much more has arrived.
    """
    first = max(tape.start, (stop - MEMORY) // energy.TICK * energy.TICK)
    return energy.floor_of(energy.levels_of(tape.read(first, stop)))


def _cut(tape: Tape, stop: int, overlap: int) -> int:
    """Return the cut inside the overlap that ends at `stop`, in its middle half."""
    margin = overlap // 4
    first, last = stop - overlap + margin, stop - margin
    if last - first < energy.TICK:
        return stop - overlap // 2
    return first + energy.quietest(energy.levels_of(tape.read(first, last)))


def _last(tape: Tape, last_stop: int, geometry: Geometry) -> Window | None:
    """Return the window that ends where speech ends, or None if nothing new was said.

    It is filled up with earlier real audio: a short window, or one with zeros in it, is what
    Parakeet answers with nothing.
    """
    total = tape.stop
    # Begin before the new audio: a word that reaches into it is speech from its own start.
    base = max(tape.start, last_stop - CONTEXT) // energy.TICK * energy.TICK
    # In doubt it is speech: 3 dB less than elsewhere, or noise would swallow the last words.
    levels, floor = energy.levels_of(tape.read(base, total)), _floor(tape, total) / energy.END
    fresh = energy.voiced(levels, floor)[-(-(last_stop - base) // energy.TICK) :]
    ended = energy.speech_end(levels, floor) if fresh.any() else None
    if ended is None and last_stop and energy.is_silence(tape.read(last_stop, total)):
        return None
    # Without a voice above the noise, all of it is looked at: energy never deletes speech.
    end = total if ended is None else min(total, base + ended)
    if end < MIN_DECODE:
        return None
    start = max(0, end - geometry.size)
    window = replace(_window(tape, start, end, end), closes_line=True, final=True)
    if window.voiced == 0 and len(window.audio) < SHORT:
        window = replace(window, speech=((start, end),))
    return None if window.silent else window
