"""One window through a backend, again in other ways if it heard nothing where speech is.

Parakeet sometimes answers audible speech with nothing: the same audio half a second earlier, or
with its length declared in full, decodes well. Each rung of the ladder is such an attempt.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples, noise
from parakeet_coreml.backends.base import Backend, Hypothesis, Work
from parakeet_coreml.errors import BackendFailedError
from parakeet_coreml.recognition import energy
from parakeet_coreml.recognition.windows import SHORT, Window

SPOKEN = 2 * SAMPLE_RATE // 5
"""Speech that must not decode to nothing: 0.4 s."""

EARLIER = SAMPLE_RATE // 2
"""How far the second attempt starts before the window: 0.5 s."""

LEAD = SAMPLE_RATE // 10
"""Kept before the first sound when an attempt starts at the onset: 0.1 s."""

NOISE = 1e-3
"""RMS of the noise that lengthens a window; digital zeros would blank it."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of one window; times count from the start of the recording."""

    window: Window
    hypothesis: Hypothesis
    elapsed: float
    """Seconds in the backend, every attempt included."""
    error: BackendFailedError | None = None
    began: float | None = None
    """When the first attempt was begun, on the monotonic clock; None where none was."""
    attempts: int = 0
    work: Work | None = None
    """Of all attempts, where the backend measures it."""
    ahead: bool = False
    """All of it was decoded before the window was cut."""
    again: bool = False
    """A further attempt at audio of the windows before and behind it, booked themselves."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes windows one after the other; a value, so that one can be decoded ahead of need.

    A window that stays empty although someone spoke is attempted once more with the next one, in a
    window that lies across both.
    """

    backend: Backend
    before: Window | None = None
    missing: bool = False
    """The window before stayed empty although someone spoke."""

    def decode(self, window: Window) -> tuple[list[Decoded], "Decoder"]:
        """Return what came of a window, and the decoder of the next one.

        A failure is a result too, so that the next window can go on.
        """
        results = []
        if self.before is not None and self.missing and len(window.audio):
            both = _spanning(self.before, window, self.backend.max_samples)
            results.append(replace(_timed(both, None, self.backend), again=True))
        decoded = _timed(window, self.before, self.backend)
        results.append(decoded)
        missing = not decoded.hypothesis and decoded.error is None and _spoken(window)
        before = window if len(window.audio) else self.before
        return results, replace(self, before=before, missing=missing)


def decode_with_fallback(windows: Iterable[Window], backend: Backend) -> Iterator[Decoded]:
    """Decode windows as they come."""
    decoder = Decoder(backend)
    for window in windows:
        results, decoder = decoder.decode(window)
        yield from results


def _timed(window: Window, before: Window | None, backend: Backend) -> Decoded:
    """Decode one window, timed; a failure of the backend becomes part of the result."""
    if window.silent:
        return Decoded(window, Hypothesis(), 0.0)
    counting = _Counting(backend)
    started = time.monotonic()
    try:
        hypothesis, error = _first_heard(window, before, counting), None
    except BackendFailedError as failed:
        hypothesis, error = Hypothesis(), failed
    took = time.monotonic() - started
    return Decoded(window, hypothesis, took, error, started, counting.attempts, counting.work)


@dataclass(slots=True)
class _Counting:
    """A backend that remembers what the attempts at one window took."""

    backend: Backend
    attempts: int = 0
    work: Work | None = None

    @property
    def max_samples(self) -> int:
        return self.backend.max_samples

    def transcribe(self, window: Samples, /) -> Hypothesis:
        self.attempts += 1
        hypothesis = self.backend.transcribe(window)
        if hypothesis.work is not None:
            self.work = (self.work or Work()) + hypothesis.work
        return hypothesis

    def close(self) -> None:
        """Leave it to its owner."""


def _spoken(window: Window) -> bool:
    return window.voiced >= SPOKEN or (len(window.audio) < SHORT and window.voiced > 0)


def _first_heard(window: Window, before: Window | None, backend: Backend) -> Hypothesis:
    """Return the first attempt that hears something, times from the start of the recording."""
    hypothesis = backend.transcribe(window.audio).shifted(window.start)
    if hypothesis or not _spoken(window):
        return hypothesis
    for rung in (_declared_full, _earlier, _at_onset, _behind_noise):
        attempt = rung(window, before, backend.max_samples)
        if attempt is not None:
            start, audio = attempt
            hypothesis = _within(backend.transcribe(audio).shifted(start), window)
            if hypothesis:
                return hypothesis
    return _halves(window, backend)


Attempt = tuple[int, Samples]
"""First sample of an attempt, counted from the start of the recording, and its audio."""


def _declared_full(window: Window, _before: Window | None, most: int) -> Attempt | None:
    """Declare the same audio as long as the longest the model takes."""
    missing = most - len(window.audio)
    return (window.start, np.pad(window.audio, (0, missing))) if missing > 0 else None


def _earlier(window: Window, before: Window | None, most: int) -> Attempt | None:
    """Begin half a second earlier, with real audio."""
    if before is None or before.start > window.start - EARLIER or before.stop < window.start:
        return None
    lead = before.audio[window.start - EARLIER - before.start : window.start - before.start]
    return window.start - EARLIER, np.concatenate((lead, window.audio))[:most]


def _at_onset(window: Window, _before: Window | None, _most: int) -> Attempt | None:
    """Begin just before the first speech."""
    levels = energy.levels_of(window.audio)
    first = int(energy.voiced(levels, energy.floor_of(levels)).argmax()) * energy.TICK - LEAD
    return (window.start + first, window.audio[first:]) if first > 0 else None


def _behind_noise(window: Window, _before: Window | None, most: int) -> Attempt | None:
    """Put low noise around it: half a second for a short window, else one second in front."""
    short = len(window.audio) < SHORT
    low = noise(SAMPLE_RATE, NOISE)
    front, back = (low[: SAMPLE_RATE // 2], low[SAMPLE_RATE // 2 :]) if short else (low, low[:0])
    audio = np.concatenate((front, window.audio, back))[:most]
    return window.start - len(front), audio


def _halves(window: Window, backend: Backend) -> Hypothesis:
    """Split at the longest pause and decode both halves; nothing if there is no pause."""
    levels = energy.levels_of(window.audio)
    pause = energy.longest_pause(energy.voiced(levels, energy.floor_of(levels)))
    if pause is None:
        return Hypothesis()
    at = pause * energy.TICK
    first = backend.transcribe(window.audio[:at]).shifted(window.start)
    second = backend.transcribe(window.audio[at:]).shifted(window.start + at)
    return Hypothesis(first.tokens + second.tokens)


def _within(hypothesis: Hypothesis, window: Window) -> Hypothesis:
    """Drop what was heard in the audio added before or after the window."""
    return Hypothesis(tuple(t for t in hypothesis.tokens if window.start <= t.start < window.stop))


def _spanning(before: Window, window: Window, most: int) -> Window:
    """Return the window that lies across an empty one and its successor."""
    start = (before.start + window.start) // 2
    fresh = window.audio[max(0, before.stop - window.start) :]
    audio = np.concatenate((before.audio[start - before.start :], fresh))[:most]
    stop = start + len(audio)
    cut = (window.start + stop) // 2
    # Not a line of its own, and no further attempts: the window behind it covers the rest.
    return Window(start, stop, cut, audio, silent=False, speech=())
