"""The statistics of the reports.

Word error rates are corpus rates, (S + D + I) / words over all recordings. Intervals are percentile
bootstraps over recordings (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR
performance evaluation", 2004); two backends are compared on the same resampled recordings, which
takes out how hard a recording is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
"""Draws of a bootstrap."""

LEVEL = 0.95
"""Of an interval."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Word errors of one recording, and the words they are counted against."""

    substituted: int
    deleted: int
    inserted: int
    words: int

    @property
    def count(self) -> int:
        """Errors in all."""
        return self.substituted + self.deleted + self.inserted


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the interval it lies in, 95 %."""

    value: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether 0 is outside the interval."""
        return not self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class Spread:
    """A series of measurements."""

    n: int
    median: float
    p95: float
    p99: float
    least: float
    most: float


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of them lie, 0 to 1, interpolated linearly.

    Raises `ValueError` for no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def spread(values: Sequence[float]) -> Spread | None:
    """Return how values spread; None where there is none."""
    if not values:
        return None
    median, p95, p99 = (percentile(values, share) for share in (0.5, 0.95, 0.99))
    return Spread(len(values), median, p95, p99, min(values), max(values))


def corpus_rate(errors: Sequence[Errors]) -> float:
    """Return the word error rate over all recordings, 0 to …; NaN where there are no words."""
    words = sum(e.words for e in errors)
    return sum(e.count for e in errors) / words if words else math.nan


def rate(errors: Sequence[Errors], seed: int) -> Estimate:
    """Return the corpus rate and its interval. Raises `ValueError` for no recordings."""
    counts = np.array([(e.count, e.words) for e in errors], float)
    draws = _draws(len(errors), seed)
    sums = counts[draws].sum(axis=1)
    return _estimate(corpus_rate(errors), _ratio(sums))


def paired(first: Sequence[Errors], second: Sequence[Errors], seed: int) -> Estimate:
    """Return by how much the rate of `first` is above that of `second`, on the same recordings.

    Raises `ValueError` if they are not as many, or none.
    """
    if len(first) != len(second):
        raise ValueError("not the same recordings")
    draws = _draws(len(first), seed)
    rates = []
    for errors in (first, second):
        counts = np.array([(e.count, e.words) for e in errors], float)
        rates.append(_ratio(counts[draws].sum(axis=1)))
    return _estimate(corpus_rate(first) - corpus_rate(second), rates[0] - rates[1])


def _draws(count: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    if not count:
        raise ValueError("no recordings")
    return np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))


def _ratio(
    sums: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return errors / words of each draw; draws without a word are left to NaN."""
    words = np.where(sums[:, 1] > 0, sums[:, 1], np.nan)
    return np.asarray(sums[:, 0] / words)


def _estimate(value: float, draws: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Estimate:
    if np.isnan(draws).all():
        return Estimate(value, math.nan, math.nan)
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def confirmed_latency(arrivals: Sequence[tuple[float, float]]) -> float | None:
    """Return the mean ms that the words on the screen are behind the voice; None for no arrival.

    `arrivals` are ms of audio recorded when a line came, and ms of audio its words reach to. After
    OpenBench: the mean of recorded - covered just before each line and just after it.
    """
    behind, covered = list[float](), 0.0
    for heard, reached in arrivals:
        behind += [heard - covered, heard - reached]
        covered = reached
    return sum(behind) / len(behind) if behind else None
