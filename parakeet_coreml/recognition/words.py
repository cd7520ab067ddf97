"""Tokens to words, and what a line says of them. Pure. Times in samples."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from parakeet_coreml.audio.samples import FRAME
from parakeet_coreml.backends.base import Token

WORD_MARK = "▁"


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


def words_of(tokens: Sequence[Token]) -> list[Word]:
    """Return whole words in the decoder's order.

    `▁` opens a word, a lone `▁` opens the next one. Marks belong to the word before them; at the
    very start of a window they are dropped, for their word lies in an earlier one.
    """
    words: list[Word] = []
    opens = False
    for token in tokens:
        piece = token.piece.replace(WORD_MARK, " ")
        text = piece.strip()
        opens = opens or piece.startswith(" ")
        if not text:
            continue
        stop = token.start + max(token.duration, FRAME)
        if words and not opens:
            words[-1] = _extended(words[-1], text, stop, token.probability)
        else:
            headless = not opens
            words.append(Word(text, token.start, stop, (token.probability,), headless))
        opens = piece.endswith(" ")
    return _marks_attached(words)


def _extended(word: Word, text: str, stop: int, probability: float) -> Word:
    return replace(
        word,
        text=word.text + text,
        stop=max(word.stop, stop),
        probabilities=(*word.probabilities, probability),
    )


def _marks_attached(words: list[Word]) -> list[Word]:
    """Give words without letters or digits to the word before, or drop them at the start."""
    attached: list[Word] = []
    for word in words:
        if key_of(word.text):
            attached.append(word)
        elif attached:
            last = attached[-1]
            joint = word.text if word.headless else f" {word.text}"
            probabilities = last.probabilities + word.probabilities
            attached[-1] = replace(last, text=last.text + joint, probabilities=probabilities)
    return attached


def key_of(text: str) -> str:
    """Return what makes a word the same word: letters and digits, without case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum())
