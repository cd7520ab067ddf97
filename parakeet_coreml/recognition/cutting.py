"""The thread that cuts: audio in, windows out, and what is worth decoding ahead of need.

Capture never waits for the model: where the source is live, nothing here does.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.errors import OverloadError, ParakeetError
from parakeet_coreml.recognition.account import Account, Listener
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.intake import Break, End, Intake, Item, Tail
from parakeet_coreml.recognition.speculation import EVERY, SpeculatingBackend
from parakeet_coreml.recognition.windows import Chunker, Window
from parakeet_coreml.threads import Thread

BACKLOG = 600 * SAMPLE_RATE
"""A live recording ends when transcription is this far behind: 10 min of audio."""

FIRST = 6 * SAMPLE_RATE // 10
"""Speech before it is worth a first decode: 0.6 s."""

UNDER_WAY = 0.02
"""Seconds that the newest audio may be behind what is being heard: resampling, and a tick."""

BURST, CATCHES_UP = 1.0, 1.5
"""Audio comes as it is made with 1 s of it in a burst, and no more than 1.5 times as fast as time.

Longer bursts are made up for: a microphone that runs while NumPy loads has seconds waiting."""


class Cutter:
    """Cuts a recording on a thread of its own. `budget` None: nothing is decoded ahead of need."""

    def __init__(
        self,
        intake: Intake,
        geometry: Geometry,
        *,
        listener: Listener,
        account: Account,
        budget: SpeculatingBackend | None,
    ) -> None:
        self._intake, self._geometry, self._budget = intake, geometry, budget
        self._listener, self._account = listener, account
        self._chunker = Chunker(geometry)
        self._overloaded = self._needed = False
        self._offered = self._passed = 0
        """Where the newest speculations end: at a pause, and in speech."""
        self._burst = 0.0
        """Seconds of audio that came faster than that."""
        self._came = time.monotonic()

    def start(self, audio: Iterable[Samples | None]) -> None:
        """Cut from now on."""
        Thread(target=self._run, args=(audio,), name="cut").start()

    def _run(self, audio: Iterable[Samples | None]) -> None:
        try:
            for block in self._heard(audio):
                if block is None:
                    self._break()
                else:
                    self._cut(block)
            self._end_stretch()
            if not self._needed:
                self._listener.nothing_to_decode()
            self._put(End())
        except BaseException as error:  # noqa: BLE001  a bug on this thread must end the other one
            self._intake.put(End(error))

    def _heard(self, audio: Iterable[Samples | None]) -> Iterator[Samples | None]:
        """Pass audio on, count it, and end it where its source fails."""
        try:
            for block in audio:
                if block is not None:
                    self._listener.heard(block, self._account.captured)
                    self._account.captured += len(block)
                yield block
        except ParakeetError as error:
            self._listener.failed(error)

    def _cut(self, block: Samples) -> None:
        for window in self._chunker.push(block):
            self._put(window)
        self._listener.quiet(self._chunker.quiet)
        self._listener.rests(self._chunker.rests)
        if self._budget is not None and self._as_it_is_made(len(block) / SAMPLE_RATE):
            self._speculate(self._budget)
            settles = self._chunker.settles
            if settles is not None:
                self._listener.look_within(
                    (settles - self._chunker.heard) / SAMPLE_RATE + UNDER_WAY
                )

    def _end_stretch(self) -> None:
        window = self._chunker.last()
        if window is not None:
            self._put(window)

    def _break(self) -> None:
        """End one stretch of the recording and begin the next."""
        self._end_stretch()
        self._put(Break(self._chunker.heard))
        self._chunker = Chunker(self._geometry, begins=self._chunker.heard)

    def _put(self, item: Item) -> None:
        if isinstance(item, Window):
            item = replace(item, ready=time.monotonic())
        self._intake.put(item)
        if self._budget is not None:
            self._budget.work_waits()
        if not isinstance(item, Window):
            return
        self._needed = self._needed or not item.silent
        behind = item.stop - self._account.decoded
        if self._listener.end_live and behind > BACKLOG and not self._overloaded:
            self._overloaded = True
            self._listener.end_live()
            self._listener.failed(_overload())

    def _as_it_is_made(self, seconds: float) -> bool:
        """Return whether audio comes no faster than time passes: a host may pipe its microphone."""
        now = time.monotonic()
        self._burst = max(0.0, self._burst + seconds - CATCHES_UP * (now - self._came))
        self._came = now
        return self._burst <= BURST

    def _speculate(self, budget: SpeculatingBackend) -> None:
        """Offer the open tail: at a pause once, and now and then while somebody reads along."""
        chunker = self._chunker
        pause = chunker.pause
        if pause is not None:
            if pause.end != self._offered and budget.allows(chunker.heard - pause.spoken):
                self._offered = pause.end
                self._offer(passing=False)
        elif self._listener.forecast is not None and self._worth_a_glance(budget):
            self._passed = chunker.heard
            self._offer(passing=True)

    def _worth_a_glance(self, budget: SpeculatingBackend) -> bool:
        chunker = self._chunker
        spoken = chunker.speaking and chunker.heard - chunker.onset >= FIRST
        return spoken and chunker.heard - self._passed >= EVERY and budget.allows(None)

    def _offer(self, *, passing: bool) -> None:
        window = self._chunker.last()
        if window is not None:
            self._intake.offer(Tail(window, passing))


def _overload() -> OverloadError:
    return OverloadError(
        f"transcription is {BACKLOG // SAMPLE_RATE // 60} minutes behind; the recording was ended",
        "what was recorded is still transcribed; use a smaller model or a faster backend",
    )
