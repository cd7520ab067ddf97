"""A private PulseAudio server whose microphones are FIFOs, played by the test.

    def test_something(pulse):
        child = subprocess.Popen([...], env=pulse.env)
        pulse.mic.play(sound)          # int16 at 44.1 kHz, in real time

PortAudio reaches it through ALSA's pulse plugin, which claims 44.1 kHz, so that is the rate of the
microphones: nothing resamples between a FIFO and the recorder, and samples can be compared exactly.
"""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from support import requires

RATE = 44_100
"""Rate of every microphone here, in Hz."""

STEP = RATE // 100
"""Samples written at once: 10 ms."""

START_LIMIT = 20.0
"""Seconds a server may take to start on a busy machine."""

JACK_TABLE = Path(f"/dev/shm/jack_db-{os.geteuid()}")  # noqa: S108  that is where JACK keeps it

Pcm = NDArray[np.int16]

ASOUNDRC = """\
pcm.!default { type pulse }
ctl.!default { type pulse }
"""

NAMED = """\
pcm."%(name)s" { type pulse device "%(source)s" }
"""


def remove_jack_table() -> None:
    """Remove what a killed recorder may have left locked; `audio.jack` says why."""
    if not any(JACK_TABLE.parent.glob(f"jack_*_{os.geteuid()}_*")):  # no server uses it
        shutil.rmtree(JACK_TABLE, ignore_errors=True)


class PulseServer:
    """A PulseAudio server of its own in a temporary folder, of which nothing stays.

    `mics` maps the name PortAudio shows to the source behind it; the first is the default. Where
    PulseAudio or PortAudio is absent, the test that asks for one is skipped.
    """

    def __init__(self, *names: str) -> None:
        requires("PulseAudio", present=bool(shutil.which("pulseaudio") and shutil.which("pactl")))
        requires("PortAudio", present=find_library("portaudio") is not None)
        self._folder = tempfile.TemporaryDirectory(prefix="pulse-")
        home = Path(self._folder.name)
        # Not pytest's own folder: the path of a socket must stay under 108 bytes.
        self.socket = home / "native"
        self.env = {
            **os.environ,
            "HOME": str(home),
            "PULSE_RUNTIME_PATH": str(home / "run"),
            "PULSE_STATE_PATH": str(home / "state"),
            "PULSE_SERVER": f"unix:{self.socket}",
            "XDG_RUNTIME_DIR": str(home),
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        }
        self.mics = {name: Mic(home / f"mic{i}.fifo") for i, name in enumerate(("mic", *names))}
        self.mic = self.mics["mic"]
        named = (NAMED % {"name": n, "source": m.source} for n, m in self.mics.items())
        (home / ".asoundrc").write_text(ASOUNDRC + "".join(named))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start the server with all microphones, and play quiet-room noise into them."""
        remove_jack_table()
        for mic in self.mics.values():
            mic.fifo.unlink(missing_ok=True)  # the server fails on one left by an earlier one
        modules = [mic.module() for mic in self.mics.values()]
        # The socket comes last: who can connect finds the microphones.
        modules.append(f"module-native-protocol-unix auth-anonymous=1 socket={self.socket}")
        command = [
            shutil.which("pulseaudio") or "pulseaudio",
            *("-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"),
            *(word for module in modules for word in ("-L", module)),
        ]
        self._process = subprocess.Popen(
            command, env=self.env, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._await_socket()
        for mic in self.mics.values():
            mic.start()

    def stop(self) -> None:
        """End the server and the players; a stopped or dead server too."""
        for mic in self.mics.values():
            mic.stop()
        if self._process is not None:
            self._process.kill()  # also ends one that SIGSTOP holds
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send the server a signal: SIGSTOP wedges it, SIGKILL is a crash."""
        assert self._process is not None
        self._process.send_signal(number)

    def unplug(self, name: str = "mic") -> None:
        """Take a microphone away. A recorder moves on to another one if there is one."""
        listing = self._pactl("list", "short", "modules")
        for line in listing.splitlines():
            if f"source_name={self.mics[name].source} " in line:
                self._pactl("unload-module", line.split()[0])
                return
        raise LookupError(name)

    def plug(self, name: str = "mic") -> None:
        """Give a microphone back that was unplugged."""
        mic = self.mics[name]
        mic.stop()
        mic.fifo.unlink(missing_ok=True)
        self._pactl("load-module", *mic.module().split())
        mic.start()

    def suspend(self, name: str = "mic", *, suspended: bool = True) -> None:
        """Let a microphone pause as its server may, or go on."""
        self._pactl("suspend-source", self.mics[name].source, str(int(suspended)))

    def make_default(self, name: str) -> None:
        """Name another microphone the default one."""
        self._pactl("set-default-source", self.mics[name].source)

    def _pactl(self, *arguments: str) -> str:
        done = subprocess.run(
            ["pactl", *arguments], env=self.env, capture_output=True, text=True, check=True
        )
        return done.stdout

    def _await_socket(self) -> None:
        """Wait until the server answers; that it runs is no proof."""
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"pulseaudio left with {self._process.returncode}")
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.socket)) == 0:
                    return
            time.sleep(0.01)
        raise TimeoutError("pulseaudio did not start")


class Mic:
    """A microphone: plays what it is given into a FIFO, and a quiet room in between.

    `idle` is what it plays then: noise of 1 or 2 steps, digital zeros (a muted microphone), or
    nothing at all (one that has stalled).
    """

    def __init__(self, fifo: Path) -> None:
        self.source = fifo.stem
        self.idle: Literal["noise", "zeros", "nothing"] = "noise"
        self.fifo = fifo
        self.played = 0
        """Samples that went into the FIFO so far."""
        self._waiting: deque[tuple[Pcm, bool, threading.Event]] = deque()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._noise = np.random.default_rng(0)

    def module(self) -> str:
        """Return the line that makes this microphone."""
        return (
            f"module-pipe-source source_name={self.source} file={self.fifo} "
            f"format=s16le rate={RATE} channels=1"
        )

    def play(self, sound: Pcm, *, fast: bool = False) -> threading.Event:
        """Play int16 samples of shape (n,) at 44.1 kHz after what is waiting already.

        In real time, or with `fast` as quickly as the server takes them. Returns at once; the event
        is set when the last sample is in the FIFO.
        """
        done = threading.Event()
        self._waiting.append((np.asarray(sound, np.int16), fast, done))
        return done

    @contextlib.contextmanager
    def muted(self) -> Iterator[None]:
        """Give digital zeros meanwhile, and nothing of the noise from before.

        While nobody records the server reads nothing, so that up to 0.7 s of it wait in the FIFO.
        """
        self.idle = "zeros"
        turned, silent = self.play(np.zeros(STEP, np.int16)), False
        while not silent:
            silent = turned.wait(0.01)
            self.drain()
        try:
            yield
        finally:
            self.idle = "noise"

    def drain(self) -> None:
        """Throw away what nobody has heard yet: as much as a FIFO holds."""
        unread = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            os.read(unread, 1 << 16)
        os.close(unread)

    def start(self) -> None:
        """Start playing into the FIFO, which the server has made and reads."""
        self._ended.clear()
        fd = os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, args=(fd,), name="mic", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop playing at once."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, fd: int) -> None:
        try:
            while not self._ended.is_set():
                if self._waiting:
                    sound, fast, done = self._waiting.popleft()
                    self._play(fd, sound, paced=not fast)
                    done.set()
                else:
                    self._play(fd, self._room(), paced=True)
        except BrokenPipeError:
            pass  # the server is gone, and with it who would listen
        finally:
            os.close(fd)

    def _room(self) -> Pcm:
        if self.idle == "noise":
            return self._noise.integers(-2, 3, STEP, np.int16)
        return np.zeros(STEP if self.idle == "zeros" else 0, np.int16)

    def _play(self, fd: int, sound: Pcm, *, paced: bool) -> None:
        start = time.monotonic()
        for at in range(0, max(1, len(sound)), STEP):
            self._write(fd, sound[at : at + STEP].tobytes())
            if paced:
                due = start + max(STEP, min(at + STEP, len(sound))) / RATE
                self._ended.wait(max(0.0, due - time.monotonic()))
            if self._ended.is_set():
                return

    def _write(self, fd: int, data: bytes) -> None:
        """Write everything, also through a full FIFO; give up when stopped."""
        view = memoryview(data)
        while view and not self._ended.is_set():
            _, ready, _ = select.select([], [fd], [], 0.05)
            if ready:
                try:
                    written = os.write(fd, view)
                    self.played += written // 2  # what a FIFO takes in part is whole pages
                    view = view[written:]
                except BlockingIOError:
                    continue
