"""The data path: audio of a source in, lines of words out. Read `transcribe` from the top."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from parakeet_coreml.audio.samples import Samples
from parakeet_coreml.backends.base import Backend, Supervised
from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.recognition.account import Account, Listener
from parakeet_coreml.recognition.cutting import Cutter
from parakeet_coreml.recognition.fallback import Decoded, Decoder
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.intake import Break, End, Intake, Tail
from parakeet_coreml.recognition.live import Forecast, after_line
from parakeet_coreml.recognition.merge import Seam
from parakeet_coreml.recognition.speculation import SpeculatingBackend
from parakeet_coreml.recognition.windows import Window, outside
from parakeet_coreml.recognition.words import Word, glued, in_turn, words_of

READ_AHEAD = 2
"""Windows a file is read ahead of the model; a microphone is never kept waiting."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one line of the protocol says."""

    words: tuple[Word, ...]
    start: int
    """Sample from which this line prints words."""
    stop: int
    """Sample up to which it does."""
    elapsed: float
    """Seconds of decoding behind it, whenever that was."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a recording is cut and decoded."""

    geometry: Geometry
    speculates: bool = False
    """The open tail is decoded while the backend is idle."""
    supervisor: Supervised | None = None
    """Whoever keeps the backend's process; None where it is in this one."""


def transcribe(
    audio: Iterable[Samples | None],
    *,
    backend: Backend,
    plan: Plan,
    listener: Listener,
    account: Account,
) -> Iterator[Line]:
    """Yield each line as soon as its last window is decoded. `audio` is 16 kHz; None is a pause.

    Capture starts with the call; lines come as they are asked for. A failure of the source ends
    the audio, one of the backend costs its window; both go to `listener.failed` at once.
    """
    intake = Intake(0 if listener.end_live else READ_AHEAD)
    speculating = SpeculatingBackend(
        backend, supervisor=plan.supervisor, wanted=lambda: intake.waiting
    )
    cutter = Cutter(
        intake,
        plan.geometry,
        listener=listener,
        account=account,
        budget=speculating if plan.speculates else None,
    )
    cutter.start(audio)
    return _Lines(
        intake,
        speculating,
        overlap=plan.geometry.overlap,
        listener=listener,
        account=account,
    ).run()


class _Lines:
    """Decodes what the intake holds, and joins windows at their seams."""

    def __init__(
        self,
        intake: Intake,
        backend: SpeculatingBackend,
        *,
        overlap: int,
        listener: Listener,
        account: Account,
    ) -> None:
        self._intake, self._backend, self._overlap = intake, backend, overlap
        self._listener, self._account = listener, account
        self._decoder = Decoder(backend)
        self._seam = Seam()
        self._words: list[Word] = []
        self._elapsed = 0.0
        self._start = self._stop = self._spoken = 0
        self._forecast = Forecast()

    def run(self) -> Iterator[Line]:
        """Yield lines; the last one carries what was still held back.

        A backend that is gone for good ends the recording, but not without the words decoded.
        """
        gone: ParakeetError | None = None
        try:
            while not isinstance(item := self._intake.get(), End):
                if isinstance(item, Tail):
                    self._speculate(item)
                elif isinstance(item, Break):
                    yield from self._break(item)
                else:
                    yield from self._window(item)
            if item.error is not None:
                raise item.error
        except ParakeetError as error:
            gone = error
        yield from self._rest()
        self._account_rest(gone)

    def _window(self, window: Window) -> Iterator[Line]:
        """Decode one window, and yield the line that it closes."""
        for result in self._decoded(window):
            self._listener.measured(result)
            _book(self._account, self._listener, result)
            fresh, self._seam = self._joined(self._seam, result)
            self._words = glued([*self._words, *fresh])
            self._elapsed += result.elapsed
        self._stop = window.stop
        if window.at_pause and window.cut >= window.stop:
            self._words = glued([*self._words, *self._seam.held])
            self._seam = self._seam.released()
        if window.closes_line:
            if self._words or not (window.at_pause or (window.final and not window.voiced)):
                yield self._line(window.cut)
            self._start = window.cut
            self._forecast = after_line(self._seam.held)
        self._tell(self._words, self._seam.held, window.stop)

    def _decoded(self, window: Window) -> list[Decoded]:
        """Decode one window, or take what was decoded ahead of need, with the time it took then."""
        asked, seconds = self._backend.asked, self._backend.seconds
        results, self._decoder = self._decoder.decode(window)
        if self._backend.asked > asked or self._backend.seconds == seconds:
            return results
        *across, result = results
        took = self._backend.seconds - seconds
        return [*across, replace(result, elapsed=took, ahead=True)]

    def _joined(self, seam: Seam, result: Decoded) -> tuple[list[Word], Seam]:
        window, words = result.window, words_of(result.hypothesis.tokens)
        return seam.join(
            words, start=window.start, cut=window.cut, stop=window.stop, overlap=self._overlap
        )

    def _line(self, stop: int) -> Line:
        words = in_turn(self._words, self._spoken)
        self._spoken = words[-1].stop if words else self._spoken
        line = Line(tuple(words), self._start, stop, self._elapsed)
        self._words, self._elapsed, self._start = [], 0.0, stop
        return line

    def _rest(self) -> Iterator[Line]:
        """Yield the line of what is left at an end, if anything is."""
        self._words = glued([*self._words, *self._seam.held])
        self._seam = Seam()
        if self._words:
            yield self._line(self._stop)

    def _break(self, item: Break) -> Iterator[Line]:
        """End a stretch of the recording; what comes next has nothing to do with it."""
        yield from self._rest()
        self._account.silent += item.at - self._account.decoded
        self._account.decoded = item.at
        self._decoder = Decoder(self._backend)
        self._start = self._stop = item.at
        self._forecast = Forecast()

    def _speculate(self, tail: Tail) -> None:
        """Decode the open tail while nothing else waits, and show what it says."""
        with self._backend.speculating(passing=tail.passing):
            window = tail.window
            if tail.passing:
                heard = self._backend.transcribe(window.audio).shifted(window.start)
                results = [Decoded(window, heard, 0.0)]
            else:
                results, _ = self._decoder.decode(window)
            fresh, seam = list[Word](), self._seam
            for result in results:
                more, seam = self._joined(seam, result)
                fresh += more
            self._tell(self._words, glued([*fresh, *seam.held]), window.stop)

    def _tell(self, settled: Iterable[Word], still_open: Iterable[Word], at: int) -> None:
        """Forecast the open line, if that changes anything."""
        if self._listener.forecast is None:
            return
        before, self._forecast = (
            self._forecast,
            self._forecast.next(tuple(settled), tuple(still_open)),
        )
        if before.texts != self._forecast.texts:
            self._listener.forecast(self._forecast, at)

    def _account_rest(self, gone: ParakeetError | None) -> None:
        """Book what no window was made of: quiet after the last word, or without a backend."""
        rest = self._account.captured - self._account.decoded
        if gone is None:
            self._account.silent += rest
            return
        self._account.lost += rest
        raise gone


def _book(account: Account, listener: Listener, result: Decoded) -> None:
    """Book the new samples of a window, and report its failure."""
    window, known = result.window, account.decoded
    fresh = 0 if result.again else max(0, window.stop - known)
    account.decoded += fresh
    if result.hypothesis:
        account.missed = outside(account.missed, window.start, window.stop)
    if result.error is not None:
        account.lost += fresh
        listener.failed(result.error)
    elif window.silent:
        account.silent += fresh
    else:
        account.transcribed += fresh
        account.missed += () if result.hypothesis else outside(window.speech, 0, known)
