"""The words of the line that is still open, and which of them will probably stay. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from parakeet_coreml.recognition.words import Word, key_of, text_of


@dataclass(frozen=True, slots=True)
class Forecast:
    """All words since the last line, replaced each time; a forecast, never a promise."""

    words: tuple[Word, ...] = ()
    stable: int = 0
    """So many of them, from the first, are settled or were decoded twice alike."""

    def next(self, settled: Sequence[Word], open_words: Sequence[Word]) -> "Forecast":
        """Return what is forecast after one more decode: settled words, then those still open.

        The agreement of two decodes of growing audio is that of Liu, Niehues, Waibel: *Low-latency
        sequence-to-sequence speech recognition and translation by partial hypothesis selection*
        (Interspeech 2020), over words in place of tokens.
        """
        words = (*settled, *open_words)
        agreed = len(settled)
        for before, now in zip(self.words[agreed:], open_words, strict=False):
            if key_of(before.text) != key_of(now.text):
                break
            agreed += 1
        return Forecast(words, agreed)

    @property
    def texts(self) -> tuple[str, str]:
        """The text of all words, and of the stable ones."""
        return text_of(self.words), text_of(self.words[: self.stable])


def after_line(held: Sequence[Word]) -> Forecast:
    """Return the forecast behind a line: words decoded but held back for the next one."""
    return Forecast(tuple(held))
