"""Terms the search prefers: a trie over the text of pieces. Pure.

After the trie of FluidAudio's decoder for Nemotron (#866) and the order of NeMo's phrase boosting
(TurboBias, arXiv 2508.07014): whether a frame is blank is decided before, a boost is added to the
logits of tokens alone, and durations stay the model's.

A term is followed by its letters, `▁` before each word, so that any pieces that spell it count and
none has to be found beforehand. A match opens at a word's start only. A piece is boosted once the
match behind it has `OPENING` letters; from there on blank may be overtaken too, for the model that
doubts a word's end doubts it in favour of blank.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.backends.base import Term
from parakeet_coreml.backends.transducer.tdt import Candidates

WORD_MARK = "▁"

LETTERS = 3
"""A term has at least so many: shorter ones are found everywhere."""

OPENING = 2
"""Letters of a term that must be there, the next piece's included, before anything is boosted."""

START = 4.5
"""Added to a logit at weight 1 and boost 1. FluidAudio, on v3's like: 3.0 found 2 of 8 terms, 4.5
found 5, 6.0 found 4 and wrote what nobody had said."""

CAP = 6.0
"""The most that is ever added."""

BUDGET = 6.0
"""The most by which a term may lie below the model's own choices, all its pieces together. 8 and 12
found no term more with tiny-en and wrote half as many again that nobody had said."""


def letters_in(text: str) -> int:
    """Return how many letters and digits a text has."""
    return sum(c.isalnum() for c in text)


def piece_text(text: str) -> str:
    """Return a text as pieces spell it: `▁` before each word."""
    return "".join(WORD_MARK + word for word in text.split())


@dataclass(slots=True, eq=False)
class _Node:
    letters: int = 0
    ends: bool = False
    """Whether a term is whole here."""
    bonus: float = 0.0
    """The greatest of the terms that pass here."""
    children: dict[str, "_Node"] = field(default_factory=dict)
    follow: "dict[int, _Node] | None" = None
    """By the token that leads there; None until asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class _Offers:
    """Tokens to boost and by how much, both of shape (n,)."""

    ids: NDArray[np.intp]
    bonuses: NDArray[np.float32]
    by_id: Mapping[int, float]

    @classmethod
    def of(cls, nodes: Iterable[Mapping[int, _Node]]) -> "_Offers":
        best: dict[int, float] = {}
        for follow in nodes:
            for token, node in follow.items():
                if node.letters >= OPENING and node.bonus:
                    best[token] = max(best.get(token, 0.0), node.bonus)
        bonuses = np.fromiter(best.values(), np.float32, len(best))
        return cls(np.fromiter(best, np.intp, len(best)), bonuses, best)

    def best(self, token: int, candidates: Candidates) -> tuple[int, float]:
        """Return `token` or one that a boost lifts above it, and how far below it that was."""
        if candidates.ids is None:
            own = float(candidates.logits[token])
            scores = candidates.logits[self.ids] + self.bonuses
            best = int(scores.argmax())
            if scores[best] <= own:
                return token, 0.0
            return int(self.ids[best]), own - float(candidates.logits[self.ids[best]])
        logits = dict(zip(candidates.ids.tolist(), candidates.logits.tolist(), strict=True))
        if token not in logits:
            return token, 0.0
        scored = ((logits[i] + self.by_id[i], i) for i in logits if i in self.by_id)
        score, preferred = max(scored, default=(-np.inf, token))
        if score <= logits[token]:
            return token, 0.0
        return preferred, logits[token] - logits[preferred]


class Trie:
    """The terms, and which tokens lead on from each place in them. Shared by all windows."""

    def __init__(self, terms: Iterable[Term], pieces: Mapping[int, str], boost: float) -> None:
        self._tokens: dict[str, list[int]] = {}
        for token, piece in pieces.items():
            if piece:
                self._tokens.setdefault(piece, []).append(token)
        self._longest = max(map(len, self._tokens), default=0)
        self.root = _Node()
        for term in terms:
            self._add(piece_text(term.spoken or term.text), min(CAP, START * boost * term.weight))
        self.start = _Offers.of([self.follow(self.root)])

    def _add(self, text: str, bonus: float) -> None:
        node = self.root
        for char in text:
            node = node.children.setdefault(char, _Node(node.letters + char.isalnum()))
            node.bonus = max(node.bonus, bonus)
        node.ends = True

    def spells(self, text: str) -> bool:
        """Whether pieces make up the text."""
        text = piece_text(text)
        reached = {0}
        for start in range(len(text)):
            if start in reached:
                stops = range(start + 1, min(len(text), start + self._longest) + 1)
                reached.update(stop for stop in stops if text[start:stop] in self._tokens)
        return len(text) in reached

    def follow(self, node: _Node) -> dict[int, _Node]:
        """Return where each token leads that spells some of what may come."""
        if node.follow is None:
            node.follow = {
                token: end
                for piece, end in self._spelled(node, "")
                for token in self._tokens.get(piece, ())
            }
        return node.follow

    def _spelled(self, node: _Node, before: str) -> Iterator[tuple[str, _Node]]:
        for char, child in node.children.items():
            yield before + char, child
            if len(before) + 1 < self._longest:
                yield from self._spelled(child, before + char)


class Bias:
    """Where in the terms one window is.

    Being led away from the model's choice is a trial. It ends well when a term is whole and a word
    begins behind it, or nothing comes; it fails when no term can come of it any more, or when the
    model's own choices were better by `BUDGET` in all.
    """

    def __init__(self, trie: Trie, pieces: Mapping[int, str], blank: int) -> None:
        self._trie = trie
        self._pieces = pieces
        self._blank = blank
        self._open: tuple[_Node, ...] = ()
        """The places in terms that what was written has come to."""
        self._inside: _Offers | None = None
        """What leads on from them, where a match has begun."""
        self._offers = trie.start
        self._leading: Container[int] = trie.follow(trie.root)
        self._paid = 0.0
        self._begins = False
        """Whether the token to come is the first of a trial."""
        self.trying = False
        self.failed = False

    def preferred(self, token: int, candidates: Candidates) -> int:
        """Return the token to write where the model would write `token`.

        Where the model itself carries a match on, or opens one while none is open, it spells the
        term in its own way and is left to it.
        """
        if token in self._leading:
            return token
        offers = self._inside if self.trying or token == self._blank else self._offers
        if offers is None or not len(offers.ids):
            return token
        preferred, cost = offers.best(token, candidates)
        if preferred != token:
            self._paid = cost + (self._paid if self.trying else 0.0)
            self._begins = not self.trying
            self.trying = True
            self.failed = self._paid > BUDGET
        return preferred

    def emitted(self, token: int) -> None:
        """Follow the matches that this token carries on or opens."""
        trie = self._trie
        if self.trying:
            if any(node.ends for node in self._open) and not self._continues(token):
                self.trying = False  # and what follows opens matches as ever
            else:
                self._follow(token, (*self._open, trie.root) if self._begins else self._open)
                self._begins = False
                self.failed = self.failed or not self._open
                return
        self._follow(token, (*self._open, trie.root))

    def end(self) -> None:
        """Nothing more comes."""
        self.failed = not any(node.ends for node in self._open)
        self.trying = self.trying and self.failed

    def mark(self) -> tuple[_Node, ...]:
        """Return what is open."""
        return self._open

    def back(self, mark: tuple[_Node, ...]) -> None:
        """Return to what was open."""
        self.trying = self.failed = False
        self._paid = 0.0
        self._settle(mark)

    def _continues(self, token: int) -> bool:
        """Whether a token carries on the word before it."""
        return self._pieces.get(token, "")[:1].isalnum()

    def _follow(self, token: int, nodes: Iterable[_Node]) -> None:
        follows = [self._trie.follow(node) for node in nodes]
        self._settle(tuple(follow[token] for follow in follows if token in follow))

    def _settle(self, nodes: tuple[_Node, ...]) -> None:
        trie = self._trie
        self._open = nodes
        ahead = [(node, trie.follow(node)) for node in nodes]
        begun = [follow for node, follow in ahead if node.letters >= OPENING and follow]
        self._inside = _Offers.of(begun) if begun else None
        self._leading = {*chain(*begun)} if begun else trie.follow(trie.root)
        start = trie.follow(trie.root)
        self._offers = (
            _Offers.of([*(follow for _, follow in ahead), start]) if ahead else trie.start
        )
