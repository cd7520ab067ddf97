"""libsndfile, kept on a short lead. Sole importer of soundfile.

It gets sound from a descriptor, from a `View` of a file under a header of our own, or from a
stream, and it is opened on a thread that can be left behind: a broken header can keep it busy for
ever.
"""

import contextlib
import os
import shlex
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import MAX_CHANNELS, MAX_RATE, MIN_RATE
from parakeet_coreml.errors import ParakeetError, StorageError, UsageError
from parakeet_coreml.threads import Thread

UNKNOWN_LENGTH = 1 << 50
"""libsndfile claims more samples than this where a stream names no length."""

OPEN_PATIENCE = 4.0
"""Seconds a header may take once its bytes are there; a whole one takes milliseconds."""

ENDLESS = 1 << 62
"""The length in bytes of what has no end yet."""

REPLAYED = 1 << 16
"""Bytes of a stream kept while it is opened, for libsndfile looks at the first ones twice."""


class Bytes(Protocol):
    """What soundfile asks of a file."""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place counted from the start, from here, or from the end; returns it."""
        ...

    def tell(self) -> int:
        """Return the place."""
        ...

    def read(self, count: int) -> bytes:
        """Return up to so many bytes; never raises."""
        ...


class View:
    """A stretch of a file behind a header of our own."""

    def __init__(self, fd: int, start: int, stop: int, header: bytes = b"") -> None:
        self._fd, self._start, self._header = fd, start - len(header), header
        self._length = len(header) + stop - start
        self._place = 0
        self.error = ""
        """Why the file could not be read on, if it could not."""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; see `Bytes`."""
        self._place = max(0, (0, self._place, self._length)[whence] + offset)
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def read(self, count: int) -> bytes:
        """Return up to so many bytes, fewer only at the end; never raises."""
        count = max(0, min(count, self._length - self._place))
        data = self._header[self._place : self._place + count]
        try:
            while len(data) < count:
                more = os.pread(self._fd, count - len(data), self._start + self._place + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            self.error = error.strerror or str(error)
        self._place += len(data)
        return data


class Stream:
    """Bytes as they come, behind a header of our own; only the first can be gone back to."""

    def __init__(self, pieces: Iterator[bytes], header: bytes = b"") -> None:
        self._pieces = pieces
        self.error = ""
        """Why the bytes ended, if not by themselves."""
        self._kept = bytearray(header)
        self._first = 0  # place of the first byte that is kept
        self._place = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; see `Bytes`."""
        self._place = max(0, (0, self._place, ENDLESS)[whence] + offset)
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def read(self, count: int) -> bytes:
        """Return up to so many bytes, waiting for them; fewer only at the end; never raises."""
        at = self._place - self._first
        if not 0 <= at <= len(self._kept):
            return b""  # after the end, as libsndfile looks for more chunks
        while len(self._kept) < at + count:
            try:
                piece = next(self._pieces, None)
            except ParakeetError as error:
                self.error, piece = error.message, None
            if piece is None:
                break
            self._kept += piece
        data = bytes(self._kept[at : at + count])
        self._place += len(data)
        if self._place > REPLAYED:
            del self._kept[: self._place - self._first]
            self._first = self._place
        return data


class Pump:
    """A pipe that a thread feeds, for formats that libsndfile reads whole only from a pipe."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.fd, self._end = os.pipe()
        self.error = ""
        """Why the bytes ended, if not by themselves."""
        Thread(target=self._run, args=(pieces,), name="pump").start()

    def _run(self, pieces: Iterator[bytes]) -> None:
        try:
            for piece in pieces:
                left = memoryview(piece)
                while left:
                    left = left[os.write(self._end, left) :]
        except BrokenPipeError:
            pass  # nobody listens any more
        except ParakeetError as error:
            self.error = error.message
        finally:
            os.close(self._end)

    def close(self) -> None:
        """Let the reading end go, which ends the thread."""
        os.close(self.fd)


class Decoder:
    """Sound as float32 blocks. Raises `UsageError` for what libsndfile does not read or believe."""

    def __init__(
        self,
        file: "int | Bytes | Pump",
        name: str,
        *,
        claimed: int | None = None,
        waiting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._file = file
        self._sound = _opened(file, name, waiting)
        self.rate: int = self._sound.samplerate
        self.channels: int = self._sound.channels
        self.format: str = self._sound.format
        frames: int = self._sound.frames
        self.frames = claimed if frames >= UNKNOWN_LENGTH else frames
        """Samples a channel has, as the header claims; None where it claims nothing."""
        self._position = 0
        reason = self._refusal()
        if reason:
            self.close()
            raise UsageError(f"cannot use {name!r}: {reason}")

    def _refusal(self) -> str:
        """Say why a header cannot be right; "" if it can."""
        if self.format == "SDS":  # of whose samples libsndfile makes more than are there
            return "it is a MIDI sample dump"
        if not MIN_RATE <= self.rate <= MAX_RATE:
            return f"its sample rate of {self.rate} Hz is outside {MIN_RATE} to {MAX_RATE}"
        if not 1 <= self.channels <= MAX_CHANNELS:
            return f"it has {self.channels} channels, more than {MAX_CHANNELS}"
        return "it holds no sound" if self.frames == 0 else ""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return bool(self._sound.closed)

    def read(self, size: int) -> tuple[NDArray[np.float32], str]:
        """Return up to `size` samples of shape (n, channels), fewer only at the end.

        Also says why the sound is broken behind them, if it is.
        """
        import soundfile  # noqa: PLC0415  only recordings of files need it

        block = np.empty((size, self.channels), np.float32)
        try:
            block = self._sound.read(out=block)
        except soundfile.LibsndfileError as error:
            # The decoder stands behind the last sample it could write into the block.
            with contextlib.suppress(soundfile.LibsndfileError):
                got = min(max(0, self._sound.tell() - self._position), size)
                return block[:got], _reason(error)
            return block[:0], _reason(error)
        self._position += len(block)
        return block, getattr(self._file, "error", "")

    def close(self) -> None:
        """Close libsndfile's view of the file, not the file. A second call does nothing."""
        if not self._sound.closed:
            self._sound.close()
            if isinstance(self._file, Pump):
                self._file.close()


def read_on(
    read: Callable[[int], tuple[NDArray[np.float32], str]],
    size: int,
    rate: int,
    name: str,
    goes_on: Callable[[int], bool] = lambda _: False,
) -> Generator[NDArray[np.float32], None, int]:
    """Yield blocks of `size` samples until `read` gives fewer; return how many there were.

    `read` is `Decoder.read` or works like it; `goes_on`, given the samples so far, says whether
    there is more after all. Raises `StorageError` where the sound is broken.
    """
    total = 0
    while True:
        block, problem = read(size)
        total += len(block)
        if len(block):
            yield block
        if problem:
            raise StorageError(f"{name!r} cannot be read beyond {total / rate:.1f} s: {problem}")
        if len(block) < size and not goes_on(total):
            return total


def _opened(file: "int | Bytes | Pump", name: str, waiting: Callable[[], bool]) -> Any:  # noqa: ANN401  soundfile is untyped
    """Open a sound file, or say in one line why it is none."""
    import soundfile  # noqa: PLC0415  only recordings of files need it

    target = file.fd if isinstance(file, Pump) else file
    piped = not isinstance(file, int | View)
    result: list[Any] = []
    done = threading.Event()

    def run() -> None:
        try:
            # By descriptor: a name ending in .raw would make soundfile ask for the format. It stays
            # ours, because libsndfile closes one it was given even when it refuses the file.
            result.append(soundfile.SoundFile(target, closefd=False))
        except BaseException as error:  # noqa: BLE001  it is raised by who waits
            result.append(error)
        done.set()

    Thread(target=run, name="open").start()
    step = OPEN_PATIENCE / 40
    left = 40
    while left and not done.wait(step):
        left -= not waiting()
    sound = result[0] if done.is_set() else None
    if sound is None:
        raise unreadable(name, "its header leads nowhere", piped=piped)
    if isinstance(sound, soundfile.LibsndfileError):
        raise unreadable(name, _reason(sound), piped=piped) from sound
    if isinstance(sound, BaseException):
        raise sound
    # Believing that it can, soundfile seeks after each read to where it is: MP3 comes out mangled,
    # because a frame needs bits of those before it.
    sound.seekable = lambda: False
    return sound


def unreadable(name: str, why: str, *, piped: bool = False) -> UsageError:
    """Return the error of a file that is not read, with the command that makes one that is."""
    if piped:
        command = "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - | parakeet-coreml "
        command += "progressive-record --input -"
    else:
        command = f"ffmpeg -i {shlex.quote(name)} -ac 1 -ar 16000 sound.wav"
    message = f"{name!r} is not a sound file that can be read: {why}"
    return UsageError(message, f"convert it: {command}")


def _reason(error: Any) -> str:  # noqa: ANN401  soundfile is untyped
    """Return libsndfile's own words, in one line without the full stop."""
    return " ".join(str(error.error_string).split()).rstrip(".").removeprefix("Error : ")
