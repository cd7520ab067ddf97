"""Measure what ships on a folder of people: by kind, in strings, in windows, in the recorder."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import jiwer
import numpy as np
import soundfile
from numpy.typing import NDArray

from parakeet_coreml.backends.base import Backend
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.recognition.words import text_of, words_of
from parakeet_coreml.selection import ModelSelection

RATE = 16_000
WINDOW = 15 * RATE
PAUSE = 0.4
"""Seconds between two recordings that are joined."""
Case = tuple[str, NDArray[np.float32]]
"""What is said, and the sound, shape (samples,), 16 kHz."""


def main() -> None:
    """Print the tables of the model card for `tests/data/people`, or a folder made likewise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with manifest.tsv and recordings")
    parser.add_argument("--recorder", action="store_true", help="also through the recorder")
    options = parser.parse_args()
    kinds = cases(options.folder)
    backend, _ = open_backend(ModelSelection(model="tiny-en", backend="onnx").spec())
    for name, found in kinds.items():
        row(f"{name}, each alone", ((said, heard(backend, sound)) for said, sound in found))
    commands = [
        case for name, found in kinds.items() if name.startswith("command") for case in found
    ]
    row("commands, strings of 3 to 5", listened(backend, strings(commands)))
    if options.recorder:
        every = [case for found in kinds.values() for case in found]
        row("all, one window of 15 s", listened(backend, grouped(every, WINDOW)))
        minutes = grouped(every, 4 * WINDOW)
        row("all, 60 s through the recorder", ((said, recorded(sound)) for said, sound in minutes))


def cases(folder: Path) -> dict[str, list[Case]]:
    """Read the recordings by kind and source."""
    found: dict[str, list[Case]] = {}
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as lines:
        for entry in csv.DictReader(lines, delimiter="\t"):
            sound, _ = soundfile.read(folder / entry["path"], dtype="float32")
            found.setdefault(f"{entry['kind']}, {entry['source']}", []).append(
                (entry["text"], sound)
            )
    return dict(sorted(found.items()))


def heard(backend: Backend, sound: NDArray[np.float32]) -> str:
    """Transcribe one window."""
    return text_of(words_of(backend.transcribe(sound).tokens))


def listened(backend: Backend, joined: Iterable[Case]) -> Iterator[tuple[str, str]]:
    """Yield what is said and what is heard."""
    for said, sound in joined:
        yield said, heard(backend, sound)


def row(name: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Print words and errors of pairs of said and heard."""
    said, found = zip(*pairs, strict=True)
    out = jiwer.process_words(list(said), list(found))
    words = out.hits + out.substitutions + out.deletions
    print(
        f"| {name} | {words} | {100 * out.wer:.1f} % | {out.substitutions} | {out.deletions} "
        f"| {out.insertions} |",
        flush=True,
    )


def strings(singles: list[Case]) -> Iterator[Case]:
    """Join shuffled recordings, three to five each; two left over are joined with those before."""
    rng = Random(0)
    left = rng.sample(singles, len(singles))
    while left:
        count = rng.randint(3, 5)
        count = len(left) if len(left) - count < 3 else count
        yield joined(left[:count])
        left = left[count:]


def grouped(singles: list[Case], most: int) -> Iterator[Case]:
    """Join neighbours to at most so many samples."""
    group: list[Case] = []
    length = 0
    for case in singles:
        more = len(case[1]) + int(PAUSE * RATE)
        if group and length + more > most:
            yield joined(group)
            group, length = [], 0
        group.append(case)
        length += more
    yield joined(group)


def joined(group: list[Case]) -> Case:
    """Join recordings with a pause after each but the last."""
    pause = np.zeros(int(PAUSE * RATE), np.float32)
    parts = [part for _, sound in group for part in (sound, pause)]
    return " ".join(said for said, _ in group), np.concatenate(parts[:-1])


def recorded(sound: NDArray[np.float32]) -> str:
    """Have the recorder transcribe."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minute.wav"
        soundfile.write(path, sound, RATE, subtype="PCM_16")
        command = [sys.executable, "-m", "parakeet_coreml", "progressive-record"]
        command += ["--backend", "onnx", "--model", "tiny-en", "--input", str(path)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = map(json.loads, out.splitlines())
    return " ".join(line["text"] for line in lines if line["type"] == "chunk")


if __name__ == "__main__":
    main()
