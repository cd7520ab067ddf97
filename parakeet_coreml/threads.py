"""Threads that are given up where they never begin.

Python waits for the first word of a new thread, and for ever: but a thread that finds no memory for
its first call ends without one, and who started it hangs.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

PATIENCE = 10.0
"""Seconds in which a thread has to begin, however busy the machine."""


class _Begun(threading.Event):
    """What `Thread.start` waits for."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait as any event, but without a timeout raise as for a thread that cannot be had."""
        if not super().wait(PATIENCE if timeout is None else timeout) and timeout is None:
            raise RuntimeError("can't start new thread: it never began")
        return self.is_set()


class Thread(threading.Thread):
    """A daemon; `start` raises `RuntimeError` if it does not begin."""

    def __init__(
        self, *, target: Callable[..., None], name: str | None = None, args: Iterable[Any] = ()
    ) -> None:
        super().__init__(target=target, name=name, args=args, daemon=True)
        self._started = _Begun()  # a name of Python's own: a test holds it to that


class Timer(threading.Timer):
    """Likewise."""

    def __init__(self, seconds: float, function: Callable[[], None]) -> None:
        super().__init__(seconds, function)
        self.daemon = True
        self._started = _Begun()
