"""Do windows that start in a pause lose fewer words than those that start wherever they are due?

    python tests/bench/starts.py FOLDER [--recordings 40]

FOLDER holds `manifest.tsv` with the columns path and transcript. Its sentences are joined to
recordings of a minute, pauses of 0.15 to 0.6 s between them, and go through the whole data path
with tiny-en, cut as it is done and with the start of each regular window moved into the quietest
place of the overlap that lies 200 ms and more before the cut; nothing else moves. Printed are word
errors of both, and how many windows start in sound either way.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from sounds import transcribed  # noqa: E402  the whole data path

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples  # noqa: E402  likewise
from parakeet_coreml.backends.base import Backend, BackendSpec  # noqa: E402  likewise
from parakeet_coreml.backends.registry import open_backend  # noqa: E402  likewise
from parakeet_coreml.bench.figures import Errors  # noqa: E402  likewise
from parakeet_coreml.bench.scoring import Scorer  # noqa: E402  likewise
from parakeet_coreml.recognition import energy  # noqa: E402  likewise
from parakeet_coreml.recognition.windows import Chunker, Window  # noqa: E402  likewise
from parakeet_coreml.store.locate import stated  # noqa: E402  likewise

CONTEXT = SAMPLE_RATE // 5
"""Real audio kept before the cut: 200 ms."""

LEAST = 2.0
"""Seconds of a recording that counts as a sentence."""

GAPS = 0.15, 0.6
"""Seconds between two sentences."""

TINY = ROOT / "parakeet_coreml" / "tiny_en"


def sentences(folder: Path) -> Iterator[tuple[Samples, str]]:
    """Yield sound and words of every sentence, in an order that is always the same."""
    with (folder / "manifest.tsv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    for i in np.random.default_rng(7).permutation(len(rows)).tolist():
        if float(rows[i]["seconds"]) >= LEAST:
            sound, rate = soundfile.read(folder / rows[i]["path"], dtype="float32")
            if rate == SAMPLE_RATE:
                yield sound, rows[i]["transcript"]


def recordings(folder: Path, count: int) -> Iterator[tuple[Samples, str]]:
    """Yield sound and words."""
    rng, source = np.random.default_rng(3), sentences(folder)
    for _ in range(count):
        pieces, texts, at = list[Samples](), list[str](), 0
        while at < 60 * SAMPLE_RATE:
            sound, text = next(source)
            gap = round(rng.uniform(*GAPS) * SAMPLE_RATE)
            quiet = (rng.standard_normal(gap) * 1e-4).astype(np.float32)
            pieces += [sound, quiet]
            texts.append(text)
            at += len(sound) + gap
        yield np.concatenate(pieces), " ".join(texts)


class Starts:
    """Notes where regular windows start, and moves them where that is asked for."""

    def __init__(self, *, moved: bool) -> None:
        self.moved = moved
        self.found: list[bool] = []
        """For each whether there is sound in its first 40 ms."""
        self._cut: int | None = None

    def of(self, regular: type[Chunker]) -> Callable[[Chunker], Window]:
        """Return what cuts a regular window instead."""
        plain = regular._regular

        def cut(chunker: Chunker) -> Window:
            window = plain(chunker)
            if window.start == 0:
                self._cut = None
            if self.moved and self._cut is not None:
                overlap = window.audio[: self._cut - CONTEXT - window.start]
                quiet = energy.quietest(energy.levels_of(overlap))
                window = replace(window, start=window.start + quiet, audio=window.audio[quiet:])
            self._cut = window.cut
            if window.start:
                floor = chunker._tape.floor(window.stop)
                first = energy.levels_of(window.audio[: 2 * energy.TICK])
                self.found.append(bool((first > energy.START * floor).any()))
            return window

        return cut


def heard(backend: Backend, audio: Samples, *, moved: bool) -> tuple[str, list[bool]]:
    """Return the words of a recording, and which of its regular windows start in sound."""
    starts = Starts(moved=moved)
    with patch.object(Chunker, "_regular", starts.of(Chunker)):
        return transcribed(audio, backend=backend).text, starts.found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, default=40, help="of a minute each")
    options = parser.parse_args()
    blank, durations = stated(TINY)
    spec = BackendSpec("onnx", "tiny-en", str(TINY), blank=blank, durations=durations)
    backend, _ = open_backend(spec)
    scorer = Scorer("english")
    all_errors: dict[bool, list[Errors]] = {False: [], True: []}
    loud, starts, better, worse = {False: 0, True: 0}, 0, 0, 0
    for audio, text in recordings(options.folder, options.recordings):
        for moved in (False, True):
            words, found = heard(backend, audio, moved=moved)
            all_errors[moved].append(scorer.errors(text, words))
            loud[moved] += sum(found)
        starts += len(found)
        plain, other = all_errors[False][-1].count, all_errors[True][-1].count
        better, worse = better + (other < plain), worse + (other > plain)
    print("| windows start | in sound | words | substituted | deleted | inserted | WER |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for moved, name in ((False, "where due"), (True, "where it is quietest")):
        kinds = ("words", "substituted", "deleted", "inserted", "count")
        words, *rest, count = (sum(getattr(e, k) for e in all_errors[moved]) for k in kinds)
        cells = [name, f"{loud[moved]} of {starts}", words, *rest, f"{count / words:.2%}"]
        print("| " + " | ".join(map(str, cells)) + " |")
    print(f"\nmoved, {better} recordings were better and {worse} worse of {options.recordings}")


if __name__ == "__main__":
    main()
