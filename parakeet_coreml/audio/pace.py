"""How far the samples of a device lag behind the clock. Pure."""


class Pace:
    """The samples that came and the time they took; times in s, counts in samples.

    The stream's first moment is not known, only that no sample arrives before it was recorded: it
    is the earliest `now - arrived / rate` seen. It may drift by a thousandth, because the clock of
    a cheap device does.
    """

    DRIFT = 1e-3

    STEADY = 1.0
    """Two arrivals further apart say nothing of the device's clock: the machine was held up."""

    ENOUGH, TOLERATED, BURST = 5.0, 0.02, 0.4
    """A clock is judged after 5 s of steady arrivals: 2 % off, and what a burst can make of it."""

    WIDEST = 0.5
    """Devices leave less between two bursts (Bluetooth 0.26 s): a longer gap is the machine."""

    def __init__(self, rate: int, started: float) -> None:
        self._rate = float(rate)
        self._count = 0
        self._steady_time, self._steady_count = 0.0, 0
        self._origin = started
        self._last = started
        self.gap = 0.0
        """The longest time in s between two bursts of the device."""

    def arrived(self, count: int, now: float) -> None:
        """Count samples that arrived."""
        first = self._count == 0
        if not first and now - self._last < self.STEADY:
            self._steady_time += now - self._last
            self._steady_count += count
        if not first and now - self._last < self.WIDEST:
            self.gap = max(self.gap, now - self._last)
        self._count += count
        seen = now - self._count / self._rate
        drifted = self._origin + (now - self._last) * self.DRIFT
        self._origin = seen if first else min(seen, drifted)
        self._last = now

    def filled(self, count: int) -> None:
        """Count samples that stand for lost ones; a loss is no drift."""
        self._count += count
        self._steady_time, self._steady_count = 0.0, 0

    def drift(self) -> float:
        """Return by how much the device's clock is off: 0.05 for 5 % more samples; 0 if hardly."""
        if self._steady_time < self.ENOUGH:
            return 0.0
        off = self._steady_count / self._steady_time / self._rate - 1
        return off if abs(off) > self.TOLERATED + self.BURST / self._steady_time else 0.0

    def follow(self, drift: float) -> None:
        """Go by the rate that was measured from now on: all that was recorded has arrived."""
        self._rate *= 1 + drift
        self._steady_time, self._steady_count = 0.0, 0
        self._origin = self._last - self._count / self._rate

    def missing(self, moment: float) -> int:
        """Return how many samples recorded up to `moment` have not arrived."""
        return max(0, round((moment - self._origin) * self._rate) - self._count)
