"""The words alone, for a person or a file: the other thing that stdout may hold."""

import os
import textwrap
import threading
from collections.abc import Iterable

from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.protocol.json_lines import Put, Value, plain
from parakeet_coreml.recognition.words import Word, text_of

CLEAR_BELOW = "\x1b[J"
"""Empties the terminal from the cursor on."""

FAINT, NORMAL = "\x1b[2m", "\x1b[22m"
"""Words that may still change, and words that hardly will."""

NARROW, WIDE = 8, 100
"""Columns that text is set in: a terminal may claim any, and long lines are hard to read."""

METER = 20
"""Bars of the level meter."""


class Text:
    """The words of one recording for a person, as they come; failures go to stderr elsewhere.

    In a file or pipe every chunk is a line. On the screen of the terminal `screen`, a descriptor,
    the words of the open line follow in place, those that may still change faint, and a level meter
    stands below them.
    """

    def __init__(self, put: Put, *, screen: int | None) -> None:
        self._put = put
        self._screen = screen
        self._lock = threading.Lock()
        self._open = True
        self._live = self._stable = self._meter = ""
        self._rows = 0
        """Rows of the terminal that may be drawn over."""

    def wants(self, event: str) -> bool:
        """Return which events a person sees here: live words and the level, on a screen."""
        return self._screen is not None and event in {"partial", "level"}

    def event(self, event: str, **fields: Value) -> None:
        """Draw live words and the level; leave other events out."""
        if not self.wants(event):
            return
        with self._lock:
            if event == "partial":
                self._live, self._stable = plain(str(fields["text"])), plain(str(fields["stable"]))
            else:
                self._meter = self._bars(float(str(fields["rms_db"])))
            if self._open:
                self._draw("", droppable=True)

    def _bars(self, decibels: float) -> str:
        """Return the meter for a level of -60 dB to 0, as wide as there is room."""
        room = min(METER, self._width() - len("[]"))
        bars = round((decibels + 60) / 60 * room)
        return f"[{'|' * max(0, min(room, bars)):<{room}}]"

    def hello(self) -> None:
        """Leave the greeting out."""

    def chunk(self, words: Iterable[Word], *, elapsed: float, start: int, stop: int) -> None:  # noqa: ARG002  Report's shape
        """Write the words behind those before."""
        text = plain(text_of(words))
        with self._lock:
            self._live = self._stable = ""
            if text and self._open:
                self._draw("\n".join(self._wrapped(text)) + "\n")

    def say(self, text: str) -> bool:
        """Write words of ours above what may be drawn over; False where this is no screen."""
        if self._screen is None:
            return False
        with self._lock:
            if self._open:
                self._draw(text.rstrip("\n") + "\n")
            return self._open

    def error(self, error: ParakeetError) -> None:
        """Leave failures to stderr."""

    def done(self, **_meta: Value) -> None:
        """Take away what may be drawn over."""
        with self._lock:
            self._live = self._meter = ""
            if self._open:
                self._draw("")
            self._open = False

    def _draw(self, fixed: str, *, droppable: bool = False) -> None:
        """Write what stays, and below it what may be drawn over; in one piece, so none flickers."""
        if self._screen is None:
            if fixed:
                self._put(fixed.encode())
            return
        up = f"\x1b[{self._rows - 1}A" if self._rows > 1 else ""
        rows = self._wrapped(self._live)[-self._height() :] if self._live else []
        shown = self._marked(rows)
        if self._meter:
            shown.append(self._meter)
        erased = f"\r{up}{CLEAR_BELOW}" if self._rows else ""
        drawn = erased + fixed + "\n".join(shown)
        if drawn and self._put(drawn.encode(), droppable=droppable):
            self._rows = len(shown)

    def _marked(self, rows: list[str]) -> list[str]:
        """Return the rows with what may still change faint."""
        hidden = len(self._live.split()) - sum(len(row.split()) for row in rows)
        firm = len(self._stable.split()) - hidden
        marked = []
        for row in rows:
            words = row.split()
            kept, rest = " ".join(words[: max(0, firm)]), " ".join(words[max(0, firm) :])
            faint = f"{FAINT}{rest}{NORMAL}" if rest else ""
            marked.append(" ".join(filter(None, (kept, faint))))
            firm -= len(words)
        return marked

    def _wrapped(self, text: str) -> list[str]:
        if self._screen is None:
            return [text]
        return textwrap.wrap(text, self._width(), break_on_hyphens=False)

    def _width(self) -> int:
        return max(NARROW, min(WIDE, self._size().columns - 1))

    def _height(self) -> int:
        return max(1, self._size().lines - 3)

    def _size(self) -> os.terminal_size:
        try:
            size = os.get_terminal_size(self._screen or 0)
        except OSError:
            return os.terminal_size((80, 24))
        return size if size.columns and size.lines else os.terminal_size((80, 24))
