"""The host: its commands on stdin, its signals, its reading of stdout, and its death."""

import os
import select
import signal
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import FrameType

from parakeet_coreml.host import leave
from parakeet_coreml.host.stdio import STDIN

POLL_MS = 250
"""How often the parent is looked for, in milliseconds."""

MAX_COMMAND = 64 * 1024
"""Bytes of stdin kept while waiting for the end of a line."""

BOM = b"\xef\xbb\xbf"
"""What some writers begin with."""

CLOSED = (
    "stdin was closed from the start, which ends the recording; "
    "keep it open, or give /dev/null and end with a signal"
)

TWICE = 0.5
"""Seconds after which a second SIGINT or SIGTERM is one: sooner, one request arrives twice.

GNU `timeout` signals its child and its group, a trap or a host passes on what its group got too."""

GONE = select.POLLERR | select.POLLHUP
"""What polling says of a pipe or socket that nobody reads."""


def _reader_gone(fd: int) -> bool:
    """Return whether nobody reads a descriptor any more.

    A Mac reports a hang-up only where a readiness is asked for (xnu's poll_nocancel), and asked
    together with others a pipe that can be written would wake us all the time: so it is asked
    alone, and waited for no moment. POLLNVAL is `/dev/null` there, which reads everything.
    """
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return any(event & GONE for _, event in poll.poll(0))


def takes_commands() -> bool:
    """Return whether stdin is a pipe or socket: only then is its end a command to stop."""
    mode = os.fstat(STDIN).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class Host:
    """Waits on the main thread for whatever the host does, and calls back.

    `on_stop(reason)` may be called several times; `on_abort(exit_code)` for `cancel` or the second
    SIGINT or SIGTERM; `on_lost()` when nobody reads stdout any more; `on_odd(code, message)` for
    what is odd about stdin; `commands` are further lines.
    """

    def __init__(
        self,
        *,
        on_stop: Callable[[str], None],
        on_abort: Callable[[int], None],
        on_lost: Callable[[], None],
        on_odd: Callable[[str, str], None],
        commands: Mapping[bytes, Callable[[], None]],
    ) -> None:
        self._on_stop, self._on_abort = on_stop, on_abort
        self._on_lost, self._on_odd = on_lost, on_odd
        self._commands = commands
        self._signals: deque[tuple[int, float]] = deque()
        self._asked: float | None = None
        """When the first SIGINT or SIGTERM came."""
        self._pending = b""
        self._skipping = self._read = False
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waker, False)
        # Explicitly, also where the parent ignored them: `cmd &` in a script does. But who ignores
        # hang-ups wants to outlive one: `nohup`.
        for number in leave.SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        for early in leave.early_signals:
            self._on_signal(early, None)

    def wake(self) -> None:
        """Make `watch` look again; callable from any thread."""
        try:
            os.write(self._waker, b"\0")
        except BlockingIOError:
            return  # it is full of wakes

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append((number, time.monotonic()))
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
        if commands:
            poll.register(STDIN, select.POLLIN)
        orphaned = False
        while not finished.is_set():
            for fd, _ in poll.poll(POLL_MS):
                if fd == self._wake:
                    self._drain()
                elif not self._read_commands():
                    poll.unregister(STDIN)
            if stdout is not None and _reader_gone(stdout):
                stdout = None
                self._on_lost()
            self._serve_signals()
            each()
            if not orphaned and leave.orphaned():
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
            number, now = self._signals.popleft()
            self._on_stop(signal.Signals(number).name.lower())
            if number not in (signal.SIGINT, signal.SIGTERM):
                continue
            if self._asked is None:
                self._asked = now
            elif now - self._asked >= TWICE:
                self._on_abort(128 + number)

    def _read_commands(self) -> bool:
        """Read what stdin has; False at its end."""
        try:
            data = os.read(STDIN, MAX_COMMAND)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            if not self._read:
                self._on_odd("stdin_closed", CLOSED)
            if self._pending.strip() == b"cancel":  # its line feed was forgotten
                self._obey(b"cancel")
            self._on_stop("stdin_eof")
            return False
        self._read = True
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            # The rest of a line that was too long is no command.
            if not self._skipping:
                self._obey(line.removeprefix(BOM).strip())
            self._skipping = False
        if len(self._pending) > MAX_COMMAND:
            if not self._skipping:
                message = "a line on stdin was longer than 64 KiB and was ignored"
                self._on_odd("unknown_command", message)
            self._pending, self._skipping = b"", True
        return True

    def _obey(self, command: bytes) -> None:
        if command == b"stop":
            self._on_stop("stop")
        elif command == b"cancel":
            self._on_abort(130)
        elif command in self._commands:
            self._commands[command]()
        elif command:
            shown = command[:40].decode(errors="replace")
            message = f"stdin said {shown!r}; the commands are stop, cancel, pause and resume"
            self._on_odd("unknown_command", message)
