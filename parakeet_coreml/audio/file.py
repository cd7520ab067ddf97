"""A sound file as a source of blocks: all of it, whatever its header claims."""

import contextlib
import math
import os
import stat
import threading
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio import mp3, ogg
from parakeet_coreml.audio.containers import kind_of, layout, unclaimed_flac
from parakeet_coreml.audio.decoder import Decoder, Pump, View, read_on, unreadable
from parakeet_coreml.audio.source import Warn
from parakeet_coreml.errors import StorageError, UsageError

REALTIME_BLOCK = 0.02
"""Seconds of sound in a block played at 1x."""

BLOCK = 0.5
"""Seconds of sound in a block read at full speed."""

HEAD = 1 << 16
"""Bytes looked at, or handed on, at once."""

GROWTHS = 8
"""How often a file that grows while it is read is gone back to."""


class FileSource:
    """Any sound file that libsndfile reads, streamed; with `realtime` at the pace of a microphone.

    Raises `UsageError` if the path is not a sound file of 8 to 384 kHz and 1 to 32 channels.
    """

    def __init__(self, path: str | os.PathLike[str], *, realtime: bool, warn: Warn) -> None:
        self._name = os.path.basename(os.fspath(path)) or os.fspath(path)  # noqa: PTH119  may be ""
        self.name = os.fspath(path)
        self._realtime = realtime
        self._warn = warn
        self._stopped = threading.Event()
        self._stop_time = math.inf
        self._lock = threading.Lock()
        self._kind = self._odd = ""
        self._broken = False
        self._begun = self._earlier = self._growths = 0
        self._fd = _descriptor(path, self._name)
        self._size = os.fstat(self._fd).st_size
        try:
            self._decoder = self._open()
        except UsageError:
            os.close(self._fd)
            raise
        self.rate = self._decoder.rate
        self.channels = self._decoder.channels
        claimed = self._decoder.frames
        self.seconds: float | None = None if claimed is None else claimed / self.rate
        """Length as the header claims, at the end as it was found; None until that where it is
        not claimed."""

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield float32 blocks of shape (n, channels) at `rate`, in order.

        NaN and infinite values of a float file are passed on. Raises `StorageError` if the file
        breaks off or cannot be read on, after yielding what could be read.
        """
        if self._realtime:
            yield from self._paced(self._read(max(1, round(self.rate * REALTIME_BLOCK))))
            return
        for block in self._read(round(self.rate * BLOCK)):
            if self._stopped.is_set():
                return
            yield block

    def stop(self, tail: float = 0.0) -> None:
        """End `blocks`; in real time after what is played in `tail` seconds. From any thread."""
        self._stop_time = min(self._stop_time, time.monotonic() + tail)
        self._stopped.set()

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self.stop()
        # Closing under a running read would crash in C; one on a dead network disk may never end.
        if self._lock.acquire(timeout=0.1):
            self._let_go()
            self._lock.release()

    def _let_go(self) -> None:
        """Close libsndfile's view of the file and the file, once."""
        if not self._decoder.closed:
            self._decoder.close()
            os.close(self._fd)

    def _paced(self, blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield each block when its last sample would have been recorded.

        A consumer that fell behind gets what was recorded before the stop at once, as from a
        microphone's ring.
        """
        started, given = time.monotonic(), 0
        for block in blocks:
            due = started + (given + len(block)) / self.rate
            self._wait_until(due)
            if self._stopped.is_set() and due > self._stop_time:
                heard = round((self._stop_time - started) * self.rate) - given
                if heard > 0:
                    yield block[:heard]
                return
            given += len(block)
            yield block

    def _wait_until(self, due: float) -> None:
        """Wait for a moment, or for the end if that is sooner."""
        self._stopped.wait(max(0.0, due - time.monotonic()))
        if self._stopped.is_set():  # the tail of a stop is still played
            time.sleep(max(0.0, min(due, self._stop_time) - time.monotonic()))

    def _read(self, size: int) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of `size` samples until the file ends, then report what was odd about it."""
        name, rate = self._name, self.rate
        total = yield from read_on(self._read_block, size, rate, name, self._goes_on)
        self._check_length(total)

    def _read_block(self, size: int) -> tuple[NDArray[np.float32], str]:
        """Read up to `size` samples; also say why the file is broken behind them, if it is."""
        with self._lock:
            if self._decoder.closed:
                return np.empty((0, self.channels), np.float32), ""
            return self._decoder.read(size)

    def _goes_on(self, total: int) -> bool:
        """Go on behind the `total` samples that were read, where there is more of the file."""
        with self._lock:
            if self._decoder.closed:
                return False
            if self._kind == "Ogg":
                found = ogg.link(self._peek, self._begun)
                if found.next is not None:
                    return self._follow(found.next, total)
                self._broken = not found.whole
            size = os.fstat(self._fd).st_size
            if size > self._size and self._growths < GROWTHS:
                return self._reopened(size, total)
        return False

    def _follow(self, start: int, total: int) -> bool:
        """Open the stream that begins behind another one in the same file."""
        view = View(self._fd, start, self._size)
        try:
            decoder = Decoder(view, self._name)
        except UsageError:
            return False
        if (decoder.rate, decoder.channels) != (self.rate, self.channels):
            left = f"{decoder.frames / decoder.rate:.1f} s" if decoder.frames else "what follows"
            self._warn(
                "input_left",
                f"{self._name!r} goes on otherwise after {total / self.rate:.1f} s "
                f"({decoder.rate} Hz, {decoder.channels} channels): {left} of it left unread",
            )
            decoder.close()
            return False
        self._decoder.close()
        self._decoder, self._begun = decoder, start
        self._earlier = total
        return True

    def _reopened(self, size: int, total: int) -> bool:
        """Open a file anew that grew while it was read, behind what was read of it."""
        self._growths += 1
        self._size = size
        try:
            decoder = self._open()
        except UsageError:
            return False
        self._decoder.close()
        self._decoder, self._begun, self._earlier = decoder, 0, 0
        left = total
        while left > 0:
            block, problem = decoder.read(min(left, self.rate))
            if problem or not len(block):
                return False
            left -= len(block)
        return True

    def _check_length(self, total: int) -> None:
        """Note how long the file was, and report it if its header claims another length."""
        with self._lock:
            if self._decoder.closed:
                return
            claimed, broken = self._decoder.frames, self._broken
        there = f"{total / self.rate:.1f} s"
        self.seconds = total / self.rate
        short = claimed is not None and total - self._earlier < claimed
        if short and claimed is not None and self._kind == "FLAC":
            raise StorageError(
                f"{self._name!r} breaks off after {there} of {claimed / self.rate:.1f} s"
            )
        if short or broken or self._odd == "short":
            claim = "is not whole" if broken else "holds less than its header claims"
            self._warn("short_file", f"{self._name!r} {claim}: used the {there} that are there")
        elif self._odd == "long" or (claimed is not None and total - self._earlier > claimed):
            self._warn(
                "long_file",
                f"{self._name!r} holds more than its header claims, as when its writer was ended: "
                f"used all {there}",
            )
        if os.fstat(self._fd).st_size > self._size:
            self._warn("input_left", f"{self._name!r} still grew: read its first {there}")

    # How it is opened

    def _peek(self, at: int, count: int) -> bytes:
        try:
            return os.pread(self._fd, count, at) if at < self._size else b""
        except OSError:
            return b""

    def _open(self) -> Decoder:
        """Open what is there of the file now. Raises `UsageError` if it is no sound."""
        head = self._peek(0, HEAD)
        self._kind, known = kind_of(head)
        if self._kind == "MP3" and self._peek(mp3.after_tag(self._peek, 0), 4) == b"fLaC":
            self._kind = "FLAC"
        elif not self._kind and mp3.begins(head):
            self._kind, known = "MP3", True
        if self._kind and not known:
            raise unreadable(self._name, f"it is {self._kind}")
        plan = layout(self._peek)
        if plan is not None:
            length, self._odd = plan.sound(self._peek, self._size)
            if length == 0:
                raise UsageError(f"cannot use {self._name!r}: it holds no sound")
            view = View(self._fd, plan.start, plan.start + length, plan.header(length))
            with contextlib.suppress(UsageError):
                return Decoder(view, self._name)
        flac = unclaimed_flac(self._peek, mp3.after_tag(self._peek, 0))
        if flac is not None:
            header, start, claimed = flac
            view = View(self._fd, start, self._size, header)
            return Decoder(view, self._name, claimed=claimed)
        if self._kind == "MP3" and not mp3.is_measured(self._peek, self._size):
            return Decoder(Pump(mp3.frames(self._pieces())), self._name)
        os.lseek(self._fd, 0, os.SEEK_SET)  # libsndfile begins where the descriptor stands
        return Decoder(self._fd, self._name)

    def _pieces(self) -> Iterator[bytes]:
        """Yield the file's bytes to wherever its end is by then."""
        at = 0
        with contextlib.suppress(OSError):
            while data := os.pread(self._fd, HEAD, at):
                at += len(data)
                yield data


def _descriptor(path: str | os.PathLike[str], name: str) -> int:
    """Open the path for reading; only a regular file with something in it will do."""
    try:
        # Without O_NONBLOCK the open of a FIFO waits for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {os.fspath(path)!r}") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot open {name!r}: {why}") from error
    status = os.fstat(fd)
    reason = ""
    if stat.S_ISDIR(status.st_mode):
        reason = "is a folder, not a sound file"
    elif not stat.S_ISREG(status.st_mode):
        reason = "is not a regular file"
    elif status.st_size == 0:
        reason = "is empty"
    if reason:
        os.close(fd)
        raise UsageError(f"{name!r} {reason}")
    return fd
