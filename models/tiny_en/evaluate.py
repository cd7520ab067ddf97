"""Measure the shipped files: word errors by kind, noise, length; words heard where none are."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from models.present import present
from models.tiny_en import augment, export
from models.tiny_en.cases import (
    PLACES,
    RATE,
    WINDOW,
    Case,
    Pair,
    Samples,
    by_utterance,
    edged,
    grouped,
    heading,
    joined,
    listened,
    recorded,
    row,
    with_noise,
)
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

JFK = (
    "and so my fellow americans ask not what your country can do for you "
    "ask what you can do for your country"
)


def main() -> None:
    """Print the tables of the model card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--digits", type=present, required=True)
    parser.add_argument("--model", type=present, default=export.SHIPPED)
    parser.add_argument(
        "--jfk", type=present, help="a public-domain speech, reported whatever comes out"
    )
    parser.add_argument(
        "--people", type=present, help="test/data of Debian's pocketsphinx-testdata, likewise"
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


def score(recogniser: Recogniser, cases: Iterable[Case], *, show: bool = False) -> list[Pair]:
    """Listen to all cases; `show` prints what is heard wrong."""
    pairs = list(listened(recogniser, cases))
    for said_, heard in pairs:
        if show and said_ != heard:
            print(f"    {said_}\n  → {heard}")
    return pairs


def apart(work: Path) -> dict[str, list[Case]]:
    """Collect the people that `people` set apart, by kind of speech and set."""
    kinds: dict[str, list[Case]] = {}
    for name, items in packs(work).items():
        if name.startswith("v-"):
            for item in items:
                kinds.setdefault(f"{item.kind}, {name[2:]}", []).append(said(item))
    return dict(sorted(kinds.items()))


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


def lengths(recogniser: Recogniser, sets: dict[str, list[Case]]) -> None:
    """Sort all utterances by length, and join them to fill windows of 15 s."""
    heading("length", "all sets above together")
    cases = [case for cases in sets.values() for case in cases]
    for low, high in ((0, 2), (2, 4), (4, 8), (8, 15)):
        some = [case for case in cases if low * RATE <= len(case[1]) < high * RATE]
        row(f"{low} to {high} s", score(recogniser, some))


def streamed(
    recogniser: Recogniser, sets: dict[str, list[Case]], options: argparse.Namespace
) -> None:
    """Join all sets to windows, and to minutes that the recorder has to cut into windows."""
    heading("joined", "0.6 s between two utterances")
    command = [options.recorder]
    places: dict[str, list[Pair]] = {}
    for name, cases in sets.items():
        windows = map(joined, grouped(cases, WINDOW))
        row(f"{name}, one window of 15 s", score(recogniser, windows))
        minutes = []
        for group in grouped(cases, 4 * WINDOW):
            words, samples = joined(group)
            chunks = recorded(samples, command, "--model", str(options.model))
            minutes.append((words, " ".join(chunk["text"] for chunk in chunks)))
            for where, case, heard in by_utterance(group, chunks):
                places.setdefault(f"{where}, alone", []).extend(score(recogniser, [case]))
                places.setdefault(f"{where}, in the recorder", []).append((case[0], heard))
        row(f"{name}, 60 s through the recorder", minutes)
    heading("seams", "all sets above; a seam is within 0.3 s of the utterance")
    for where in PLACES:
        for how in ("alone", "in the recorder"):
            row(f"{where}, {how}", places.get(f"{where}, {how}", []))


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
