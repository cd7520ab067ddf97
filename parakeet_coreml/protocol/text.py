"""The words alone, for a person or a file: the other thing that stdout may hold."""

import threading
from collections.abc import Iterable

from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.protocol.json_lines import Put, Value, plain
from parakeet_coreml.recognition.words import Word, text_of

CLEAR_LINE = "\r\x1b[K"
"""Empties the line of a terminal that the cursor is in."""


class Text:
    """The words of one recording for a person, as they come; failures go to stderr elsewhere.

    In a file or pipe they become one line. On a `screen` every chunk is a line of its own, written
    over the level meter that stderr may have drawn there.
    """

    def __init__(self, put: Put, *, screen: bool) -> None:
        self._put = put
        self._screen = screen
        self._lock = threading.Lock()
        self._begun = False
        self._open = True

    def wants(self, _event: str) -> bool:
        """Tell that a person gets no events here."""
        return False

    def event(self, event: str, **fields: Value) -> None:
        """Leave events out."""

    def hello(self) -> None:
        """Leave the greeting out."""

    def chunk(self, words: Iterable[Word], *, elapsed: float, start: int, stop: int) -> None:  # noqa: ARG002  Report's shape
        """Write the words behind those before."""
        text = plain(text_of(words))
        with self._lock:
            if text and self._open:
                space = " " if self._begun else ""
                shown = f"{CLEAR_LINE}{text}\n" if self._screen else space + text
                self._put(shown.encode())
                self._begun = True

    def error(self, error: ParakeetError) -> None:
        """Leave failures to stderr."""

    def done(self, **_meta: Value) -> None:
        """End the line."""
        with self._lock:
            if self._open and self._screen:
                self._put(CLEAR_LINE.encode())
            elif self._open and self._begun:
                self._put(b"\n")
            self._open = False
