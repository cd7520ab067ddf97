"""How far the samples of a device lag behind the clock. Pure."""

RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)
"""Rates in Hz that devices have."""

HELD_UP = 5.0
"""Seconds between two looks after which the clock is asked whether all samples came.

PulseAudio keeps about 20 s for a process that is stopped, then drops without a flag (measured)."""

SETTLED = 2.0
"""Seconds after that in which late samples may still come."""

LATE = 0.5
"""Seconds of sound that may be under way at any moment."""

LEAST = 0.1
"""Seconds of sound that are missed where a device that gave some gives no more."""


class Pace:
    """The samples that came and the time they took; times in s, counts in samples.

    The stream's first moment is not known, only that no sample arrives before it was recorded: it
    is the earliest `now - arrived / rate` seen. It may drift, because the clock of a cheap device
    does: by a thousandth where samples are waited for, so that none is given up too soon, and by
    as much as goes untold where some are to be called lost, so that none is that never was.
    """

    DRIFT = 1e-3

    STEADY = 1.0
    """Two arrivals further apart say nothing of the device's clock: the machine was held up."""

    ENOUGH, TOLERATED, BURST = 5.0, 0.02, 0.4
    """A clock is judged after 5 s of steady arrivals: 2 % off, and what a burst can make of it."""

    LEVEL, CATCH_UP = 0.25, 30.0
    """Behind such a gap a device may give what it kept, faster than it was recorded: nothing is
    judged before it lags by 0.25 s at most, or 30 s have passed."""

    WIDEST = 0.5
    """Devices leave less between two bursts (Bluetooth 0.26 s): a longer gap is the machine."""

    LONGER, JITTER = 1.2, 0.04
    """A burst that is not there after 1.2 times the longest gap and 40 ms does not come in time."""

    STRETCH = 1.0
    """Seconds of steady arrivals whose rate is compared with that of the next."""

    FLIPPED, ALIKE, NEAR = 0.3, 0.15, 0.03
    """Another rate is one a third off, in two stretches alike; or closer, but a usual one."""

    def __init__(self, rate: int, started: float) -> None:
        self._rate = float(rate)
        self._count = 0
        self._steady_time, self._steady_count = 0.0, 0
        self._stretch_time, self._stretch_count = 0.0, 0
        self._stretches: list[tuple[float, float]] = []
        """Of the newest two, how far each was off, and its length in s."""
        self._origin = self._latest = started
        """The stream's first moment, at the earliest and at the latest."""
        self._last = started
        self._behind: float | None = None
        """Since when it gives what it kept while the machine was held up."""
        self.gap = 0.0
        """The longest time in s between two bursts of the device."""

    def arrived(self, count: int, now: float) -> None:
        """Count samples that arrived."""
        first, gap = self._count == 0, now - self._last
        if not first and self._behind is None and gap < self.STEADY:
            self._steady_time += gap
            self._steady_count += count
            self._stretch(gap, count)
        if not first and gap < self.WIDEST:
            self.gap = max(self.gap, gap)
        self._count += count
        seen = now - self._count / self._rate
        slow = self.TOLERATED if gap < self.STEADY else self.DRIFT
        self._origin = seen if first else min(seen, self._origin + gap * self.DRIFT)
        self._latest = seen if first else min(seen, self._latest + gap * slow)
        self._last = now
        if not first and gap >= self.STEADY:
            self._behind = now
        if self._behind is not None and (
            self.lost(now) < self.LEVEL * self._rate or now - self._behind > self.CATCH_UP
        ):
            self._behind = None

    def _stretch(self, seconds: float, count: int) -> None:
        self._stretch_time += seconds
        self._stretch_count += count
        if self._stretch_time >= self.STRETCH:
            off = self._stretch_count / self._stretch_time / self._rate - 1
            self._stretches = [*self._stretches[-1:], (off, self._stretch_time)]
            self._stretch_time, self._stretch_count = 0.0, 0

    def filled(self, count: int) -> None:
        """Count samples that stand for lost ones; a loss is no drift."""
        self._count += count
        self._behind = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._steady_time, self._steady_count = 0.0, 0
        self._stretch_time, self._stretch_count = 0.0, 0
        self._stretches = []

    def drift(self) -> float:
        """Return by how much the device's clock is off: 0.05 for 5 % more samples; 0 if hardly."""
        if self._steady_time < self.ENOUGH:
            return 0.0
        off = self._steady_count / self._steady_time / self._rate - 1
        return off if abs(off) > self.TOLERATED + self.BURST / self._steady_time else 0.0

    def flipped(self) -> tuple[int, float]:
        """Return the rate in Hz that the device has instead, and for how many seconds; 0 if none.

        Told after about two seconds where it is far off, as 24,000 for 48,000 is; what is closer
        takes as long as `drift` does.
        """
        if len(self._stretches) == 2:  # noqa: PLR2004  they are compared with each other
            (one, before), (two, after) = self._stretches
            if min(abs(one), abs(two)) > self.FLIPPED and abs(one - two) < self.ALIKE:
                # The older one may have begun before the rate changed.
                off = (one + two) / 2 if abs(one - two) < self.NEAR else two
                rate = usual(self._rate * (1 + off), self.ALIKE)
                return (rate, self._since(rate, before + after)) if rate else (0, 0.0)
        off = self.drift()
        rate = usual(self._rate * (1 + off), self.NEAR) if off else 0
        other = rate and abs(rate / self._rate - 1) > self.NEAR
        return (rate, self._steady_time) if other else (0, 0.0)

    def _since(self, rate: int, seconds: float) -> float:
        """Return for how long it has given this rate: as what lags says, or so many s."""
        short = self._rate - rate
        return self.lost(self._last) / short if short > 0 else seconds

    def follow(self, drift: float) -> None:
        """Go by the rate that was measured from now on: all that was recorded has arrived."""
        self._rate *= 1 + drift
        self._begin_anew()
        self._origin = self._latest = self._last - self._count / self._rate

    def missing(self, moment: float) -> int:
        """Return how many samples recorded up to `moment` have not arrived, at most."""
        return max(0, round((moment - self._origin) * self._rate) - self._count)

    def lost(self, moment: float) -> int:
        """Return how many they are at least, however slow the device's clock."""
        return max(0, round((moment - self._latest) * self._rate) - self._count)

    def mute(self, now: float) -> bool:
        """Return whether nothing has come for longer than between any two bursts."""
        return now - self._last > self.LONGER * self.gap + self.JITTER


def usual(rate: float, near: float) -> int:
    """Return the rate in Hz that devices have next to this one; 0 if none is near, as a share."""
    nearest = min(RATES, key=lambda known: abs(known - rate))
    return nearest if abs(nearest / rate - 1) < near else 0
