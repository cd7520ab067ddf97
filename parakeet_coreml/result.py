"""What recognition gives: frozen values, times in samples."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Token:
    """One vocabulary entry the model emitted. `piece` is its text; `▁` opens a word."""

    id: int
    piece: str
    start: int
    """Samples from the start of the window, or of the recording once shifted."""
    duration: int
    """Samples the model advanced by; 0 is allowed."""
    probability: float
    """Softmax probability over the vocabulary and blank, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a backend heard in one window: tokens in the decoder's order."""

    tokens: tuple[Token, ...] = ()

    def shifted(self, offset: int) -> "Hypothesis":
        """Return the same tokens, `offset` samples later."""
        return Hypothesis(tuple(replace(t, start=t.start + offset) for t in self.tokens))

    def __bool__(self) -> bool:
        return bool(self.tokens)


@dataclass(frozen=True, slots=True)
class Word:
    """A whole word with its marks."""

    text: str
    start: int
    """Sample of its first token."""
    stop: int
    """Sample after its last token."""
    probabilities: tuple[float, ...]
    """One for each token."""
    headless: bool = False
    """True when the window began inside this word: its first piece opens no word."""

    @property
    def centre(self) -> int:
        """Sample in the middle of the word."""
        return (self.start + self.stop) // 2


def text_of(words: Iterable[Word]) -> str:
    """Return the words joined by one space."""
    return " ".join(word.text for word in words)


def confidence_of(words: Iterable[Word]) -> float:
    """Return the mean token probability of the words, 0 to 1; 0.0 without words."""
    probabilities = [p for word in words for p in word.probabilities]
    if not probabilities:
        return 0.0
    return min(1.0, max(0.0, sum(probabilities) / len(probabilities)))
