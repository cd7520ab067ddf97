"""The end of the process: what has to be done first, and no exit handler of a library."""

import contextlib
import os
import signal
import sys
import traceback  # now: without a free descriptor nothing can be imported any more
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
"""Those that end a process, with which a host, a person or a timer ends this one."""

early_signals: list[int] = []
"""Those that came before `Host` takes them over: none is lost, and PID 1 gets them at all."""

_parent = 0
_outlives = False


def begin(*, records: bool) -> None:
    """Take note of who started this process, and let signals reach it, before anything else.

    A launcher may block signals and forget it. Those that would end a recording before it has
    begun are kept for it.
    """
    global _parent, _outlives
    _parent, _outlives = os.getppid(), signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    if records:
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, _frame: early_signals.append(number))


def orphaned() -> bool:
    """Return whether who started this process has gone.

    That it went before our first instruction shows in its stand-in: one of another session, though
    this process leads none of its own (`setsid` makes it lead one). Who ignores hang-ups, as under
    `nohup`, is to outlive its launcher.
    """
    parent = os.getppid()
    if _outlives:
        return False
    if parent != _parent:
        return True
    try:
        return os.getsid(0) not in (os.getpid(), os.getsid(parent))
    except OSError:
        return False  # a parent that cannot be seen, as from within a container


before_leaving: list[Callable[[], None]] = []
"""What has to be done first; each within a time of its own."""


def _settle() -> None:
    for settle in before_leaving:
        settle()


def settle_before_signals() -> None:
    """Let a signal end the process only once it has settled, until `Host` takes signals over."""

    def end(number: int, _frame: FrameType | None) -> None:
        _settle()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:  # not what `nohup` turned off
            signal.signal(number, end)


def leave(code: int) -> NoReturn:
    """End the process now, without the exit handlers of libraries: PortAudio's can hang."""
    _settle()
    with contextlib.suppress(OSError):  # nobody listens to stderr
        sys.stderr.flush()
    os._exit(code)


def die(_kind: type[BaseException], error: BaseException, _trace: object) -> NoReturn:
    """Print a bug's traceback and leave: a thread that is inside PortAudio would crash the exit."""
    traceback.print_exception(error)
    leave(1)
