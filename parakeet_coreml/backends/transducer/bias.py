"""Leading the search to one term from where its words resemble it. Pure.

After FluidAudio's decoder for Nemotron (#866) and the order of NeMo's phrase boosting (TurboBias,
arXiv 2508.07014): whether a frame is blank is decided before, a boost is added to the logits of
tokens alone, and durations stay the model's.

A term is followed by its letters, `▁` before each word, so that any pieces that spell it count and
none has to be found beforehand. A piece is boosted once the match behind it has `OPENING` letters;
from there on blank may be overtaken too, for the model that doubts a word's end doubts it in favour
of blank.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from parakeet_coreml.backends.base import Term
from parakeet_coreml.backends.transducer.tdt import Candidates, Decision

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
"""The most by which a term may lie below the model's own choices, all its pieces together."""


def letters_in(text: str) -> int:
    """Return how many letters and digits a text has."""
    return sum(c.isalnum() for c in text)


def piece_text(text: str) -> str:
    """Return a text as pieces spell it: `▁` before each word."""
    return "".join(WORD_MARK + word for word in text.split())


class Pieces:
    """A model's pieces by token, and its tokens by piece."""

    def __init__(self, pieces: Mapping[int, str]) -> None:
        self.by_token = pieces
        self._tokens: dict[str, list[int]] = {}
        for token, piece in pieces.items():
            if piece:
                self._tokens.setdefault(piece, []).append(token)
        self._longest = max(map(len, self._tokens), default=0)

    def ahead(self, text: str, at: int) -> dict[int, int]:
        """Return each token that spells some of what comes in `text`, and where it leads."""
        stops = range(at + 1, min(len(text), at + self._longest) + 1)
        return {token: stop for stop in stops for token in self._tokens.get(text[at:stop], ())}

    def spell(self, text: str) -> bool:
        """Whether pieces make up the text."""
        text = piece_text(text)
        reached = {0}
        for start in range(len(text)):
            if start in reached:
                reached.update(self.ahead(text, start).values())
        return len(text) in reached


class Step:
    """What may follow one place in a term: `follow` by token, and what of it is boosted."""

    __slots__ = ("_ids", "_offered", "follow")

    def __init__(self, follow: dict[int, int], offered: Iterable[int]) -> None:
        self.follow = follow
        self._offered = frozenset(offered)
        self._ids = np.fromiter(self._offered, np.intp, len(self._offered))

    def best(self, token: int, candidates: Candidates, bonus: float) -> tuple[int, float]:
        """Return `token` or one that the bonus lifts above it, and how far below it that was."""
        if not self._offered:
            return token, 0.0
        if candidates.ids is None:
            logits = candidates.logits[self._ids]
            preferred = int(self._ids[logits.argmax()])
            cost = float(candidates.logits[token] - logits.max())
        else:
            given = dict(zip(candidates.ids.tolist(), candidates.logits.tolist(), strict=True))
            offered = [i for i in given if i in self._offered]
            if token not in given or not offered:
                return token, 0.0
            preferred = max(offered, key=given.__getitem__)
            cost = given[token] - given[preferred]
        return (preferred, cost) if cost < bonus else (token, 0.0)


class Way:
    """One term, and what may follow at each place in it. Shared by all windows."""

    def __init__(self, term: Term, pieces: Pieces, boost: float) -> None:
        self.text = piece_text(term.spoken or term.text)
        self.bonus = min(CAP, START * boost * term.weight)
        self._pieces = pieces
        self._steps: dict[int, Step] = {}

    def step(self, at: int) -> Step:
        """Return what may follow behind so many characters."""
        if at not in self._steps:
            follow = self._pieces.ahead(self.text, at)
            offered = (t for t, stop in follow.items() if letters_in(self.text[:stop]) >= OPENING)
            self._steps[at] = Step(follow, offered)
        return self._steps[at]

    def continues(self, token: int) -> bool:
        """Whether a token carries on the word before it."""
        return self._pieces.by_token.get(token, "")[:1].isalnum()


class Attempt:
    """The `Trial` of one term.

    It comes about when the term is whole and a word begins behind it, or nothing comes; it fails
    where the model's choice leads elsewhere and no boost lifts a piece of the term above it, or
    when the model's own choices were better by `BUDGET` in all.
    """

    def __init__(self, way: Way, blank: int) -> None:
        self._way = way
        self._blank = blank
        self._at = 0
        self._paid = 0.0
        self.whole = False

    def chosen(self, decision: Decision, /) -> Decision | None:
        """Return the decision, or one for a piece of the term; None where the trial ends."""
        token = decision.token
        if self.whole:
            if token == self._blank:
                return decision
            self.whole = not self._way.continues(token)
            return None
        step = self._way.step(self._at)
        preferred, cost = token, 0.0
        may = token != self._blank or self._opened()
        if token not in step.follow and decision.candidates is not None and may:
            preferred, cost = step.best(token, decision.candidates, self._way.bonus)
        self._paid += cost
        if preferred == self._blank:
            return decision
        if preferred not in step.follow or self._paid > BUDGET:
            return None
        self._at = step.follow[preferred]
        self.whole = self._at == len(self._way.text)
        return decision if preferred == token else led(decision, preferred)

    def _opened(self) -> bool:
        return letters_in(self._way.text[: self._at]) >= OPENING


def led(decision: Decision, token: int) -> Decision:
    """Return the decision for another of its candidates, with the model's own probability of it."""
    return replace(decision, token=token, probability=_probability(token, decision))


def _probability(token: int, decision: Decision) -> float:
    candidates = decision.candidates
    if candidates is None:
        return decision.probability
    logits = candidates.logits.astype(np.float64)
    if candidates.ids is None:
        return float(1.0 / np.exp(logits - logits[token]).sum())
    ids = candidates.ids.tolist()
    if decision.token not in ids:
        return decision.probability
    gap = logits[ids.index(token)] - logits[ids.index(decision.token)]
    return float(min(1.0, decision.probability * np.exp(min(gap, 0.0))))
