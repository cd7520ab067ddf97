"""Where a microphone's sound begins. Pure, and without NumPy: it is asked for before that loads.

AirPods give exact zeros for 0.6 to 0.7 s after they were opened, and what is said then is gone.
"""

from typing import NamedTuple

LIMIT = 1.5
"""Seconds after the first sample that anything but zeros is waited for: a muted one gives none."""


class Onset(NamedTuple):
    """The moment from which a host may say that it listens."""

    ms: int = 0
    """Milliseconds of zeros before it."""
    silent: bool = False
    """Nothing but zeros came for as long as was waited."""


class FirstSound:
    """Looks at what a device gives until it is not only digital zeros.

    Takes float32 samples as bytes, `channels` of them to a frame, and looks at one, from 0.
    """

    def __init__(self, rate: int, channels: int, channel: int) -> None:
        self._rate, self._channels, self._channel = rate, channels, channel
        self._zeros = 0
        self._until: float | None = None

    def look(self, data: bytes, now: float) -> Onset | None:
        """Take what came, which may be nothing, at a moment in s; None: go on waiting."""
        if not data and self._until is None:
            return None  # it has not begun
        if self._until is None:
            self._until = now + LIMIT
        heard = memoryview(data).cast("f")[self._channel :: self._channels]
        sound = next((at for at, value in enumerate(heard) if value), None)
        self._zeros += len(heard) if sound is None else sound
        ms = self._zeros * 1000 // self._rate
        if sound is not None:
            return Onset(ms)
        return Onset(ms, silent=True) if now >= self._until or ms >= LIMIT * 1000 else None
