"""How far a long command is: a bar for people, lines of JSON for programs."""

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import click

from parakeet_coreml.errors import OutputLostError

BAR = 30
"""Columns of the bar, at most."""


def print_line(line: str) -> None:
    """Write a line of data to stdout; raise `OutputLostError` if nobody takes it."""
    try:
        click.echo(line)
    except OSError as error:
        # What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputLostError(f"cannot write to stdout: {error.strerror}") from error


def size_text(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"  # noqa: PLR2004  a million


class Counter:
    """Adds up, and passes the sum on."""

    def __init__(self, show: Callable[[int], None]) -> None:
        self._show, self._sum = show, 0

    def add(self, count: int) -> None:
        """Add `count` and pass on the sum."""
        self._sum += count
        self._show(self._sum)


@contextmanager
def progress(label: str, what: str, total: int, quiet: bool) -> Iterator[Callable[[int], None]]:  # noqa: FBT001  a switch of the user
    """Give a function that takes how many bytes are done, and shows them now and then.

    From the start on, before there is anything to show.
    """
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar(label, total) as bar:
            yield _Steps(bar).show
    else:
        show = _Paced(functools.partial(_line, what, total), total, seconds=1.0)
        show(0)
        yield show


class _Bar(Protocol):
    """What of click's bar is used; its class has no public name."""

    def update(self, n_steps: int) -> None:
        """Move on."""


class _Steps:
    """Moves a bar, which takes steps, to where we are."""

    def __init__(self, bar: _Bar) -> None:
        self._bar, self._done = bar, 0

    def show(self, done: int) -> None:
        self._bar.update(done - self._done)
        self._done = done


def _bar(label: str, total: int) -> AbstractContextManager[_Bar]:
    """Return a bar that fits the terminal; on a narrow one, label and percentage are left."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        columns = 80
    label = f"{label} {size_text(total)}"
    room = columns - len(f"{label}  []  100%  00:00:00") - 1
    template = "%(label)s  [%(bar)s]  %(info)s" if room > 0 else "%(label)s %(info)s"
    return click.progressbar(
        length=total,
        label=label[: max(columns - len(" 100%") - 1, 1)],
        file=sys.stderr,
        width=min(BAR, max(room, 1)),
        show_eta=room > 0,
        bar_template=template,
        update_min_steps=max(total // 1000, 1),
    )


class _Paced:
    """Calls a function at most once every so many seconds, and once for the last byte."""

    def __init__(self, show: Callable[[int], None], total: int, *, seconds: float) -> None:
        self._show, self._total, self._seconds = show, total, seconds
        self._next, self._shown = 0.0, -1

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if done != self._shown and (now >= self._next or done == self._total):
            self._next, self._shown = now + self._seconds, done
            self._show(done)


def _line(what: str, total: int, done: int) -> None:
    line = {"type": "progress", "what": what, "done_bytes": done, "total_bytes": total}
    print_line(json.dumps(line, separators=(",", ":")))
