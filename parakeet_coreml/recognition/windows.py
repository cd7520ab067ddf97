"""Cut a stream into overlapping windows; the last one ends where speech ends. Pure.

A window spans `size` samples and the next one starts `size - overlap` later. Inside what two
windows share, one cut is fixed by the audio alone: the quietest place near the middle, with real
context on both sides. Where lines end at pauses, a window ends with the speech before each, and the
grid goes on from there. Counters are whole samples, never a clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.recognition import endpoint, energy
from parakeet_coreml.recognition.endpoint import Endpoint, Pause
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.tape import Tape

MIN_DECODE = SAMPLE_RATE // 10
"""Shorter recordings hold no word: 0.1 s."""

FAINT = SAMPLE_RATE // 5
"""So much faint sound that rises above the background may be a voice after all: 0.2 s."""

SHORT = 2 * SAMPLE_RATE
"""A recording this short may be one word without a pause to measure the background by."""

LEAD = SAMPLE_RATE // 2
"""Kept before the first sound of a line: soft beginnings lie below the floor. 0.5 s."""


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
    at_pause: bool = False
    """Lines end at pauses: one without words is left out."""
    ready: float | None = None
    """When it was cut, on the monotonic clock, for whoever keeps time."""

    @property
    def voiced(self) -> int:
        """Samples of speech in it."""
        return length_of(self.speech)


_NOTHING: Samples = np.empty(0, dtype=np.float32)


class Chunker:
    """Cuts one stretch of a recording, which begins at sample `begins`.

    How the stream is cut into blocks leaves no trace.
    """

    def __init__(self, geometry: Geometry, *, begins: int = 0) -> None:
        self._geometry = geometry
        self._begins = self._covered = self._line = begins
        self._due = begins + geometry.size
        self._tape = Tape(begins)
        self._endpoint = Endpoint(self._tape)
        self._ended: Pause | None = None
        """The pause that ended the last line."""
        self._onset = begins
        """Where the speech began that was looked at last."""

    def push(self, block: Samples) -> Iterator[Window]:
        """Yield each window as soon as its last sample is there."""
        for at in range(0, len(block), SAMPLE_RATE):
            # No window may be older than the tape remembers when it is due.
            self._tape.append(block[at : at + SAMPLE_RATE])
            yield from self._cut_ripe()

    def _cut_ripe(self) -> Iterator[Window]:
        endpoint, pause = self._endpoint, self._geometry.pause
        while endpoint.step(self._covered):
            if self._due <= endpoint.at:
                yield self._regular()
            if pause is not None:
                yield from self._begin_line() if endpoint.pause is None else self._end_line(pause)
        while self._due <= self._tape.stop:
            yield self._regular()

    @property
    def quiet(self) -> int:
        """Samples without speech at the end, once there was some; else 0."""
        return self._endpoint.at - self._endpoint.spoken if self._endpoint.spoken else 0

    @property
    def pause(self) -> Pause | None:
        """The pause that is going on, if speech that no window covers lies before it."""
        pause = self._endpoint.pause
        return pause if pause is not None and pause.spoken > self._covered else None

    @property
    def rests(self) -> bool:
        """Whether a pause goes on in which nothing has begun."""
        return self._endpoint.rests

    @property
    def settles(self) -> int | None:
        """Sample at which speech that no window covers has ended if quiet goes on."""
        at = self._endpoint.settles
        return at if at is not None and self._endpoint.spoken > self._covered else None

    @property
    def speaking(self) -> bool:
        """Whether speech that no window covers goes on."""
        return self._endpoint.pause is None and self._endpoint.spoken > self._covered

    @property
    def onset(self) -> int:
        """Sample where the newest speech began."""
        return self._endpoint.onset

    @property
    def heard(self) -> int:
        """Sample after the newest."""
        return self._tape.stop

    def last(self) -> Window | None:
        """Return the window that ends with the speech so far, or None if nothing new was said.

        It is filled up with earlier real audio: a short window, or one with zeros in it, is what
        Parakeet answers with nothing.
        """
        covered, total = self._covered, self._tape.stop
        pause = self._endpoint.pause or endpoint.ending(self._tape, covered, total)
        fresh = pause is not None and pause.spoken > covered
        if not fresh and covered > self._begins and self._nothing_since(covered):
            return None
        # Without a voice above the noise, all of it is looked at: energy never deletes speech.
        end = min(total, pause.end) if pause is not None and fresh else total
        if end - self._begins < MIN_DECODE:
            return None
        start = max(self._begins, end - self._geometry.size)
        window = replace(self._window(start, end, end), closes_line=True, final=True)
        if window.voiced == 0 and len(window.audio) < SHORT:
            window = replace(window, speech=((start, end),))
        return None if window.silent else window

    def _nothing_since(self, covered: int) -> bool:
        """Return whether what no window covers is silence, or background noise behind speech."""
        total, pause = self._tape.stop, self._endpoint.pause
        if pause is None:
            return energy.is_silence(self._tape.read(covered, total))
        levels = self._tape.levels(self._tape.aligned(max(covered, pause.spoken)), total)
        return not energy.sustained(levels > energy.END * pause.floor, energy.START_TICKS).any()

    def _regular(self) -> Window:
        """Return the window that ends where one is due, and move on by a hop."""
        stop, geometry = self._due, self._geometry
        window = self._window(stop - geometry.size, stop, self._cut(stop))
        self._covered, self._due = stop, stop + geometry.hop
        if geometry.pause is None:
            return replace(window, closes_line=geometry.closes_line(stop - self._begins))
        closes = stop + geometry.hop - self._line > geometry.line or window.voiced == 0
        self._line = stop if closes else self._line
        return replace(window, closes_line=closes, at_pause=True)

    def _begin_line(self) -> Iterator[Window]:
        """Pass over silence up to where speech begins, so that no line ends shortly after that."""
        if self._endpoint.onset == self._onset:
            return
        self._onset = self._endpoint.onset
        start = self._onset - LEAD
        if start - self._covered >= SAMPLE_RATE and energy.is_silence(
            self._tape.read(self._covered, start)
        ):
            yield self._passed_over(start)

    def _end_line(self, least: int) -> Iterator[Window]:
        """End a line with the speech before a pause, once that is long enough."""
        pause = self._endpoint.pause
        if pause is None or pause is self._ended or self._endpoint.at - pause.spoken < least:
            return
        self._ended = pause
        if pause.spoken <= self._covered:
            # Windows have it all, and may hold words back for want of what comes behind them.
            yield self._passed_over(self._covered)
            return
        start = max(self._begins, pause.end - self._geometry.size)
        window = self._window(start, pause.end, pause.end)
        self._move_on(pause.end)
        yield replace(window, closes_line=True, at_pause=True)

    def _passed_over(self, stop: int) -> Window:
        """Return a window of what need not be decoded."""
        window = Window(self._covered, stop, stop, _NOTHING, silent=True, speech=())
        self._move_on(stop)
        return replace(window, closes_line=True, at_pause=True)

    def _move_on(self, covered: int) -> None:
        """Let a line and the grid of windows begin afresh."""
        self._covered = self._line = max(self._covered, covered)
        first = self._begins + self._geometry.size
        self._due = max(first, self._covered + self._geometry.hop)

    def _window(self, start: int, stop: int, cut: int) -> Window:
        audio = self._tape.read(start, stop)
        flags = energy.voiced(energy.levels_of(audio), self._tape.floor(stop))
        spoken = tuple(
            (start + first * energy.TICK, start + (last + 1) * energy.TICK)
            for first, last in energy.runs(np.flatnonzero(flags), 1)
        )
        # A turned-down microphone is below every absolute bound, but its voice is not flat.
        silent = energy.is_silence(audio) and length_of(spoken) < FAINT
        return Window(start, stop, cut, audio, silent=silent, speech=() if silent else spoken)

    def _cut(self, stop: int) -> int:
        """Return the cut inside the overlap that ends at `stop`, in its middle half."""
        overlap = self._geometry.overlap
        margin = overlap // 4
        first, last = stop - overlap + margin, stop - margin
        if last - first < energy.TICK:
            return stop - overlap // 2
        return first + energy.quietest(energy.levels_of(self._tape.read(first, last)))
