"""What is measured with: cases of words and sound, disturbed, joined, listened to, counted."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jiwer
import numpy as np
import soundfile
from numpy.typing import NDArray

from models.tiny_en import augment

Samples = NDArray[np.float32]
Case = tuple[str, Samples]
"""What is said, and the sound, shape (samples,), 16 kHz."""
Pair = tuple[str, str]
"""What is said, and what is heard."""
RATE = 16_000
WINDOW = 15 * RATE
PLACES = ("elsewhere", "at a seam")


class Count(NamedTuple):
    """Words said, and the errors in what was heard of them."""

    words: int
    substituted: int
    deleted: int
    inserted: int

    @property
    def wrong(self) -> int:
        """All errors together."""
        return self.substituted + self.deleted + self.inserted


def edged(case: Case) -> Case:
    """Put 0.3 s of faint noise around an utterance, as a recording has."""
    words, samples = case
    padded = np.pad(samples, int(0.3 * RATE))
    noise = np.random.default_rng(len(samples)).standard_normal(len(padded)).astype(np.float32)
    return words, padded + noise * np.float32(3e-4)


def with_noise(cases: Iterable[Case], ratio: float, slope: float) -> Iterator[Case]:
    """Add noise `ratio` dB below each utterance; its power falls with frequency to the `slope`."""
    rng = np.random.default_rng(11)
    for words, samples in cases:
        level = np.sqrt((samples**2).mean()) * 10 ** (-ratio / 20)
        yield words, samples + augment.coloured(rng, len(samples), slope) * np.float32(level)


def grouped(cases: Iterable[Case], most: int, *, pause: float = 0) -> Iterator[list[Case]]:
    """Take neighbours as long as they fit into `most` samples, `pause` seconds after each."""
    group: list[Case] = []
    length = 0
    for case in cases:
        more = len(case[1]) + int(pause * RATE)
        if group and length + more > most:
            yield group
            group, length = [], 0
        group.append(case)
        length += more
    if group:
        yield group


def joined(group: Sequence[Case], *, pause: float = 0) -> Case:
    """Make one utterance of several, with `pause` seconds after each but the last."""
    gap = np.zeros(int(pause * RATE), np.float32)
    parts = [part for _, sound in group for part in (sound, gap)]
    return " ".join(words for words, _ in group), np.concatenate(parts[:-1])


def listened(hear: Callable[[Samples], str], cases: Iterable[Case]) -> Iterator[Pair]:
    """Yield what is said and what is heard of it."""
    for words, samples in cases:
        yield words, hear(samples)


def recorded(samples: Samples, command: Sequence[str], *options: str) -> list[dict[str, Any]]:
    """Have the recorder, started by `command`, transcribe a file; return its chunks."""
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "minute.wav"
        soundfile.write(sound, samples, RATE, subtype="PCM_16")
        run = [*command, "progressive-record", "--backend", "onnx", "--input", str(sound)]
        run += ["--words", "--meta", *options]
        out = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    return [line for line in lines if line["type"] == "chunk"]


def by_utterance(
    group: Sequence[Case], chunks: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, Case, str]]:
    """Part what the recorder heard by where each utterance lies; yield place, case and words."""
    cuts = [chunk["end_ms"] for chunk in chunks[:-1]]
    words = [word for chunk in chunks for word in chunk["words"]]
    begin = 0.0
    for case in group:
        end = begin + len(case[1]) * 1000 / RATE
        heard = [w["text"] for w in words if begin <= (w["start_ms"] + w["end_ms"]) / 2 < end]
        seam = any(begin - 300 < cut < end + 300 for cut in cuts)
        yield PLACES[seam], case, " ".join(heard)
        begin = end


def heading(name: str, about: str) -> None:
    """Open a table."""
    print(
        f"\n| {name} ({about}) | words | WER | S | D | I |\n|---|---:|---:|---:|---:|---:|",
        flush=True,
    )


def counted(pairs: Iterable[Pair]) -> Count:
    """Count words and errors of all pairs together; there must be a word."""
    said, heard = zip(*pairs, strict=True)
    out = jiwer.process_words(list(said), list(heard))
    words = out.hits + out.substitutions + out.deletions
    return Count(words, out.substitutions, out.deletions, out.insertions)


def row(name: str, pairs: Iterable[Pair]) -> None:
    """Print words and errors of all pairs together; of none, nothing."""
    some = list(pairs)
    if some:
        words, *errors = found = counted(some)
        cells = [words, f"{100 * found.wrong / words:.1f} %", *errors]
        print(f"| {name} | " + " | ".join(map(str, cells)) + " |", flush=True)
