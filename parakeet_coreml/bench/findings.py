"""Rows of runs to what the report says: per variant, and between every two of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from parakeet_coreml.bench.figures import (
    Errors,
    Estimate,
    Spread,
    corpus_rate,
    paired,
    rate,
    spread,
)
from parakeet_coreml.bench.kept import Line
from parakeet_coreml.bench.results import Results, Row
from parakeet_coreml.bench.scoring import Scorer

LATENCIES = {
    "spawn to sound": ("sound_ms", None),
    "spawn to model, warm": ("model_ms", None),
    "first words shown": ("first_words_ms", None),
    "confirmed words behind the voice": ("confirmed_ms", None),
    "stop to done, after a pause": ("stop_done_ms", "pause"),
    "stop to done, in a word": ("stop_done_ms", "word"),
    "stop to done, the model still loading": ("stop_loading_ms", None),
}
"""What is measured, in ms, and for which stop."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one variant."""

    name: str
    backend: str
    form: str
    runtime: str
    runs: int
    failed: tuple[str, ...]
    """What went wrong, run by run."""
    wer: Estimate | None
    errors: dict[str, Errors]
    """Of each recording that was transcribed to its end, read as a file."""
    heard: dict[str, str]
    speed: float | None
    """Seconds of audio per second of decoding, one window at a time."""
    cold: float | None
    """Spawn to model in its first run of all, in ms."""
    latencies: dict[str, Spread | None]
    recorder_mb: float | None
    worker_mb: float | None
    cpu: float | None
    """CPU seconds per minute of audio, loading included."""
    lengths: tuple[tuple[float, float], ...]
    """Seconds of each file, and the ms of decoding it."""
    stops: tuple[float, ...]
    """Every stop to done with the model loaded, in ms, however it was stopped."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two variants on the same recordings."""

    first: str
    second: str
    difference: Estimate
    """Word error rate of the first less that of the second."""
    agreement: float
    """Word error rate of the second with the first's words for the truth."""
    recordings: int


def find(results: Results, scorer: Scorer) -> list[Finding]:
    """Return what was found of each variant, in the order of the plan."""
    names = list(dict.fromkeys(str(row["variant"]["name"]) for row in results.rows))
    seed = int(results.plan["what"]["seed"])
    return [_finding(name, results, scorer, seed) for name in names]


def _finding(name: str, results: Results, scorer: Scorer, seed: int) -> Finding:
    every = [row for row in results.rows if row["variant"]["name"] == name]
    rows = [row for row in every if row["warmup"] is None]
    well = [row for row in rows if row["exit_code"] == 0 and row["heard"] is not None]
    files = [row for row in well if row["stop"] is None]
    errors = {row["name"]: scorer.errors(row["said"], row["heard"]) for row in files}
    timing: Line = next(
        (line for row in well for line in row["lines"] if line["type"] == "timing"), {}
    )
    audio = sum(row["seconds"] for row in files)
    cpu = sum(row["figures"]["cpu_s"] for row in files)
    return Finding(
        name=name,
        backend=str(every[0]["variant"]["backend"]),
        form=str(timing.get("form", "?")),
        runtime=str(timing.get("runtime", "?")),
        runs=len(rows),
        failed=tuple(f"{row['name']}: {_failure(row)}" for row in rows if row not in well),
        wer=rate(list(errors.values()), seed) if errors else None,
        errors=errors,
        heard={row["name"]: row["heard"] for row in files},
        speed=_speed(files),
        cold=next((row["figures"]["model_ms"] for row in every if row["warmup"] == 0), None),
        latencies={
            label: spread(_values(_stopped(well, stop), figure))
            for label, (figure, stop) in LATENCIES.items()
        },
        recorder_mb=max(_values(well, "recorder_mb"), default=None),
        worker_mb=max(_values(well, "worker_mb"), default=None),
        cpu=60 * cpu / audio if audio else None,
        lengths=tuple(
            (row["seconds"], row["figures"]["decoding_ms"])
            for row in files
            if row["figures"]["decoding_ms"] is not None
        ),
        stops=tuple(_values(well, "stop_done_ms")),
    )


def _failure(row: Row) -> str:
    return str(row["error"] or f"exit code {row['exit_code']}")


def _stopped(rows: Sequence[Row], stop: str | None) -> list[Row]:
    return [row for row in rows if stop is None or row["stop"] == stop]


def _values(rows: Sequence[Row], figure: str) -> list[float]:
    """Return a figure of every row that has it."""
    found = (row["figures"].get(figure) for row in rows)
    return [value for value in found if value is not None]


def _speed(files: Sequence[Row]) -> float | None:
    decoded = [row for row in files if row["figures"]["decoding_ms"]]
    took = sum(row["figures"]["decoding_ms"] for row in decoded) / 1000
    return sum(row["seconds"] for row in decoded) / took if took else None


def pairs(findings: Sequence[Finding], scorer: Scorer, seed: int) -> list[Pair]:
    """Return every two variants that transcribed some of the same recordings."""
    found = []
    for first, second in combinations(findings, 2):
        both = sorted(first.errors.keys() & second.errors.keys())
        if both:
            one, other = ([f.errors[name] for name in both] for f in (first, second))
            agreed = [scorer.errors(first.heard[name], second.heard[name]) for name in both]
            difference = paired(one, other, seed)
            found.append(Pair(first.name, second.name, difference, corpus_rate(agreed), len(both)))
    return found
