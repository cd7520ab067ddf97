"""Sounds that are made, never fetched: tone bursts as words, noise, silence; who hears them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, Samples, to_samples
from parakeet_coreml.backends.base import Backend, Hypothesis
from parakeet_coreml.backends.scripted import Script, ScriptedBackend
from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.recognition import pipeline
from parakeet_coreml.recognition.account import Account
from parakeet_coreml.recognition.account import Listener as Watcher
from parakeet_coreml.recognition.fallback import Decoded, Decoder
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.pipeline import Line, Plan
from parakeet_coreml.recognition.windows import Chunker, Window
from parakeet_coreml.recognition.words import Word, text_of

# fmt: off
VOCABULARY = (
    "alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel",
    "india", "juliett", "kilo", "lima", "mike", "november", "oscar", "papa",
    "quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey", "xray",
    "yankee", "zulu",
)
# fmt: on
"""Words; each sounds as a tone of its own, 12 % higher than the one before."""

TONES = tuple((200.0 * 1.12**i, text) for i, text in enumerate(VOCABULARY))

ROOM = 1e-4
"""RMS of a quiet room."""

DEFAULT = Geometry.of(15, 2)

Spoken = tuple[str, float, float]
"""A word, and in seconds when it starts and stops."""


def noise(seconds: float, rms: float = ROOM, seed: int = 0) -> Samples:
    """Return white noise."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(to_samples(seconds), dtype=np.float32) * rms).astype(np.float32)


def silence(seconds: float) -> Samples:
    """Return digital zeros."""
    return np.zeros(to_samples(seconds), dtype=np.float32)


def tone(text: str, samples: int, level: float = 0.2) -> Samples:
    """Return the burst that sounds as a word, `level` its RMS."""
    hz = TONES[VOCABULARY.index(text)][0]
    wave: Samples = np.sin(2 * np.pi * hz / SAMPLE_RATE * np.arange(samples)).astype(np.float32)
    return wave * np.float32(level * 2**0.5)


def spoken(words: Iterable[Spoken], seconds: float, *, level: float = 0.2) -> Samples:
    """Return a recording in a quiet room with these words in it."""
    audio = noise(seconds)
    for text, start, stop in words:
        first, last = to_samples(start), min(to_samples(stop), len(audio))
        audio[first:last] += tone(text, last - first, level)
    return audio


def dictation(seconds: float, *, pace: float = 0.5, length: float = 0.3) -> list[Spoken]:
    """Return words one after the other, the last one whole before the end."""
    count = int((seconds - length) / pace)
    return [
        (VOCABULARY[i % len(VOCABULARY)], i * pace + 0.1, i * pace + 0.1 + length)
        for i in range(count)
    ]


def text_in(words: Iterable[Spoken]) -> str:
    return " ".join(text for text, _, _ in words)


def cut_every(audio: Samples, samples: int) -> Iterator[Samples]:
    """Cut audio into blocks of one size."""
    for at in range(0, len(audio), samples):
        yield audio[at : at + samples]


def ears() -> ScriptedBackend:
    """Return a backend that hears tones as words."""
    return ScriptedBackend(script=Script(tones=TONES))


@dataclass
class Listener:
    """A backend that notes what another one is asked, and may be deaf to some calls."""

    backend: Backend = field(default_factory=ears)
    deaf: frozenset[int] = frozenset()
    """Calls, counted from 0, that are answered with nothing."""
    failing: dict[int, ParakeetError] = field(default_factory=dict)
    """Calls that raise."""
    asked: list[Samples] = field(default_factory=list)

    @property
    def max_samples(self) -> int:
        return MODEL_WINDOW

    def transcribe(self, window: Samples, /) -> Hypothesis:
        assert window.dtype == np.float32
        assert 1 <= len(window) <= MODEL_WINDOW
        call = len(self.asked)
        self.asked.append(window)
        if call in self.failing:
            raise self.failing[call]
        return Hypothesis() if call in self.deaf else self.backend.transcribe(window)

    def close(self) -> None:
        self.backend.close()

    @property
    def seconds(self) -> list[float]:
        """Lengths of what it was asked."""
        return [len(window) / SAMPLE_RATE for window in self.asked]


@dataclass
class Run:
    """What came of one recording."""

    lines: list[Line]
    failures: list[ParakeetError]
    account: Account
    ended_live: int

    @property
    def texts(self) -> list[str]:
        return [text_of(line.words) for line in self.lines]

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.texts))

    @property
    def words(self) -> list[Word]:
        return [word for line in self.lines for word in line.words]


def transcribed(
    audio: Samples | Iterable[Samples],
    *,
    backend: Backend | None = None,
    geometry: Geometry = DEFAULT,
    live: bool = False,
) -> Run:
    """Send audio through the whole data path; every sample must be accounted for."""
    failures: list[ParakeetError] = []
    ended: list[None] = []
    listener = listening(failures.append, (lambda: ended.append(None)) if live else None)
    account = Account()
    blocks = cut_every(audio, 4096) if isinstance(audio, np.ndarray) else audio
    lines = list(
        pipeline.transcribe(
            blocks,
            backend=backend or ears(),
            plan=Plan(geometry),
            listener=listener,
            account=account,
        )
    )
    assert account.captured == account.transcribed + account.silent + account.lost
    return Run(lines, failures, account, len(ended))


def listening(
    failed: Callable[[ParakeetError], None] = lambda _: None,
    end_live: Callable[[], None] | None = None,
) -> Watcher:
    """Return a listener that only hears of failures."""
    return Watcher(heard=lambda *_: None, failed=failed, end_live=end_live)


def into_windows(blocks: Iterable[Samples], geometry: Geometry) -> Iterator[Window]:
    """Yield each window as soon as its last sample is there, then the last, end-aligned one."""
    chunker = Chunker(geometry)
    for block in blocks:
        yield from chunker.push(block)
    window = chunker.last()
    if window is not None:
        yield window


def decode_with_fallback(windows: Iterable[Window], backend: Backend) -> Iterator[Decoded]:
    """Decode windows as they come."""
    decoder = Decoder(backend)
    for window in windows:
        results, decoder = decoder.decode(window)
        yield from results


def windows_of(
    audio: Samples, geometry: Geometry = DEFAULT, *, block: int = 4096
) -> Sequence[Window]:
    """Return the windows a recording is cut into."""
    return list(into_windows(cut_every(audio, block), geometry))


def spans_of(windows: Iterable[Window]) -> list[tuple[float, float]]:
    """Return start and stop of windows, in seconds."""
    return [(w.start / SAMPLE_RATE, w.stop / SAMPLE_RATE) for w in windows]
