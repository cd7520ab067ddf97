"""The writer of stdout: a thread of its own, so that a slow reader holds up nothing else."""

import errno
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from parakeet_coreml.threads import Thread

QUEUE_SOFT = 8
"""With so many lines waiting, the reader is slow and droppable lines are left out."""

WAIT = 0.25
"""Seconds for which a pipe is waited for that the host made non-blocking, each time."""


class Writer:
    """Writes lines to a descriptor on its own thread; a slow reader holds up nothing else."""

    def __init__(self, fd: int, on_lost: Callable[[], None]) -> None:
        self.fd = fd
        self.lost = False
        """True once a line could not be written: the reader is gone or the disk is full."""
        self.cause = ""
        """What the system said then; "" of a reader that is gone."""
        self._on_lost = on_lost
        self._lines: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._written = 0
        self._line: bytes | memoryview = b""
        """What is left of the line that is being written."""
        self._alone = False
        """There is no thread for it, or no more: lines are written where they are put or flushed,
        as far as the reader takes them."""
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)
        try:
            Thread(target=self._run, name="writer").start()
        except RuntimeError:  # the system allows no more threads, which has to be told too
            self._alone = True

    def put(self, line: bytes, *, droppable: bool = False) -> bool:
        """Queue a line, return whether it was: a droppable one is not while the reader is slow."""
        with self._changed:
            taken = not self.lost and not (droppable and len(self._lines) >= QUEUE_SOFT)
            if taken:
                self._lines.append(line)
                self._changed.notify_all()
            if taken and self._alone:
                self._write_waiting(0.0)
                return not self.lost
            return taken

    @property
    def unused(self) -> bool:
        """Whether no line was ever queued."""
        with self._changed:
            return not (self._written or self._lines or self._line)

    def flush(self, patience: float) -> bool:
        """Wait until everything is written; False if nothing moved for `patience` seconds."""
        with self._changed:
            if self._alone:
                return self._write_waiting(patience)
            written, deadline = self._written, time.monotonic() + patience
            while (self._lines or self._line) and not self.lost:
                if self._written != written:
                    written, deadline = self._written, time.monotonic() + patience
                if time.monotonic() >= deadline:
                    return False
                self._changed.wait(deadline - time.monotonic())
            return not self.lost

    def rescue(self, patience: float) -> None:
        """Write what waits here and now, with nothing that takes memory: the thread may be gone."""
        limit = time.monotonic() + patience
        while (self._line or self._lines) and not self.lost and time.monotonic() < limit:
            with self._changed:
                if self._alone or not self._line:
                    self._write_waiting(0.0)
            time.sleep(0.01)

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._lines)
                    self._line = self._lines.popleft()
                if not self._write():
                    return
        except BaseException:  # as without memory: who puts more, or flushes, writes what waits
            self._alone = True
            raise

    def _write_waiting(self, patience: float) -> bool:
        """Write what waits; False if it is lost, or nothing was taken for `patience` s.

        Never blocks: a pipe that takes anything at all takes PIPE_BUF bytes.
        """
        while (self._line or self._lines) and not self.lost:
            if not self._line:
                self._line = self._lines.popleft()
            if not self._takes(patience):
                return False
            self._write_once(self._line[: select.PIPE_BUF])
        return not self.lost

    def _takes(self, patience: float) -> bool:
        """Wait so many seconds at most until the reader takes something, or is gone."""
        try:
            return bool(self._room.poll(patience * 1000))
        except (OSError, MemoryError):
            return True  # it has to be written all the same

    def _write(self) -> bool:
        """Write the line, in one write(2) unless the system takes less; False if it is lost."""
        while self._line and not self.lost:
            self._write_once(self._line)
        return not self.lost

    def _write_once(self, piece: bytes | memoryview) -> None:
        """Write what the system takes of the line's beginning."""
        try:
            count = os.write(self.fd, piece)
        except BlockingIOError:  # the host made our end non-blocking
            self._takes(WAIT)
            return
        except OSError as error:
            if error.errno != errno.EPIPE:
                self.cause = error.strerror or str(error)
            self._lose()
            return
        self._line = self._line[count:] if count < len(self._line) else b""
        with self._changed:
            self._written += count
            self._changed.notify_all()

    def _lose(self) -> None:
        with self._changed:
            self.lost = True
            self._lines.clear()
            self._line = b""
            self._changed.notify_all()
        self._on_lost()
