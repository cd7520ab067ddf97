"""The worker as the recorder holds it: one process and its two pipes.

Importing this loads no NumPy: the worker is started before the microphone runs.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

from parakeet_coreml.backends.base import BackendInfo, BackendSpec
from parakeet_coreml.backends.worker.wire import (
    LENGTH,
    MAX_ANSWER,
    SHIELDED,
    BrokenError,
    object_from,
)

PULSE = 0.25
"""Seconds between two looks at whether `kill` was called; the pipe's end mostly shows it sooner."""

REAP = 5.0
"""Seconds until a killed process that stays is given up: only a stuck kernel call can hold it."""


class Process:
    """One worker process and its two pipes. Everything that goes wrong is a `BrokenError`."""

    def __init__(self, spec: BackendSpec) -> None:
        self.started = time.monotonic()
        self.info: BackendInfo | None = None
        self.answered = 0
        self._killed = False
        self._buffer = bytearray()
        try:
            self._popen = spawn(spec)
        except OSError as error:
            raise BrokenError(f"the worker could not be started: {error.strerror}") from error
        assert self._popen.stdin and self._popen.stdout  # noqa: S101, PT018  both are pipes
        self._requests, self._answers = self._popen.stdin, self._popen.stdout
        os.set_blocking(self._requests.fileno(), False)
        os.set_blocking(self._answers.fileno(), False)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    def send(self, *parts: bytes | memoryview, until: float) -> None:
        """Write the parts; the time limit, on the monotonic clock, is `receive`'s to report."""
        fd = self._requests.fileno()
        for part in parts:
            rest = memoryview(part)
            while rest and self._wait(fd, select.POLLOUT, until):
                try:
                    rest = rest[os.write(fd, rest) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    raise BrokenError(self._obituary()) from None

    def receive(self, until: float) -> dict[str, object] | None:
        """Return the next answer, or None if it is not whole at `until`, on the monotonic clock."""
        fd = self._answers.fileno()
        while (answer := self._taken()) is None:
            if not self._wait(fd, select.POLLIN, until):
                return None
            data = os.read(fd, 1 << 16)
            if not data:
                raise BrokenError(self._obituary())
            self._buffer += data
        return answer

    def kill(self) -> None:
        """End the process at once, from any thread; who waits for it gets a `BrokenError`."""
        self._killed = True
        self._popen.kill()

    def end(self, patience: float) -> None:
        """Close the pipes and reap the process, killing it if it stays longer than `patience`."""
        self._requests.close()
        try:
            self._popen.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(REAP)
        finally:
            self._answers.close()

    def _taken(self) -> dict[str, object] | None:
        """Take one whole answer off the buffer."""
        if len(self._buffer) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._buffer)
        if length > MAX_ANSWER:
            raise BrokenError("the worker gave an answer of impossible length")
        stop = LENGTH.size + length
        if len(self._buffer) < stop:
            return None
        text = bytes(self._buffer[LENGTH.size : stop])
        del self._buffer[:stop]
        return object_from(text)

    def _wait(self, fd: int, event: int, until: float) -> bool:
        """Wait for a pipe; False if it is not ready at `until`."""
        poll = select.poll()
        poll.register(fd, event)
        while True:
            left = until - time.monotonic()
            if poll.poll(1000 * min(max(left, 0), PULSE)):
                return True
            if self._killed:
                raise BrokenError("the worker was killed")
            if left <= 0:
                return False

    def _obituary(self) -> str:
        """Say how the process ended, whose pipe has just closed."""
        try:
            code = self._popen.wait(1.0)
        except subprocess.TimeoutExpired:
            return "the worker closed its pipe"
        if code >= 0:
            return f"the worker exited with code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "no name"
        return f"the worker was ended by signal {-code} ({name})"


def command_for(spec: BackendSpec) -> list[str]:
    """Return the command that starts this executable as a worker."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "worker", spec.to_json()]
    # -P: the folder the user stands in must not shadow a module.
    return [sys.executable, "-P", "-m", "parakeet_coreml", "worker", spec.to_json()]


def spawn(spec: BackendSpec) -> subprocess.Popen[bytes]:
    """Start a worker that no signal to the group can hit, not even while it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SHIELDED)  # the child inherits the mask
    try:
        return subprocess.Popen(
            command_for(spec),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=_stderr(),
            env=environment(spec),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def environment(spec: BackendSpec) -> dict[str, str]:
    """Return the worker's environment: no telemetry, one thread for small matrix products."""
    # OpenBLAS threads spin and fight for cores; runtimes bring their own threads where they pay.
    settings = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    if spec.models_dir:
        settings["PARAKEET_COREML_MODELS_DIR"] = spec.models_dir
    return settings


def _stderr() -> int | None:
    """Return a private copy of stderr where there is one: fd 2 is mute while PortAudio loads."""
    fd = sys.stderr.fileno()
    return None if fd == 2 else fd  # noqa: PLR2004  stderr itself
