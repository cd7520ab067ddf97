"""Make the sentences tiny-en is trained on: templates over word lists. Pure, given a generator."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from random import Random

WORDS: dict[str, list[str]] = {
    name: [" ".join(entry.split()) for entry in (lump.split("|") if "|" in lump else lump.split())]
    for name, lump in tomllib.loads(
        Path(__file__).with_name("words.toml").read_text("utf-8")
    ).items()
}
"""Word lists and phrases by name."""
HELD_OUT = frozenset(WORDS["held_out"])
"""Sentences of the evaluation."""
DIGITS, TEENS, TENS = WORDS["digits"], WORDS["teens"], WORDS["tens"]


def picker(rng: Random) -> Callable[[str], str]:
    """Make a function that draws from the list of a name."""
    return lambda name: rng.choice(WORDS[name])


def digits(rng: Random) -> str:
    """Say one to ten digits."""
    return " ".join(rng.choices(DIGITS, k=rng.choice([1, 1, 2, 3, 4, 5, 5, 6, 7, 8, 10])))


def cardinal(value: int) -> str:
    """Spell a number below one million."""
    if value < 10:
        return DIGITS[value]
    if value < 20:
        return TEENS[value - 10]
    if value < 100:
        rest = value % 10
        return TENS[value // 10 - 2] + (f" {DIGITS[rest]}" if rest else "")
    unit, word = (1000, "thousand") if value >= 1000 else (100, "hundred")
    rest = value % unit
    return f"{cardinal(value // unit)} {word}" + (f" {cardinal(rest)}" if rest else "")


def number(rng: Random) -> str:
    """Say a number as people use it: plain, ordinal, time, date, price, decimal."""
    pick = picker(rng)
    big = cardinal(int(10 ** rng.uniform(0, 5)))
    return rng.choice(
        [
            big,
            f"{big} {pick('units')}",
            f"{cardinal(rng.randint(1, 12))} {cardinal(rng.randint(10, 59))}",
            f"{cardinal(rng.randint(1, 12))} o'clock",
            f"{pick('months')} {pick('ordinals')}",
            f"the {pick('ordinals')} of {pick('months')}",
            f"{cardinal(rng.randint(0, 99))} point {rng.choice(DIGITS)}",
            f"{pick('days')} at {cardinal(rng.randint(1, 12))}",
            f"nineteen {cardinal(rng.randint(20, 99))}",
            f"twenty {cardinal(rng.randint(10, 40))}",
        ]
    )


def dictation(rng: Random) -> str:
    """Tell a computer what to do."""
    pick = picker(rng)
    what = rng.choice(
        [
            lambda: f"{pick('verbs')} {pick('objects')}",
            lambda: f"{pick('verbs')} {pick('objects')}",
            lambda: f"{pick('verbs')} {pick('objects')} and {pick('verbs')} {pick('objects')}",
            lambda: f"{pick('openers')} {pick('apps')} {cardinal(places(rng))}",
            lambda: f"{pick('verbs')} the {pick('tech')} {pick('tech')}",
            lambda: f"{pick('verbs')} the {pick('ordinals')} {pick('apps')}",
        ]
    )()
    if rng.random() < 0.35:
        what = f"{pick('heads')} {what}"
    if rng.random() < 0.35:
        what = f"{what} {pick('tails')}"
    return what


def places(rng: Random) -> int:
    """Draw the number of a tab, a line, a page: mostly a small one."""
    return rng.randint(1, 10) if rng.random() < 0.9 else rng.randint(1, 300)


MARKS = {"{p}": "places", "{n}": "things", "{f}": "folks", "{a}": "moods", "{t}": "whens"}
"""What a mark in a predicate stands for."""


def everyday(rng: Random) -> str:
    """Say a plain sentence about people, places and things."""
    pick = picker(rng)
    body = pick("predicates")
    for mark, name in MARKS.items():
        while mark in body:
            body = body.replace(mark, pick(name), 1)
    return f"{pick('subjects')} {body}"


def jumble(rng: Random) -> str:
    """Put common words in a row, so that sounds have to be heard and cannot be guessed."""
    common, tech = WORDS["common"], WORDS["tech"]
    pool = rng.choice([common, common, tech, common + tech])
    return " ".join(rng.choices(pool, k=rng.choice([1, 1, 2, 3, 4, 5, 6, 8])))


def phrase(rng: Random) -> str:
    """Say one of the fixed phrases."""
    pick = picker(rng)
    return pick("phrases")


KINDS: dict[str, Callable[[Random], str]] = {
    "digits": digits,
    "number": number,
    "dictation": dictation,
    "everyday": everyday,
    "jumble": jumble,
    "phrase": phrase,
}
"""Every kind of sentence by name."""

WEIGHTS = {"digits": 4, "number": 2, "dictation": 5, "everyday": 4, "jumble": 5, "phrase": 2}
"""How often a kind is spoken in the wide domain."""


def sentence(rng: Random, weights: dict[str, int]) -> tuple[str, str]:
    """Draw a kind and a sentence of it that is not held out."""
    while True:
        kind = rng.choices(list(weights), list(weights.values()))[0]
        text = " ".join(KINDS[kind](rng).split())
        if not any(held in text for held in HELD_OUT):
            return kind, text
