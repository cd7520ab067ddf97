"""Words that are longer than an overlap: taken apart where windows meet, and put together. Pure.

Digits carry no mark that opens a word, and neither do languages without spaces: a card number, or
fifteen seconds of speech, is one word. No window has the whole of it, so no rule that prints or
holds whole words can keep it. Where a word crosses the whole overlap, both windows' words there
are therefore compared letter by letter, whatever their marks say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from parakeet_coreml.audio.samples import FRAME, SAMPLE_RATE
from parakeet_coreml.recognition.words import Word, glued, key_of, letters_of

SLACK = 6 * FRAME
"""A word may stay so far from the edge of its window and still go on behind it: 0.48 s."""

TOUCHES = 3 * FRAME
"""Nearer than this to its window's end a word is not believed to be whole: 0.24 s."""

LONGEST = 8 * SAMPLE_RATE
"""A word is held back whole for the next line up to this length: 20 digits said slowly."""

JITTER = 2 * FRAME
"""Nearer than this at both ends the same letters are one word: ten equal digits are not nine."""

REACH = 8 * FRAME
"""Two windows may time the same word this much apart, in samples: 0.64 s."""


def crosses(
    printed: Sequence[Word], held: Sequence[Word], later: Sequence[Word], start: int, stop: int
) -> bool:
    """Return whether a word crosses the overlap from `start` to `stop`, in either window."""
    if not later or start >= stop:
        return False
    if held and held[0].inner:
        return True
    slack = min(SLACK, (stop - start) // 4)
    earlier = [w for w in (*printed, *held) if w.stop > start]
    if not held and earlier and any(_goes_on(earlier[-1], w, stop) for w in later):
        return True
    head = later[0]
    if any(_same(w, head) for w in earlier):
        return False
    begun = head.start <= start + max(slack, _pace(head)) and head.stop > stop - slack
    if begun and any(w.start < head.stop and head.start < w.stop for w in earlier):
        return True
    return any(w.start < start and w.stop > stop - max(slack, _pace(w)) for w in earlier)


def _pace(word: Word) -> int:
    """Return the longest step between two pieces of a word: where it would have gone on."""
    return max((later[1] - piece[1] for piece, later in pairwise(word.pieces)), default=0)


def _same(word: Word, other: Word) -> bool:
    apart = max(abs(word.start - other.start), abs(word.stop - other.stop))
    return apart <= JITTER and key_of(word.text) == key_of(other.text)


def _goes_on(word: Word, longer: Word, stop: int) -> bool:
    """Return whether the one is the beginning of the other, cut off by its window's end."""
    key, whole = key_of(word.text), key_of(longer.text)
    near = abs(word.start - longer.start) <= REACH and longer.stop > stop
    return near and key != whole and whole.startswith(key)


def with_whole_head(earlier: Sequence[Word], later: Sequence[Word], start: int) -> list[Word]:
    """Put the whole word for the end of it that a window beginning inside it decoded."""
    head = later[0] if later else None
    if head is None or head.start > start + SLACK:
        return list(later)
    key = key_of(head.text)
    for word in earlier:
        whole = key_of(word.text)
        ends = abs(word.stop - head.stop) <= REACH and word.start < min(start, head.start)
        if ends and whole != key and whole.endswith(key):
            return [word, *later[1:]]
    return list(later)


def apart(words: Iterable[Word], start: int, stop: int) -> list[Word]:
    """Take the words apart that touch `start` to `stop`."""
    return [
        letter
        for word in words
        for letter in (letters_of(word) if word.stop > start and word.start < stop else (word,))
    ]


def headed(earlier: Sequence[Word], letters: Sequence[Word]) -> list[Word]:
    """Let a later window's first letter go on with a word that lies across that window's start."""
    first = letters[0]
    across = any(w.start < first.start <= w.stop + TOUCHES for w in earlier)
    return [replace(first, inner=across, headless=False), *letters[1:]]


def parted(words: Sequence[Word], *, cut: int, stop: int, overlap: int) -> tuple[list[Word], int]:
    """Take apart the word at a window's end, where the next window begins inside it.

    Returns the words, and how many are due: those centred before the cut, but not a word that goes
    on behind the end, as long as all of it can be held back.
    """
    due = max((i for i, w in enumerate(words) if w.centre < cut), default=-1) + 1
    if (
        not words
        or cut >= stop
        or not overlap
        or words[-1].stop <= stop - max(TOUCHES, _pace(words[-1]))
    ):
        return list(words), due
    last = words[-1]
    if last.start >= stop - overlap or (not last.inner and stop - last.start <= LONGEST):
        return list(words), min(due, len(words) - 1)
    ones = letters_of(last)
    count = max((i for i, w in enumerate(ones) if w.centre < cut), default=-1) + 1
    before = glued(ones[:count])
    rest = glued(replace(w, inner=i > 0) for i, w in enumerate(ones[count:]))
    held = [replace(w, inner=True) for w in rest]
    return [*words[:-1], *before, *held], len(words) - 1 + len(before)
