"""Make the sentences tiny-en is trained on: templates over word lists. Pure, given a generator."""

from __future__ import annotations

import re
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
    forms: list[Callable[[], str]] = [
        lambda: f"{pick('verbs')} {pick('objects')}",
        lambda: f"{pick('verbs')} {pick('objects')}",
        lambda: f"{pick('verbs')} {pick('objects')} and {pick('verbs')} {pick('objects')}",
        lambda: f"{pick('openers')} {pick('apps')} {cardinal(places(rng))}",
        lambda: f"{pick('verbs')} the {pick('tech')} {pick('tech')}",
        lambda: f"{pick('verbs')} the {pick('ordinals')} {pick('apps')}",
    ]
    what = rng.choice(forms)()
    if rng.random() < 0.35:
        what = f"{pick('heads')} {what}"
    if rng.random() < 0.35:
        what = f"{what} {pick('tails')}"
    return what


def places(rng: Random) -> int:
    """Draw the number of a tab, a line, a page: mostly a small one."""
    return rng.randint(1, 10) if rng.random() < 0.9 else rng.randint(1, 300)


def clock(rng: Random) -> str:
    """Say a time of day."""
    hour = cardinal(rng.randint(1, 12))
    minute = rng.choice(["", "", "o'clock", "fifteen", "thirty", cardinal(rng.randint(10, 59))])
    half = rng.choice(["", "", "", "a m", "p m", "in the morning", "in the evening", "tonight"])
    return f"{hour} {minute} {half}"


SHORT = {"p": "places", "n": "things", "f": "folks", "a": "moods", "t": "whens"}
"""What a mark of one letter stands for."""
FIGURES: dict[str, Callable[[Random], str]] = {
    "small": lambda rng: cardinal(rng.randint(1, 20)),
    "tensone": lambda rng: cardinal(rng.randint(1, 99)),
    "twenties": lambda rng: cardinal(rng.randint(15, 29)),
    "line": lambda rng: cardinal(rng.choice([places(rng), rng.randint(1, 999)])),
    "figures": lambda rng: " ".join(rng.choices(DIGITS, k=rng.randint(2, 7))),
    "clock": clock,
}
"""Marks that stand for numbers."""


def filled(rng: Random, template: str) -> str:
    """Put words in place of the {marks} of a template, and of the marks those words bring."""

    def word(mark: re.Match[str]) -> str:
        name = SHORT.get(mark[1], mark[1])
        return FIGURES[name](rng) if name in FIGURES else rng.choice(WORDS[name])

    while "{" in template:
        template = re.sub(r"{(\w+)}", word, template)
    return template


def everyday(rng: Random) -> str:
    """Say a plain sentence about people, places and things."""
    pick = picker(rng)
    return filled(rng, f"{pick('subjects')} {pick('predicates')}")


def wish(rng: Random) -> str:
    """Ask something of a machine at home or in the pocket."""
    body = filled(rng, rng.choice(WORDS["wishes"]))
    draw = rng.random()
    if draw < 0.08:
        return f"{rng.choice(['please', 'can you', 'could you', 'hey', 'okay'])} {body}"
    return f"{body} please" if draw < 0.12 else body


def order(rng: Random) -> str:
    """Ask something of an editor, a shell, a browser."""
    body = filled(rng, rng.choice(WORDS["orders"]))
    draw = rng.random()
    if draw < 0.1:
        return f"{rng.choice(WORDS['heads'])} {body}"
    return f"{body} {rng.choice(WORDS['tails'])}" if draw < 0.2 else body


def talk(rng: Random) -> str:
    """Say what people say to each other."""
    return filled(rng, rng.choice(WORDS["talks"]))


def noun(rng: Random) -> str:
    """Name a thing."""
    pick = picker(rng)
    if rng.random() < 0.3:
        return pick("whom")
    return f"{pick('dets')} {pick('qualities') if rng.random() < 0.4 else ''} {pick('nouns')}"


def clause(rng: Random) -> str:
    """Make a clause by grammar alone: any word may meet any other."""
    pick = picker(rng)

    def some(chance: float, words: str) -> str:
        return words if rng.random() < chance else ""

    subject, act, what = pick("who"), pick("acts"), some(0.7, noun(rng))
    where = some(0.5, f"{pick('preps')} {noun(rng)}")
    when = some(0.15, pick(rng.choice(["whens", "adverbs"])))
    really = some(0.1, pick("adverbs"))
    return rng.choice(
        [
            f"{subject} {really} {pick('wills')} {act} {what} {where} {when}",
            f"{subject} {really} {pick('pasts')} {what} {where} {when}",
            f"{noun(rng)} {pick('being')} {some(0.2, 'very')} {pick('qualities')} {where}",
            f"{some(0.7, pick('asks'))} {pick('helpers')} {subject} {act} {what} {when}",
            f"{some(0.1, 'please')} {act} {noun(rng)} {where} {when}",
        ]
    )


def grammar(rng: Random) -> str:
    """Say one clause, or two."""
    first = clause(rng)
    return f"{first} {rng.choice(WORDS['joins'])} {clause(rng)}" if rng.random() < 0.2 else first


def contracted(text: str) -> str:
    """Write "do not" and its like as they are mostly spoken."""
    for entry in WORDS["shorter"]:
        long, short = entry.split("=")
        text = re.sub(rf"\b{long}\b", short, text)
    return text


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
    "wish": wish,
    "order": order,
    "talk": talk,
    "grammar": grammar,
}
"""Every kind of sentence by name."""

WEIGHTS = {
    "digits": 3,
    "number": 3,
    "dictation": 4,
    "everyday": 4,
    "jumble": 3,
    "phrase": 3,
    "wish": 6,
    "order": 6,
    "talk": 5,
    "grammar": 7,
}
"""How often a kind is spoken in the wide domain."""


def sentence(rng: Random, weights: dict[str, int]) -> tuple[str, str]:
    """Draw a kind and a sentence of it that is not held out."""
    while True:
        kind = rng.choices(list(weights), list(weights.values()))[0]
        text = " ".join(KINDS[kind](rng).split())
        if not any(held in text for held in HELD_OUT):
            return kind, contracted(text) if rng.random() < 0.3 else text
