"""What Hypothesis draws from: words with times, seams, geometries, cuts of a stream."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from parakeet_coreml.audio.samples import FRAME, SAMPLE_RATE
from parakeet_coreml.backends.base import Token
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.words import Word

LETTERS = "abcdefghijklmnopqrstuvwxyz"

TWO_SECONDS = 25
"""Frames of the usual overlap."""


def name(number: int) -> str:
    """Return a word of its own for each number."""
    text = LETTERS[number % 26]
    while number >= 26:
        number //= 26
        text = LETTERS[number % 26] + text
    return text


def word(text: str, start: int, frames: int = 2, probability: float = 0.9) -> Word:
    """Return a word that starts at a frame."""
    return Word(text, start * FRAME, (start + frames) * FRAME, (probability,))


def parsed(notation: str) -> list[Token]:
    """Return the tokens of `▁we@164 ▁do@168:4`: piece, start frame, duration (2 unless given)."""
    tokens = []
    for number, item in enumerate(notation.split()):
        piece, _, times = item.rpartition("@")
        start, _, duration = times.partition(":")
        tokens.append(Token(number, piece, int(start) * FRAME, int(duration or 2) * FRAME, 0.9))
    return tokens


@dataclass(frozen=True)
class Views:
    """What two overlapping windows heard, and where they meet. Frames."""

    earlier: list[Word]
    later: list[Word]
    cut: int
    stop: int


@st.composite
def speech(
    draw: st.DrawFn,
    *,
    frames: int = 350,
    vocabulary: int | None = None,
    gap: tuple[int, int] = (1, 12),
) -> list[Word]:
    """Draw words in order; unique ones unless there is a vocabulary to draw from."""
    words: list[Word] = []
    at = draw(st.integers(0, 20))
    while at < frames:
        length = draw(st.integers(1, 6))
        number = len(words) if vocabulary is None else draw(st.integers(0, vocabulary - 1))
        words.append(word(name(number), at, length))
        at += length + draw(st.integers(*gap))
    return words


@st.composite
def disorder(draw: st.DrawFn, *, low: int = 120, high: int = 260) -> list[Word]:
    """Draw any words at any times, falling ones too: what a decoder may answer."""
    texts = st.sampled_from(["a", "b", "c", "A.", "d,", "Übel", "4"])
    items = draw(st.lists(st.tuples(texts, st.integers(low, high), st.integers(1, 8)), max_size=14))
    return [word(*item) for item in items]


@st.composite
def any_views(draw: st.DrawFn) -> Views:
    """Draw two windows that need not agree on anything."""
    stop = draw(st.integers(180, 190))
    cut = draw(st.integers(stop - TWO_SECONDS, stop))
    earlier = draw(disorder(high=stop))
    later = draw(disorder(low=stop - TWO_SECONDS))
    return Views(earlier, later, cut, stop)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Draw any geometry the options allow."""
    size = draw(st.integers(5 * SAMPLE_RATE, 15 * SAMPLE_RATE))
    overlap = draw(st.integers(0, size - 3 * SAMPLE_RATE))
    longer = st.integers(15 * SAMPLE_RATE, 120 * SAMPLE_RATE)
    line = draw(st.one_of(st.just(size), longer)) if size == 15 * SAMPLE_RATE else size
    return Geometry(size, overlap, line)


def cuts(samples: int) -> st.SearchStrategy[Sequence[int]]:
    """Draw the places at which a stream is cut into blocks, some of them empty."""
    return st.lists(st.integers(0, samples), max_size=12).map(sorted)
