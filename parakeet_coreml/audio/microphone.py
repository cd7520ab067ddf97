"""The microphone as a source of blocks.

Loads before everything else, so NumPy comes in with the first block only. PortAudio can hang for
ever in any call: every call is made on a daemon thread, and nobody waits for one without a limit.

    PortAudio's ring in C  --reader thread, never waits-->  queue of bytes  --blocks()-->  arrays

The ring rides out a stalled interpreter, the queue a consumer that is busy elsewhere.
"""

import math
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from parakeet_coreml.audio.onset import FirstSound, Onset
from parakeet_coreml.audio.opening import Rates, open_stream
from parakeet_coreml.audio.pace import HELD_UP, LATE, LEAST, SETTLED, Pace
from parakeet_coreml.audio.portaudio import library, one_line, within
from parakeet_coreml.audio.samples import noise
from parakeet_coreml.audio.source import Warn
from parakeet_coreml.audio.stopping import DELAY, all_here, patience
from parakeet_coreml.errors import DeviceLostError, NoDeviceError
from parakeet_coreml.threads import Thread

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    import numpy as np
    from numpy.typing import NDArray

OPEN_LIMIT = 30.0 if sys.platform == "darwin" else 5.0
"""Seconds a microphone may take to open: on a Mac its first question is part of that."""

POLL = 0.2
"""Seconds between two looks into PortAudio's ring, which holds 0.5 s and more; each costs."""

LIVE_POLL = 0.1
"""Seconds between them where somebody watches the levels, which are ten a second."""

FIRST_POLL = 0.02
"""Seconds between two looks until there is sound, and behind a freeze until all of it is here."""

LAST_POLL = 0.002
"""Seconds between two looks once a stop was asked for; the first is at once."""

WAIT = 0.5
"""Seconds a consumer waits for the reader before it looks at the time."""

FILL_LIMIT = 60.0
"""Seconds of noise at most in place of lost samples: a recorder may be frozen for a night."""

STALL_WARNING = 1.5
"""Seconds without samples after which the user is warned."""

CLOSE_LIMIT = 0.1
"""Seconds that `close` waits for PortAudio, which may never come back."""

NOISE_RMS = 1e-4
"""Loudness of the noise in place of lost samples: digital zeros can blank a whole window."""

BUSY, MUTE = "the computer was too busy", "no sound came from it"
FEWER = "it gave fewer samples than it claims"


class Microphone:
    """A microphone, mono at its native rate.

    `device` is an index, a name, or a part of one name in any case, or several of these, of which
    the first that is there counts; None is the system's default.
    `warn`, `begun` with the first samples, and `sounds` are called from another thread.
    """

    def __init__(
        self,
        device: str | tuple[str, ...] | None,
        *,
        warn: Warn,
        begun: Callable[[], None] = lambda: None,
        open_timeout: float = OPEN_LIMIT,
        stall_timeout: float = 5.0,
    ) -> None:
        self.rate = 0
        self.claimed = 0
        """The rate that the device says is its own."""
        self.true_rate = 0
        """What it gives, in Hz, where it was given up because that is not `rate`."""
        self.channels = 1
        self.seconds = 0.0
        """None of it is there before it was recorded."""
        self.name = ""
        self.poll = POLL
        """Seconds after which sound is handed over; at once after `stop`."""
        self.sounds: Callable[[Onset], None] = lambda _onset: None
        """Is called once what comes is not only digital zeros, or stays so for long."""
        self.lost_samples = 0
        """Samples at `rate` that the device lost by overflow, as far as the clock can tell."""
        self.made_up = 0  # samples of noise in place of them that `blocks` has given
        self.rates: Rates = {}
        """What devices were found to give instead of the rates they claim."""
        self.afresh = False
        """PortAudio is to look for its devices again."""
        self.again_after = math.inf
        """Seconds without samples, after the first ones, that make it a lost device."""
        self.began: float | None = None
        """When its first sample was recorded, on the monotonic clock; None before that."""
        self.ended = 0.0
        """When its newest samples arrived."""
        self._devices = (device,) if isinstance(device, str) else device or ()
        self.channel: int | None = None
        """The one that is recorded, from 1; None leaves it to the system to make one of them."""
        self._opened = 1  # channels
        self._warn = warn
        self._begun: Callable[[], None] | None = begun
        self._waited_for: FirstSound | None = None
        self.open_timeout = open_timeout
        self._stall_timeout = stall_timeout
        self._stream: Any = None
        self._reader: threading.Thread | None = None
        self._arrived: queue.SimpleQueue[bytes | int | None] = queue.SimpleQueue()
        """Samples as bytes, or a count of lost ones; None at the end."""
        self._failure = ""
        self._resting = False
        self._given = self._handled = 0
        """Blocks that came, and those that the consumer is done with."""
        self._last = math.inf
        """Block that has the last samples before a stop, once it came, from 1."""
        self._pace = Pace(0, 0.0)
        self._looked = self._judged = self._stop_time = self._wanted = math.inf
        self._wake = threading.Event()
        self._closed = False
        self._released = threading.Event()

    def open(self) -> None:
        """Start recording; from here on nothing is lost.

        Raises `NoDeviceError` if there is no such microphone, or it does not open in time.
        """
        try:
            within(self.open_timeout, self._start, waiting=self._tell_opening)
        except NoDeviceError:
            self._closed = True  # should it open after all, it is closed again
            raise
        self._reader = Thread(target=self._read, name="microphone")
        self._reader.start()

    def _tell_opening(self, seconds: float) -> None:
        self._warn(
            "device_opening",
            f"the microphone has not opened after {seconds:g} s; the system may be asking whether "
            "this program may listen",
        )

    def blocks(self) -> "Iterator[NDArray[np.float32]]":
        """Yield float32 blocks of shape (n,) at `rate` as they arrive, until `stop` or `close`.

        Raises `DeviceLostError` once everything that arrived is out, if the device fails or gives
        nothing for `stall_timeout` s, or for `again_after`, or gives samples at another rate.
        """
        import numpy as np  # noqa: PLC0415  lazy: must not load before the microphone runs

        for item in self._waiting():
            if isinstance(item, int):
                longest = min(item, round(FILL_LIMIT * self.rate))
                for at in range(0, longest, self.rate):
                    self.made_up += min(self.rate, longest - at)
                    yield noise(min(self.rate, longest - at), NOISE_RMS, at)
            else:
                heard = np.frombuffer(item, np.float32).reshape(-1, self._opened)
                yield np.ascontiguousarray(heard[:, (self.channel or 1) - 1])
                self._handled += 1
        if self._failure and not self._closed:
            raise DeviceLostError(
                f"the microphone {self.name!r} {self._failure}",
                "text up to this point is complete; check the connection and start again",
            )

    def stop(self, tail: float = 0.0) -> None:
        """End `blocks` after the samples up to `tail` s from now. At once, from any thread."""
        self._stop_time = min(self._stop_time, time.monotonic() + tail)
        self._wake.set()

    def look_within(self, seconds: float) -> None:
        """Look into PortAudio's ring in `seconds` at the latest, once. From any thread."""
        self._wanted = time.monotonic() + seconds
        self._wake.set()

    def rests(self, resting: bool) -> None:  # noqa: FBT001  it is the whole message
        """Take from the consumer whether all that it was given ends in a pause."""
        self._resting = resting

    def let_go(self) -> None:
        """Begin to let the microphone go, at once. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self.stop()
            Thread(target=self._release, name="microphone-close").start()

    def close(self) -> None:
        """Let the microphone go; waits for PortAudio 0.1 s at most."""
        self.let_go()
        self.released(CLOSE_LIMIT)

    def released(self, within: float) -> bool:
        """Wait so many seconds at most until it is let go; tell whether it is."""
        return self._released.wait(within)

    # Opening, on a daemon thread

    def _start(self) -> None:
        """Find the device, open it and start it."""
        opened = open_stream(
            self._devices, channel=self.channel, rates=self.rates, afresh=self.afresh
        )
        self.rate, self.claimed, self.name = opened.rate, opened.claimed, opened.name
        self._opened, self._stream = opened.channels, opened.stream
        if (wrong := opened.wrong) is not None:
            self._warn("other_device", f"{wrong.message}; recording from {opened.name!r}")
        self._pace = Pace(self.rate, time.monotonic())
        self._waited_for = FirstSound(self.rate, self._opened, (self.channel or 1) - 1)
        if self._closed:  # too late: the caller has given up on us
            self._stream.close()

    # Reading, on the reader thread

    def _read(self) -> None:
        """Move samples from PortAudio's ring to the queue until stopped, closed or lost."""
        sounddevice = library()
        try:
            while not self._finished(count := self._read_once()):
                # A ring with twice what comes between two looks says that we are behind.
                behind = self._judged < math.inf or count > 2 * self.poll * self.rate
                self._rest(FIRST_POLL if self._waited_for or behind else self.poll)
            if not self._failure and not self._closed:
                self._fill_the_end()
        except sounddevice.PortAudioError as error:
            self._failure = f"stopped: {one_line(error)}"
        finally:
            self._arrived.put(None)

    def _rest(self, seconds: float) -> None:
        """Wait so long, less where somebody wants to hear sooner; a stop ends it."""
        if self._stop_time < math.inf:
            time.sleep(LAST_POLL)
        started = time.monotonic()
        while self._stop_time == math.inf:
            sooner = max(FIRST_POLL, self._wanted - started)
            left = started + min(seconds, sooner) - time.monotonic()
            if left <= 0:
                return
            self._wake.wait(left)
            self._wake.clear()

    def _read_once(self) -> int:
        """Take what is in the ring, without waiting; return how many samples that were."""
        now = time.monotonic()
        if now - self._looked > HELD_UP:
            self._judged = now + SETTLED
        self._looked = now
        count: int = self._stream.read_available
        kept = b""
        if count > 0:
            data, overflowed = self._stream.read(count)
            self.ended = time.monotonic()
            if self.began is None:
                self.began = self.ended - count / self.rate
                self._stall_timeout = min(self._stall_timeout, self.again_after)
            self._pace.arrived(count, self.ended)
            self._wanted = math.inf  # before anyone can want the next one
            kept = bytes(data)
            self._given += 1
            self._arrived.put(kept)
            self._judge_clock()
            if overflowed and sys.platform == "darwin":
                # There the flag also says that a cycle of Core Audio was late, which loses nothing
                # (kAudioDeviceProcessorOverload): the count of samples will show what is missing.
                self._judged = now + SETTLED
            elif overflowed:
                self._fill(time.monotonic(), BUSY)
        self._listen(kept, now)
        if now > self._judged:
            self._judged = math.inf
            self._fill(now, BUSY, LATE)
        return count

    def _listen(self, data: bytes, now: float) -> None:
        """Tell that samples come, and once they are sound."""
        if data and self._begun is not None:
            self._begun()
            self._begun = None
        if self._waited_for is not None and (onset := self._waited_for.look(data, now)):
            self._waited_for = None
            self.sounds(onset)

    def _judge_clock(self) -> None:
        """Go by the device's own clock where it is not the one it claims, and tell so."""
        if sys.platform == "darwin" and self._stop_time == math.inf:
            # AirPods go to half their rate as they begin to record, or when a call does.
            self.true_rate, since = self._pace.flipped()
            if self.true_rate:
                self._failure = (
                    f"gives {self.true_rate} samples a second, not {self.rate}: {since:.1f} s "
                    "were heard at another speed"
                )
                return
        drift = self._pace.drift()
        if drift:
            self._pace.follow(drift)
            self._warn(
                "clock_drift",
                f"the microphone gives {abs(drift):.0%} {'more' if drift > 0 else 'fewer'} samples "
                f"than the {self.rate} a second it claims: its speech is heard at another speed",
            )

    def _fill(self, moment: float, why: str, least: float = 0.0) -> None:
        """Make up for what is missing, `least` s, behind what was kept: a ring keeps the oldest."""
        missing = self._pace.lost(moment)
        if missing < least * self.rate:
            return
        self._pace.filled(missing)
        self.lost_samples += missing
        self._arrived.put(missing)
        ms = missing * 1000 // self.rate
        self._warn("input_overflow", f"the microphone lost about {ms} ms: {why}")

    def _fill_the_end(self) -> None:
        """Make up for what was recorded before a stop, was waited for, and did not come."""
        frozen, mute = self._judged < math.inf, self._pace.mute(time.monotonic())
        if frozen or mute:
            least = LEAST if mute and self.began is not None else LATE
            self._fill(self._stop_time, BUSY if frozen else MUTE, least)
        elif sys.platform == "darwin":
            # A rate that is not the one it claims, too short before the stop to be sure which.
            self._fill(self.ended, FEWER, LATE)

    def _finished(self, count: int) -> bool:
        """Say whether reading is over, after a look that found `count` samples."""
        if self._closed or self._failure:
            return True
        if not count and not self._stream.active:
            self._failure = "stopped: the device is gone"
            return True
        if self._stop_time == math.inf:
            return False
        if self._pace.missing(self._stop_time) == 0:
            self._last = min(self._last, self._given)
        resting = self._resting and self._handled >= self._last
        late = self._looked - self._stop_time
        return all_here(self._pace, self._stop_time, late, count, 0.0 if resting else DELAY)

    # Handing over, on the thread of the caller

    def _waiting(self) -> "Iterator[bytes | int]":
        """Yield what the reader puts in the queue; end with it, or when it hangs in PortAudio.

        Silence is counted in our own waits, not by the clock: after the whole process was stopped
        for a while, the samples are there as soon as it runs again.
        """
        quiet, warned, over = 0.0, False, False
        while True:
            try:
                item = self._arrived.get(timeout=WAIT)
            except queue.Empty:
                quiet += WAIT
            else:
                if item is None:
                    return
                quiet, warned = 0.0, False
                yield item
                continue
            if self._closed:
                return
            if self._stop_time < math.inf:
                # The reader waits for what is due: only silence behind the stop says that it hangs.
                if quiet > 2 * patience(self._pace) and over:
                    self._fill_the_end()
                    self._arrived.put(None)
                quiet = quiet if over else 0.0
                over = time.monotonic() > self._stop_time
                continue
            if quiet >= self._stall_timeout:
                self._failure = f"stopped: no sound came for {self._stall_timeout:g} s"
                return
            if quiet >= STALL_WARNING and not warned:
                warned = True
                self._warn("capture_stall", "no sound comes from the microphone; still waiting")

    # Closing, on a daemon thread

    def _release(self) -> None:
        """Close the stream once the reader has let go of it."""
        if self._reader is not None:
            self._reader.join()
        if self._stream is not None:
            self._stream.abort()
            self._stream.close()
        self._released.set()
