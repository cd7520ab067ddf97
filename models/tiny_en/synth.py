"""Write packs of synthetic speech: one PCM file and one line of JSON per utterance."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

from models.tiny_en import text, voices
from models.tiny_en.folders import WORK

NARROW = {"digits": 5, "phrase": 1, "dictation": 2}
"""Kinds of the first, easy pack: few words, short."""


def main() -> None:
    """Speak `--count` sentences with one family of voices into the pack `--name`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--name", required=True)
    parser.add_argument("--family", choices=sorted(voices.FAMILIES), required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--domain", choices=["narrow", "wide", "held"], default="wide")
    options = parser.parse_args()
    rng = Random(f"{options.name}{options.seed}")
    folder = options.work / "packs"
    folder.mkdir(parents=True, exist_ok=True)
    write_pack(
        folder / options.name, options.family, sentences(options.domain, options.count, rng), rng
    )


def sentences(domain: str, count: int, rng: Random) -> list[tuple[str, str]]:
    """Draw `count` pairs of kind and sentence."""
    if domain == "held":
        held = [("held", sentence) for sentence in sorted(text.HELD_OUT)]
        return held + [("digits", text.digits(rng)) for _ in range(count)]
    weights = NARROW if domain == "narrow" else text.WEIGHTS
    return [text.sentence(rng, weights) for _ in range(count)]


def write_pack(path: Path, family: str, drawn: list[tuple[str, str]], rng: Random) -> None:
    """Speak what was drawn; the index is written last, so a pack without one is unfinished."""
    lines, start = [], 0
    with path.with_suffix(".pcm").open("wb") as pcm:
        for kind, sentence, said in voices.spoken(family, drawn, rng):
            pcm.write((said.samples * 32_767).astype("<i2").tobytes())
            entry = {"text": sentence, "voice": said.voice, "kind": kind, "start": start}
            lines.append(json.dumps(entry | {"length": len(said.samples)}))
            start += len(said.samples)
    path.with_suffix(".jsonl").write_text("\n".join(lines) + "\n")
    print(f"{path.name}: {len(lines)} utterances, {start / voices.RATE / 60:.1f} min")


if __name__ == "__main__":
    main()
