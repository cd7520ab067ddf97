"""The data path: audio of a source in, lines of words out. Read `transcribe` from the top."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import Backend
from parakeet_coreml.errors import OverloadError, ParakeetError
from parakeet_coreml.recognition.fallback import Decoded, decode_with_fallback
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.merge import Seam
from parakeet_coreml.recognition.windows import Stretches, Window, into_windows, outside
from parakeet_coreml.recognition.words import Word, glued, in_turn, words_of

BACKLOG = 600 * SAMPLE_RATE
"""A live recording ends when transcription is this far behind: 10 min of audio."""

READ_AHEAD = 2
"""Windows a file is read ahead of the model; a microphone is never kept waiting."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one line of the protocol says."""

    words: tuple[Word, ...]
    held: tuple[Word, ...]
    """Words heard but held back for the next line."""
    start: int
    """Sample from which this line prints words."""
    stop: int
    """Sample up to which it does."""
    elapsed: float
    """Seconds of decoding behind it."""


@dataclass(slots=True, kw_only=True)
class Monitor:
    """Who is told what happens on the way, and the account of every sample at 16 kHz.

    At the end `captured == transcribed + silent + lost`.
    """

    heard: Callable[[Samples, int], None]
    """Sees each piece of audio live, with the sample it starts at."""
    failed: Callable[[ParakeetError], None]
    """Takes a failure the moment it happens; what was captured before it still comes."""
    end_live: Callable[[], None] | None
    """Ends a live recording that cannot be kept up with; None where the source can wait."""
    nothing_to_decode: Callable[[], None] = lambda: None
    """Told at the end of the audio that none of it has to be decoded."""
    captured: int = 0
    decoded: int = 0
    """Sample up to which windows went through the backend."""
    transcribed: int = 0
    silent: int = 0
    lost: int = 0
    """Samples whose window failed."""
    missed: Stretches = ()
    """Speech in no window and no further attempt in which the model heard anything."""


def transcribe(
    audio: Iterable[Samples], *, backend: Backend, geometry: Geometry, monitor: Monitor
) -> Iterator[Line]:
    """Yield each line as soon as its last window is decoded. `audio` is 16 kHz.

    Capture starts with the call; lines come as they are asked for. A failure of the source ends
    the audio, one of the backend costs its window; both go to `monitor.failed` at once.
    """
    heard = _heard(audio, monitor)
    windows = _ahead(into_windows(heard, geometry), monitor)
    return _lines(decode_with_fallback(windows, backend), monitor, geometry.overlap)


def _heard(audio: Iterable[Samples], monitor: Monitor) -> Iterator[Samples]:
    """Pass audio on, count it, and end it where its source fails."""
    try:
        for block in audio:
            monitor.heard(block, monitor.captured)
            monitor.captured += len(block)
            yield block
    except ParakeetError as error:
        monitor.failed(error)


def _ahead(windows: Iterator[Window], monitor: Monitor) -> Iterator[Window]:
    """Cut windows on a thread of their own, from now on: capture never waits for the model."""
    cut: queue.Queue[Window | BaseException | None]
    cut = queue.Queue(0 if monitor.end_live else READ_AHEAD)

    def run() -> None:
        overloaded, needed = False, False
        try:
            for window in windows:
                needed = needed or not window.silent
                cut.put(window)
                behind = window.stop - monitor.decoded
                if monitor.end_live and behind > BACKLOG and not overloaded:
                    overloaded = True
                    monitor.end_live()
                    monitor.failed(_overload())
            if not needed:
                monitor.nothing_to_decode()
            cut.put(None)
        except BaseException as error:  # noqa: BLE001  a bug on this thread must end the other one
            cut.put(error)

    threading.Thread(target=run, name="cut", daemon=True).start()
    return _taken(cut)


def _taken(cut: "queue.Queue[Window | BaseException | None]") -> Iterator[Window]:
    while (item := cut.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


def _overload() -> OverloadError:
    return OverloadError(
        f"transcription is {BACKLOG // SAMPLE_RATE // 60} minutes behind; the recording was ended",
        "what was recorded is still transcribed; use a smaller model or a faster backend",
    )


def _lines(decoded: Iterable[Decoded], monitor: Monitor, overlap: int) -> Iterator[Line]:
    """Join windows at their seams; the last line carries what was still held back.

    A backend that is gone for good ends the recording, but not without the words already heard.
    """
    seam = Seam()
    words: list[Word] = []
    elapsed, start, stop, spoken = 0.0, 0, 0, 0
    gone: ParakeetError | None = None
    try:
        for result in decoded:
            window, stop = result.window, result.window.stop
            _account(monitor, result)
            heard = words_of(result.hypothesis.tokens)
            fresh, seam = seam.join(
                heard, start=window.start, cut=window.cut, stop=window.stop, overlap=overlap
            )
            words = glued([*words, *fresh])
            elapsed += result.elapsed
            if window.closes_line and (words or window.voiced or not window.final):
                words = in_turn(words, spoken)
                spoken = words[-1].stop if words else spoken
                yield Line(tuple(words), seam.held, start, window.cut, elapsed)
                words, elapsed, start = [], 0.0, window.cut
    except ParakeetError as error:
        gone = error
    words = glued([*words, *seam.held])
    if words:
        yield Line(tuple(in_turn(words, spoken)), (), start, stop, elapsed)
    _account_rest(monitor, gone)


def _account_rest(monitor: Monitor, gone: ParakeetError | None) -> None:
    """Book what no window was made of: quiet after the last word, or audio without a backend."""
    rest = monitor.captured - monitor.decoded
    if gone is None:
        monitor.silent += rest
        return
    monitor.lost += rest
    raise gone


def _account(monitor: Monitor, result: Decoded) -> None:
    """Book the new samples of a window, and tell its failure."""
    window, known = result.window, monitor.decoded
    fresh = 0 if result.again else max(0, window.stop - known)
    monitor.decoded += fresh
    if result.hypothesis:
        monitor.missed = outside(monitor.missed, window.start, window.stop)
    if result.error is not None:
        monitor.lost += fresh
        monitor.failed(result.error)
    elif window.silent:
        monitor.silent += fresh
    else:
        monitor.transcribed += fresh
        monitor.missed += () if result.hypothesis else outside(window.speech, 0, known)
