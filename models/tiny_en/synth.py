"""Write packs of synthetic speech: one PCM file and one line of JSON per utterance."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from random import Random

from models.tiny_en import text, voices, wordnet
from models.tiny_en.folders import WORK

NARROW = {"digits": 5, "phrase": 1, "dictation": 2}
"""Kinds of the first, easy pack: few words, short."""
PEOPLE = ("asterisk_prompts", "common_voice", "ljspeech", "picovoice_barista", "speechocean762")
"""Sets of `people` whose sentences are spoken by synthetic voices, too."""
EDGE = ""
"""Stands for both ends of a sentence in a chain of words."""


def main() -> None:
    """Speak `--count` sentences with one family of voices into the pack `--name`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--name", required=True)
    parser.add_argument("--family", choices=sorted(voices.FAMILIES), required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    domains = ["narrow", "wide", "held", "people", "wordnet"]
    parser.add_argument("--domain", choices=domains, default="wide")
    options = parser.parse_args()
    rng = Random(f"{options.name}{options.seed}")
    folder = options.work / "packs"
    folder.mkdir(parents=True, exist_ok=True)
    if options.domain == "people":
        try:
            said = said_by_people(folder)
        except FileNotFoundError as error:
            parser.error(f"no {error.filename}: make it with models.tiny_en.people")
        drawn = like_people(said, options.count, rng)
    elif options.domain == "wordnet":
        try:
            examples = wordnet.examples()
        except FileNotFoundError as error:
            parser.error(f"no {error.filename}: apt-get install wordnet-base")
        some = rng.sample(examples, min(options.count, len(examples)))
        drawn = [("wordnet", one) for one in some]
    else:
        drawn = sentences(options.domain, options.count, rng)
    write_pack(folder / options.name, options.family, drawn, rng)


def sentences(domain: str, count: int, rng: Random) -> list[tuple[str, str]]:
    """Draw `count` pairs of kind and sentence."""
    if domain == "held":
        held = [("held", sentence) for sentence in sorted(text.HELD_OUT)]
        return held + [("digits", text.digits(rng)) for _ in range(count)]
    weights = NARROW if domain == "narrow" else text.WEIGHTS
    return [text.sentence(rng, weights) for _ in range(count)]


def said_by_people(packs: Path) -> list[str]:
    """Return what people of the training part say; speakers set apart are in other packs."""
    found = {
        json.loads(line)["text"]
        for name in PEOPLE
        for line in (packs / f"p-{name}.jsonl").read_text().splitlines()
    }
    return sorted(found)


def like_people(texts: list[str], count: int, rng: Random) -> list[tuple[str, str]]:
    """Draw sentences of people, stretches of them, and new ones of their pairs of words.

    The new ones are walks through the table of which word follows which (a chain of Markov): open
    text needs more words, and more neighbours of each, than templates have.
    """
    follows: dict[str, list[str]] = defaultdict(list)
    for sentence in texts:
        words = [EDGE, *sentence.split(), EDGE]
        for one, other in pairwise(words):
            follows[one].append(other)
    return [_like_people(texts, follows, rng) for _ in range(count)]


def _like_people(texts: list[str], follows: dict[str, list[str]], rng: Random) -> tuple[str, str]:
    if rng.random() < 0.4:
        words = rng.choice(texts).split()
        start = rng.randrange(max(1, len(words) - 7))
        return "people", " ".join(words[start : start + rng.randint(3, 12)])
    return "chain", " ".join(_walk(follows, rng.randint(3, 12), rng))


def _walk(follows: dict[str, list[str]], most: int, rng: Random) -> Iterable[str]:
    word = EDGE
    for _ in range(most):
        word = rng.choice(follows[word])
        if word == EDGE:
            return
        yield word


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
