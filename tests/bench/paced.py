"""A recording on a clock of its own: whole minutes pass as fast as the code in them runs.

The threads, the cutting, the intake, the seams and decoding ahead of need are the real ones. Time
passes for the audio, block by block, and for the backend, which takes the same for each window;
whatever else takes time here takes none: processes, pipes, capture and the writing of lines.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from unittest.mock import patch

from sounds import ears, listening

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import Backend, Hypothesis
from parakeet_coreml.recognition import cutting, fallback, pipeline, speculation
from parakeet_coreml.recognition.account import Account
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.intake import End, Intake, Item, Tail
from parakeet_coreml.recognition.pipeline import Plan
from parakeet_coreml.recognition.words import Word, text_of

BLOCK = SAMPLE_RATE // 10
"""Samples that are handed over at once: 100 ms."""

TIMED = (cutting, fallback, speculation)
"""Modules that ask for the time."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """What came of one recording."""

    seconds: float
    """From the stop to the last line."""
    lines: tuple[tuple[tuple[Word, ...], int, int], ...]
    """Of each its words, and the samples it is of: all but how long it took."""

    @property
    def texts(self) -> list[str]:
        """What the lines say."""
        return [text_of(words) for words, _, _ in self.lines]


class _Clock:
    """Moves on only when nobody has anything to do at this moment."""

    def __init__(self) -> None:
        self.now = 0.0
        self.changed = threading.Condition()
        self.idle = False
        """The thread that decodes waits for work."""
        self.due: float | None = None
        """When the window is decoded that the backend has."""
        self.decoded = 0
        """Windows so far: a next one may be asked for before anyone sees that one is done."""
        self.over = False
        """The last audio is there: from now on time passes for the backend alone."""

    def decode(self, seconds: float) -> None:
        """Let so much time pass, on the thread that decodes."""
        with self.changed:
            self.due = self.now + seconds
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.over or self.now >= (self.due or 0.0))
            self.now, self.due = max(self.now, self.due), None
            self.decoded += 1
            self.changed.notify_all()

    def pass_until(self, moment: float) -> None:
        """Let time pass, on the thread that cuts, and the backend do what falls into it."""
        with self.changed:
            while True:
                self.changed.wait_for(lambda: self.idle or self.due is not None)
                if self.due is None or self.due > moment:
                    break
                self.now, decoded = self.due, self.decoded
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.decoded > decoded)  # noqa: B023  at once
            self.now = moment


class _Slow:
    """A backend that takes the same time for every window."""

    def __init__(self, clock: _Clock, backend: Backend, seconds: float) -> None:
        self._clock, self._backend, self._seconds = clock, backend, seconds

    @property
    def max_samples(self) -> int:
        return self._backend.max_samples

    def transcribe(self, window: Samples, /) -> Hypothesis:
        heard = self._backend.transcribe(window)
        self._clock.decode(self._seconds)
        return heard

    def close(self) -> None:
        self._backend.close()


def _watched(clock: _Clock) -> type[Intake]:
    """Return an intake of which the clock knows whether anybody waits for it."""

    class Watched(Intake):
        def put(self, item: Item) -> None:
            clock.idle = False
            super().put(item)
            if isinstance(item, End):
                with clock.changed:
                    clock.over = True
                    clock.changed.notify_all()

        def offer(self, tail: Tail | None) -> None:
            clock.idle = False
            super().offer(tail)

        def get(self) -> Item | Tail:
            with self._changed:
                if not self._items and self._tail is None:
                    with clock.changed:
                        clock.idle = True
                        clock.changed.notify_all()
                return super().get()

    return Watched


def stopped(
    audio: Samples,
    at: float,
    *,
    window: float,
    speculates: bool,
    live_text: bool = False,
    geometry: Geometry,
    backend: Backend | None = None,
) -> Stopped:
    """Record audio until a second of it; `window` is what the backend takes for one, in seconds."""
    clock = _Clock()

    def blocks() -> Iterator[Samples]:
        stop = round(at * SAMPLE_RATE)
        for first in range(0, stop, BLOCK):
            last = min(first + BLOCK, stop)
            clock.pass_until(last / SAMPLE_RATE)
            yield audio[first:last]

    def no_overload() -> None:
        raise AssertionError("it was not kept up with")

    watcher = listening(end_live=no_overload)
    if live_text:
        watcher = type(watcher)(
            heard=watcher.heard,
            failed=watcher.failed,
            end_live=watcher.end_live,
            forecast=lambda *_: None,
        )
    own = SimpleNamespace(monotonic=lambda: clock.now)
    with patch.object(pipeline, "Intake", _watched(clock)):
        for module in TIMED:
            module.time = own  # type: ignore[attr-defined]  # back below
        try:
            lines = pipeline.transcribe(
                blocks(),
                backend=_Slow(clock, backend or ears(), window),
                plan=Plan(geometry, speculates),
                listener=watcher,
                account=Account(),
            )
            printed = tuple((line.words, line.start, line.stop) for line in lines)
        finally:
            for module in TIMED:
                module.time = time  # type: ignore[attr-defined]
    return Stopped(clock.now - round(at * SAMPLE_RATE) / SAMPLE_RATE, printed)
