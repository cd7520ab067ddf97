"""The standard streams: that they exist, who may write to them, and what people read."""

import fcntl
import os
import select
import sys

from parakeet_coreml.errors import OutputLostError

STDIN, STDOUT, STDERR = 0, 1, 2

MOST = 1500
"""Characters written at once: what a frozen reader may miss of one message."""


def secure_stdio() -> None:
    """Make file descriptors 0, 1 and 2 exist, so that nothing opened later takes their place.

    Must come before anything that opens a file or starts a thread. A stdout that was closed becomes
    one that cannot be written, so that its loss still shows: see `check_stdout`.
    """
    for fd in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number is given, which is this one.
            os.open(os.devnull, os.O_RDONLY if fd == STDOUT else os.O_RDWR)
    if sys.stderr is None:  # Python found it closed
        sys.stderr = open(STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def check_stdout() -> None:
    """Raise `OutputLostError` if stdout was closed from the start or is only for reading."""
    if fcntl.fcntl(STDOUT, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OutputLostError(
            "stdout cannot be written", "start the program with a stdout that is open"
        )


def take_stdout() -> int:
    """Return a private descriptor for stdout, and point fd 1 at stderr from now on.

    Libraries print: Core ML even from its own threads. Only the protocol may reach the host.
    """
    private = fcntl.fcntl(STDOUT, fcntl.F_DUPFD_CLOEXEC, 3)
    os.dup2(_stderr(), STDOUT)
    return private


def _stderr() -> int:
    """Return the descriptor that reaches people: fd 2 is mute while PortAudio loads."""
    return sys.stderr.fileno()


def say(text: str) -> None:
    """Write lines for people on stderr, or leave out what would block.

    Nothing in it acts on a terminal or forges a line: names of devices and files come from outside.
    """
    shown = "\n".join(_plain(line) for line in text[:MOST].splitlines())
    ready = select.poll()
    try:
        fd = _stderr()
        ready.register(fd, select.POLLOUT)
        rest = (shown + "\n").encode(errors="replace")
        while rest:
            # A pipe that polls writable takes PIPE_BUF bytes without blocking: 512 on a Mac.
            if not any(event & select.POLLOUT for _, event in ready.poll(0)):
                return
            os.write(fd, rest[: select.PIPE_BUF])
            rest = rest[select.PIPE_BUF :]
    except OSError:
        return  # nobody listens to stderr, which is allowed


def _plain(line: str) -> str:
    """Return a line without control characters, those above ASCII too."""
    return "".join(c if c.isprintable() else " " for c in line)


def is_terminal(fd: int) -> bool:
    """Return whether a person sees what is written there, on a screen that can redraw a line."""
    return os.isatty(fd) and os.environ.get("TERM", "dumb") != "dumb"
