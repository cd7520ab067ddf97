"""How far the samples of a device lag behind the clock. Pure."""


class Pace:
    """The samples that came and the time they took; times in s, counts in samples.

    The stream's first moment is not known, only that no sample arrives before it was recorded: it
    is the earliest `now - arrived / rate` seen. It may drift by a thousandth, because the clock of
    a cheap device does.
    """

    DRIFT = 1e-3

    def __init__(self, rate: int, started: float) -> None:
        self._rate = rate
        self._count = 0
        self._origin = started
        self._last = started

    def arrived(self, count: int, now: float) -> None:
        """Count samples that arrived."""
        first = self._count == 0
        self._count += count
        seen = now - self._count / self._rate
        drifted = self._origin + (now - self._last) * self.DRIFT
        self._origin = seen if first else min(seen, drifted)
        self._last = now

    def filled(self, count: int) -> None:
        """Count samples that stand for lost ones."""
        self._count += count

    def missing(self, moment: float) -> int:
        """Return how many samples recorded up to `moment` have not arrived."""
        return max(0, round((moment - self._origin) * self._rate) - self._count)
