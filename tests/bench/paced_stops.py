"""Random stops with and without decoding ahead of need, on a clock of its own (`paced`).

    python tests/bench/paced_stops.py [--stops 500] [--seconds 30] [--live-text] [--only 2000]
    python tests/bench/paced_stops.py --real [--stops 200]

Dictation of tone words in phrases with pauses, a new one for every 20 stops. Each stop is made
twice, and both must give the same lines; "in a pause" is half a second and a window behind the last
word, 0.8 s and a window above 1 s. The backend takes 26, 60, 300 or 2,000 ms for a window.

With `--real` people speak: the sample that ships, and sentences of `tests/data/people`, joined.
tiny-en hears them on ONNX Runtime; what passes for a window is 60 ms all the same.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from csv import DictReader
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import paced  # noqa: E402  it hears what tests hear
from sounds import VOCABULARY, Spoken, noise, spoken  # noqa: E402  likewise

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples  # noqa: E402  likewise
from parakeet_coreml.backends.base import Backend, BackendSpec, Hypothesis  # noqa: E402  likewise
from parakeet_coreml.backends.registry import open_backend  # noqa: E402  likewise
from parakeet_coreml.recognition.geometry import Geometry  # noqa: E402  likewise
from parakeet_coreml.recognition.windows import Chunker  # noqa: E402  likewise
from parakeet_coreml.store.locate import BUILT_IN_DIRECTORY, stated  # noqa: E402  likewise

WINDOWS = (26, 60, 300, 2_000)
"""Milliseconds a window may take."""

REAL_WINDOW = 60
"""Likewise where people speak."""

SAME = 20
"""Stops in one recording."""

SPEAKERS = ("the sample", "common_voice", "speechocean762")
"""Who is heard with `--real`: what ships, and folders of people."""

GAPS = 0.3, 2.5
"""Seconds between two sentences of theirs."""


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
        plain, ahead = pair_of(audio, at, window=window, live_text=live_text)
        same = plain.lines == ahead.lines
        found.append(Pair(in_pause(words, at, window), plain.seconds, ahead.seconds, same))
    return found


def pair_of(
    audio: Samples,
    at: float,
    *,
    window: float,
    live_text: bool,
    backends: tuple[Backend | None, Backend | None] = (None, None),
) -> tuple[paced.Stopped, paced.Stopped]:
    """Make one stop without and with decoding ahead of need."""
    plain, ahead = (
        paced.stopped(
            audio,
            at,
            window=window,
            speculates=speculates,
            live_text=speculates and live_text,
            geometry=Geometry.of(15, 2),
            backend=backend,
        )
        for speculates, backend in zip((False, True), backends, strict=True)
    )
    return plain, ahead


class Remembered:
    """A backend that hears each window once."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._heard: dict[bytes, Hypothesis] = {}

    @property
    def max_samples(self) -> int:
        return self._backend.max_samples

    def transcribe(self, window: Samples, /) -> Hypothesis:
        key = window.tobytes()
        if key not in self._heard:
            self._heard[key] = self._backend.transcribe(window)
        return self._heard[key]

    def close(self) -> None:
        """Stay: the next stop hears with it."""


@cache
def tiny_en() -> Backend:
    """Return the built-in model on ONNX Runtime."""
    blank, durations = stated(BUILT_IN_DIRECTORY)
    spec = BackendSpec("onnx", "tiny-en", str(BUILT_IN_DIRECTORY), blank=blank, durations=durations)
    backend, _ = open_backend(spec)
    return backend


@cache
def people(speaker: str, seconds: float) -> Samples:
    """Return so much of what ships, or of a folder's sentences with pauses in a quiet room."""
    if speaker == SPEAKERS[0]:
        sample = ROOT / "parakeet_coreml" / "samples" / "speech.wav"
        return np.asarray(soundfile.read(sample, dtype="float32")[0])
    folder, rng, found = ROOT / "tests" / "data" / "people", np.random.default_rng(5), []
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as lines:
        paths = [row["path"] for row in DictReader(lines, delimiter="\t")]
    for path in (path for path in paths if path.startswith(f"{speaker}/")):
        sound, rate = soundfile.read(folder / path, dtype="float32")
        assert rate == SAMPLE_RATE
        found += [sound, noise(float(rng.uniform(*GAPS)))]
        if sum(map(len, found)) > seconds * SAMPLE_RATE:
            break
    return np.concatenate(found)


def real_pairs_of(
    speaker: str, seed: int, stops: int, *, window: float, seconds: float, live_text: bool
) -> list[Pair]:
    """Make so many stops while people speak; either way has heard every window for itself."""
    audio, found = people(speaker, seconds), []
    backends = Remembered(tiny_en()), Remembered(tiny_en())
    longest = len(audio) / SAMPLE_RATE
    for at in np.random.default_rng(2000 + seed).uniform(2, longest, stops).tolist():
        plain, ahead = pair_of(audio, at, window=window, live_text=live_text, backends=backends)
        same = plain.lines == ahead.lines
        quiet = quiet_at(audio[: round(at * SAMPLE_RATE)]) >= 0.5 + window
        found.append(Pair(quiet, plain.seconds, ahead.seconds, same))
    return found


def quiet_at(audio: Samples) -> float:
    """Return how old in s the pause is in which a recording ends, by its loudness; 0 in speech."""
    chunker = Chunker(Geometry.of(15, 2))
    for _ in chunker.push(audio):
        pass
    pause = chunker.pause
    return 0.0 if pause is None else (len(audio) - pause.spoken) / SAMPLE_RATE


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
    parser.add_argument("--real", action="store_true", help="people in place of tones, alone")
    parser.add_argument("--only", type=int, help="milliseconds a window takes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    print(
        "| | stops | in a pause | at once | in a pause: mean ms with / without | ratio | "
        "all: mean ms with / without | ratio | latest, windows | other lines |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    with ProcessPoolExecutor(options.jobs) as pool:
        for name, milliseconds, pairs in rows(pool, options):
            report(f"{name}, {milliseconds} ms a window", pairs, milliseconds / 1000)


def rows(
    pool: ProcessPoolExecutor, options: argparse.Namespace
) -> Iterator[tuple[str, int, list[Pair]]]:
    """Yield what is to be reported: who speaks, ms a window, and the stops."""
    how: dict[str, partial[list[Pair]]]
    if options.real:
        how = {f"tiny-en, {name}": partial(real_pairs_of, name) for name in SPEAKERS}
    elif options.long:
        how = {"long sentences": partial(pairs_of, LONG)}
    else:
        how = {"dictation": partial(pairs_of, USUAL)}
    windows = [options.only] if options.only else [REAL_WINDOW] if options.real else WINDOWS
    for name, made in how.items():
        for milliseconds in windows:
            jobs = [
                pool.submit(
                    made,
                    seed,
                    SAME,
                    window=milliseconds / 1000,
                    seconds=options.seconds,
                    live_text=options.live_text,
                )
                for seed in range(options.stops // SAME)
            ]
            yield name, milliseconds, [pair for job in jobs for pair in job.result()]


if __name__ == "__main__":
    main()
