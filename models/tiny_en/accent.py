"""Bend phonemes towards what speakers of another first language make of them.

The habits are such as books for teachers list (M. Swan, B. Smith: Learner English, Cambridge 2001):
th as s or d, v as w, long vowels for short ones, full vowels for weak ones, ends of words left out
or followed by a vowel, and a pause before the next word. Which are here, and how often, is our
guess and was held against no speaker. The text stays what it was: that is what a listener writes.
"""
# ruff: noqa: RUF001  phonemes

from __future__ import annotations

import re
from random import Random

HABITS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("θ", ("s", "f", "t")),
    ("ð", ("d", "z", "l")),
    ("v", ("w", "f", "w")),
    ("z", ("s",)),
    ("ɪ", ("i",)),
    ("i", ("ɪ",)),
    ("æ", ("ɛ", "ɑ")),
    ("ɛ", ("æ",)),
    ("ʊ", ("u",)),
    ("ʌ", ("ɑ",)),
    ("ɔ", ("O", "ɑ")),
    ("A", ("ɛ",)),
    ("O", ("ɔ",)),
    ("ə", ("ɑ", "ɛ", "ʌ")),
    ("ŋ", ("n",)),
    ("n", ("ŋ",)),
    ("ɹ", ("l", "w")),
    ("l", ("ɹ",)),
    ("ʃ", ("s",)),
    ("ʒ", ("ɹ", "ʃ")),
    ("ʤ", ("ʒ", "ʧ")),
    ("T", ("t",)),
)
"""A sound and what may stand for it, in the phonemes of misaki, which hibari and Kokoro read."""
STOPS = "tdkɡpb"
"""At the end of a word they are left out, or a vowel follows."""


def bent(phonemes: str, rng: Random) -> str:
    """Return the phonemes of a sentence as one such speaker might say them.

    A speaker has some of the habits, and gives in to each now and then.
    """
    habits = {sound: rng.choice(others) for sound, others in HABITS if rng.random() < 0.4}
    often, ends, halts = rng.uniform(0.15, 0.7), rng.uniform(0, 0.4), rng.choice([0, 0, 0.1, 0.3])
    flat = rng.random() < 0.3
    words = []
    for word in phonemes.split(" "):
        said = "".join(
            habits[sound] if sound in habits and rng.random() < often else sound for sound in word
        )
        if rng.random() < ends:
            said = re.sub(rf"(?<=.)([{STOPS}])(\W*)$", _open(rng), said)
        if flat:
            said = said.replace("ˌ", "").replace("ˈ", "", rng.randint(0, 1))
        words.append(said + ("," if said[-1:].isalpha() and rng.random() < halts else ""))
    return " ".join(words)


def _open(rng: Random) -> str:
    """Return what becomes of a stop at the end of a word: nothing, or a vowel behind it."""
    return r"\2" if rng.random() < 0.6 else r"\1ə\2"
