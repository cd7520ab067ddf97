"""Raw mono PCM on a file descriptor as a source of blocks."""

import os
import select
import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import MAX_RATE, MIN_RATE
from parakeet_coreml.audio.source import Warn
from parakeet_coreml.errors import StorageError, UsageError

READ_BYTES = 1 << 16
"""Bytes read at once: what a pipe holds."""

PIPE_BYTES = 1 << 20
"""Bytes read after `stop` at most: what pipes are set to hold, and a writer may never end."""

_TYPES: dict[str, np.dtype[np.int16] | np.dtype[np.float32]] = {
    "s16le": np.dtype("<i2"),
    "f32le": np.dtype("<f4"),
}

ENCODINGS = tuple(_TYPES)
"""What `--input-encoding` takes."""


class PcmSource:
    """Raw mono PCM from a pipe, socket, terminal or file that is open already.

    The descriptor stays the caller's: `close` does not close it. Raises `UsageError` for a rate
    outside 8 to 384 kHz or an unknown encoding.
    """

    def __init__(self, fd: int, *, rate: int, encoding: str, warn: Warn) -> None:
        if not MIN_RATE <= rate <= MAX_RATE:
            raise UsageError(
                f"a sample rate of {rate} Hz is outside {MIN_RATE} to {MAX_RATE}",
                "give the rate of the audio in Hz with --input-rate",
            )
        if encoding not in _TYPES:
            raise UsageError(
                f"unknown encoding {encoding!r}", f"--input-encoding takes {', '.join(ENCODINGS)}"
            )
        self.rate = rate
        self.channels = 1
        self.name = "-"
        self.seconds = 0.0
        """None of it is known to be there before it has come."""
        self._fd = fd
        self._type = _TYPES[encoding]
        self._warn = warn
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._wake, self._waker = os.pipe()
        self._reading = True

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield float32 blocks of shape (n,) as data comes, -1 to 1 for `s16le`, until it ends.

        Raises `StorageError` if the descriptor cannot be read.
        """
        rest = b""
        for data in self._reads():
            joined = rest + data
            whole = len(joined) - len(joined) % self._type.itemsize
            rest = joined[whole:]
            if whole:
                yield self._decoded(joined[:whole])
        if rest and not self._stopped.is_set():
            self._warn(
                "partial_sample", f"the audio ends inside a sample: {len(rest)} byte(s) left out"
            )

    def stop(self, tail: float = 0.0) -> None:  # noqa: ARG002  its writer sets the pace
        """End `blocks` after what has arrived. Returns at once; any thread may call it."""
        with self._lock:
            first = not self._stopped.is_set()
            self._stopped.set()
            if first and self._reading:
                os.write(self._waker, b"\0")

    def close(self) -> None:
        """End `blocks`. A second call does nothing."""
        self.stop()

    def _reads(self) -> Iterator[bytes]:
        """Yield what `os.read` gives until end of file, or after `stop` until the pipe is empty."""
        drained = 0
        try:
            while True:
                last = self._stopped.is_set()
                both = [self._fd, self._wake]
                readable, _, _ = select.select(both, [], [], 0 if last else None)
                if self._fd in readable:
                    data = self._read()
                    if data == b"":
                        return
                    if data is not None and drained >= PIPE_BYTES:
                        self._warn("input_left", "audio that still came after the stop was left")
                        return
                    if data is not None:
                        yield data
                        drained += len(data) if last else 0
                    elif last:
                        return
                elif last:
                    return
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot read the audio on standard input: {error}") from error
        finally:
            with self._lock:
                self._reading = False
                os.close(self._wake)
                os.close(self._waker)

    def _read(self) -> bytes | None:
        """Read once; None when a descriptor in non-blocking mode had nothing after all."""
        try:
            return os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return None

    def _decoded(self, data: bytes) -> NDArray[np.float32]:
        """Turn whole samples into float32; 16-bit full scale becomes 1."""
        values = np.frombuffer(data, self._type).astype(np.float32)
        return values / np.float32(32_768) if self._type.kind == "i" else values
