"""What the user prefers, brought to bear on the search: terms and a script. Pure."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import FRAME
from parakeet_coreml.backends.base import BackendSpec, Term, Token
from parakeet_coreml.backends.languages import SCRIPTS
from parakeet_coreml.backends.transducer.bias import (
    LETTERS,
    WORD_MARK,
    Attempt,
    Pieces,
    Way,
    led,
    letters_in,
    piece_text,
)
from parakeet_coreml.backends.transducer.resemblance import Resemblance, letters_of
from parakeet_coreml.backends.transducer.script import Lock
from parakeet_coreml.backends.transducer.tdt import Decision
from parakeet_coreml.errors import BackendFailedError

NAMED = 8
"""Terms a warning names; the rest is counted."""

Note = tuple[str, str]
"""Code and message of a warning."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """The user's terms and script, for one model."""

    blank: int
    terms: "Terms | None" = None
    lock: Lock | None = None
    aliases: "Aliases | None" = None
    notes: tuple[Note, ...] = ()

    @classmethod
    def of(
        cls, spec: BackendSpec, piece: Callable[[int], str], blank: int, *, tells: bool
    ) -> "Preferences":
        """Make of a spec what its model can do: its pieces by token, blank behind them.

        `tells`: its joint gives candidates.
        """
        if not spec.terms and not spec.language:
            return cls(blank)
        pieces = {token: piece(token) for token in range(blank)}
        notes: list[Note] = []
        if not tells:
            notes.append(("vocabulary" if spec.terms else "language", _MUTE))
        lock = Lock(SCRIPTS[spec.language], pieces, blank) if spec.language else None
        if lock is not None and tells and not lock.locks:
            message = f"--language {spec.language} locks nothing: {spec.model} has one script"
            notes.append(("language", message))
        made = Pieces(pieces)
        terms, complaint = _spelled(spec.terms, made)
        if complaint:
            notes.append(("vocabulary", complaint))
        return cls(
            blank,
            Terms(terms, made, spec.boost) if tells and terms and spec.boost else None,
            lock if lock is not None and lock.locks and tells else None,
            Aliases.of(terms),
            tuple(notes),
        )

    def for_window(self) -> "Steer | None":
        """Return what steers the search through one window; None if nothing does."""
        if self.terms is None and self.lock is None:
            return None
        return Steer(self.terms, self.lock, self.blank)

    def written(self, tokens: Sequence[Token]) -> Sequence[Token]:
        """Return tokens with every alias as it is to be written."""
        return tokens if self.aliases is None else self.aliases.written(tokens)


_MUTE = (
    "the joint network of this form gives its choice alone: terms and scripts cannot be preferred;"
    " the onnx and mlx forms and Core ML's v3 and 110m can"
)


class Terms:
    """The terms to lead to, for all windows."""

    def __init__(self, terms: Sequence[Term], pieces: Pieces, boost: float) -> None:
        self._ways = [Way(term, pieces, boost) for term in terms]
        self._resemblance = Resemblance(term.spoken or term.text for term in terms)
        self._letters = {token: letters_of(piece) for token, piece in pieces.by_token.items()}
        self._opening = {t for t, piece in pieces.by_token.items() if piece.startswith(WORD_MARK)}

    def near(self, tokens: Sequence[int], begin: int) -> Iterator[tuple[int, Way]]:
        """Give the terms that words of `tokens[begin:]` resemble, each with its word's token."""
        starts: list[int] = []
        words: list[str] = []
        for at in range(begin, len(tokens)):
            letters = self._letters.get(tokens[at], "")
            if tokens[at] in self._opening:
                starts.append(at)
                words.append(letters)
            elif words:
                words[-1] += letters
        for word, terms in self._resemblance.places(words):
            for term in terms:
                yield starts[word], self._ways[term]


class Steer:
    """The `Steering` of one window."""

    def __init__(self, terms: Terms | None, lock: Lock | None, blank: int) -> None:
        self._blank = blank
        self._terms = terms
        self._lock = lock

    def chosen(self, decision: Decision, /) -> Decision:
        """Return the decision, or one for a token of the script."""
        candidates = decision.candidates
        if candidates is None:
            return decision
        if candidates.ids is not None:
            _check(candidates.ids, candidates.logits, self._blank + 1)
        token = decision.token
        if self._lock is not None:
            token = self._lock.allowed(token, candidates)
        return decision if token == decision.token else led(decision, token)

    def trials(self, tokens: Sequence[int], begin: int, /) -> Iterator[tuple[int, Attempt]]:
        """Give the terms that words resemble."""
        if self._terms is not None:
            for at, way in self._terms.near(tokens, begin):
                yield at, Attempt(way, self._blank)


def _check(ids: NDArray[np.int32], logits: NDArray[np.float32], tokens: int) -> None:
    """Raise `BackendFailedError` unless a network's candidates are some."""
    if (
        ids.shape != logits.shape
        or not ids.size
        or not 0 <= int(ids.min()) <= int(ids.max()) < tokens
        or not np.isfinite(logits).all()
    ):
        raise BackendFailedError("the joint network gave what are no candidates")


def _spelled(terms: Iterable[Term], pieces: Pieces) -> tuple[list[Term], str]:
    """Return the terms that pieces can spell, as they spell them, and what to say of the others.

    One that is spelled in small letters alone is followed by those, and written as it is.
    """
    spelled: list[Term] = []
    short: list[str] = []
    strange: list[str] = []
    for term in terms:
        text = unicodedata.normalize("NFC", term.spoken or term.text)
        if letters_in(text) < LETTERS:
            short.append(f"'{term.text}' ({term.place})")
        elif pieces.spell(text):
            spelled.append(term._replace(spoken=text))
        elif pieces.spell(text.lower()):
            spelled.append(term._replace(spoken=text.lower()))
        else:
            strange.append(f"'{term.text}' ({term.place})")
    said = [
        f"{what}: {', '.join(found[:NAMED])}"
        + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")
        for what, found in (
            ("terms this model's pieces cannot spell", strange),
            (f"terms with fewer than {LETTERS} letters", short),
        )
        if found
    ]
    return spelled, "left out are " + "; ".join(said) if said else ""


class Aliases:
    """Terms that the model writes otherwise than they are to be written.

    It may write `face book` for a word it was never taught: what has the letters of a term and
    begins and ends with a word is that term, wherever the model put spaces.
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        self._terms = {_letters(piece_text(term.spoken)): term for term in terms}
        self._longest = max(map(len, self._terms))

    @classmethod
    def of(cls, terms: Sequence[Term]) -> "Aliases | None":
        """Return those among the terms; None without one."""
        return cls(terms) if terms else None

    def written(self, tokens: Sequence[Token]) -> list[Token]:
        """Return the tokens, each alias in them replaced by a token for each word of its term.

        Of two that begin together the longer one counts; one in other case alone stays as it is.
        """
        out: list[Token] = []
        at = 0
        while at < len(tokens):
            stop, term = self._match(tokens, at)
            out.extend(tokens[at:stop] if term is None else _replaced(tokens[at:stop], term))
            at = stop
        return out

    def _match(self, tokens: Sequence[Token], at: int) -> tuple[int, Term | None]:
        """Return where the longest alias that starts here ends, and its term."""
        found: tuple[int, Term | None] = at + 1, None
        text = ""
        for stop in range(at + 1, len(tokens) + 1):
            text += tokens[stop - 1].piece
            letters = _letters(text)
            if not text.startswith(WORD_MARK) or len(letters) > self._longest:
                break
            whole = stop == len(tokens) or not tokens[stop].piece[:1].isalnum()
            term = self._terms.get(letters)
            if whole and term is not None:
                same = text.casefold() == piece_text(term.text).casefold()
                found = stop, None if same and term.spoken == term.text else term
        return found


def _letters(text: str) -> str:
    return text.replace(WORD_MARK, "").casefold()


def _replaced(tokens: Sequence[Token], term: Term) -> list[Token]:
    words = term.text.split()
    start = tokens[0].start
    length = max(tokens[-1].start + max(tokens[-1].duration, FRAME) - start, len(words))
    probability = sum(t.probability for t in tokens) / len(tokens)
    edges = [start + length * i // len(words) for i in range(len(words) + 1)]
    return [
        Token(tokens[0].id, WORD_MARK + word, begin, end - begin, probability)
        for word, (begin, end) in zip(words, pairwise(edges), strict=True)
    ]
