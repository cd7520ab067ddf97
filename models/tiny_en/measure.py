"""Measure what ships on a folder of people: by kind, in strings, in windows, in the recorder."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import soundfile

from models.present import present
from models.tiny_en.cases import WINDOW, Case, Samples, grouped, joined, listened, recorded, row
from parakeet_coreml.backends.base import Backend
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.recognition.words import text_of, words_of
from parakeet_coreml.selection import ModelSelection

PAUSE = 0.4
"""Seconds between two recordings that are joined."""


def main() -> None:
    """Print the tables of the model card for `tests/data/people`, or a folder made likewise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=present, help="with manifest.tsv and recordings")
    parser.add_argument("--recorder", action="store_true", help="also through the recorder")
    options = parser.parse_args()
    try:
        kinds = cases(options.folder)
    except FileNotFoundError as error:
        parser.error(f"no {error.filename}")
    backend, _ = open_backend(ModelSelection(model="tiny-en", backend="onnx").spec())
    hear = partial(heard, backend)
    for name, found in kinds.items():
        row(f"{name}, each alone", listened(hear, found))
    commands = [
        case for name, found in kinds.items() if name.startswith("command") for case in found
    ]
    row("commands, strings of 3 to 5", listened(hear, strings(commands)))
    if options.recorder:
        every = [case for found in kinds.values() for case in found]
        row("all, one window of 15 s", listened(hear, filled(every, WINDOW)))
        row("all, 60 s through the recorder", listened(streamed, filled(every, 4 * WINDOW)))


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


def heard(backend: Backend, sound: Samples) -> str:
    """Transcribe one window."""
    return text_of(words_of(backend.transcribe(sound).tokens))


def strings(singles: list[Case]) -> Iterator[Case]:
    """Join shuffled recordings, three to five each; two left over are joined with those before."""
    rng = Random(0)
    left = rng.sample(singles, len(singles))
    while left:
        count = rng.randint(3, 5)
        count = len(left) if len(left) - count < 3 else count
        yield joined(left[:count], pause=PAUSE)
        left = left[count:]


def filled(singles: list[Case], most: int) -> Iterator[Case]:
    """Join neighbours to at most so many samples."""
    for group in grouped(singles, most, pause=PAUSE):
        yield joined(group, pause=PAUSE)


def streamed(sound: Samples) -> str:
    """Have the recorder transcribe."""
    chunks = recorded(sound, [sys.executable, "-m", "parakeet_coreml"], "--model", "tiny-en")
    return " ".join(chunk["text"] for chunk in chunks)


if __name__ == "__main__":
    main()
