"""Tokens to words, and what a line says of them. Pure. Times in samples."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from parakeet_coreml.audio.samples import FRAME
from parakeet_coreml.backends.base import Token

WORD_MARK = "▁"


Piece = tuple[str, int, int]
"""Text, first sample and the sample after its last."""


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
    pieces: tuple[Piece, ...] = ()
    """What it was made of, in order; empty: nothing smaller is known."""
    inner: bool = False
    """True when it goes on with the word before it."""

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
            words[-1] = _extended(words[-1], (text, token.start, stop), token.probability)
        else:
            headless = not opens
            pieces = ((text, token.start, stop),)
            words.append(
                Word(text, token.start, stop, (token.probability,), headless, pieces=pieces)
            )
        opens = piece.endswith(" ")
    return _marks_attached(words)


def _extended(word: Word, piece: Piece, probability: float) -> Word:
    text, _, stop = piece
    return replace(
        word,
        text=word.text + text,
        stop=max(word.stop, stop),
        probabilities=(*word.probabilities, probability),
        pieces=(*word.pieces, piece),
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
            space = joint.removesuffix(word.text)
            marks = [(text, last.stop, last.stop) for text, _, _ in word.pieces]
            marks[0] = (space + marks[0][0], last.stop, last.stop)
            attached[-1] = replace(
                last,
                text=last.text + joint,
                probabilities=probabilities,
                pieces=(*last.pieces, *marks),
            )
    return attached


def key_of(text: str) -> str:
    """Return what makes a word the same word: letters and digits, without case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum())


def in_turn(words: Iterable[Word], after: int) -> list[Word]:
    """Return the words with times that do not overlap, none before `after`; texts stay.

    A token may be said to last into the next one, and two windows time a seam each in its own way.
    """
    turns: list[Word] = []
    for word in words:
        if turns and turns[-1].start < word.start < turns[-1].stop:
            turns[-1] = replace(turns[-1], stop=word.start)
        start = max(word.start, turns[-1].stop if turns else after)
        stop = max(word.stop, start)
        in_place = (start, stop) == (word.start, word.stop)
        turns.append(word if in_place else replace(word, start=start, stop=stop))
    return turns


def glued(words: Iterable[Word]) -> list[Word]:
    """Join each word that goes on with the one before it to that one."""
    whole: list[Word] = []
    for word in words:
        if whole and word.inner:
            last = whole[-1]
            whole[-1] = replace(
                last,
                text=last.text + word.text,
                stop=max(last.stop, word.stop),
                probabilities=last.probabilities + word.probabilities,
                pieces=last.pieces + word.pieces,
            )
        else:
            whole.append(word)
    return whole


def letters_of(word: Word) -> list[Word]:
    """Take a word apart: one word for each letter, its times spread evenly over its piece."""
    apart: list[Word] = []
    for index, (text, start, stop) in enumerate(word.pieces):
        shares = len(text)
        for at, letter in enumerate(text):
            first = start + (stop - start) * at // shares
            last = start + (stop - start) * (at + 1) // shares
            probability = word.probabilities[index]
            if apart and not key_of(letter):
                before = apart[-1]
                apart[-1] = replace(
                    before,
                    text=before.text + letter,
                    pieces=((before.text + letter, *before.pieces[0][1:]),),
                )
                continue
            apart.append(
                Word(
                    letter,
                    first,
                    max(last, first + 1),
                    (probability,),
                    headless=word.headless and not apart,
                    pieces=((letter, first, max(last, first + 1)),),
                    inner=word.inner or bool(apart),
                )
            )
    return apart or [word]
