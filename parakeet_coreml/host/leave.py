"""The end of the process: what has to be done first, and no exit handler of a library."""

import contextlib
import os
import signal
import sys
import traceback  # now: without a free descriptor nothing can be imported any more
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Those that end a process, with which a host or a person ends this one."""

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
