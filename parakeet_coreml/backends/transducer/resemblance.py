"""Which words look like a term, whatever spaces are between them. Pure.

What a model writes for a name it never saw resembles the name. What does not is another word, and
no boost should make the name of it.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

ALIKE = 0.3
"""The most letters that may differ, as a share of the term's. At 0.34 two of six may: in two hours
of speech, tiny-en then wrote `docker` 13 times, mostly for `doctor`, and at 0.3 once."""

KEPT = 20_000
"""Strings remembered with what they look like: words come again."""

_BITS = 32
"""Letters are told apart modulo this."""


class Resemblance:
    """Finds terms by what resembles their letters."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms = [letters_of(term) for term in terms]
        limits = [self.limit(term) for term in self._terms]
        pairs = [*zip(map(len, self._terms), limits, strict=True)]
        self._longest = max((length + limit for length, limit in pairs), default=0)
        self._shortest = min((length - limit for length, limit in pairs), default=1)
        self._limits = np.array(limits, np.int64)
        self._lengths = np.array([length for length, _ in pairs], np.int64)
        masks = [_mask(term) for term in self._terms]
        self._masks = np.array([more << _BITS | once for once, more in masks], np.uint64)
        self._words: dict[str, tuple[int, int]] = {}
        """Words' masks."""
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
            self._words.clear()
        spans = self._spans(words)
        alike = [(at, stop, self._known[text]) for at, stop, text in spans if self._known[text]]
        if not alike:
            return []
        written = {i for at, stop, near in alike if near[0][0] == 0 for i in range(at, stop)}
        found: dict[int, list[tuple[int, int]]] = {}
        for at, stop, near in alike:
            if written.isdisjoint(range(at, stop)):
                found.setdefault(at, []).extend(near)
        return [
            (at, tuple(dict.fromkeys(term for _, term in sorted(near))))
            for at, near in found.items()
        ]

    def _spans(self, words: Sequence[str]) -> list[tuple[int, int, str]]:
        """Return what words make together, if a term could be so long: first, behind, letters."""
        spans = []
        new: dict[str, int] = {}
        masks = [
            self._words.get(word) or self._words.setdefault(word, _mask(word)) for word in words
        ]
        for at in range(len(words)):
            text, once, more = "", 0, 0
            for stop in range(at, len(words)):
                text += words[stop]
                if len(text) > self._longest:
                    break
                mask = masks[stop]
                more |= mask[1] | once & mask[0]
                once |= mask[0]
                if len(text) >= self._shortest:
                    spans.append((at, stop + 1, text))
                    if text not in self._known:
                        new[text] = more << _BITS | once
        self._learn(new)
        return spans

    def _learn(self, texts: Mapping[str, int]) -> None:
        """Remember which terms each text, of a mask, resembles. The masks tell most pairs apart."""
        if not texts:
            return
        new = [*texts]
        masks = np.array([*texts.values()], np.uint64)[:, None]
        lengths = np.array([*map(len, new)], np.int64)[:, None]
        near = np.bitwise_count(self._masks & ~masks) <= self._limits
        near &= np.bitwise_count(masks & ~self._masks) <= self._limits
        near &= np.abs(lengths - self._lengths) <= self._limits
        self._known.update(dict.fromkeys(new, ()))
        for row, number in np.argwhere(near).tolist():
            text, term = new[row], self._terms[number]
            differ = distance(text, term)
            if differ <= self.limit(term):
                self._known[text] = (*sorted((*self._known[text], (differ, number))),)


def letters_of(text: str) -> str:
    """Return the letters and digits of a text, without case."""
    return "".join(c for c in text.casefold() if c.isalnum())


def _mask(text: str) -> tuple[int, int]:
    """Return a bit for each letter, and one for each that is there more often than once."""
    once = more = 0
    for char in text:
        bit = 1 << ord(char) % _BITS
        more |= once & bit
        once |= bit
    return once, more


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
