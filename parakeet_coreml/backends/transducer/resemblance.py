"""Which words look like a term, whatever spaces are between them. Pure.

What a model writes for a name it never saw resembles the name. What does not is another word, and
no boost should make the name of it.
"""

from collections.abc import Iterable, Sequence

import numpy as np

ALIKE = 0.3
"""The most letters that may differ, as a share of the term's. At 0.34 two of six may, and what
tiny-en then wrote for the words of two hours was `docker` for `doctor`, 14 times."""

KEPT = 20_000
"""Strings remembered with what they look like: words come again."""

_BITS = 32
"""Letters are told apart modulo this; each has one bit for once and one for more often."""


class Resemblance:
    """Finds terms by what resembles their letters."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms = [letters_of(term) for term in terms]
        self._whole = frozenset(self._terms)
        limits = [self.limit(term) for term in self._terms]
        pairs = zip(self._terms, limits, strict=True)
        self._longest = max((len(term) + limit for term, limit in pairs), default=0)
        self._limits = np.array(limits, np.int64)
        self._lengths = np.array([len(term) for term in self._terms], np.int64)
        self._masks = np.array([_mask(term) for term in self._terms], np.uint64)
        self._known: dict[str, tuple[tuple[int, int], ...]] = {}
        """Terms that a text resembles, as (letters that differ, number)."""

    @staticmethod
    def limit(term: str) -> int:
        """Return how many letters may differ from a term's."""
        return int(len(term) * ALIKE)

    def places(self, words: Sequence[str]) -> list[tuple[int, tuple[int, ...]]]:
        """Return where something like terms begins, and those terms, the likest first.

        `words` are letters of one word each. Those that are a term's already are left.
        """
        if len(self._known) > KEPT:
            self._known.clear()
        spans = self._spans(words)
        written = {
            at + word
            for at, texts in enumerate(spans)
            for n, text in enumerate(texts, start=1)
            if text in self._whole
            for word in range(n)
        }
        for at in range(len(spans)):
            taken = [n for n in range(len(spans[at])) if at + n in written]
            del spans[at][min(taken, default=len(words)) :]
        self._learn({text for texts in spans for text in texts} - self._known.keys())
        found = []
        for at, texts in enumerate(spans):
            near = sorted(pair for text in texts for pair in self._known[text])
            if near:
                found.append((at, tuple(dict.fromkeys(term for _, term in near))))
        return found

    def _spans(self, words: Sequence[str]) -> list[list[str]]:
        """Return, for each word, it and all that it begins, as long as a term could be."""
        spans = []
        for at in range(len(words)):
            text, texts = "", []
            for word in words[at:]:
                text += word
                if len(text) > self._longest:
                    break
                texts.append(text)
            spans.append(texts)
        return spans

    def _learn(self, texts: set[str]) -> None:
        """Remember which terms each text resembles. Most pairs are told apart by their letters."""
        if not texts:
            return
        new = list(texts)
        masks = np.array([_mask(text) for text in new], np.uint64)[:, None]
        lengths = np.array([len(text) for text in new], np.int64)[:, None]
        near = np.abs(lengths - self._lengths) <= self._limits
        near &= np.bitwise_count(self._masks & ~masks) <= self._limits
        near &= np.bitwise_count(masks & ~self._masks) <= self._limits
        self._known.update(dict.fromkeys(new, ()))
        for row, number in zip(*(axis.tolist() for axis in near.nonzero()), strict=True):
            text, term = new[row], self._terms[number]
            differ = distance(text, term)
            if 0 < differ <= self.limit(term):
                self._known[text] = (*self._known[text], (differ, number))


def letters_of(text: str) -> str:
    """Return the letters and digits of a text, without case."""
    return "".join(c for c in text.casefold() if c.isalnum())


def _mask(text: str) -> int:
    once = more = 0
    for char in text:
        bit = 1 << ord(char) % _BITS
        more |= once & bit
        once |= bit
    return more << _BITS | once


def distance(one: str, other: str) -> int:
    """Return the letters to insert, drop or replace to make one of the other.

    After Myers (1999) as Hyyrö (2003) has it: a column of the table is one number of bits.
    """
    if not one:
        return len(other)
    where: dict[str, int] = {}
    for i, char in enumerate(one):
        where[char] = where.get(char, 0) | 1 << i
    full, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, found = full, 0, len(one)
    for char in other:
        same = where.get(char, 0)
        zero = (((same & up) + up) ^ up) | same | down
        rise, fall = down | ~(zero | up), up & zero
        found += bool(rise & last) - bool(fall & last)
        rise = (rise << 1 | 1) & full
        up = (fall << 1 | ~(zero | rise)) & full
        down = rise & zero & full
    return found
