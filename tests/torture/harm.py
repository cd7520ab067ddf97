"""One recording that something is done to, and what may come of it.

    outcome = judge(run(command, env=env), words="alfa bravo")

A recording keeps its promise if all words come, or it says why not: an `error` or `warning` line,
`done` last, the exit code of the first error. Everything else is in `BAD`.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from parakeet_coreml.errors import ParakeetError

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "host"), str(TESTS)]

HANG = 60.0
"""Seconds in which every recording here must be over, however busy the machine."""

KINDS: list[type[ParakeetError]] = [ParakeetError, *ParakeetError.__subclasses__()]
CODES = {kind.name: kind.exit_code for kind in KINDS}

NO_MEMORY = "Not enough memory"

NO_THREAD_DATA = 127
"""glibc: "cannot allocate memory for thread-local data: ABORT"; no code of ours."""

LIBRARIES = ("fdsem.c", NO_MEMORY, "nanobind error", "std::bad_alloc")
"""What libraries say that end the process themselves: libpulse, soxr's binding, and C++."""

OTHERS = re.compile(r"(ld-linux|lib(asound|c|dbus|glib|jack|portaudio|pulse|pthread|stdc\+\+))\b")
"""Those that may end it by a signal where they find no memory. None is ours, nor Python's."""

GOOD = ("whole", "told", "warned", "refused", "unread", "interpreter", "library")
BAD = ("hang", "signal", "no done", "wrong code", "silent", "invented", "garbled")


@dataclass
class Run:
    """What one process wrote, and how it ended."""

    lines: list[bytes] = field(default_factory=list)
    errors: str = ""
    code: int | None = None
    """None: it hung, and was killed."""
    whose: str = ""
    """The file whose call for memory failed last."""

    def fields(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def run(
    command: list[str],
    *,
    env: dict[str, str],
    act: Callable[[subprocess.Popen[bytes], dict[str, Any]], None] = lambda _child, _line: None,
    began: Callable[[subprocess.Popen[bytes]], None] = lambda _child: None,
) -> Run:
    """Run a recording to its end; `act` sees each line as it comes, `began` the process."""
    run, over = Run(), threading.Event()
    child = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    said: list[bytes] = []

    def listen(stream: IO[bytes]) -> None:
        for line in stream:
            run.lines.append(line)
            with contextlib.suppress(ValueError, BrokenPipeError):
                act(child, json.loads(line))

    def watch() -> None:
        if not over.wait(HANG):
            os.killpg(child.pid, signal.SIGKILL)

    readers = [
        threading.Thread(target=listen, args=(child.stdout,)),
        threading.Thread(target=said.extend, args=(child.stderr,)),
        threading.Thread(target=watch),
    ]
    for reader in readers:
        reader.start()
    began(child)
    ends = time.monotonic() + HANG
    code = child.wait()
    over.set()
    for reader in readers:
        reader.join()
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    run.errors = b"".join(said).decode(errors="replace")
    run.code = None if time.monotonic() >= ends and code == -signal.SIGKILL else code
    return run


def judge(run: Run, *, words: str) -> str:
    """Return one of `GOOD`, or what is wrong: one of `BAD`, with more behind a colon."""
    if without := _without_a_code(run):
        return without
    code = run.code or 0
    try:
        lines = run.fields()
    except ValueError:
        lines = []
        run.errors = run.errors or "a line broke off"
    if code == 30:
        return "unread"
    told = run.errors.strip() and "Traceback" not in run.errors
    if not run.lines and code == 1 and _is_before_us(run.errors):
        return f"interpreter: {run.errors.strip().splitlines()[-1]}"
    if not lines or lines[-1]["type"] != "done":
        return "refused" if code == 2 and told and not run.lines else f"no done: code {code}"
    return _judged(lines, code, words)


def _without_a_code(run: Run) -> str:
    """Return what is to be said of a process that left no exit code of ours; "" of any other."""
    if run.code is None:
        return "hang"
    if library := next((name for name in LIBRARIES if name in run.errors), None):
        return f"library: {library}"
    if run.code == NO_THREAD_DATA or (run.code < 0 and OTHERS.match(run.whose)):
        return f"library: ended with {run.code}, the last call for memory was of {run.whose}"
    if run.code >= 0:
        return ""
    # In whose call it was, by Python's faulthandler: NumPy asks for memory through Python's own.
    inside = re.search(r'Current thread .*\n  File ".*/site-packages/(\w+)', run.errors)
    return f"library: {inside[1]}" if inside else f"signal: {-run.code}"


def _is_before_us(errors: str) -> bool:
    """Tell whether a traceback is of Python's own start, up to what keeps our promise."""
    ours = re.findall(r'parakeet_coreml/(\S+)", line \d+, in .*\n\s*(.*)', errors)
    names = [name for name, _ in ours]
    return "Traceback" in errors and (
        set(names) <= {"__init__.py"}
        or names[-1] == "lastwords.py"
        or (names[-1] == "__main__.py" and ours[-1][1].startswith(("import", "from")))
    )


def _judged(lines: list[dict[str, Any]], code: int, words: str) -> str:
    kinds = [line["type"] for line in lines]
    if kinds.count("done") != 1:
        return "garbled: done twice"
    text = lines[-1]["full_text"]
    if not _within(text.split(), words.split()):
        return f"invented: {text}"
    failures = [line["code"] for line in lines if line["type"] == "error"]
    expected = CODES.get(failures[0]) if failures else 0
    if code != expected:
        return f"wrong code: {code} after {failures}"
    if failures:
        return "told"
    if text == words:
        return "whole"
    return "warned" if "warning" in kinds else f"silent: {text}"


def _within(some: list[str], words: list[str]) -> bool:
    """Tell whether these words are among those, in their order."""
    rest = iter(words)
    return all(word in rest for word in some)
