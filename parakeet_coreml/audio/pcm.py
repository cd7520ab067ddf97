"""A stream as a source of blocks: raw mono PCM, or a sound file that comes through a pipe."""

import os
import select
import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.decoder import Decoder, unreadable
from parakeet_coreml.audio.samples import MAX_RATE, MIN_RATE, SAMPLE_RATE
from parakeet_coreml.audio.source import Warn
from parakeet_coreml.audio.streamed import Pieces, blocks_of, recognised
from parakeet_coreml.errors import StorageError, UsageError
from parakeet_coreml.threads import Thread

READ_BYTES = 1 << 16
"""Bytes read at once: what a pipe holds."""

PIPE_BYTES = 1 << 20
"""Bytes read after `stop` at most: what pipes are set to hold, and a writer may never end."""

STDIN_NAMES = frozenset(("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"))
"""Paths under which a shell gives a process its own stdin."""

_TYPES: dict[str, np.dtype[np.int16] | np.dtype[np.float32]] = {
    "s16le": np.dtype("<i2"),
    "f32le": np.dtype("<f4"),
}

ENCODINGS = tuple(_TYPES)
"""What `--input-encoding` takes."""


class PcmSource:
    """Sound from a pipe, socket, terminal or file that is open already.

    It is raw mono PCM unless its first bytes are those of a sound file: read as PCM, that would be
    noise in which a model finds words. The descriptor stays the caller's: `close` does not close
    it. Raises `UsageError` for a rate outside 8 to 384 kHz or an unknown encoding.
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
        """In Hz, as it was given; that of a sound file from the first block on."""
        self.channels = 1
        self.name = "-"
        self.seconds = 0.0
        """None of it is known to be there before it has come."""
        self._raw = True
        self._fd = fd
        self._type = _TYPES[encoding]
        self._warn = warn
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._wake, self._waker = os.pipe()
        self._reading = True

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield float32 blocks as data comes, -1 to 1 for `s16le`, until it ends.

        Their shape is (n,), or (n, channels) of a sound file. Raises `StorageError` if the
        descriptor cannot be read or a sound file breaks off, `UsageError` for one that cannot be
        read.
        """
        pieces = Pieces(self._reads())
        kind, known = recognised(pieces)
        if kind or not self._raw:
            yield from self._decoded_file(pieces, kind, known=known)
        else:
            yield from self._decoded_raw(pieces.after(0))

    def _decoded_file(
        self, pieces: Pieces, kind: str, *, known: bool
    ) -> Iterator[NDArray[np.float32]]:
        """Yield what a sound file holds, once its first bytes are there."""
        if self._stopped.is_set() and not pieces.peek(0, 1):
            return
        if not known:
            why = (
                f"it is {kind}" if kind else "it begins like none (raw PCM is read with --input -)"
            )
            raise unreadable(self.name, why, piped=True)
        try:
            yield from blocks_of(pieces, kind, self.name, self._warn, self._known)
        except UsageError:
            if not self._stopped.is_set():
                raise  # else the stop came in the midst of its header

    def _known(self, decoder: Decoder) -> None:
        self.rate, self.channels = decoder.rate, decoder.channels

    def _decoded_raw(self, pieces: Iterator[bytes]) -> Iterator[NDArray[np.float32]]:
        rest = b""
        for data in pieces:
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


class PipeSource(PcmSource):
    """A sound file that comes through a named pipe, `<(…)` or /dev/stdin; raw PCM it is not.

    The pipe is opened when its blocks are asked for, and `stop` ends the wait for a writer.
    """

    def __init__(self, path: str, *, warn: Warn) -> None:
        super().__init__(-1, rate=SAMPLE_RATE, encoding="s16le", warn=warn)
        self.name = path
        self._raw = False
        self._opened = threading.Event()
        self._error: OSError | None = None

    def stop(self, tail: float = 0.0) -> None:  # noqa: ARG002  its writer sets the pace
        """End `blocks` after what has arrived. Returns at once; any thread may call it."""
        super().stop()
        self._opened.set()

    def _reads(self) -> Iterator[bytes]:
        """Open the pipe, on a thread that can be left behind, and yield what comes."""
        Thread(target=self._open, name="open").start()
        self._opened.wait()
        if self._error is not None:
            raise UsageError(f"cannot open {self.name!r}: {self._error.strerror}")
        if self._fd < 0:
            return
        try:
            yield from super()._reads()
        finally:
            os.close(self._fd)

    def _open(self) -> None:
        try:
            # Another view of our own stdin, for opening a socket by its name fails.
            self._fd = os.dup(0) if self.name in STDIN_NAMES else os.open(self.name, os.O_RDONLY)
        except OSError as error:
            self._error = error
        self._opened.set()
