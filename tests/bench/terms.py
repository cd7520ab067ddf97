"""Measure what a list of terms does: how many it saves, what it costs, what it invents.

    python tests/bench/terms.py [--boost 1] [--hours 2] [--seed 15] [--keep FOLDER]

60 terms in 300 sentences and hours of sentences without any, all spoken by flite's slt, a voice
tiny-en was never trained on (models/tiny_en/README.md). Each sentence is decoded alone by tiny-en
on ONNX Runtime, without a list and with one of all the terms and 100 distractors. Needs `flite` and
jiwer. A term counts as near where its spelling without a list is within two letters of it.
"""

import argparse
import random
import statistics
import subprocess
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import jiwer
import soundfile

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import Backend, BackendSpec, Term
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.recognition.words import text_of, words_of
from parakeet_coreml.recording.terms import terms_of
from parakeet_coreml.selection import ModelSelection

ROOT = Path(__file__).parent.parent.parent
BENCH = Path(__file__).parent
TERMS = [term.text for term in terms_of(str(BENCH / "terms.txt"), ())]
DISTRACTORS = [term.text for term in terms_of(str(BENCH / "distractors.txt"), ())]

CARRIERS = (
    "please open {} and close the window",
    "we have to talk about {} today",
    "the new file for {} is ready",
    "could you send {} to the team",
    "i think that {} is better now",
)
"""Words tiny-en knows around one it does not."""

NEAR = 2
"""Letters by which a near miss may differ."""


@dataclass
class Score:
    """Counts over sentences."""

    right: int = 0
    """Terms said and written."""
    said: int = 0
    written: int = 0
    term_errors: int = 0
    other_errors: int = 0
    others: int = 0
    times: list[float] = field(default_factory=list)

    def add(self, said: str, heard: str, terms: frozenset[str], only: frozenset[str]) -> None:
        """Count one sentence; terms outside `only` are not looked at."""
        output = jiwer.process_words(said, heard or "-")
        reference, hypothesis = said.split(), (heard or "-").split()
        for chunk in output.alignments[0]:
            left = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            right = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
            wrong = chunk.type != "equal"
            self.said += sum(word in only for word in left)
            self.others += sum(word not in terms for word in left)
            self.right += sum(word in only for word in left) if not wrong else 0
            self.term_errors += wrong * sum(word in only for word in left)
            self.other_errors += wrong * sum(word not in terms for word in left)
            if chunk.type == "insert":
                self.other_errors += sum(word not in terms for word in right)
            self.written += sum(word in terms for word in right)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="what a list of terms does")
    parser.add_argument("--boost", type=float, default=1.0)
    parser.add_argument("--hours", type=float, default=2.0, help="of speech without the terms")
    parser.add_argument("--seed", type=int, default=15, help="of the sentences without the terms")
    parser.add_argument("--keep", type=Path, help="where the recordings are kept")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp())
    spec = ModelSelection(model="tiny-en", backend="onnx").spec()
    listed = spec._replace(
        terms=tuple(Term(term) for term in (*TERMS, *DISTRACTORS)), boost=arguments.boost
    )
    present = [carrier.format(term) for term in TERMS for carrier in CARRIERS]
    absent = list(_absent(arguments.hours, arguments.seed))
    sounds = _spoken([*present, *absent], folder)
    without, with_list = _opened(spec), _opened(listed)
    plain = [_heard(without, sounds[said]) for said in present]
    boosted = [_heard(with_list, sounds[said]) for said in present]
    near = _near(present, [text for text, _ in plain])
    print(f"near: {' '.join(sorted(near))}")
    print(f"{len(near)} of {len(TERMS)} terms are near; boost {arguments.boost:g}")
    terms = frozenset((*TERMS, *DISTRACTORS))
    for name, only in (("near terms", near), ("the others", frozenset(TERMS) - near)):
        for how, heard in (("no list", plain), ("list", boosted)):
            _print(f"{name}, {how}", present, heard, terms, only)
    _print_absent(absent, sounds, without, with_list, terms)


def _absent(hours: float, seed: int) -> Iterable[str]:
    """Give sentences of words that tiny-en knows, as many as take so long."""
    rng = random.Random(seed)
    with (ROOT / "models" / "tiny_en" / "words.toml").open("rb") as file:
        words = [w for w in tomllib.load(file)["common"].split() if w not in TERMS]
    for _ in range(round(hours * 3600 / 3.5)):  # seconds that ten of these words take
        yield " ".join(rng.choices(words, k=10))


def _spoken(sentences: list[str], folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {said: folder / f"{number}.wav" for number, said in enumerate(dict.fromkeys(sentences))}

    def speak(said: str) -> None:
        if not paths[said].exists():
            command = ["flite", "-voice", "slt", "-t", said, "-o", str(paths[said])]
            subprocess.run(command, check=True, capture_output=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(speak, paths))
    return paths


def _opened(spec: BackendSpec) -> Backend:
    return open_backend(spec)[0]


def _heard(backend: Backend, path: Path) -> tuple[str, float]:
    sound: Samples
    sound, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE:
        raise SystemExit(f"{path} is not at 16 kHz")
    began = time.process_time()
    hypothesis = backend.transcribe(sound[:MODEL_WINDOW])
    return text_of(words_of(hypothesis.tokens)), time.process_time() - began


def _near(said: list[str], heard: list[str]) -> frozenset[str]:
    """Return the terms that were missed without a list by at most `NEAR` letters, or not at all."""
    near: dict[str, list[bool]] = {}
    for number, text in enumerate(heard):
        term = TERMS[number // len(CARRIERS)]
        joined = [*text.split(), *map("".join, zip(text.split(), text.split()[1:], strict=False))]
        distance = min((_distance(word, term) for word in joined), default=len(term))
        near.setdefault(term, []).append(distance <= NEAR)
    return frozenset(term for term, hits in near.items() if sum(hits) * 2 > len(hits))


def _distance(one: str, other: str) -> int:
    if not one:
        return len(other)
    output = jiwer.process_characters(other, one)
    return output.substitutions + output.deletions + output.insertions


def _print(
    name: str,
    said: list[str],
    heard: list[tuple[str, float]],
    terms: frozenset[str],
    only: frozenset[str],
) -> None:
    score = Score()
    for number, (text, taken) in enumerate(heard):
        if TERMS[number // len(CARRIERS)] in only:
            score.add(said[number], text, terms, only)
            score.times.append(taken * 1000)
    if not score.said:
        return
    recall, precision = score.right / score.said, score.right / max(score.written, 1)
    f = 2 * recall * precision / max(recall + precision, 1e-9)
    print(
        f"| {name} | {score.said} | {precision:.1%} | {recall:.1%} | {f:.2f} "
        f"| {score.term_errors / score.said:.1%} | {score.other_errors / score.others:.1%} "
        f"| {statistics.median(score.times):.1f} ms |"
    )


def _print_absent(
    said: list[str],
    sounds: dict[str, Path],
    without: Backend,
    with_list: Backend,
    terms: frozenset[str],
) -> None:
    seconds = changed = false = own = 0.0
    errors = [0, 0]
    words = 0
    times: list[list[float]] = [[], []]
    for text in said:
        seconds += soundfile.info(sounds[text]).duration
        heard = [_heard(backend, sounds[text]) for backend in (without, with_list)]
        changed += heard[0][0] != heard[1][0]
        plain, led = (Counter(w for w in words_.split() if w in terms) for words_, _ in heard)
        own += plain.total()
        false += (led - plain).total()
        if led - plain:
            print(f"said: {text}\n  without: {heard[0][0]}\n  with: {heard[1][0]}")
        words += len(text.split())
        for i, (found, taken) in enumerate(heard):
            output = jiwer.process_words(text, found or "-")
            errors[i] += output.substitutions + output.deletions + output.insertions
            times[i].append(taken * 1000)
    if words:
        hours = seconds / 3600
        print(
            f"{hours:.2f} h without the terms: {false:.0f} false terms, "
            f"{false / hours:.1f} an hour, beside {own:.0f} that are there without a list; "
            f"{changed:.0f} of {len(said)} sentences changed, WER {errors[0] / words:.2%} without "
            f"a list, {errors[1] / words:.2%} with one; median {statistics.median(times[0]):.2f} "
            f"and {statistics.median(times[1]):.2f} ms, mean {statistics.fmean(times[0]):.2f} "
            f"and {statistics.fmean(times[1]):.2f} ms"
        )


if __name__ == "__main__":
    main()
