"""Mix packs, real digits and wordless sound into batches, endlessly."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from models.tiny_en import augment
from models.tiny_en.text import DIGITS
from models.tiny_en.voices import to_rate, trimmed

Samples = NDArray[np.float32]
RATE = 16_000
HELD_SPEAKER = "theo"
"""The real speaker never trained on."""
HELD_TAKES = range(5)
"""Takes of the other speakers never trained on."""


MIN_CROPPED = 3
"""Words of an utterance that may be cropped."""
MIN_KEPT = RATE // 4
"""Samples that are left of it at least: 0.25 s."""
LEFT = 0.6
"""How often the beginning is cut off rather than the end; half as often, both are."""


@dataclass(frozen=True)
class Stage:
    """What a stretch of the training is fed; the schedule is a list of these."""

    until: int
    rate: float
    rate_end: float = 0.0
    """Where the rate has gone, in a straight line, when the stage ends; 0 keeps it."""
    packs: tuple[str, ...] = ("n-",)
    real: float = 0.2
    joined: float = 0.0
    cropped: float = 0.0
    """How often an utterance begins or ends in the midst of speech, as a window does."""
    wordless: float = 0.02
    strength: float = 0.0
    masks: float = 0.0
    """How much features are stretched and masked; 0: as `strength` says, with narrower stripes."""
    dropout: float = 0.0
    """Share of activations that are left out, and half as often a layer."""
    longest: float = 6.0
    seconds: float = 64.0
    ctc: float = 1.0
    tdt: float = 0.0
    speakers: tuple[str, ...] = ("jackson", "nicolas", "yweweler")
    kinds: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    """How much oftener than others a pack is drawn, by the beginning of its name."""


@dataclass(frozen=True)
class Item:
    """One utterance of a pack."""

    text: str
    pcm: NDArray[np.int16]
    kind: str
    starts: tuple[int, ...] = ()
    """Samples at which its words begin, if `align` has looked."""


def schedule(path: Path) -> list[Stage]:
    """Read the stages from JSON."""
    stages = json.loads(path.read_text())
    return [Stage(**_without_lists(fields)) for fields in stages]


def _without_lists(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def packs(work: Path, known: Container[str] = (), *, weak: bool = False) -> dict[str, list[Item]]:
    """Open every finished pack that is not known yet, with its `weak` labels or without."""
    found = {}
    for index in sorted((work / "packs").glob("*.jsonl")):
        if index.stem not in known:
            pcm = np.memmap(index.with_suffix(".pcm"), "<i2", "r")
            entries = [json.loads(line) for line in index.read_text().splitlines()]
            aligned = index.with_suffix(".starts.json")
            starts = json.loads(aligned.read_text()) if aligned.exists() else [()] * len(entries)
            doubted = index.with_suffix(".weak.json")
            left_out = set(json.loads(doubted.read_text()) if doubted.exists() and not weak else ())
            found[index.stem] = [
                Item(e["text"], pcm[e["start"] : e["start"] + e["length"]], e["kind"], tuple(begun))
                for place, (e, begun) in enumerate(zip(entries, starts, strict=True))
                if place not in left_out
            ]
    return found


def real_digits(
    folder: Path, keep: Callable[[str, int], bool]
) -> dict[str, dict[int, list[Samples]]]:
    """Read the recorded digits as speaker → digit → takes, those that `keep(speaker, take)`."""
    found: dict[str, dict[int, list[Samples]]] = {}
    for path in sorted(folder.glob("*.wav")):
        digit, speaker, take = path.stem.split("_")
        if keep(speaker, int(take)):
            samples, rate = soundfile.read(path, dtype="float32")
            takes = found.setdefault(speaker, {}).setdefault(int(digit), [])
            takes.append(trimmed(to_rate(samples, rate), margin=400))
    return found


def trained(speaker: str, take: int) -> bool:
    """Say whether a recording may be trained on, whoever speaks."""
    del speaker
    return take not in HELD_TAKES


def digit_string(
    rng: np.random.Generator, takes: dict[int, list[Samples]], count: int, *, variety: float = 0.0
) -> tuple[str, Samples]:
    """Join digits of one speaker to a string with uneven gaps; `variety` bends each digit."""
    words, parts = [], []
    pace = rng.choice([0.03, 0.12, 0.3])
    for _ in range(count):
        digit = int(rng.integers(0, 10))
        words.append(DIGITS[digit])
        one = takes[digit][int(rng.integers(0, len(takes[digit])))]
        if variety:
            one = augment.resampled(one, float(np.exp(rng.normal(0, 0.08 * variety))))
            # How long a last consonant rings out differs between people more than all else.
            one = faded(one, int(rng.uniform(0, 0.06 * variety) * RATE), int(0.01 * RATE))
        gap = np.zeros(int(RATE * rng.exponential(pace)), np.float32)
        parts += [one * np.float32(rng.uniform(0.6, 1.0)), gap]
    return " ".join(words), np.concatenate(parts)


def faded(samples: Samples, cut: int, fade: int) -> Samples:
    """Cut the end off, and let the new end fade."""
    kept = samples[: max(len(samples) - cut, len(samples) // 2)].copy()
    kept[-fade:] *= np.linspace(1, 0, min(fade, len(kept)), dtype=np.float32)
    return kept


class Mixture:
    """Draws utterances as a stage asks for them."""

    def __init__(self, work: Path, digits: Path, seed: int) -> None:
        """Open what there is."""
        self.work, self.rng = work, np.random.default_rng(seed)
        self.real = real_digits(digits, trained)
        self.packs: dict[str, list[Item]] = {}
        noises = work / "noises.npy"
        if noises.exists():
            augment.RECORDED[:] = [np.load(noises, mmap_mode="r")]
        self.refresh()

    def refresh(self) -> None:
        """Take in packs finished since."""
        self.packs |= packs(self.work, self.packs)

    def spoken(self, stage: Stage) -> tuple[str, Samples]:
        """Draw one clean utterance from the packs."""
        names = [n for n in self.packs if n.startswith(stage.packs)]
        sizes = np.array([len(self.packs[n]) * weight(n, stage.weights) for n in names])
        pack = self.packs[names[self.rng.choice(len(names), p=sizes / sizes.sum())]]
        item = pack[int(self.rng.integers(0, len(pack)))]
        while stage.kinds and item.kind not in stage.kinds:
            item = pack[int(self.rng.integers(0, len(pack)))]
        if self.rng.random() < stage.cropped:
            return cropped(self.rng, item)
        return item.text, item.pcm.astype(np.float32) / np.float32(32_768)

    def digits(self, stage: Stage) -> tuple[str, Samples]:
        """Draw one string of real digits."""
        speaker = stage.speakers[int(self.rng.integers(0, len(stage.speakers)))]
        count = int(self.rng.choice([1, 2, 3, 4, 5, 6, 8]))
        return digit_string(self.rng, self.real[speaker], count, variety=1.0)

    def utterance(self, stage: Stage) -> tuple[str, Samples]:
        """Draw one utterance, clean or spoiled, not longer than the stage allows."""
        rng, most = self.rng, int(stage.longest * RATE)
        if rng.random() < stage.wordless:
            return "", augment.wordless(rng, int(RATE * rng.uniform(0.4, stage.longest)))
        words, samples = self.digits(stage) if rng.random() < stage.real else self.spoken(stage)
        while rng.random() < stage.joined and len(samples) < most // 2:
            more, other = self.digits(stage) if rng.random() < stage.real else self.spoken(stage)
            pause = np.zeros(int(RATE * rng.uniform(0.1, 1.5)), np.float32)
            longer = np.concatenate([samples, pause, other * np.float32(rng.uniform(0.5, 1))])
            if len(longer) > most:
                break
            words, samples = f"{words} {more}", longer
        ends = rng.exponential(0.15 + 0.3 * stage.strength, 2)
        edges = [np.zeros(int(RATE * min(1.5, float(end))), np.float32) for end in ends]
        samples = np.concatenate([edges[0], samples, edges[1]])
        return words, augment.augmented(rng, samples, stage.strength)

    def batches(
        self, stage: Callable[[], Stage]
    ) -> Iterator[tuple[list[str], Samples, NDArray[np.int64]]]:
        """Yield texts, zero-padded samples and lengths, of like length together, without end."""
        while True:
            now = stage()
            pool: list[tuple[str, Samples]] = []
            while len(pool) < max(128, 4 * now.seconds):
                words, samples = self.utterance(now)
                if 0.3 * RATE <= len(samples) <= now.longest * RATE * 1.2:
                    pool.append((words, samples))
            pool.sort(key=lambda one: len(one[1]))
            groups: list[list[tuple[str, Samples]]] = [[]]
            for one in pool:
                if (len(groups[-1]) + 1) * len(one[1]) > now.seconds * RATE:
                    groups.append([])
                groups[-1].append(one)
            for pick in self.rng.permutation(len(groups)):
                if groups[pick]:
                    yield padded(groups[pick])
            self.refresh()


def cropped(rng: np.random.Generator, item: Item) -> tuple[str, Samples]:
    """Begin in the midst of a word, which is not written then, or end where one begins."""
    samples, words = item.pcm.astype(np.float32) / np.float32(32_768), item.text.split()
    starts = item.starts
    if len(starts) != len(words) or len(words) < MIN_CROPPED:
        return item.text, samples
    first, last = 0, len(words)
    if rng.random() < LEFT:
        first = int(rng.integers(1, len(words) - 1))
    if not first or rng.random() < LEFT / 2:
        last = int(rng.integers(first + 1, len(words)))
    # A piece is said up to a frame or two after its sound sets in.
    half = (starts[first - 1] + starts[first]) / 2
    begin = int(rng.uniform(half, starts[first]) - 0.08 * RATE) if first else 0
    end = starts[last] - int(rng.uniform(0.06, 0.16) * RATE) if last < len(words) else len(samples)
    kept = samples[max(0, begin) : max(end, begin + MIN_KEPT)]
    return " ".join(words[first:last]), kept


def weight(name: str, weights: dict[str, float]) -> float:
    """Find how often a pack is drawn by how its name begins; 1 if nothing is said."""
    return next((value for start, value in weights.items() if name.startswith(start)), 1.0)


def padded(group: list[tuple[str, Samples]]) -> tuple[list[str], Samples, NDArray[np.int64]]:
    """Stack utterances of uneven length."""
    lengths = np.array([len(samples) for _, samples in group])
    stacked = np.zeros((len(group), int(lengths.max())), np.float32)
    for row, (_, samples) in zip(stacked, group, strict=True):
        row[: len(samples)] = samples
    return [words for words, _ in group], stacked, lengths
