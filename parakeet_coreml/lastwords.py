"""The last lines of a recording that can go no further: made beforehand, for memory may be gone.

A recording owes its host `done`. While it is owed, whoever must leave calls `say`. Imports next to
nothing: it is there before anything can fail.
"""

import errno
import os

STDERR = 2

ENDS = {
    "memory": ("there is no more memory", "close other programs, or use a smaller model"),
    "threads": (
        "the system allows no more threads or processes",
        "see `ulimit -u`, or pids.max",
    ),
    "files": ("the system allows no more open files", "see `ulimit -n`"),
}
"""What is said where the system gave no more of something, and what to do."""

BUG = ("internal error: it could not go on", "please report this with the command line")

DONE = b'{"type":"done","totalChunks":0,"full_text":""}\n'

_ERRORS = {
    (message, hint): (
        f'{{"type":"error","code":"internal","message":"{message}","hint":"{hint}"}}\n'.encode(),
        f"Error: {message}\n{hint}\n".encode(),
    )
    for message, hint in (*ENDS.values(), BUG)
}


class _Debt:
    """What is owed."""

    fd = -1
    """Where the last line is to be written; -1: none is owed."""
    done = DONE
    code = 0
    """The exit code of the first `error` line that was written."""


_debt = _Debt()


def owe(fd: int) -> None:
    """Take note that the last line is owed, and on which descriptor; -1: none, people read."""
    _debt.fd = fd


def failed(code: int) -> None:
    """Take note that an `error` line is written; the first one sets the exit code."""
    _debt.code = _debt.code or code


def prepare(done: bytes) -> None:
    """Keep the last line as it would be now."""
    _debt.done = done


def paid() -> None:
    """Take note that the last line is written, so that none is owed."""
    _debt.fd = -1


def limit_of(error: BaseException | None) -> tuple[str, str] | None:
    """Return what is to be said of an error that is a limit of the system."""
    number = error.errno if isinstance(error, OSError) else None
    words = str(error) if isinstance(error, RuntimeError) else ""
    if isinstance(error, MemoryError) or number == errno.ENOMEM or "can't allocate" in words:
        return ENDS["memory"]
    if isinstance(error, ImportError) and "failed to map segment" in str(error):  # the loader's
        return ENDS["memory"]
    if number == errno.EAGAIN or "new thread" in words:
        return ENDS["threads"]
    if number in (errno.EMFILE, errno.ENFILE):
        return ENDS["files"]
    return None


def say(error: BaseException) -> int:
    """Write what is owed, and to people which limit it was; returns the exit code."""
    limit = limit_of(error)
    line, words = _ERRORS[limit or BUG]
    owed = _debt.fd
    if limit:
        _write(STDERR, words)
    if owed >= 0:
        paid()
        if not _debt.code:
            _write(owed, line)
        _write(owed, _debt.done)
    return _debt.code or 1


def _write(fd: int, data: bytes) -> None:
    try:
        os.write(fd, data)
    except OSError:
        return  # nobody listens
