"""How much of each run goes into a mean of weights, and how much of what was there before."""

from __future__ import annotations


def each(shares: list[float], count: int) -> list[float]:
    """Give every one of `count` runs its share; one share is parted among them.

    Raises ValueError if there are neither one nor `count`, one is negative, or all are above 1.
    """
    found = [shares[0] / count] * count if len(shares) == 1 else shares
    if len(found) != count or min(found) < 0 or rest(found) < 0:
        message = "as many shares as runs, or one; none below 0, together 1 at most"
        raise ValueError(message)
    return found


def rest(shares: list[float]) -> float:
    """Return what the shares leave to the weights before, without the dust of sums."""
    return round(1 - sum(shares), 9)
