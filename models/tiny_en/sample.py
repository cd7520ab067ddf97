"""Write the sample that ships: commands by a held-out voice, digits by a held-out person."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile

from models.present import present
from models.tiny_en.folders import WORK
from models.tiny_en.mixture import HELD_SPEAKER, Item, Samples, packs, real_digits
from models.tiny_en.text import DIGITS

RATE = 16_000
SAMPLES = Path(__file__).parents[2] / "parakeet_coreml" / "samples"
SCRIPT = """
push the commit to the main branch|please open terminal two|# four one five seven|
delete the last line and save the file|# six seven one|please close the window and lock the door|
# nine two four six three|the children walked along the river|# one three four|
the doctor will come back tomorrow|
# five five three seven|# two nine
"""
"""What is said, `#` by the person; chosen among what the weights of 2026-11-23 heard right."""
PAUSE = int(0.78 * RATE)
"""Silence between two utterances."""


def main() -> None:
    """Join the utterances over a faint floor, and write them with what they say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--digits", type=present, required=True)
    options = parser.parse_args()
    takes = real_digits(options.digits, lambda who, take: who == HELD_SPEAKER and take < 10)[
        HELD_SPEAKER
    ]
    said = {i.text: spoken(i) for i in packs(options.work)["e-kokoro"]}
    parts, words = [np.zeros(RATE, np.float32)], []
    for entry in SCRIPT.replace("\n", "").split("|"):
        text = entry.lstrip("# ")
        words.append(text)
        if entry.startswith("#"):
            for place, word in enumerate(text.split()):
                one = takes[DIGITS.index(word)][place]
                parts += [one * np.float32(0.8), np.zeros(RATE // 12, np.float32)]
        else:
            parts.append(said[entry])
        parts.append(np.zeros(PAUSE, np.float32))
    samples = np.concatenate([*parts, np.zeros(RATE, np.float32)])
    samples += np.random.default_rng(0).standard_normal(len(samples)).astype(
        np.float32
    ) * np.float32(3e-4)
    SAMPLES.mkdir(exist_ok=True)
    soundfile.write(
        SAMPLES / "speech.wav", (samples * 32_767).astype("<i2"), RATE, subtype="PCM_16"
    )
    (SAMPLES / "speech.txt").write_text(" ".join(words) + "\n")
    print(f"{len(samples) / RATE:.1f} s, {len(' '.join(words).split())} words")


def spoken(item: Item) -> Samples:
    """Turn a pack's integers into samples."""
    return item.pcm.astype(np.float32) / np.float32(32_768)


if __name__ == "__main__":
    main()
