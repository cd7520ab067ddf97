"""Returns scripted words, or decodes tones as words: a backend for tests and demos without a model.

The script is a JSON file in one of two forms. Windows by number:

    {"windows": [{"text": "fix the login bug", "delay_s": 0.1},
                 {"words": [{"text": "fix", "start": 1.2, "stop": 1.4}], "probability": 0.8},
                 {"text": "please", "fail": {"how": "abort", "attempts": 1}}]}

or sine bursts by frequency in Hz:

    {"tones": {"440": "one", "620": "two"}, "delay_s": 0.1,
     "failures": {"3": {"how": "hang"}}}

What the edge of a window leaves of a tone is not decoded if it is shorter than 60 ms. Both forms
take `load_s` (seconds to load) and `load_fail`. A failure strikes as often as `attempts` says,
restarts of the worker included.
"""

import json
import math
import os
import signal
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from parakeet_coreml.audio.samples import FRAME, MODEL_WINDOW, SAMPLE_RATE, Samples, to_samples
from parakeet_coreml.backends.base import BackendInfo, BackendSpec, Hypothesis, Token
from parakeet_coreml.errors import BackendFailedError, ModelUnusableError, ParakeetError, UsageError

HOWS = ("error", "exit", "abort", "segv", "hang", "noise", "garbage")
"""Ways to fail: raise, leave with 3, SIGABRT, SIGSEGV, sleep for ever, print on fd 1 and go on,
answer with a token no model gives."""

_SLICE = SAMPLE_RATE // 50  # 20 ms: energy is measured over this much
_SHORTEST_BURST = SAMPLE_RATE * 60 // 1000  # what a window's edge leaves of a tone may be less
_AUDIBLE = 0.01  # RMS
_TOLERANCE = 0.05  # of a frequency, to either side
_SPECTRUM = 1 << 15  # points; half a hertz apart

T = TypeVar("T")

_JSON_NAMES: dict[type, str] = {str: "text", list: "a list", dict: "an object"}

_GARBAGE = Token(id=-1, piece="\0", start=-1, duration=-1, probability=math.nan)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a window or the load fails, and for how many attempts."""

    how: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word at a time, in seconds from the start of its window."""

    text: str
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What one window is answered with: `text` spread evenly over it, or timed `words`."""

    text: str = ""
    words: tuple[Spoken, ...] = ()
    probability: float = 0.9
    delay_s: float = 0.0
    fail: Failure | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """A parsed script."""

    windows: tuple[Reply, ...] = ()
    tones: tuple[tuple[float, str], ...] = ()
    """Frequency in Hz and word; when there are any, `windows` is not used."""
    delay_s: float = 0.0
    failures: Mapping[int, Failure] | None = None
    load_s: float = 0.0
    load_fail: Failure | None = None


def open_scripted(spec: BackendSpec) -> "tuple[ScriptedBackend, BackendInfo]":
    """Open the script at `spec.directory`. Raises `UsageError` if it is none."""
    began = time.perf_counter()
    script = read_script(Path(spec.directory))
    time.sleep(script.load_s)
    if script.load_fail and spec.attempt < script.load_fail.attempts:
        _fail(script.load_fail.how, ModelUnusableError("the script says the model will not load"))
    info = BackendInfo(
        backend="scripted",
        model=spec.model,
        compute_units="cpu",
        runtime="scripted",
        max_samples=MODEL_WINDOW,
        load_ms=round((time.perf_counter() - began) * 1000),
    )
    return ScriptedBackend(script=script, served=spec.served, attempt=spec.attempt), info


class ScriptedBackend:
    """Keeps the `Backend` protocol without listening to anything but tones.

    `ScriptedBackend(["fix the login", "bug"])` answers the first window with the first text, and so
    on; windows past the last are silent. Unlike a model it counts the windows it answered.
    """

    def __init__(
        self,
        windows: Sequence[str | Reply] = (),
        *,
        script: Script | None = None,
        served: int = 0,
        attempt: int = 0,
    ) -> None:
        replies = tuple(Reply(w) if isinstance(w, str) else w for w in windows)
        self._script = script or Script(windows=replies)
        self._served = served
        self._attempt = attempt

    @property
    def max_samples(self) -> int:
        """Longest window one call accepts, in samples at 16 kHz."""
        return MODEL_WINDOW

    def transcribe(self, window: Samples, /) -> Hypothesis:
        """Answer one window of shape (n,), 1 to `max_samples` samples, as the script says.

        Raises `ValueError` for another length, `BackendFailedError` where the script says so.
        """
        if window.ndim != 1 or not 1 <= len(window) <= self.max_samples:
            raise ValueError(f"a window of shape {window.shape}, not of 1 to {self.max_samples}")
        reply = self._reply()
        time.sleep(reply.delay_s)
        how = self._fail_if_due(reply.fail)
        self._served, self._attempt = self._served + 1, 0
        if how == "garbage":
            return Hypothesis((_GARBAGE,))
        tones = self._script.tones
        words = _hear(window, tones) if tones else _spoken(reply, len(window))
        return Hypothesis(tuple(_token(*word, reply.probability) for word in words))

    def close(self) -> None:
        """Do nothing: there is no model."""

    def _reply(self) -> Reply:
        """Return what this window is to be answered with."""
        script = self._script
        if script.tones:
            failure = (script.failures or {}).get(self._served)
            return Reply(delay_s=script.delay_s, fail=failure)
        if self._served < len(script.windows):
            return script.windows[self._served]
        return Reply()

    def _fail_if_due(self, failure: Failure | None) -> str:
        """Fail if it is time to; return how, if that can be returned from, else ""."""
        attempt, self._attempt = self._attempt, self._attempt + 1
        if failure is None or attempt >= failure.attempts:
            return ""
        _fail(failure.how, BackendFailedError("the script says this window fails"))
        return failure.how


def _fail(how: str, error: ParakeetError) -> None:
    """Fail in one of `HOWS`; `noise` and `garbage` return."""
    match how:
        case "error":
            raise error
        case "exit":
            os._exit(3)
        case "abort":
            os.abort()
        case "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            while True:
                time.sleep(3600)
        case "noise":
            os.write(1, b"noise on file descriptor 1\n")


_Timed = tuple[str, int, int]
"""A word with its first sample and the one after its last."""


def _token(text: str, start: int, stop: int, probability: float) -> Token:
    return Token(
        id=zlib.crc32(text.encode()) % 8192,
        piece=f"\u2581{text}",
        start=start,
        duration=stop - start,
        probability=probability,
    )


def _spoken(reply: Reply, samples: int) -> Iterator[_Timed]:
    """Yield the words of a reply that begin inside the window."""
    yield from _evenly(reply.text.split(), 0, samples)
    for word in reply.words:
        start = to_samples(word.start)
        if start < samples:
            yield word.text, start, min(to_samples(word.stop), samples)


def _evenly(texts: Sequence[str], start: int, stop: int) -> Iterator[_Timed]:
    """Yield words that share a stretch of the window."""
    size = stop - start
    for i, text in enumerate(texts):
        yield text, start + size * i // len(texts), start + size * (i + 1) // len(texts)


def _hear(window: Samples, tones: Sequence[tuple[float, str]]) -> Iterator[_Timed]:
    """Yield the words of the sine bursts in a window, their times on encoder frames."""
    for start, stop in _bursts(window):
        text = _named(_frequency(window[start:stop]), tones)
        on_frame = start // FRAME * FRAME
        past_frame = min(-(-stop // FRAME) * FRAME, len(window))
        yield from _evenly(text.split(), on_frame, past_frame)


def _bursts(window: Samples) -> Iterator[tuple[int, int]]:
    """Yield start and stop of what is loud and long enough."""
    slices = -(-len(window) // _SLICE)
    padded = np.zeros(slices * _SLICE, dtype=np.float32)
    padded[: len(window)] = window
    power = np.square(padded.reshape(slices, _SLICE)).mean(axis=1)
    loud = np.concatenate(([False], power > _AUDIBLE**2, [False]))
    edges = np.flatnonzero(loud[1:] != loud[:-1]) * _SLICE
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        audible = begin + np.flatnonzero(np.abs(window[begin:end]) > _AUDIBLE)
        start, stop = int(audible[0]), int(audible[-1]) + 1
        if stop - start >= _SHORTEST_BURST:
            yield start, stop


def _frequency(burst: Samples) -> float:
    """Return the loudest frequency of a burst, in Hz."""
    points = max(_SPECTRUM, len(burst))
    spectrum = np.abs(np.fft.rfft(burst * np.hanning(len(burst)), n=points))
    return float(spectrum.argmax()) * SAMPLE_RATE / points


def _named(hz: float, tones: Sequence[tuple[float, str]]) -> str:
    """Return the word of the nearest tone; "" if none is near."""
    nearest, text = min(tones, key=lambda tone: abs(tone[0] - hz))
    return text if abs(nearest - hz) <= _TOLERANCE * nearest else ""


def read_script(path: Path) -> Script:
    """Read a script. Raises `UsageError` if it is none, saying what is wrong where."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise UsageError(f"cannot read the script {path}: {e.strerror}") from e
    except ValueError as e:
        raise UsageError(f"the script {path} is not JSON: {e}") from e
    try:
        return _script(loaded)
    except ValueError as e:
        raise UsageError(f"the script {path} is wrong: {e}") from e


def _script(loaded: object) -> Script:
    fields = _Fields("script", loaded)
    script = Script(
        windows=tuple(_reply(f"windows[{i}]", w) for i, w in enumerate(fields.list("windows"))),
        tones=tuple(_tone(hz, text) for hz, text in fields.table("tones").items()),
        delay_s=fields.number("delay_s", 0.0),
        failures={
            _index(key): _failure(f"failures.{key}", value)
            for key, value in fields.table("failures").items()
        },
        load_s=fields.number("load_s", 0.0),
        load_fail=fields.failure("load_fail"),
    )
    fields.finish()
    if script.windows and script.tones:
        raise ValueError("windows and tones exclude each other")
    if not script.tones and (script.failures or script.delay_s):
        raise ValueError("delay_s and failures go with tones; a window has its own")
    if script.load_fail and script.load_fail.how == "garbage":
        raise ValueError("load_fail cannot be garbage")
    return script


def _reply(where: str, loaded: object) -> Reply:
    fields = _Fields(where, loaded)
    reply = Reply(
        text=fields.text("text", ""),
        words=tuple(_word(f"{where}.words[{i}]", w) for i, w in enumerate(fields.list("words"))),
        probability=fields.number("probability", 0.9),
        delay_s=fields.number("delay_s", 0.0),
        fail=fields.failure("fail"),
    )
    fields.finish()
    if reply.text and reply.words:
        raise ValueError(f"{where}: text and words exclude each other")
    if reply.probability > 1:
        raise ValueError(f"{where}: a probability over 1")
    return reply


def _word(where: str, loaded: object) -> Spoken:
    fields = _Fields(where, loaded)
    word = Spoken(fields.text("text"), fields.number("start"), fields.number("stop"))
    fields.finish()
    if len(word.text.split()) != 1 or word.stop < word.start:
        raise ValueError(f"{where}: not one word, or it stops before it starts")
    return word


def _tone(hz: str, text: object) -> tuple[float, str]:
    frequency = float(hz)
    if not 0 < frequency < SAMPLE_RATE / 2:
        raise ValueError(f"tones.{hz}: not between 0 and {SAMPLE_RATE // 2} Hz")
    if not isinstance(text, str) or not text.split():
        raise ValueError(f"tones.{hz}: not a word")
    return frequency, text


def _failure(where: str, loaded: object) -> Failure:
    fields = _Fields(where, loaded)
    failure = Failure(fields.text("how"), _index(fields.number("attempts", 1)))
    fields.finish()
    if failure.how not in HOWS:
        raise ValueError(f"{where}.how: {failure.how!r} is none of {', '.join(HOWS)}")
    return failure


def _index(value: str | float) -> int:
    """Return a whole number, 0 or more."""
    number = int(value)
    if number < 0 or number != float(value):
        raise ValueError(f"{value!r} is no whole number")
    return number


class _Fields:
    """The keys of one JSON object, taken out one by one; what is left over is an error."""

    def __init__(self, where: str, loaded: object) -> None:
        if not isinstance(loaded, dict):
            raise ValueError(f"{where} is not an object")  # noqa: TRY004  one error for all
        self._where = where
        self._left: dict[str, Any] = dict(loaded)

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number, 0 or more."""
        value = self._left.pop(key, default)
        if type(value) not in {int, float} or not 0 <= value < math.inf:
            raise ValueError(f"{self._where}.{key} is not a number of 0 or more")
        return float(value)

    def text(self, key: str, default: str | None = None) -> str:
        return self._typed(key, str, default)

    def list(self, key: str) -> list[Any]:
        return self._typed(key, list, [])

    def table(self, key: str) -> dict[str, Any]:
        return self._typed(key, dict, {})

    def failure(self, key: str) -> Failure | None:
        loaded = self._left.pop(key, None)
        return None if loaded is None else _failure(f"{self._where}.{key}", loaded)

    def finish(self) -> None:
        if self._left:
            raise ValueError(f"{self._where} has no key {min(self._left)!r}")

    def _typed(self, key: str, kind: type[T], default: T | None) -> T:
        value = self._left.pop(key, default)
        if not isinstance(value, kind):
            raise ValueError(f"{self._where}.{key} is not {_JSON_NAMES[kind]}")  # noqa: TRY004
        return value
