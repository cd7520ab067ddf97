"""Word errors, with the normaliser of the Open ASR leaderboard. Sole importer of both libraries."""

from collections.abc import Callable

import jiwer
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from parakeet_coreml.bench.figures import Errors

NORMALISERS = ("english", "basic")
"""Whisper's for English, which the leaderboard's is made from, and its one for other languages."""


class Scorer:
    """Compares transcripts with their references, both normalised."""

    def __init__(self, normaliser: str) -> None:
        kind = EnglishTextNormalizer if normaliser == "english" else BasicTextNormalizer
        self._normalised: Callable[[str], str] = kind()

    def errors(self, said: str, heard: str) -> Errors:
        """Return the word errors of one recording."""
        said, heard = self._normalised(said).strip(), self._normalised(heard).strip()
        if not said:  # only sounds that the normaliser drops, such as "uh"
            return Errors(0, 0, len(heard.split()), 0)
        found = jiwer.process_words(said, heard)
        words = found.hits + found.substitutions + found.deletions
        return Errors(found.substitutions, found.deletions, found.insertions, words)
