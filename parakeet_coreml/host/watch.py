"""The host: its commands on stdin, its signals, its reading of stdout, and its death."""

import os
import select
import signal
import stat
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import FrameType

from parakeet_coreml.host.leave import SIGNALS
from parakeet_coreml.host.stdio import STDIN

POLL_MS = 250
"""How often the parent is looked for, in milliseconds."""

MAX_COMMAND = 64 * 1024
"""Bytes of stdin kept while waiting for the end of a line."""

GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL
"""What polling says of a pipe that nobody reads."""


def takes_commands() -> bool:
    """Tell whether stdin is a pipe or socket: only then is its end a command to stop."""
    mode = os.fstat(STDIN).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class Host:
    """Waits on the main thread for whatever the host does, and calls back.

    `on_stop(reason)` may be called several times; `on_abort(exit_code)` for `cancel` or the second
    SIGINT or SIGTERM; `on_lost()` when nobody reads stdout any more; `commands` are further lines.
    """

    def __init__(
        self,
        *,
        on_stop: Callable[[str], None],
        on_abort: Callable[[int], None],
        on_lost: Callable[[], None],
        on_odd: Callable[[str], None],
        commands: Mapping[bytes, Callable[[], None]],
    ) -> None:
        self._on_stop, self._on_abort = on_stop, on_abort
        self._on_lost, self._on_odd = on_lost, on_odd
        self._commands = commands
        self._parent = os.getppid()
        self._signals: deque[int] = deque()
        self._terminations = 0
        self._pending = b""
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waker, False)
        # Explicitly, also where the parent ignored them: `cmd &` in a script does.
        for number in SIGNALS:
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
        elif command in self._commands:
            self._commands[command]()
        elif command:
            shown = command[:40].decode(errors="replace")
            self._on_odd(f"stdin said {shown!r}; the commands are stop, cancel, pause and resume")
