"""Two hours at the microphone: does anything grow, does anything get lost?

    python tests/torture/soak.py [--minutes 120]

A recorder with the built-in model and every event listens to a sound server of its own, which plays
the bundled speech in real time with pauses. Every second the memory (RSS, MiB), threads and
descriptors of recorder and worker are noted, and how far what was heard is behind what was played;
every minute is printed. At the end there is a stop. The exit code is 1 where a goal is missed:
memory within 4 MiB of that of the first five minutes, at rest (the median of each five minutes) and
at its peaks, which are windows being decoded; no thread or descriptor more, no sample lost.
"""

import argparse
import collections
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
import soundfile
import soxr

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from pulse import RATE, Pcm, PulseServer  # noqa: E402  found by the line above

SAMPLE = TESTS.parent / "parakeet_coreml" / "samples" / "speech.wav"
WORDS = SAMPLE.with_suffix(".txt")

PAUSES = (4.0, 30.0, 11.0, 1.5)
"""Seconds of a quiet room after each time that the sample is played."""

EVERY = 1.0
SETTLED = 300.0
"""Seconds between two looks, and after which nothing may grow any more."""

LOADED = 60.0
"""Seconds after which the model has certainly loaded."""

GROWTH = 4.0
"""MiB by which memory may differ from what it was then."""

BEHIND = 0.5
"""Seconds by which the way from FIFO to recorder may change: what the server holds."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment."""

    at: float
    recorder: float
    worker: float
    threads: tuple[int, int]
    descriptors: tuple[int, int]
    behind: float


@dataclass
class Heard:
    """What the recorder has written so far; a thread fills it."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    words: int = 0
    until: float = 0.0
    done: dict[str, Any] | None = None

    def read(self, lines: IO[bytes]) -> None:
        for line in lines:
            fields = json.loads(line)
            kind = fields["type"]
            self.counts[kind] += 1
            if kind == "level":
                self.until = fields["t_ms"] / 1_000
            elif kind == "chunk":
                self.words += len(fields["text"].split())
            elif kind == "warning":
                self.warnings.append(f"{fields['code']}: {fields['message']}")
            elif kind == "error":
                self.errors.append(line.decode().strip())
            elif kind == "done":
                self.done = fields


def stretch() -> Pcm:
    """Return the sample once for each pause, int16 of shape (n,) at the microphone's rate."""
    sound, rate = soundfile.read(SAMPLE, dtype="float32")
    speech = np.round(soxr.resample(sound, rate, RATE) * 32_767).astype(np.int16)
    noise = np.random.default_rng(0)
    parts = [(speech, noise.integers(-2, 3, round(RATE * pause), np.int16)) for pause in PAUSES]
    return np.concatenate([part for pair in parts for part in pair])


def said(played: int) -> int:
    """Return how many words there are in what was played, those of samples played to the end."""
    sample = soundfile.info(SAMPLE).duration
    whole, rest = divmod(played / RATE, sum(PAUSES) + len(PAUSES) * sample)
    times = int(whole) * len(PAUSES)
    for pause in PAUSES:
        times += rest >= sample
        rest -= sample + pause
    return times * len(WORDS.read_text().split())


def look(process: psutil.Process, heard: Heard, began: float, played: int) -> Look:
    children = process.children()
    worker = children[0] if children else process
    return Look(
        time.monotonic() - began,
        process.memory_info().rss / 2**20,
        worker.memory_info().rss / 2**20,
        (process.num_threads(), worker.num_threads()),
        (process.num_fds(), worker.num_fds()),
        played / RATE - heard.until,
    )


def start(server: PulseServer, heard: Heard) -> tuple[subprocess.Popen[bytes], threading.Thread]:
    """Start a recorder, and a thread that reads its lines; returns once it hears something."""
    command = [
        *(sys.executable, "-P", "-m", "parakeet_coreml", "progressive-record"),
        *("--model", "tiny-en", "--backend", "onnx", "--events", "all", "--meta"),
    ]
    child = subprocess.Popen(
        command, env=server.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=TESTS.parent
    )
    assert child.stdout is not None
    reader = threading.Thread(target=heard.read, args=(child.stdout,), daemon=True)
    reader.start()
    while not heard.until and child.poll() is None:
        time.sleep(0.05)
    return child, reader


def spread(looks: list[Look], name: str) -> tuple[float, float, float]:
    """Return a figure at the first look, its greatest deviation from that, and its last."""
    values = [getattr(one, name) for one in looks]
    return values[0], max((value - values[0] for value in values), key=abs), values[-1]


def growth(looks: list[Look], name: str, settled: float) -> tuple[float, float]:
    """Return by how many MiB rest and peak differ later from those of the first minutes.

    Rest is the median of `settled` seconds, of which the one that differs most counts; a peak,
    memory that a window takes while it is decoded, may be lower later without being a difference.
    """
    parts: dict[int, list[float]] = {}
    for one in looks:
        if one.at >= min(LOADED, settled / 2):
            parts.setdefault(int(one.at / settled), []).append(getattr(one, name))
    first, *later = [(float(np.median(values)), max(values)) for values in parts.values()]
    rests = [rest - first[0] for rest, _ in later] or [0.0]
    peaks = [peak - first[1] for _, peak in later] or [0.0]
    return max(rests, key=abs), max(peaks)


def verdict(looks: list[Look], heard: Heard, code: int, asked: float) -> list[str]:
    """Print what came of it, and return the goals that were missed."""
    missed = []
    moment = min(SETTLED, asked / 2)
    settled = [one for one in looks if one.at >= moment]
    for name in ("recorder", "worker"):
        first, _, last = spread(settled, name)
        rest, peak = growth(looks, name, moment)
        print(f"{name}: {first:.1f} MiB after {moment:.0f} s, at the end {last:.1f}; ", end="")
        print(f"at rest at most {rest:+.1f}, at its peaks {peak:+.1f}")
        if abs(rest) > GROWTH or peak > GROWTH:
            missed.append(f"memory of the {name}")
    for name in ("threads", "descriptors"):
        seen = [getattr(one, name) for one in settled]
        print(f"{name} of recorder and worker: {seen[0]}, at the end {seen[-1]}, most {max(seen)}")
        if any(now > then for now, then in zip(seen[-1], seen[0], strict=True)):
            missed.append(name)
    first, deviation, last = spread(settled, "behind")
    print(f"heard behind played: {first:.2f} s, at most {deviation:+.2f}, at the end {last:.2f}")
    account = (heard.done or {}).get("samples", {})
    print(f"samples at 16 kHz: {account}")
    whole = account.get("captured") == sum(
        account.get(name, 0) for name in ("transcribed", "silent", "lost")
    )
    if not account or not whole or account.get("lost", 0) or abs(last - first) > BEHIND:
        missed.append("samples")
    print(f"lines: {dict(heard.counts)}; exit code {code}")
    for text in [*heard.warnings, *heard.errors]:
        print(f"  {text}")
    if code or heard.errors or not heard.done:
        missed.append("the end")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=120.0)
    seconds = parser.parse_args().minutes * 60
    sound = stretch()
    with PulseServer() as server:
        heard = Heard()
        child, reader = start(server, heard)
        process, began = psutil.Process(child.pid), time.monotonic()
        before = server.mic.played
        offset = before - round(heard.until * RATE)
        for _ in range(int(seconds * RATE // len(sound)) + 1):
            server.mic.play(sound)
        looks: list[Look] = []
        while (now := time.monotonic() - began) < seconds and child.poll() is None:
            looks.append(look(process, heard, began, server.mic.played - offset))
            if len(looks) % 60 == 1:
                print(looks[-1], heard.words, flush=True)
            time.sleep(max(0.0, min(EVERY, seconds - now)))
        played = server.mic.played - before
        assert child.stdin is not None
        child.stdin.write(b"stop\n")
        child.stdin.flush()
        child.wait(60)
        reader.join()
    print(f"{seconds / 60:.0f} min, {heard.words} words heard, {said(played)} said to the end")
    missed = verdict(looks, heard, child.returncode, seconds)
    print("missed: " + ", ".join(missed) if missed else "all goals reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
