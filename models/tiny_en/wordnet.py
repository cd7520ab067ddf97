"""Take the sentences that explain words in WordNet: English as people write it, on everything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from models.tiny_en.text import HELD_OUT

FOLDER = Path("/usr/share/wordnet")
"""Where Debian's `wordnet-base` puts its files; WordNet 3.0 may be used for any purpose."""
FILES = ("data.noun", "data.verb", "data.adj", "data.adv")
"""Files of its glosses, in each of which examples stand in quotation marks."""
LENGTHS = range(3, 15)
"""Words of an example that a voice is asked to say."""
QUOTED = re.compile(r'"([^"]+)"')
MARKS = re.compile(r"[,;:.!?]+|\s-{1,2}\s|(?<=\w)-(?=\w)")
"""What is not said; words joined by a hyphen are written apart, as in other text."""
SPOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?(?: [a-z]+(?:'[a-z]+)?)*")
"""Nothing but words: no figures, no names of chemists' things, no quotation in a quotation."""


def examples(folder: Path = FOLDER) -> list[str]:
    """Return every example of `LENGTHS` words, in lower case, each once, in order of the alphabet.

    Raises FileNotFoundError where WordNet is not installed (`apt-get install wordnet-base`).
    """
    lines: set[str] = set()
    for name in FILES:
        lines.update(spoken((folder / name).read_text("utf-8", errors="replace").splitlines()))
    return sorted(lines)


def spoken(lines: Iterable[str]) -> Iterator[str]:
    """Take the examples out of lines of a data file: synset | gloss; "example"; "example"."""
    for line in lines:
        for quoted in QUOTED.findall(line.partition(" | ")[2]):
            said = " ".join(MARKS.sub(" ", quoted.lower()).split())
            fits = SPOKEN.fullmatch(said) and len(said.split()) in LENGTHS
            if fits and not any(held in said for held in HELD_OUT):
                yield said
