"""Values to lines: what a host reads.

Without options a recording prints exactly `chunk` lines and one `done`, besides `error`:

    {"type":"chunk","index":0,"text":"fix the login bug","confidence":0.94,"elapsed_ms":52}
    {"type":"error","code":"device_lost","message":"…","hint":"…"}
    {"type":"done","totalChunks":1,"full_text":"fix the login bug"}

Everything else is asked for with `--events`, `--meta` and `--words`. Within schema 1 types and keys
are only added; readers ignore what they do not know. `types` has the table of what a line holds.
"""

import json
import os
import threading
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from parakeet_coreml import __version__, lastwords
from parakeet_coreml.audio.samples import to_ms
from parakeet_coreml.errors import ParakeetError, UsageError
from parakeet_coreml.recognition.words import Word, confidence_of, text_of

if TYPE_CHECKING:  # mypy holds the lines to the table; start-up does without it
    from parakeet_coreml.protocol.types import (
        ChunkLine,
        DoneLine,
        ErrorLine,
        HelloLine,
        TimedWord,
        WrittenTerm,
    )

SCHEMA: Final = 1
"""Raised when a type or key is renamed, retyped or removed."""

EVENTS = (
    *("hello", "ready", "level", "speech", "partial"),
    *("state", "warning", "window", "timing"),
)
"""Types of line that are opt-in."""

DROPPABLE = frozenset({"level", "partial"})
"""Types of which a slow reader gets fewer."""

MAX_LINE = 64 * 1024
"""Bytes a line may have, `done` excepted."""

MAX_TEXT = MAX_LINE // 32
"""Characters of a text for people: escaped each takes up to 12 bytes, and a line may have two."""

ESCAPED = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Unicode categories that would act on a terminal or split a line."""

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]


class Put(Protocol):
    """Takes one complete line, and whether it may be left out for a slow reader."""

    def __call__(self, line: bytes, *, droppable: bool = False) -> bool:
        """Queue the line and return whether it was; never blocks."""


def parse_events(names: str) -> frozenset[str]:
    """Return the event types in a comma-separated list; `all` is every one.

    Raises `UsageError` for a name that is not an event.
    """
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = sorted(wanted - set(EVENTS) - {"all"})
    if unknown:
        raise UsageError(f"--events does not know '{unknown[0]}'", f"choose of {', '.join(EVENTS)}")
    return frozenset(EVENTS if "all" in wanted else wanted)


def encode(fields: Mapping[str, object]) -> bytes:
    """Return one line of JSON: compact, UTF-8, nothing in it that a terminal acts on."""
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if not text.isascii() or "\x7f" in text:
        text = "".join(map(_safe, text))
    return text.encode() + b"\n"


def _safe(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    if category not in ESCAPED:
        return char
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def plain(text: str) -> str:
    """Return text without what a terminal would act on, for people."""
    return "".join(c if unicodedata.category(c) not in {*ESCAPED, "Cs"} else " " for c in text)


def _cut(text: str) -> str:
    """Return a text for people as far as it fits into a line: a worker may send any length."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


class JsonLines:
    """The lines of one recording for a host, `done` last and once."""

    def __init__(
        self,
        put: Put,
        *,
        events: frozenset[str],
        meta: bool,
        words: bool,
        terms: Iterable[str] = (),
    ) -> None:
        self._put = put
        self._events = events
        self._meta = meta
        self._words = words
        self._terms = [*terms]
        self._lock = threading.Lock()
        self._texts: list[str] = []
        self._open = True

    @property
    def full_text(self) -> str:
        """Chunk texts so far, joined by one space, empty ones skipped."""
        return " ".join(filter(None, self._texts))

    def wants(self, event: str) -> bool:
        """Return whether an opt-in event was asked for."""
        return event in self._events

    def event(self, event: str, **fields: Value) -> None:
        """Write an opt-in line if it was asked for."""
        if event in self._events:
            texts = {key: _cut(value) for key, value in fields.items() if isinstance(value, str)}
            with self._lock:
                self._write({"type": event, **fields, **texts}, droppable=event in DROPPABLE)

    def hello(self) -> None:
        """Write the first line: who speaks, in which schema."""
        line: HelloLine = {
            "type": "hello",
            "schema": SCHEMA,
            "version": __version__,
            "pid": os.getpid(),
            "features": [*EVENTS, "words", "meta", "stdin-commands", "pause"],
        }
        if self.wants("hello"):
            with self._lock:
                self._write(line)

    def chunk(self, words: Iterable[Word], *, elapsed: float, start: int, stop: int) -> None:
        """Write one chunk line."""
        words = list(words)
        with self._lock:
            line: ChunkLine = {
                "type": "chunk",
                "index": len(self._texts),
                "text": text_of(words),
                "confidence": round(confidence_of(words), 2),
                "elapsed_ms": round(elapsed * 1000),
            }
            if self._meta:
                line |= {"start_ms": to_ms(start), "end_ms": to_ms(stop)}
            if self._meta and self._terms:
                line["terms"] = _written(self._terms, words)
            if self._words and self._open:
                timed: ChunkLine = {**line, "words": [_timed(word) for word in words]}
                line = timed if len(encode(timed)) <= MAX_LINE else line
            if self._open:
                self._texts.append(text_of(words))
            self._write(line)
            if self._open:
                lastwords.prepare(encode(self._last()))

    def error(self, error: ParakeetError) -> None:
        """Write a failure at once; lines for what was captured before it may follow."""
        line: ErrorLine = {
            "type": "error",
            "code": error.name,
            "message": _cut(error.message),
            "hint": _cut(error.hint),
        }
        with self._lock:
            self._write(line)
        lastwords.failed(error.exit_code)

    def done(self, **meta: Value) -> None:
        """Write the last line; `meta` only with `--meta`. Whatever comes later is dropped."""
        with self._lock:
            self._write({**self._last(), **(meta if self._meta else {})})
            self._open = False
        lastwords.paid()

    def _last(self) -> "DoneLine":
        return {"type": "done", "totalChunks": len(self._texts), "full_text": self.full_text}

    def _write(self, fields: Mapping[str, object], *, droppable: bool = False) -> None:
        if self._open:
            self._put(encode(fields), droppable=droppable)


def _written(terms: list[str], words: Sequence[Word]) -> "list[WrittenTerm]":
    from parakeet_coreml.recognition.spotting import Spotter  # noqa: PLC0415  for few

    return [
        {"text": term.text, "start_ms": to_ms(term.start), "end_ms": to_ms(term.stop)}
        for term in Spotter(terms).spotted(words)
    ]


def _timed(word: Word) -> "TimedWord":
    return {
        "text": word.text,
        "start_ms": to_ms(word.start),
        "end_ms": to_ms(word.stop),
        "confidence": round(confidence_of([word]), 2),
    }
