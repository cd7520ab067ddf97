"""Decoding ahead of need: what was decoded while the backend was idle is not decoded again.

The open tail of a recording is sent through the very code that decodes its last window; what the
backend answered to each input is remembered, and a later call with the same audio, sample for
sample, gets that answer. So it cannot change a word, only when it is known.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import Backend, Hypothesis, Supervised
from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.threads import Timer

REMEMBERED = 9
"""Answers kept: one window and all its further attempts; 1 MB each at most."""

SHARE = 0.25
"""Part of one worker's time that may go into decoding ahead."""

SLOW = 1.0
"""Seconds a window may take for decodes while speech goes on; above, only at long pauses."""

LONG_PAUSE = 6 * SAMPLE_RATE // 10
"""Quiet before a slow backend is asked ahead of need: 0.6 s."""

EVERY = SAMPLE_RATE
"""Audio between two decodes of speech that goes on: 1 s."""

PATIENCE, PATIENT = 1.0, 3
"""Real work waits behind a speculation 1 s, or 3 of the slowest windows; then it ends."""


class DroppedError(Exception):
    """A decode ahead of need gave way, or failed; it costs nothing but itself."""


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    window: Samples
    hypothesis: Hypothesis
    seconds: float


class SpeculatingBackend:
    """A backend that may be asked before its answer is needed.

    `transcribe` and `speculating` belong to the thread that decodes, the rest to the one that cuts.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        supervisor: Supervised | None = None,
        wanted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._backend = backend
        self._supervisor = supervisor
        self._wanted = wanted
        self._answers: deque[_Answer] = deque(maxlen=REMEMBERED)
        self._speculating = self._remembers = False
        self._number = 0
        self._started = time.monotonic()
        self._used = 0.0
        self._typical = self._slowest = 0.0
        self.seconds = 0.0
        """Decoding time behind the answers given so far, whenever they were decoded."""
        self.recalled = self.asked = 0
        """Answers that were known already, and those that were not."""

    @property
    def max_samples(self) -> int:
        """Longest window, in samples at 16 kHz."""
        return self._backend.max_samples

    def transcribe(self, window: Samples, /) -> Hypothesis:
        """Return what is remembered of these very samples, or what the backend returns.

        Raises what the backend raises; while speculating only `DroppedError`.
        """
        known = next((a for a in self._answers if np.array_equal(a.window, window)), None)
        if known is not None:
            self.recalled += 1
            self.seconds += known.seconds
            return known.hypothesis
        self.asked += 1
        started = time.monotonic()
        try:
            hypothesis = (
                self._speculated(window) if self._speculating else self._backend.transcribe(window)
            )
        finally:
            seconds = time.monotonic() - started
            self.seconds += seconds
        self._typical = seconds if not self._typical else (self._typical + seconds) / 2
        self._slowest = max(self._slowest, seconds)
        if self._remembers:
            self._answers.append(_Answer(window, hypothesis, seconds))
        return hypothesis

    def close(self) -> None:
        """Let the backend go."""
        self._backend.close()

    def _speculated(self, window: Samples) -> Hypothesis:
        if self._wanted():  # between two attempts real work comes first
            raise DroppedError
        supervisor = self._supervisor
        speculate = self._backend.transcribe if supervisor is None else supervisor.speculate
        try:
            return speculate(window)
        except ParakeetError as error:  # the real call will meet and report it
            raise DroppedError from error

    @contextmanager
    def speculating(self, *, passing: bool = False) -> Iterator[None]:
        """Decode ahead of need inside: the time is booked, and answers are remembered.

        Not those to speech that goes on (`passing`): by the next block it has gone on.
        """
        started = time.monotonic()
        asked, recalled, seconds = self.asked, self.recalled, self.seconds
        self._number += 1
        self._speculating, self._remembers = True, not passing
        try:
            yield
        except DroppedError:
            return
        finally:
            self._speculating = self._remembers = False
            self._used += time.monotonic() - started
            self.asked, self.recalled, self.seconds = asked, recalled, seconds

    def allows(self, quiet: int | None) -> bool:
        """Return whether there is time for it: at `quiet` samples of pause, None in speech."""
        if self._typical > SLOW and (quiet is None or quiet < LONG_PAUSE):
            return False
        if not self._typical and quiet is None and self._speculating:
            return False  # how slow it is shows only when the first one is done
        earned = SHARE * (time.monotonic() - self._started) + max(1.0, self._typical)
        return self._used + self._typical <= earned

    def work_waits(self) -> None:
        """Record that real work has come: it does not wait for ever behind a speculation."""
        supervisor, number = self._supervisor, self._number
        if supervisor is None or not self._speculating:
            return

        def lose_patience() -> None:
            if self._speculating and self._number == number:
                supervisor.abandon()

        patience = max(PATIENCE, PATIENT * self._slowest)
        timer = Timer(patience, lose_patience)
        with suppress(RuntimeError):  # no thread for it: the window's own limit has to do
            timer.start()
