"""Random stops with and without decoding ahead of need, on a clock of its own (`paced`).

    python tests/bench/paced_stops.py [--stops 500] [--seconds 30] [--live-text] [--only 2000]

Dictation of tone words in phrases with pauses, a new one for every 20 stops. Each stop is made
twice, and both must give the same lines; "in a pause" is half a second and a window behind the last
word, 0.8 s and a window above 1 s. The backend takes 26, 60, 300 or 2,000 ms for a window.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import paced  # noqa: E402  it hears what tests hear
from sounds import VOCABULARY, Spoken, noise, spoken  # noqa: E402  likewise

from parakeet_coreml.recognition.geometry import Geometry  # noqa: E402  likewise

WINDOWS = (26, 60, 300, 2_000)
"""Milliseconds a window may take."""

SAME = 20
"""Stops in one recording."""


@dataclass(frozen=True, slots=True)
class Dictation:
    """How somebody dictates."""

    words: tuple[int, int]
    """At least, and fewer than, in a phrase."""
    pause: tuple[float, float]
    """Seconds between phrases, at least and at most."""


USUAL = Dictation((3, 10), (0.3, 4.0))
LONG = Dictation((14, 22), (3.0, 6.0))
"""Sentences of 5 to 9 s: pauses in which a window of 2 s has room, and seldom enough for a quarter
of the time to do for all of them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One stop, in seconds: made with and without decoding ahead of need."""

    in_pause: bool
    plain: float
    ahead: float
    same: bool


def dictated(how: Dictation, seed: int, seconds: float) -> list[Spoken]:
    """Return words with their times."""
    rng = np.random.default_rng(seed)
    at, words = float(rng.uniform(0.2, 1.0)), list[Spoken]()
    while at < seconds:
        for _ in range(int(rng.integers(*how.words))):
            length = float(rng.uniform(0.15, 0.4))
            words.append((VOCABULARY[int(rng.integers(26))], at, at + length))
            at += length + float(rng.uniform(0.05, 0.2))
        at += float(rng.uniform(*how.pause))
    return words


def in_pause(words: list[Spoken], at: float, window: float) -> bool:
    """Tell whether a stop falls so far into a pause that the issue of it can be known."""
    wait = 0.8 if window > 1 else 0.5
    before = [stop for _, start, stop in words if start <= at]
    return bool(before) and at - max(before) >= wait + window


def pairs_of(
    how: Dictation, seed: int, stops: int, *, window: float, seconds: float, live_text: bool
) -> list[Pair]:
    """Make so many stops in one recording."""
    words = dictated(how, seed, seconds)
    audio = spoken(words, seconds + 1) + noise(seconds + 1, 1e-4, seed)
    found = []
    for at in np.random.default_rng(1000 + seed).uniform(2, seconds, stops).tolist():
        plain, ahead = (
            paced.stopped(
                audio,
                at,
                window=window,
                speculates=speculates,
                live_text=speculates and live_text,
                geometry=Geometry.of(15, 2),
            )
            for speculates in (False, True)
        )
        same = plain.lines == ahead.lines
        found.append(Pair(in_pause(words, at, window), plain.seconds, ahead.seconds, same))
    return found


def report(name: str, pairs: list[Pair], window: float) -> None:
    """Print the row of one backend."""
    inside = [pair for pair in pairs if pair.in_pause]

    def mean(chosen: list[Pair]) -> str:
        plain, ahead = (
            sum(getattr(p, kind) for p in chosen) / max(1, len(chosen))
            for kind in ("plain", "ahead")
        )
        return f"{ahead * 1000:.0f} / {plain * 1000:.0f} | {ahead / plain if plain else 0:.2f}"

    later = max(pair.ahead - pair.plain for pair in pairs)
    at_once = sum(pair.ahead == 0 for pair in inside)
    others = sum(not pair.same for pair in pairs)
    print(
        f"| {name} | {len(pairs)} | {len(inside)} | {at_once} | {mean(inside)} | {mean(pairs)} | "
        f"{later / window:.2f} | {others} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stops", type=int, default=500, help="per backend")
    parser.add_argument("--seconds", type=float, default=30.0, help="of a recording")
    parser.add_argument("--live-text", action="store_true", help="somebody reads `partial`")
    parser.add_argument("--long", action="store_true", help="long sentences and pauses alone")
    parser.add_argument("--only", type=int, help="milliseconds a window takes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    print(
        "| | stops | in a pause | at once | in a pause: mean ms with / without | ratio | "
        "all: mean ms with / without | ratio | latest, windows | other lines |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    kinds = {"long sentences": LONG} if options.long else {"dictation": USUAL}
    with ProcessPoolExecutor(options.jobs) as pool:
        for name, how in kinds.items():
            for milliseconds in [options.only] if options.only else WINDOWS:
                window = milliseconds / 1000
                jobs = [
                    pool.submit(
                        pairs_of,
                        how,
                        seed,
                        SAME,
                        window=window,
                        seconds=options.seconds,
                        live_text=options.live_text,
                    )
                    for seed in range(options.stops // SAME)
                ]
                pairs = [pair for job in jobs for pair in job.result()]
                report(f"{name}, {milliseconds} ms a window", pairs, window)


if __name__ == "__main__":
    main()
