"""One window through a backend, again in other ways if it decoded nothing where speech is.

Parakeet sometimes answers audible speech with nothing: the same audio half a second earlier, or
with its length declared in full, decodes well. Each rung of the ladder is such an attempt.
"""

import time
from dataclasses import dataclass, replace

import numpy as np

from parakeet_coreml.audio.samples import FRAME, SAMPLE_RATE, Samples, noise
from parakeet_coreml.backends.base import Backend, Hypothesis, Token, Work
from parakeet_coreml.errors import BackendFailedError
from parakeet_coreml.recognition import energy
from parakeet_coreml.recognition.windows import SHORT, Window, length_of, outside
from parakeet_coreml.recognition.words import WORD_MARK

SPOKEN = 2 * SAMPLE_RATE // 5
"""Speech that must not decode to nothing: 0.4 s."""

EARLIER = SAMPLE_RATE // 2
"""How far the second attempt starts before the window: 0.5 s."""

LEAD = SAMPLE_RATE // 10
"""Kept before the first sound when an attempt starts at the onset: 0.1 s."""

NOISE = 1e-3
"""RMS of the noise that lengthens a window; digital zeros would blank it."""


HOLE = 3 * SAMPLE_RATE // 2
"""So much speech without a word is decoded again: 1.5 s."""

SAME = 8 * FRAME
"""Two attempts may time the same word this much apart: 0.64 s."""

DEAD, DEAD_END = 1e-5, SAMPLE_RATE
"""Level of dead silence, and how much of it at the end of a window is left out: 1 s."""

AROUND = SAMPLE_RATE // 5
"""Noise on both sides of a short window: 0.2 s."""

Attempt = tuple[int, Samples]
"""First sample of an attempt, counted from the start of the recording, and its audio."""


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
    """Return the first attempt that decodes something, times from the start of the recording."""
    start, audio = _first_attempt(window, backend.max_samples)
    hypothesis = _clamped(backend.transcribe(audio).shifted(start), window)
    if hypothesis:
        return _filled(hypothesis, window, backend)
    if not _spoken(window):
        return hypothesis
    for rung in (_declared_full, _earlier, _at_onset, _behind_noise):
        attempt = rung(window, before, backend.max_samples)
        if attempt is not None:
            start, audio = attempt
            hypothesis = _within(backend.transcribe(audio).shifted(start), window)
            if hypothesis:
                return hypothesis
    return _halves(window, backend)


def _first_attempt(window: Window, most: int) -> Attempt:
    """Return the window itself, but for its ends.

    Behind one to three seconds of dead silence within the declared length Parakeet decodes little
    or nothing, so a window ends with its last sound. A single word cut tight is decoded better
    with a little noise around it.
    """
    alive = np.flatnonzero(energy.levels_of(window.audio) > DEAD)
    end = (int(alive[-1]) + 1) * energy.TICK + energy.TAIL if len(alive) else len(window.audio)
    audio = window.audio if len(window.audio) - end < DEAD_END else window.audio[:end]
    if len(audio) >= SHORT:
        return window.start, audio
    around = noise(AROUND, NOISE)
    return window.start - AROUND, np.concatenate((around, audio, around))[:most]


def _filled(hypothesis: Hypothesis, window: Window, backend: Backend) -> Hypothesis:
    """Try again where speech was found and no word decoded: from a window that starts there.

    Words of the second attempt only fill. Source: FluidAudio's decode of holes at seams (#761).
    """
    tokens = hypothesis.tokens
    edges = [window.start, *(t.start + max(t.duration, FRAME) for t in tokens)]
    holes = [
        outside(outside(window.speech, 0, after), before, window.stop)
        for after, before in zip(edges, [*(t.start for t in tokens), window.stop], strict=True)
    ]
    index, hole = max(enumerate(holes), key=lambda found: length_of(found[1]))
    if length_of(hole) < HOLE or hole[0][0] >= window.cut:
        return hypothesis
    start = max(edges[index], hole[0][0] - LEAD)
    heard = backend.transcribe(window.audio[start - window.start :]).shifted(start)
    fill = [t for t in heard.tokens if t.start < hole[-1][1]]
    # The rest of the word before the hole, and the word behind it, are decoded a second time.
    if fill and index and _alike(tokens[index - 1], fill[0]):
        fill = fill[1:]
    if fill and index < len(tokens) and _alike(fill[-1], tokens[index]):
        fill = fill[:-1]
    if fill and not fill[0].piece.startswith((WORD_MARK, " ")):
        # It must not become part of the word before the hole.
        fill[0] = fill[0]._replace(piece=WORD_MARK + fill[0].piece)
    return replace(hypothesis, tokens=(*tokens[:index], *fill, *tokens[index:]))


def _alike(token: Token, later: Token) -> bool:
    return token.piece == later.piece and later.start - token.start <= SAME


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
    """Drop what was decoded in the audio added before or after the window."""
    return Hypothesis(tuple(t for t in hypothesis.tokens if window.start <= t.start < window.stop))


def _clamped(hypothesis: Hypothesis, window: Window) -> Hypothesis:
    """Move what was decoded in noise put around the window to its ends: nothing else was there."""
    last = window.stop - 1
    tokens = (t._replace(start=min(max(t.start, window.start), last)) for t in hypothesis.tokens)
    return replace(hypothesis, tokens=tuple(tokens))


def _spanning(before: Window, window: Window, most: int) -> Window:
    """Return the window that lies across an empty one and its successor."""
    start = (before.start + window.start) // 2
    fresh = window.audio[max(0, before.stop - window.start) :]
    audio = np.concatenate((before.audio[start - before.start :], fresh))[:most]
    stop = start + len(audio)
    cut = (window.start + stop) // 2
    # Not a line of its own, and no further attempts: the window behind it covers the rest.
    return Window(start, stop, cut, audio, silent=False, speech=())
