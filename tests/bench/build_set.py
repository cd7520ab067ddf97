"""Make recordings of voices that tiny-en was never trained on, with their words.

    python tests/bench/build_set.py FOLDER [--count 200] [--seed 1234]

flite's slt is set apart from all training (models/tiny_en/voices.toml); so are the sentences of
`held_out` in words.toml. Every other recording is a sentence drawn from the templates, 1 to 3 of
them with pauses between, quiet or loud, in low noise. Needs flite. The same seed gives the same
recordings; what is there already is made again.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from models.tiny_en.text import HELD_OUT, phrase  # noqa: E402  the path comes first

RATE = 16_000
VOICE = "slt"
LOUDEST = 0.9


def main() -> None:
    """Write the sound files and words.tsv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1234)
    options = parser.parse_args()
    if shutil.which("flite") is None:
        sys.exit("flite is not installed: apt install flite")
    options.folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(options.seed)
    held = sorted(HELD_OUT)
    rows = []
    for number in range(options.count):
        texts = [
            rng.choice(held) if rng.random() < 0.5 else phrase(rng)
            for _ in range(rng.choice((1, 1, 1, 2, 3)))
        ]
        name = f"{number:03}.wav"
        write(options.folder / name, assembled(texts, rng))
        rows.append(f"{name}\t{' '.join(texts)}")
    (options.folder / "words.tsv").write_text("\n".join(("path\ttext", *rows, "")), "utf-8")


def assembled(texts: list[str], rng: random.Random) -> NDArray[np.float32]:
    """Return sentences with pauses, at some loudness, in the noise of a room; shape (n,)."""
    noise = np.random.default_rng(rng.getrandbits(32))
    parts = [np.zeros(round(rng.uniform(0.3, 0.8) * RATE), np.float32)]
    for text in texts:
        parts += [spoken(text), np.zeros(round(rng.uniform(0.4, 1.2) * RATE), np.float32)]
    audio = np.concatenate(parts)
    audio *= rng.uniform(0.1, 0.7) / max(float(np.abs(audio).max()), 1e-6)
    low = noise.standard_normal(len(audio)).astype(np.float32) * rng.choice((3e-4, 1e-3, 3e-3))
    return np.clip(audio + low, -LOUDEST, LOUDEST).astype(np.float32)


def spoken(text: str) -> NDArray[np.float32]:
    """Return a sentence as flite says it, shape (n,) at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        command = ["flite", "-voice", VOICE, "-t", text, "-o", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        with wave.open(str(path)) as file:
            if file.getframerate() != RATE:
                sys.exit(f"flite speaks at {file.getframerate()} Hz, not at {RATE}")
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return np.asarray(pcm / 32_768, np.float32)


def write(path: Path, audio: NDArray[np.float32]) -> None:
    """Write a WAV file of 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(audio * 32_767).astype("<i2").tobytes())


if __name__ == "__main__":
    main()
