#!/usr/bin/env python3
"""Dictation from Python: a line per chunk as it comes. Enter or Ctrl-C ends it.

    python3 examples/python/dictate.py --model tiny-en

Needs nothing but the standard library.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any


class DictationError(Exception):
    """Why a recording did not end well. `text` has what was recognised all the same."""

    def __init__(self, exit_code: int, error: dict[str, str], text: str) -> None:
        super().__init__(error.get("message", f"it ended with {exit_code}"))
        self.exit_code = exit_code
        self.code = error.get("code", "crashed")
        self.hint = error.get("hint", "")
        self.text = text


class Dictation:
    """One recording: iterate over its lines, `stop` it from any thread."""

    def __init__(self, *arguments: str, program: str = "parakeet-coreml") -> None:
        self._process = subprocess.Popen(  # stderr stays ours: it speaks to people
            [program, "progressive-record", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the lines. Raises `DictationError` at the end if it was no good one."""
        error: dict[str, str] = {}
        texts: list[str] = []
        with self._process as process:  # leaving the loop early ends the recording
            for line in process.stdout or ():
                event = json.loads(line)
                if event["type"] == "chunk" and event["text"]:
                    texts.append(event["text"])
                elif event["type"] == "error":
                    error = error or event  # the first one sets the exit code
                yield event
        if process.returncode != 0:
            raise DictationError(process.returncode, error, " ".join(texts))

    def stop(self) -> None:
        """End the recording; what was said is still recognised."""
        commands = self._process.stdin
        with contextlib.suppress(OSError, ValueError):  # it has ended by itself
            if commands is not None:
                commands.write(b"stop\n")
                commands.flush()


def main() -> int:
    """Print the words until Enter; return the recorder's exit code."""
    program = os.environ.get("PARAKEET_COREML", "parakeet-coreml")  # or the one that is named
    dictation = Dictation("--events=ready", *sys.argv[1:], program=program)
    signal.signal(signal.SIGINT, lambda *_: dictation.stop())

    def await_enter() -> None:
        if sys.stdin.readline():
            dictation.stop()

    threading.Thread(target=await_enter, daemon=True).start()
    try:
        for event in dictation:
            if event["type"] == "ready" and event["what"] == "capture":
                print(f"Listening to {event['device']['name']}; Enter ends it", file=sys.stderr)
            if event["type"] == "chunk" and event["text"]:
                print(event["text"], flush=True)
    except DictationError as error:
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
