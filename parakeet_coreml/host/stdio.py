"""The host: its stdin commands and signals, its death, and the writer of stdout.

Everything here runs before the microphone and imports nothing heavy.
"""

import contextlib
import fcntl
import os
import resource
import select
import signal
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from parakeet_coreml.errors import OutputLostError

STDIN, STDOUT, STDERR = 0, 1, 2

POLL_MS = 250
"""How often the parent is looked for, in milliseconds."""

MAX_COMMAND = 64 * 1024
"""Bytes of stdin kept while waiting for the end of a line."""

QUEUE_SOFT = 8
"""With so many lines waiting, the reader is slow and droppable lines are left out."""

GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL

_sigmask = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def secure_stdio() -> None:
    """Make file descriptors 0, 1 and 2 exist, so that nothing opened later takes their place.

    Must come before anything that opens a file or starts a thread. A stdout that was closed becomes
    one that cannot be written, so that its loss still shows: see `check_stdout`.
    """
    for fd in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number is given, which is this one.
            os.open(os.devnull, os.O_RDONLY if fd == STDOUT else os.O_RDWR)
    if sys.stderr is None:  # Python found it closed
        sys.stderr = open(STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def check_stdout() -> None:
    """Raise `OutputLostError` if stdout was closed from the start or is only for reading."""
    if fcntl.fcntl(STDOUT, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OutputLostError(
            "stdout cannot be written", "start the program with a stdout that is open"
        )


def forbid_core_dumps() -> None:
    """Keep a crash of ours or of the worker from writing the recording to disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def take_stdout() -> int:
    """Return a private descriptor for stdout, and point fd 1 at stderr from now on.

    Libraries print: Core ML even from its own threads. Only the protocol may reach the host.
    """
    private = fcntl.fcntl(STDOUT, fcntl.F_DUPFD_CLOEXEC, 3)
    os.dup2(_stderr(), STDOUT)
    return private


def _stderr() -> int:
    """Return the descriptor that reaches people: fd 2 is mute while PortAudio loads."""
    return sys.stderr.fileno()


def say(text: str) -> None:
    """Write one line for people on stderr, or leave it out where that would block."""
    _tell(text[: select.PIPE_BUF // 4] + "\n")


def _tell(text: str) -> None:
    ready = select.poll()
    try:
        fd = _stderr()
        ready.register(fd, select.POLLOUT)
        # A pipe that polls writable takes at least PIPE_BUF bytes without blocking.
        if any(event & select.POLLOUT for _, event in ready.poll(0)):
            os.write(fd, text.encode(errors="replace"))
    except OSError:
        return  # nobody listens to stderr, which is allowed


def is_terminal(fd: int) -> bool:
    """Tell whether a person sees what is written there, on a screen that can redraw a line."""
    return os.isatty(fd) and os.environ.get("TERM", "dumb") != "dumb"


def draw_level(decibels: float) -> None:
    """Draw a level meter over the current line of the terminal on stderr."""
    bars = max(0, min(20, round((decibels + 60) / 3)))
    _tell(f"\r[{'|' * bars:<20}] ")


class Writer:
    """Writes lines to a descriptor on its own thread; a slow reader holds up nothing else."""

    def __init__(self, fd: int, on_lost: Callable[[], None]) -> None:
        self.fd = fd
        self.lost = False
        """True once a line could not be written: the reader is gone or the disk is full."""
        self._on_lost = on_lost
        self._lines: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._written = 0
        self._busy = False
        threading.Thread(target=self._run, name="writer", daemon=True).start()

    def put(self, line: bytes, *, droppable: bool = False) -> None:
        """Queue one line. A droppable one is left out while the reader is slow."""
        with self._changed:
            if not self.lost and not (droppable and len(self._lines) >= QUEUE_SOFT):
                self._lines.append(line)
                self._changed.notify_all()

    def flush(self, patience: float) -> bool:
        """Wait until everything is written; False if nothing moved for `patience` seconds."""
        with self._changed:
            written, deadline = self._written, time.monotonic() + patience
            while (self._lines or self._busy) and not self.lost:
                if self._written != written:
                    written, deadline = self._written, time.monotonic() + patience
                if time.monotonic() >= deadline:
                    return False
                self._changed.wait(deadline - time.monotonic())
            return not self.lost

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                line = self._lines.popleft()
                self._busy = True
            if not self._write(line):
                return

    def _write(self, line: bytes) -> bool:
        """Write one line, in one write(2) unless the system takes less; False if it is lost."""
        rest = memoryview(line)
        while rest:
            try:
                count = os.write(self.fd, rest)
            except BlockingIOError:  # the host made our end non-blocking
                self._wait_writable()
                continue
            except OSError:
                self._lose()
                return False
            rest = rest[count:]
            with self._changed:
                self._written += count
                self._changed.notify_all()
        return True

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        poll.poll(POLL_MS)

    def _lose(self) -> None:
        with self._changed:
            self.lost = True
            self._lines.clear()
            self._changed.notify_all()
        self._on_lost()


def takes_commands() -> bool:
    """Tell whether stdin is a pipe or socket: only then is its end a command to stop."""
    mode = os.fstat(STDIN).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class Host:
    """Waits on the main thread for whatever the host does, and calls back.

    `on_stop(reason)` may be called several times; `on_abort(exit_code)` for `cancel` or the second
    SIGINT or SIGTERM; `on_lost()` when nobody reads stdout any more.
    """

    def __init__(
        self,
        *,
        on_stop: Callable[[str], None],
        on_abort: Callable[[int], None],
        on_lost: Callable[[], None],
        on_odd: Callable[[str], None],
    ) -> None:
        self._on_stop, self._on_abort = on_stop, on_abort
        self._on_lost, self._on_odd = on_lost, on_odd
        self._parent = os.getppid()
        self._signals: deque[int] = deque()
        self._terminations = 0
        self._pending = b""
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waker, False)
        # Explicitly, also where the parent ignored them: `cmd &` in a script does.
        for number in _sigmask:
            signal.signal(number, self._on_signal)

    def wake(self) -> None:
        """Make `watch` look again; callable from any thread."""
        try:
            os.write(self._waker, b"\0")
        except BlockingIOError:
            return  # it is full of wakes

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)
        self.wake()

    def watch(
        self,
        finished: threading.Event,
        *,
        stdout: int | None,
        commands: bool,
        each: Callable[[], None],
    ) -> None:
        """Serve the host until `finished` is set; `each` is called several times a second.

        A reader of `stdout` may go where that is None: everything may have been read.
        """
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if stdout is not None:
            poll.register(stdout, 0)  # errors and hang-ups are always reported
        if commands:
            poll.register(STDIN, select.POLLIN)
        orphaned = False
        while not finished.is_set():
            for fd, event in poll.poll(POLL_MS):
                if fd == self._wake:
                    self._drain()
                elif fd == stdout and event & GONE:
                    poll.unregister(fd)
                    self._on_lost()
                elif fd == STDIN and not self._read_commands():
                    poll.unregister(STDIN)
            self._serve_signals()
            each()
            if not orphaned and os.getppid() != self._parent:
                orphaned = True
                self._on_stop("host_gone")

    def _drain(self) -> None:
        try:
            while os.read(self._wake, 4096):
                pass
        except BlockingIOError:
            return

    def _serve_signals(self) -> None:
        while self._signals:
            number = self._signals.popleft()
            self._terminations += number != signal.SIGHUP
            if number != signal.SIGHUP and self._terminations > 1:
                self._on_abort(128 + number)
            else:
                self._on_stop(signal.Signals(number).name.lower())

    def _read_commands(self) -> bool:
        """Read what stdin has; False at its end."""
        try:
            data = os.read(STDIN, MAX_COMMAND)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            if self._pending.strip() == b"cancel":  # its line feed was forgotten
                self._obey(b"cancel")
            self._on_stop("stdin_eof")
            return False
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._obey(line.strip())
        if len(self._pending) > MAX_COMMAND:
            self._pending = b""
            self._on_odd("a line on stdin was longer than 64 KiB and was ignored")
        return True

    def _obey(self, command: bytes) -> None:
        if command == b"stop":
            self._on_stop("stop")
        elif command == b"cancel":
            self._on_abort(130)
        elif command:
            shown = command[:40].decode(errors="replace")
            self._on_odd(f"stdin said {shown!r}; the commands are stop and cancel")


before_leaving: list[Callable[[], None]] = []
"""What has to be done first; each within a time of its own."""


def _settle() -> None:
    for settle in before_leaving:
        settle()


def settle_before_signals() -> None:
    """Let a signal end the process only once it has settled, until `Host` takes signals over."""

    def end(number: int, _frame: FrameType | None) -> None:
        _settle()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in _sigmask:
        if signal.getsignal(number) == signal.SIG_DFL:  # not what `nohup` turned off
            signal.signal(number, end)


def leave(code: int) -> NoReturn:
    """End the process now, without the exit handlers of libraries: PortAudio's can hang."""
    _settle()
    with contextlib.suppress(OSError):  # nobody listens to stderr
        sys.stderr.flush()
    os._exit(code)


def die(_kind: type[BaseException], error: BaseException, _trace: object) -> NoReturn:
    """Print a bug's traceback and leave: a thread that is inside PortAudio would crash the exit."""
    import traceback  # noqa: PLC0415  for bugs only

    traceback.print_exception(error)
    leave(1)
