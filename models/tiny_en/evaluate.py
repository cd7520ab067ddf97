"""Measure the shipped files: word errors by kind, noise, length; words heard where none are."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soundfile
import torch
from numpy.typing import NDArray

from models.tiny_en import augment, export
from models.tiny_en.folders import WORK
from models.tiny_en.mixture import (
    HELD_SPEAKER,
    HELD_TAKES,
    Item,
    digit_string,
    packs,
    real_digits,
)
from models.tiny_en.model import DURATIONS, Features
from models.tiny_en.tokens import BLANK
from models.tiny_en.voices import read

Samples = NDArray[np.float32]
RATE = 16_000
WINDOW = 15 * RATE
JFK = (
    "and so my fellow americans ask not what your country can do for you "
    "ask what you can do for your country"
)


def main() -> None:
    """Print the tables of the model card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--digits", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=export.SHIPPED)
    parser.add_argument(
        "--jfk", type=Path, help="a public-domain speech, reported whatever comes out"
    )
    parser.add_argument(
        "--people", type=Path, help="test/data of Debian's pocketsphinx-testdata, likewise"
    )
    parser.add_argument("--recorder", help="parakeet-coreml, to measure what it streams as well")
    parser.add_argument("--show", action="store_true", help="print what was heard wrong")
    parser.add_argument("--quick", action="store_true", help="only the first table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recogniser = Recogniser(options.model)
    sets = {name: cases for name, cases in speech(options.work, options.digits).items() if cases}
    heading("speech", "clean, each utterance alone")
    for name, cases in sets.items():
        row(name, score(recogniser, cases, show=options.show))
    kinds = apart(options.work)
    if kinds:
        heading("people set apart", "each recording alone, as it is")
    for name, cases in kinds.items():
        row(name, score(recogniser, cases, show=options.show))
    if options.quick:
        return
    noisy(recogniser, sets | {name: kinds[name] for name in IN_NOISE if name in kinds})
    lengths(recogniser, sets)
    wordless(recogniser)
    people(recogniser, options)
    if options.recorder:
        streamed(recogniser, sets, options)


@dataclass(frozen=True)
class Errors:
    """Word errors, and the words they are counted against."""

    substituted: int = 0
    deleted: int = 0
    inserted: int = 0
    words: int = 0

    def __add__(self, other: Errors) -> Errors:
        """Add up."""
        return Errors(
            self.substituted + other.substituted,
            self.deleted + other.deleted,
            self.inserted + other.inserted,
            self.words + other.words,
        )

    @property
    def rate(self) -> float:
        """WER in percent."""
        return 100 * (self.substituted + self.deleted + self.inserted) / max(1, self.words)


def errors(reference: list[str], heard: list[str]) -> Errors:
    """Align two word lists at least cost."""
    previous = [Errors(inserted=i) for i in range(len(heard) + 1)]
    for i, word in enumerate(reference, 1):
        row_ = [Errors(deleted=i)]
        for j, other in enumerate(heard, 1):
            same = previous[j - 1] + Errors(substituted=int(word != other))
            options = [same, previous[j] + Errors(deleted=1), row_[-1] + Errors(inserted=1)]
            row_.append(min(options, key=lambda e: e.substituted + e.deleted + e.inserted))
        previous = row_
    return previous[-1] + Errors(words=len(reference))


class Recogniser:
    """Greedy TDT over the ONNX files, written apart from the package it checks."""

    def __init__(self, folder: Path) -> None:
        """Load both graphs and the pieces."""
        alone = onnxruntime.SessionOptions()
        alone.intra_op_num_threads = 1  # several wait for each other where a training runs beside
        sessions = (
            onnxruntime.InferenceSession(str(folder / f"{n}-model.onnx"), alone)
            for n in ("encoder", "decoder_joint")
        )
        self.encoder, self.decoder = sessions
        self.pieces = [
            line.split(" ")[0] for line in (folder / "vocab.txt").read_text("utf-8").splitlines()
        ]
        manifest = json.loads((folder / "manifest.json").read_text())
        self.state = np.zeros(
            (manifest["predictor_layers"], 1, manifest["predictor_hidden"]), np.float32
        )
        self.features = Features()

    def __call__(self, samples: Samples) -> str:
        """Say what is heard."""
        mel, counts = self.features(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
        feeds = {"audio_signal": mel.transpose(1, 2).numpy(), "length": counts.numpy()}
        frames, total = self.encoder.run(None, feeds)
        ids = self.search(frames, int(total[0]))
        return "".join(self.pieces[i] for i in ids).replace("▁", " ").strip()

    def search(self, frames: Samples, total: int) -> list[int]:
        """Take the best token and the best duration, step by step."""
        ids: list[int] = []
        state, frame, here = (self.state, self.state), 0, 0
        while frame < total:
            feeds = {
                "encoder_outputs": frames[:, :, frame : frame + 1],
                "targets": np.array([[ids[-1] if ids else BLANK]], np.int32),
                "target_length": np.array([1], np.int32),
                "input_states_1": state[0],
                "input_states_2": state[1],
            }
            logits, _, *after = self.decoder.run(None, feeds)
            logits = logits.reshape(-1)
            token = int(logits[: BLANK + 1].argmax())
            duration = DURATIONS[int(logits[BLANK + 1 :].argmax())]
            if token != BLANK:
                ids.append(token)
                state, here = (after[0], after[1]), here + 1
            if duration == 0 and (token == BLANK or here >= 10):
                duration = 1
            if duration:
                frame, here = frame + duration, 0
        return ids


Case = tuple[str, Samples]
PLACES = ("elsewhere", "at a seam")
IN_NOISE = (
    "command, speech_commands",
    "order, picovoice_barista",
    "sentence, speechocean762",
    "open, ljspeech",
)
"""Kinds of people that are disturbed, too; the others are too few."""


def speech(work: Path, digits: Path) -> dict[str, list[Case]]:
    """Collect what was set apart: a real speaker, takes, two families of voices, sentences."""
    rng = np.random.default_rng(7)
    never = real_digits(digits, lambda speaker, _: speaker == HELD_SPEAKER)[HELD_SPEAKER]
    others = real_digits(digits, lambda who, take: who != HELD_SPEAKER and take in HELD_TAKES)
    lengths_ = [1, 2, 3, 4, 5, 6, 7, 8]
    sets = {
        "digits, real speaker never heard": [
            edged(digit_string(rng, never, lengths_[i % 8])) for i in range(120)
        ],
        "digits, real speakers known, takes never heard": [
            edged(digit_string(rng, takes, lengths_[i % 8]))
            for takes in others.values()
            for i in range(40)
        ],
    }
    for name, label in (("e-slt", "flite slt"), ("e-kokoro", "six Kokoro voices")):
        spoken = packs(work).get(name, [])
        for kind, what in (("held", "sentences never heard"), ("digits", "digits")):
            sets[f"{what}, voice never heard ({label})"] = [
                edged(said(item)) for item in spoken if item.kind == kind
            ]
    drawn = packs(work).get("e-wide", [])
    sets["any sentence of the domain, voice never heard (flite slt)"] = [
        edged(said(item)) for item in drawn
    ]
    return sets


def said(item: Item) -> Case:
    """Take words and sound of an utterance."""
    return item.text, item.pcm.astype(np.float32) / np.float32(32_768)


def edged(case: Case) -> Case:
    """Put 0.3 s of faint noise around an utterance, as a recording has."""
    words, samples = case
    padded = np.pad(samples, int(0.3 * RATE))
    noise = np.random.default_rng(len(samples)).standard_normal(len(padded)).astype(np.float32)
    return words, padded + noise * np.float32(3e-4)


def score(recogniser: Recogniser, cases: Iterable[Case], *, show: bool = False) -> Errors:
    """Add up the errors of all cases."""
    total = Errors()
    for reference, samples in cases:
        heard = recogniser(samples)
        found = errors(reference.split(), heard.split())
        if show and found.rate:
            print(f"    {reference}\n  → {heard}")
        total += found
    return total


def apart(work: Path) -> dict[str, list[Case]]:
    """Collect the people that `people` set apart, by kind of speech and set."""
    kinds: dict[str, list[Case]] = {}
    for name, items in packs(work).items():
        if name.startswith("v-"):
            for item in items:
                kinds.setdefault(f"{item.kind}, {name[2:]}", []).append(said(item))
    return dict(sorted(kinds.items()))


def heading(name: str, about: str) -> None:
    """Open a table."""
    print(
        f"\n| {name} ({about}) | words | WER | S | D | I |\n|---|---:|---:|---:|---:|---:|",
        flush=True,
    )


def row(name: str, found: Errors) -> None:
    """Print one line of a table."""
    cells = [found.words, f"{found.rate:.1f} %", found.substituted, found.deleted, found.inserted]
    print(f"| {name} | " + " | ".join(map(str, cells)) + " |", flush=True)


def noisy(recogniser: Recogniser, sets: dict[str, list[Case]]) -> None:
    """Add noise of two colours at three levels."""
    heading("noise", "signal to noise ratio over the whole utterance")
    for name, cases in sets.items():
        most = 200 if name in IN_NOISE else 40  # many of people's are single words
        for ratio in (20, 10, 5):
            for slope, colour in ((0.0, "white"), (1.0, "pink")):
                row(
                    f"{name}, {colour} {ratio} dB",
                    score(recogniser, with_noise(cases[:most], ratio, slope)),
                )


def with_noise(cases: list[Case], ratio: float, slope: float) -> Iterator[Case]:
    """Spoil each case by a fixed ratio."""
    rng = np.random.default_rng(11)
    for words, samples in cases:
        level = np.sqrt((samples**2).mean()) * 10 ** (-ratio / 20)
        yield words, samples + augment.coloured(rng, len(samples), slope) * np.float32(level)


def lengths(recogniser: Recogniser, sets: dict[str, list[Case]]) -> None:
    """Sort all utterances by length, and join them to fill windows of 15 s."""
    heading("length", "all sets above together")
    cases = [case for cases in sets.values() for case in cases]
    for low, high in ((0, 2), (2, 4), (4, 8), (8, 15)):
        some = [case for case in cases if low * RATE <= len(case[1]) < high * RATE]
        row(f"{low} to {high} s", score(recogniser, some))


def grouped(cases: list[Case], most: int) -> Iterator[list[Case]]:
    """Take utterance after utterance as long as they fit into `most` samples."""
    group: list[Case] = []
    for case in cases:
        if group and sum(len(samples) for _, samples in group) + len(case[1]) > most:
            yield group
            group = []
        group.append(case)
    if group:
        yield group


def joined(group: list[Case]) -> Case:
    """Make one of several utterances."""
    return " ".join(words for words, _ in group), np.concatenate([part for _, part in group])


def streamed(
    recogniser: Recogniser, sets: dict[str, list[Case]], options: argparse.Namespace
) -> None:
    """Join all sets to windows, and to minutes that the recorder has to cut into windows."""
    heading("joined", "0.6 s between two utterances")
    places = {(where, how): Errors() for where in PLACES for how in ("alone", "in the recorder")}
    for name, cases in sets.items():
        windows = map(joined, grouped(cases, WINDOW))
        row(f"{name}, one window of 15 s", score(recogniser, windows))
        total = Errors()
        for group in grouped(cases, 4 * WINDOW):
            reference, samples = joined(group)
            chunks = recorded(samples, options)
            text = " ".join(chunk["text"] for chunk in chunks)
            total += errors(reference.split(), text.split())
            for where, case, heard in by_utterance(group, chunks):
                places[where, "alone"] += score(recogniser, [case])
                places[where, "in the recorder"] += errors(case[0].split(), heard)
        row(f"{name}, 60 s through the recorder", total)
    heading("seams", "all sets above; a seam is within 0.3 s of the utterance")
    for (where, how), found in places.items():
        row(f"{where}, {how}", found)


def by_utterance(
    group: list[Case], chunks: list[dict[str, Any]]
) -> Iterator[tuple[str, Case, list[str]]]:
    """Part what the recorder heard by where each utterance lies; yield place, case and words."""
    cuts = [chunk["end_ms"] for chunk in chunks[:-1]]
    words = [word for chunk in chunks for word in chunk["words"]]
    begin = 0.0
    for case in group:
        end = begin + len(case[1]) * 1000 / RATE
        heard = [w["text"] for w in words if begin <= (w["start_ms"] + w["end_ms"]) / 2 < end]
        yield PLACES[any(begin - 300 < cut < end + 300 for cut in cuts)], case, heard
        begin = end


def recorded(samples: Samples, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Have the recorder transcribe; return its chunks."""
    command = [options.recorder, "progressive-record", "--backend", "onnx", "--words", "--meta"]
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "minute.wav"
        soundfile.write(sound, samples, RATE, subtype="PCM_16")
        command += ["--model", str(options.model), "--input", str(sound)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    return [line for line in lines if line["type"] == "chunk"]


def people(recogniser: Recogniser, options: argparse.Namespace) -> None:
    """Listen to people who say what the model was not made for."""
    heading("people", "real, none trained on")
    if options.people:
        digits = np.fromfile(options.people / "tidigits/dhd.2934z.raw", "<i2")
        case = [("two nine three four zero", digits.astype(np.float32) / np.float32(32_768))]
        row("five digits (pocketsphinx test data)", score(recogniser, case, show=options.show))
        for name, place in (
            ("playing cards", "cards/cards.transcription"),
            ("a novel read", "librivox/transcription"),
        ):
            path = options.people / place
            cases = []
            for line in path.read_text().splitlines():
                said, _, ident = line.rpartition(" (")
                sound = path.with_name(f"{ident.rstrip(')')}.wav")
                cases.append((re.sub("<.?s>", "", said), read(sound)))
            row(f"{name} (pocketsphinx test data)", score(recogniser, cases, show=options.show))
    if options.jfk:
        case = [(JFK, read(options.jfk))]
        row("a speech (Kennedy, 11 s)", score(recogniser, case, show=options.show))


def wordless(recogniser: Recogniser) -> None:
    """Listen to ten minutes and more without a word."""
    rng = np.random.default_rng(5)
    makers: dict[str, Callable[[], Samples]] = {
        "digital silence": lambda: np.zeros(WINDOW, np.float32),
        "faint noise": lambda: augment.coloured(rng, WINDOW, 1.0) * np.float32(3e-4),
        "white noise": lambda: augment.coloured(rng, WINDOW, 0.0) * np.float32(0.05),
        "pink noise": lambda: augment.coloured(rng, WINDOW, 1.0) * np.float32(0.05),
        "brown noise": lambda: augment.coloured(rng, WINDOW, 2.0) * np.float32(0.05),
        "hum": lambda: mixed(rng, augment.hum(rng, WINDOW)),
        "clicks and keys": lambda: mixed(rng, augment.clicks(rng, WINDOW)),
        "music-like": lambda: mixed(rng, augment.music(rng, WINDOW)),
        "tones and sweeps": lambda: mixed(rng, augment.tones(rng, WINDOW)),
        "breath and rustle": lambda: mixed(rng, augment.breath(rng, WINDOW)),
    }
    print("\n| no speech (15 s windows) | minutes | words heard |\n|---|---:|---:|")
    for name, make in makers.items():
        count = 1 if name == "digital silence" else 5
        words = [word for _ in range(count) for word in recogniser(np.clip(make(), -1, 1)).split()]
        print(f"| {name} | {count / 4:.2f} | {len(words)} {' '.join(words[:5])} |", flush=True)


def mixed(rng: np.random.Generator, sound: Samples) -> Samples:
    """Bring a sound to a usual level over a faint floor."""
    floor = augment.coloured(rng, len(sound), 1.0) * 2e-4
    return (sound * rng.uniform(0.01, 0.1) + floor).astype(np.float32)


if __name__ == "__main__":
    main()
