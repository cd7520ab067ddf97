"""A stand-in for sounddevice: plays what PortAudio does on its worst days.

def test_something(fake):          # the fixture is in tests/conftest.py
    mic = fake.microphone(gives(480), dies)
"""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from parakeet_coreml.audio.microphone import Microphone

RATE = 48_000
Step = Callable[["FakeStream"], int]


class PortAudioError(Exception):
    """As sounddevice's: what went wrong and, on a line of its own, the host's code."""


class FakeStream:
    """Plays a script: each look at `read_available` takes the next step; at the end, silence."""

    def __init__(self, script: list[Step]) -> None:
        self.script = script
        self.active = True
        self.overflowed = False
        self.level = 0.5
        self.aborted = threading.Event()
        self.closed = threading.Event()
        self.hang = threading.Event()
        self.hang.set()

    def start(self) -> None:
        pass

    @property
    def read_available(self) -> int:
        return self.script.pop(0)(self) if self.script else 0

    def read(self, count: int) -> tuple[bytes, bool]:
        return np.full(count, self.level, np.float32).tobytes(), self.overflowed

    def abort(self) -> None:
        self.aborted.set()
        self.hang.wait()

    def close(self) -> None:
        self.closed.set()


class Clocked(FakeStream):
    """Gives samples at its own rate in real time, whatever rate it was asked for."""

    def __init__(self, rate: int) -> None:
        super().__init__([])
        self.rate = rate
        self.given = 0
        self.began = 0.0

    def start(self) -> None:
        self.began = time.monotonic()

    @property
    def read_available(self) -> int:
        due = int((time.monotonic() - self.began) * self.rate) - self.given
        self.given += due
        return due


def gives(count: int, *, overflowed: bool = False, after: float = 0.0, level: float = 0.5) -> Step:
    """Step: so many samples; after a time in which the machine was busy elsewhere."""

    def step(stream: FakeStream) -> int:
        time.sleep(after)
        stream.overflowed, stream.level = overflowed, level
        return count

    return step


def fails(_stream: FakeStream) -> int:
    raise PortAudioError("Unanticipated host error\n[PaErrorCode -9999]")


def dies(stream: FakeStream) -> int:
    stream.active = False
    return 0


class Fake:
    """The stand-in: a stereo device, the default, and what `connect` adds; streams in turn.

    As PortAudio's, its list of devices is from when it was started: `devices` is what there is.
    """

    def __init__(self) -> None:
        self.rate: float = RATE
        self.stream = FakeStream([])
        self.next: list[FakeStream] = []
        """The streams that are opened after the first."""
        self.asked: dict[str, Any] = {}
        self.opened: list[dict[str, Any]] = []
        self.warnings: list[tuple[str, str]] = []
        self.open_when = threading.Event()
        self.open_when.set()
        self.devices = ["Desk"]
        self.known = [*self.devices]
        self.gone: list[str] = []
        """Those that are known and cannot be opened."""
        self.claims: dict[str, float] = {}
        """The rates of devices that claim another than `rate`."""
        self.starts = 1
        self.broken: list[str] = []
        """What was done that real PortAudio does not survive."""
        self._streams: list[FakeStream] = []

    def module(self) -> SimpleNamespace:
        return SimpleNamespace(
            PortAudioError=PortAudioError,
            RawInputStream=self.open,
            query_devices=self.query,
            query_hostapis=lambda: [{"name": "Fake Audio"}],
            default=SimpleNamespace(device=[0, 1]),
            _terminate=self.terminate,
            _initialize=self.initialize,
        )

    def query(self) -> list[dict[str, Any]]:
        silent = {"hostapi": 0, "max_input_channels": 0, "default_samplerate": self.rate}
        found = [
            {
                **silent,
                "index": index,
                "name": name,
                "max_input_channels": 2,
                "default_samplerate": self.claims.get(name, self.rate),
            }
            for index, name in enumerate(self.known)
        ]
        return [*found, {**silent, "index": len(found), "name": "Loudspeaker"}]

    def terminate(self) -> None:
        if not all(stream.closed.is_set() for stream in self._streams):
            self.broken.append("terminated around a stream that is open")
        self.starts -= 1

    def initialize(self) -> None:
        self.starts += 1
        self.known = [*self.devices]

    def open(self, **asked: Any) -> FakeStream:
        self.open_when.wait()
        if asked["device"] >= len(self.known):
            raise PortAudioError("Invalid device")
        if self.known[asked["device"]] in self.gone:
            raise PortAudioError("Device unavailable")
        self.asked = asked
        self.opened.append(asked)
        if len(self.opened) > 1 and self.next:
            self.stream = self.next.pop(0)
        self._streams.append(self.stream)
        return self.stream

    def microphone(self, *script: Step, **options: Any) -> Microphone:
        self.stream.script = list(script)
        return Microphone(None, warn=lambda *w: self.warnings.append(w), **options)

    def codes(self) -> list[str]:
        return [code for code, _ in self.warnings]

    def let_go(self) -> None:
        """Let every call that hangs come back."""
        for stream in (self.stream, *self._streams):
            stream.hang.set()
        self.open_when.set()
