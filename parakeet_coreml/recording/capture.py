"""What a recording captures: one source, or a microphone that is let go and opened again.

`audio` runs on the thread `cut`; `stop`, `pause` and `resume` may come from any.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from parakeet_coreml.audio.onset import Onset
from parakeet_coreml.audio.samples import Samples, to_samples
from parakeet_coreml.audio.source import Collecting, Source
from parakeet_coreml.errors import DeviceLostError, NoDeviceError
from parakeet_coreml.recording.options import Options
from parakeet_coreml.recording.reopening import BETWEEN, PATIENCE, Loss, loss_of, released
from parakeet_coreml.recording.sources import Again, heard

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    from parakeet_coreml.audio.resample import Counts


class Watcher(NamedTuple):
    """Callbacks for what becomes of the capture."""

    sounds: Callable[[Source, Onset], None]
    """The first sound of a source is there, or of one that was opened again."""
    paused: Callable[[], None]
    stop: Callable[[str], None]
    """Something of ours ends the recording: takes the reason."""
    warn: Callable[[str, str], None]
    left: Callable[[Source, int], None]
    """The source ended in order, after so many samples at 16 kHz."""
    ended: Callable[[], None]
    """The source is being let go, and nothing more will be captured."""


class Capture:
    """The audio of one recording, at 16 kHz. `open_source` opens the microphone, file or stdin."""

    def __init__(
        self, options: Options, *, open_source: Callable[[Again], Source], watcher: Watcher
    ) -> None:
        self._options, self._open, self._watcher = options, open_source, watcher
        self._changed = threading.Condition()
        self._stopped = self._letting_go = self._held = False
        self._tail = 0.0
        self._rates: dict[tuple[str, int], int] = {}
        self._loss: Loss | None = None
        """Of the source before this one, until it is known what it cost."""
        self.source: Source | None = None
        self._let_go: Source | None = None
        """The one before a pause."""
        self._most = self.left = to_samples(options.most_seconds)
        """Samples that may still come."""
        self._made_until = 0
        """Where what stands for the newest loss ends, in samples from the start."""

    def open(self, again: Again | None = None) -> Source:
        """Begin to listen.

        Raises what the source raises: `NoDeviceError`, `UsageError`, `StorageError`.
        """
        source = self._open(again or Again(rates=self._rates))
        with self._changed:
            self.source = source
            if self._stopped:
                source.stop(self._tail)
            elif self._letting_go:
                source.stop()  # a pause came while it was opening
        return source

    def stop(self, tail: float = 0.0) -> None:
        """End `audio` with the samples up to `tail` seconds from now; at once while paused."""
        with self._changed:
            self._stopped, self._tail = True, tail
            if self.source is not None:
                self.source.stop(tail)
            self._changed.notify_all()

    def pause(self) -> None:
        """Let the microphone go until `resume`. A second call does nothing."""
        if self._options.input != "mic":
            self._watcher.warn("unknown_command", "only a microphone can be paused")
            return
        with self._changed:
            if not self._stopped and not self._held:
                self._letting_go = self._held = True
                if self.source is not None:
                    self.source.stop()

    def resume(self) -> None:
        """Open the microphone again. Does nothing where nothing is paused."""
        with self._changed:
            self._held = False
            if self.source is None:
                self._letting_go = False  # it is opening, and may go on
            self._changed.notify_all()

    def look_within(self, seconds: float) -> None:
        """Let a source that collects sound hand it over in `seconds` at the latest."""
        source = self.source
        if isinstance(source, Collecting):
            source.look_within(seconds)

    def rests(self, resting: bool) -> None:  # noqa: FBT001  it is the whole message
        """Tell a source that collects sound whether all that it gave ends in a pause."""
        source = self.source
        if isinstance(source, Collecting):
            source.rests(resting)

    def quiet_of(self, samples: int) -> int:
        """Return how many of so many newest samples without speech were recorded.

        Somebody may have spoken during what stands for a loss.
        """
        return max(0, min(samples, self._most - self.left - self._made_until))

    def close(self) -> None:
        """Let the source go."""
        if self.source is not None:
            self.source.close()

    def audio(self) -> Iterator[Samples | None]:
        """Yield audio until the source ends or `--max-seconds` is reached; None at a pause.

        A microphone that is lost is opened again where that may be; what is missing is told and
        made up for. Raises what the source raises; `DeviceLostError` if it does not open again.
        """
        from parakeet_coreml.audio.resample import Counts  # noqa: PLC0415  NumPy loads here, not before

        counts = Counts()
        try:
            while (source := self.source) is not None:
                if self._options.input != "mic":
                    self._watcher.sounds(source, Onset())
                try:
                    yield from self._heard(source, counts)
                except DeviceLostError as error:
                    if not self._pausing():
                        self._replace(source, error)
                        continue
                    self._watcher.warn("capture_stall", error.message)
                if not self._paused():
                    self._end(source, self._most - max(self.left, 0))
                    break
                yield None
                self._reopen()
        finally:
            # Before the last window is decoded, which does not wait for it: the next recording may
            # want the microphone.
            if isinstance(self.source, Collecting):
                self.source.let_go()
            else:
                self.close()
            self._watcher.ended()
            if counts.bad_samples:
                self._watcher.warn("nan_samples", f"{counts.bad_samples} samples were not numbers")

    def _heard(self, source: Source, counts: "Counts") -> Iterator[Samples]:
        """Yield what one source gives, up to the limit, behind what was lost before it."""
        microphone = self._options.input == "mic"  # it gives the channel it was opened for
        channel = None if microphone else self._options.channel_number
        made_up = 0
        for block in heard(source, counts, channel):
            for piece in (*self._made_up(source), block):
                if piece is block and isinstance(source, Collecting) and source.made_up > made_up:
                    made_up = source.made_up  # the source itself has lost some
                    self._made_until = self._most - self.left + len(piece)
                yield piece[: self.left]
                self.left -= len(piece)
                if self.left <= 0:
                    self._watcher.stop("max_seconds")
                    return
        self._made_up(source)  # stopped before it gave anything: the loss is reported all the same

    def _made_up(self, source: Source) -> tuple[Samples, ...]:
        """Say what was lost until this source began, and return what stands for it."""
        loss, self._loss = self._loss, None
        if loss is None:
            return ()
        message, instead = loss.told(source)
        self._made_until = self._most - self.left + len(instead)
        self._watcher.warn("device_reopened", message)
        return (instead,)

    def _replace(self, source: Source, error: DeviceLostError) -> None:
        """Open the microphone again that failed. Raises `error` where that is not to be."""
        loss = loss_of(source, error, self._options)
        with self._changed:
            if loss is None or self._stopped:
                raise error
            self.source = None
        self._watcher.warn("capture_stall", f"{error.message}; it is opened again")
        if not released(source):
            raise error
        self._rates.update(loss.learned)
        self._loss = loss
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.open(loss.again(self._options, self._rates))
            except NoDeviceError:
                with self._changed:
                    stopped = self._changed.wait_for(lambda: self._stopped, BETWEEN)
                if stopped or time.monotonic() > until:
                    raise error from None
            else:
                return

    def _end(self, source: Source, used: int) -> None:
        if self._options.input == "-":
            self._watcher.stop("end_of_input")  # its end is how a host stops it
        self._watcher.left(source, used)

    def _pausing(self) -> bool:
        with self._changed:
            return self._letting_go and not self._stopped

    def _paused(self) -> bool:
        """Let the microphone go if that was asked for, and wait; False where the recording ends."""
        with self._changed:
            if self._stopped or not self._letting_go:
                return False
            self._letting_go = False
            self._let_go, self.source = self.source, None
        if self._let_go is not None:
            self._let_go.close()
        self._watcher.paused()
        return True

    def _reopen(self) -> None:
        """Open the microphone at the end of a pause; there may be others than before."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._held)
            if self._stopped:
                return
        try:
            try:
                self.open()
            except NoDeviceError:
                if self._let_go is None or not released(self._let_go):
                    raise
                self.open(Again(rates=self._rates, afresh=True))
        except NoDeviceError as error:
            reason = f"the microphone did not open again: {error.message}"
            raise DeviceLostError(reason, error.hint) from error
