"""Dictation from Python: one process per recording, its lines as typed events.

    import parakeet_coreml

    with parakeet_coreml.dictate(model="tiny-en", events=["partial"]) as dictation:
        for event in dictation:            # ends after `done`, or raises DictationError
            if event["type"] == "chunk":
                print(event["text"])

The same contract as the command's and the Node client's, for it is the command that is spawned: the
model loads in no process of yours, and a crash of it takes nothing along. Standard library only.
"""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import IO, Any, Self, cast

from parakeet_coreml.protocol.types import (
    CaptureReadyLine,
    ChunkLine,
    DoneLine,
    ErrorLine,
    HelloLine,
    LevelLine,
    ModelReadyLine,
    PartialLine,
    SpeechLine,
    StateLine,
    TimingLine,
    WarningLine,
    WindowLine,
)

Event = (
    ChunkLine
    | ErrorLine
    | DoneLine
    | HelloLine
    | CaptureReadyLine
    | ModelReadyLine
    | LevelLine
    | SpeechLine
    | PartialLine
    | StateLine
    | WarningLine
    | WindowLine
    | TimingLine
)
"""A line; `event["type"]` says which. Later versions may add types and keys."""

Value = str | int | float
Option = Value | bool | list[str] | tuple[Value, ...] | None

PATIENCE = 70.0
"""Seconds without a line after a stop, above the recorder's own limits."""

INTERRUPT, TERMINATE, KILL = 2.0, 5.0, 3.0
"""Seconds: SIGINT after the word, SIGTERM after it at the earliest, SIGKILL after SIGTERM."""

STDERR_KEPT = 8192
"""Characters kept of its stderr."""


class DictationError(Exception):
    """Why a recording did not end well."""

    def __init__(self, code: str, message: str, hint: str, exit_code: int | None) -> None:
        super().__init__(message)
        self.code = code
        """Of the `error` line; `usage`, `aborted`, `crashed`, `protocol`, `stop_timeout`."""
        self.hint = hint
        self.exit_code = exit_code
        """Negative: the signal that ended it."""
        self.text = ""
        """What was recognised all the same."""
        self.stderr = ""
        """The end of its stderr."""


def dictate(
    *,
    command: Iterable[str] = (),
    events: Iterable[str] = (),
    on_stderr: Callable[[str], object] = lambda _: None,
    **options: Option | Sequence[str | int],
) -> "Dictation":
    """Start a recording and return its lines; it runs from now on.

    `options` are the command's: `chunk_seconds=15` is `--chunk-seconds=15`, `meta=True` is
    `--meta`, a list is the option once for each, None and False are left out. `events` are asked
    for besides chunks, such as `level` and `partial`. `on_stderr` gets each line for people, on a
    thread of its own. `command` is another program than this installation's.

    Raises `OSError` if it cannot be started; all else comes from the lines.
    """
    return Dictation([*command] or OWN, _arguments(events, options), on_stderr)


OWN = [sys.executable, "-P", "-m", "parakeet_coreml"]
"""This installation's program."""


class Dictation(Iterator[Event]):
    """One recording: iterate over its lines, and stop it from any thread."""

    def __init__(
        self, command: list[str], arguments: list[str], on_stderr: Callable[[str], object]
    ) -> None:
        self._process = subprocess.Popen(
            [*command, "progressive-record", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._raw = "--input=-" in arguments
        self._lines = cast("IO[bytes]", self._process.stdout)
        self._stderr = ""
        self._hearing = threading.Thread(target=self._hear, args=(on_stderr,), daemon=True)
        self._hearing.start()
        self._texts: list[str] = []
        self._error: ErrorLine | None = None
        self._done: DoneLine | None = None
        self._heard = time.monotonic()
        self._stopping = ""
        self._gave_up = False
        self._ended = False

    @property
    def pid(self) -> int:
        """The recorder's process."""
        return self._process.pid

    @property
    def audio(self) -> IO[bytes] | None:
        """Takes raw mono PCM with `input="-"`; closing it is the stop. None without."""
        return self._process.stdin if self._raw else None

    @property
    def text(self) -> str:
        """What was recognised so far."""
        return self._done["full_text"] if self._done else " ".join(filter(None, self._texts))

    def __next__(self) -> Event:
        """Return the next line; in place of a bad end, raise `DictationError`."""
        if self._ended:
            raise StopIteration
        line = self._lines.readline()  # of any length: `done` may have hundreds of kilobytes
        if not line:
            self._end()
            self._judge()
            raise StopIteration
        self._heard = time.monotonic()
        return self._take(line)

    def pause(self) -> None:
        """Let the microphone go; what was spoken is transcribed, and its chunk comes."""
        self._write("pause")

    def resume(self) -> None:
        """Open the microphone again; a `state` line says when it records."""
        self._write("resume")

    def stop(self, patience: float = PATIENCE) -> None:
        """End the recording: what was spoken is still transcribed. Returns at once; read on.

        If it does not end, stronger requests follow: SIGINT, which asks for the same, after 2 s;
        SIGTERM, which gives the rest up, after `patience` seconds without a line; then SIGKILL.
        """
        self._command("stop", patience)

    def cancel(self) -> None:
        """End it now, without recognising the rest. Returns when the process is gone."""
        self._command("cancel", 0.0)
        self._process.wait()

    def __enter__(self) -> Self:
        """Return the recording."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        """Cancel what still runs: a block that is left early has lost its interest."""
        if self._process.poll() is None:
            self.cancel()
        self._close()

    def _take(self, line: bytes) -> Event:
        try:
            event = json.loads(line)
            kind = event["type"]
        except (ValueError, TypeError, KeyError):
            self.cancel()
            self._end()
            raise self._failure("protocol", f"not a line of ours: {line[:80]!r}") from None
        if kind == "chunk":
            self._texts.append(event["text"])
        elif kind == "error":
            self._error = self._error or event  # the first one sets the exit code
        elif kind == "done":
            self._done = event
        return cast("Event", event)

    def _hear(self, on_stderr: Callable[[str], object]) -> None:
        for line in cast("IO[bytes]", self._process.stderr):
            text = line.decode("utf-8", "replace")
            self._stderr = (self._stderr + text)[-STDERR_KEPT:]
            on_stderr(text)

    # How it ends

    def _end(self) -> None:
        self._ended = True
        self._process.wait()
        self._hearing.join(INTERRUPT)  # a process it left behind may hold the pipe
        self._close()

    def _judge(self) -> None:
        """Raise what went wrong, if anything did."""
        code = self._process.returncode
        if self._gave_up:
            raise self._failure("stop_timeout", "it did not end when asked to")
        if self._error:
            error = self._error
            raise self._failure(error["code"], error["message"], error["hint"])
        if code == 0 and self._done is None:
            raise self._failure("protocol", "it ended without a last line")
        if code != 0:
            said = [line for line in self._stderr.splitlines() if line.startswith("Error: ")]
            message = said[-1].removeprefix("Error: ") if said else f"it ended with {code}"
            raise self._failure(EXIT_NAMES.get(code, "crashed"), message)

    def _failure(self, code: str, message: str, hint: str = "") -> DictationError:
        error = DictationError(code, message, hint, self._process.returncode)
        error.text, error.stderr = self.text, self._stderr
        return error

    def _command(self, word: str, patience: float) -> None:
        if self._stopping in {word, "cancel"} or self._process.poll() is not None:
            return
        begun, self._stopping = bool(self._stopping), word
        if not self._raw:
            self._write(word)
        else:
            with contextlib.suppress(OSError, ValueError):  # it has ended by itself
                cast("IO[bytes]", self._process.stdin).close()
        if self._raw and word == "cancel":
            self._process.send_signal(signal.SIGINT)
        if not begun or word == "cancel":
            threading.Thread(target=self._climb, args=(word, patience), daemon=True).start()

    def _write(self, word: str) -> None:
        if self._raw:
            return  # its stdin is sound
        commands = cast("IO[bytes]", self._process.stdin)
        with contextlib.suppress(OSError, ValueError):  # it has ended by itself
            commands.write(f"{word}\n".encode())
            commands.flush()

    def _climb(self, word: str, patience: float) -> None:
        """Send stronger requests to a program that does not end."""
        if self._gone(INTERRUPT):
            return
        if not (self._raw and word == "stop"):  # there it would cut off what is not taken yet
            self._process.send_signal(signal.SIGINT)
        self._heard = max(self._heard, time.monotonic() - INTERRUPT)
        while (left := self._heard + max(TERMINATE, patience) - time.monotonic()) > 0:
            if self._gone(left) or self._stopping != word:
                return
        self._gave_up = word == "stop"
        self._process.send_signal(signal.SIGTERM)
        if not self._gone(KILL):
            self._process.kill()

    def _gone(self, within: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        return self._process.returncode is not None

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError, ValueError):
                cast("IO[bytes]", pipe).close()


EXIT_NAMES = {2: "usage", 130: "aborted", 143: "aborted"}
"""Exit codes that come without an `error` line; others mean that it crashed."""


def _arguments(events: Iterable[str], options: dict[str, Any]) -> list[str]:
    """Return options as arguments, and the events that are asked for."""
    own = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
        for name, given in options.items()
        for value in (given if isinstance(given, (list, tuple)) else [given])
        if value is not None and value is not False
    ]
    wanted = ",".join(dict.fromkeys(events))
    return [*own, *([f"--events={wanted}"] if wanted else [])]
