"""The writer of stdout: a thread of its own, so that a slow reader holds up nothing else."""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

QUEUE_SOFT = 8
"""With so many lines waiting, the reader is slow and droppable lines are left out."""

WAIT_MS = 250
"""Milliseconds for which a pipe is waited for that the host made non-blocking, each time."""


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
        self._alone = False
        """There is no thread for it: lines are written where they are put."""
        try:
            threading.Thread(target=self._run, name="writer", daemon=True).start()
        except RuntimeError:  # the system allows no more threads, which has to be reported too
            self._alone = True

    def put(self, line: bytes, *, droppable: bool = False) -> bool:
        """Queue a line, return whether it was: a droppable one is not while the reader is slow."""
        with self._changed:
            taken = not self.lost and not (droppable and len(self._lines) >= QUEUE_SOFT)
            if taken and self._alone:
                return self._write(line)
            if taken:
                self._lines.append(line)
                self._changed.notify_all()
            return taken

    @property
    def unused(self) -> bool:
        """Whether no line was ever queued."""
        with self._changed:
            return not (self._written or self._lines or self._busy)

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
        poll.poll(WAIT_MS)

    def _lose(self) -> None:
        with self._changed:
            self.lost = True
            self._lines.clear()
            self._changed.notify_all()
        self._on_lost()
