"""Where the terms a user asked for were written. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from parakeet_coreml.recognition.words import Word


@dataclass(frozen=True, slots=True)
class Spotted:
    """A term and the words it was written with. Times in samples."""

    text: str
    start: int
    stop: int


class Spotter:
    """Finds terms among words."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for text in dict.fromkeys(terms):
            spelled = tuple(bare(word) for word in text.split())
            self._terms.setdefault(spelled[0], []).append((spelled, text))
        for entries in self._terms.values():
            entries.sort(key=lambda entry: -len(entry[0]))

    def spotted(self, words: Sequence[Word]) -> list[Spotted]:
        """Return the terms in order; of two that begin together the longer one counts."""
        bared = [bare(word.text) for word in words]
        found: list[Spotted] = []
        at = 0
        while at < len(words):
            for spelled, text in self._terms.get(bared[at], ()):
                stop = at + len(spelled)
                if tuple(bared[at:stop]) == spelled:
                    found.append(Spotted(text, words[at].start, words[stop - 1].stop))
                    at = stop
                    break
            else:
                at += 1
        return found


def bare(word: str) -> str:
    """Return a word without the marks around it; whole if it is nothing but marks."""
    kept = [i for i, char in enumerate(word) if char.isalnum()]
    return word[kept[0] : kept[-1] + 1] if kept else word
