"""What a recording says besides its words: readiness, warnings and failures, in the right order."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from parakeet_coreml.audio.onset import Onset
from parakeet_coreml.audio.source import Source
from parakeet_coreml.backends.base import BackendInfo
from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.host import stdio
from parakeet_coreml.protocol.json_lines import JsonLines, Put, Value, parse_events
from parakeet_coreml.recording import summary
from parakeet_coreml.recording.options import Options

if TYPE_CHECKING:  # words for people load only where a person reads; NumPy after the microphone
    from parakeet_coreml.protocol.text import Text
    from parakeet_coreml.recognition.pipeline import Line


def report_of(options: Options, put: Put, stdout: int) -> "JsonLines | Text":
    """Return what writes to stdout: lines for a host, or words for a person."""
    if options.format == "text":
        from parakeet_coreml.protocol.text import Text  # noqa: PLC0415  for people only

        return Text(put, screen=stdout if stdio.is_terminal(stdout) else None)
    events = parse_events(options.events)
    terms = [term.text for term in options.terms]
    return JsonLines(put, events=events, meta=options.meta, words=options.words, terms=terms)


class Notices:
    """Says things to the host and to people, from any thread.

    Nothing reaches stdout before `accept`: a call that is refused leaves it empty. Warnings that
    come earlier follow the greeting, and the microphone is ready before the model, whichever was
    first.
    """

    def __init__(self, report: "JsonLines | Text") -> None:
        self._report = report
        self._lock = threading.RLock()
        self._early: list[tuple[str, str]] = []
        self._unready = deque(("capture", "model"))
        self._ready: dict[str, dict[str, Value]] = {}
        self.accepted = False
        """The protocol has begun, and its last line will be `done`."""

    def accept(self) -> None:
        """Begin the protocol. A second call does nothing."""
        with self._lock:
            if not self.accepted:
                self.accepted = True
                self._report.hello()
                for code, message in self._early:
                    self._report.event("warning", code=code, message=message)

    def warn(self, code: str, message: str) -> None:
        """Say what ends nothing."""
        with self._lock:
            if self.accepted:
                self._report.event("warning", code=code, message=message)
            else:
                self._early.append((code, message))
        self._say(f"Warning: {message}")

    def fail(self, error: ParakeetError) -> None:
        """Say a failure at once."""
        self.accept()
        self._report.error(error)
        self._say(f"Error: {error.message}" + (f"\n{error.hint}" if error.hint else ""))

    def _say(self, text: str) -> None:
        """Say something to people: on stderr, or between the words on the screen they read."""
        report = self._report
        if isinstance(report, JsonLines) or not (
            stdio.is_terminal(stdio.STDERR) and report.say(text)
        ):
            stdio.say(text)

    def listening(self, source: Source, onset: Onset, *, live: bool) -> None:
        """Say that sound arrives."""
        if live and stdio.is_terminal(stdio.STDERR):
            self._say("Listening; Ctrl-C ends it")
        device: dict[str, Value] = {"name": source.name, "sample_rate": source.rate}
        self.ready("capture", {"t_ms": onset.ms, "device": device, **summary.silent(onset)})

    def loaded(self, info: BackendInfo | None) -> None:
        """Say that the model is ready, and what it cannot do of what it was asked."""
        self.ready("model", summary.described(info))
        for code, message in info.notes if info is not None else ():
            if code == "language":
                self.warn("language", message)
            else:
                self.warn("vocabulary", message)

    def followed(self, lines: "Iterable[Line]", language: str | None) -> "Iterator[Line]":
        """Pass lines on, and warn once if their script changes and no language keeps it."""
        from parakeet_coreml.backends.languages import main_script  # noqa: PLC0415  not at the start

        first = ""
        for line in lines:
            yield line
            script = main_script(word.text for word in line.words) if language is None else ""
            if script and first not in {"", script}:
                language = "told"
                self.warn(
                    "script_drift",
                    f"the words went from {first.title()} to {script.title()} letters;"
                    " --language keeps to one script",
                )
            first = first or script

    def ready(self, what: str, fields: dict[str, Value]) -> None:
        """Say that `capture` or `model` is ready."""
        with self._lock:
            self._ready[what] = fields
            while self._unready and self._unready[0] in self._ready:
                first = self._unready.popleft()
                self._report.event("ready", what=first, **self._ready[first])
