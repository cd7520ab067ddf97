"""When a stop has all that was said before it. Pure."""

from parakeet_coreml.audio.pace import Pace

DELAY = 0.04
"""Seconds a sample may take from the membrane to us without the clock showing it.

Waited for in speech only: in a pause a word may begin in it, but none that was said before the stop
can end there. PortAudio's `latency` is no closer bound: on a Mac its largest part is the buffer,
which the clock shows, and through PulseAudio it is the size of our own ring.
"""

STOP_LIMIT = 0.2
"""Seconds that a stop waits at least for samples which the device still holds."""

BURSTS = 1.5
"""How many times the longest gap between two bursts it waits: Bluetooth gives them seldom."""

DRAIN_LIMIT = 2.0
"""Seconds after a stop in which samples from before it may still come in, a burst after a stall."""


def all_here(pace: Pace, stop: float, late: float, count: int, delay: float) -> bool:
    """Tell whether all that was recorded up to `stop` has come, or is waited for no longer.

    Asked `late` s after the stop, by a look that found `count` samples; the newest are `delay` s
    on their way.
    """
    if late < delay:
        return False
    # By the clock, not by an empty ring: a device that goes on fills it between any two looks.
    if pace.missing(stop + delay) == 0:
        return True
    return late > patience(pace) and (not count or late > DRAIN_LIMIT)


def patience(pace: Pace) -> float:
    """Return how long in s a stop waits for a burst that is due."""
    return max(STOP_LIMIT, BURSTS * pace.gap)
