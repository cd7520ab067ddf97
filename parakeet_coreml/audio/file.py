"""A sound file as a source of blocks. Sole importer of soundfile."""

import math
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import MAX_CHANNELS, MAX_RATE, MIN_RATE
from parakeet_coreml.audio.source import Warn
from parakeet_coreml.errors import StorageError, UsageError

REALTIME_BLOCK = 0.02
"""Seconds of sound in a block played at 1x."""

BLOCK = 0.5
"""Seconds of sound in a block read at full speed."""

UNKNOWN_LENGTH = 1 << 62
"""libsndfile claims about this many samples where a FLAC stream names no length."""

STREAMED = 0xFFFF_FFFF
"""The data size that writers put who cannot seek back: no claim at all."""

_CLAIMED = re.compile(r"^ *(?:data|SSND) : (\d+) \(should be|'ds64' chunk of (\d+)", re.MULTILINE)
"""Where libsndfile's log tells of a header that claims more than the file holds."""


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
        self._fd = _descriptor(path, self._name)
        self._sound = _opened(self._fd, self._name)
        self.rate: int = self._sound.samplerate
        self.channels: int = self._sound.channels
        self._check()
        claimed = self._sound.frames
        self.seconds: float | None = None if claimed >= UNKNOWN_LENGTH else claimed / self.rate
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
        if not self._sound.closed:
            self._sound.close()
            os.close(self._fd)

    def _check(self) -> None:
        """Refuse a header that cannot be right."""
        reason = ""
        if not MIN_RATE <= self.rate <= MAX_RATE:
            reason = f"its sample rate of {self.rate} Hz is outside {MIN_RATE} to {MAX_RATE}"
        elif not 1 <= self.channels <= MAX_CHANNELS:
            reason = f"it has {self.channels} channels, more than {MAX_CHANNELS}"
        elif self._sound.frames == 0:
            reason = "its header says that it holds no sound"
        if reason:
            self._let_go()
            raise UsageError(f"cannot use {self._name!r}: {reason}")

    def _paced(self, blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield each block when its last sample would have been heard.

        A consumer that fell behind gets what was heard before the stop at once, as from the ring of
        a microphone.
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
        """Yield blocks of `size` samples until the file ends, then tell if it ended too early."""
        total = 0
        while True:
            block, problem = self._read_block(size, total)
            total += len(block)
            if len(block):
                yield block
            if problem:
                raise StorageError(
                    f"{self._name!r} cannot be read beyond {total / self.rate:.1f} s: {problem}"
                )
            if len(block) < size:
                break
        self._check_length(total)

    def _read_block(self, size: int, position: int) -> tuple[NDArray[np.float32], str]:
        """Read up to `size` samples; also say why the file is broken behind them, if it is."""
        import soundfile  # noqa: PLC0415  only recordings of files need it

        block = np.empty((size, self.channels), np.float32)
        with self._lock:
            if self._sound.closed:
                return block[:0], ""
            try:
                return self._sound.read(out=block), ""
            except soundfile.LibsndfileError as error:
                # The decoder stands behind the last sample it could write into the block.
                got = min(max(0, self._sound.tell() - position), size)
                return block[:got], _reason(error)

    def _check_length(self, total: int) -> None:
        """Note how long the file was, and tell if it held less than its header claims."""
        claimed = self._sound.frames
        if self._sound.closed:
            return
        self.seconds = total / self.rate
        if claimed >= UNKNOWN_LENGTH:
            return
        if total < claimed and self._sound.format == "FLAC":
            raise StorageError(
                f"{self._name!r} breaks off after {total / self.rate:.1f} of "
                f"{claimed / self.rate:.1f} s"
            )
        if total < claimed or self._cut_short():
            self._warn(
                "short_file",
                f"{self._name!r} holds less than its header claims: "
                f"used the {total / self.rate:.1f} s that are there",
            )

    def _cut_short(self) -> bool:
        """Say whether libsndfile put right a length of uncompressed audio."""
        found = _CLAIMED.search(self._sound.extra_info)
        return found is not None and int(found[1] or found[2]) != STREAMED


def _opened(fd: int, name: str) -> Any:  # noqa: ANN401  soundfile is untyped
    """Open a sound file by its descriptor, or say in one line why it is none."""
    import soundfile  # noqa: PLC0415  only recordings of files need it

    try:
        # By descriptor: a name ending in .raw would make soundfile ask for the format. It stays
        # ours, because libsndfile closes one it was given even when it refuses the file.
        sound = soundfile.SoundFile(fd, closefd=False)
    except soundfile.LibsndfileError as error:
        os.close(fd)
        raise UsageError(
            f"{name!r} is not a sound file that can be read: {_reason(error)}",
            "WAV, FLAC, AIFF, CAF, Ogg and MP3 are read; convert others first",
        ) from error
    # Believing that it can, soundfile seeks after each read to where it is: MP3 comes out mangled,
    # because a frame needs bits of those before it.
    sound.seekable = lambda: False
    return sound


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


def _reason(error: Any) -> str:  # noqa: ANN401  soundfile is untyped
    """Return libsndfile's own words, in one line without the full stop."""
    return " ".join(str(error.error_string).split()).rstrip(".").removeprefix("Error : ")
