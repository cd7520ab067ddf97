"""Sentences taken out of WordNet: words alone, each once, none of the evaluation's."""

from pathlib import Path

import pytest

from models.tiny_en import wordnet
from models.tiny_en.text import HELD_OUT

NOUNS = """\
  1 This software and database is being provided to you, "the licensee of this line", by
00001740 03 n 01 entity 0 000 | that which is perceived; "the meaning of a word"; "on it"
00002137 03 n 01 abstraction 0 000 | a concept; "the jar had a wide mouth, a good-sized lid"
00002138 03 n 01 figure 0 000 | a number; "it cost 200 dollars a week"; "The Jar had a wide mouth!"
"""


def data(folder: Path, nouns: str) -> Path:
    """Write the four files of WordNet, three of them empty."""
    for name in wordnet.FILES:
        (folder / name).write_text(nouns if name == "data.noun" else "")
    return folder


def test_examples_are_spoken_words_each_once(tmp_path: Path) -> None:
    assert wordnet.examples(data(tmp_path, NOUNS)) == [
        "the jar had a wide mouth",
        "the jar had a wide mouth a good sized lid",
        "the meaning of a word",
    ]


def test_a_sentence_of_the_evaluation_is_left_out(tmp_path: Path) -> None:
    held = min(HELD_OUT)
    lines = f'1 03 n | gloss; "well {held} again"; "go on and say more"\n'
    assert wordnet.examples(data(tmp_path, lines)) == ["go on and say more"]


def test_without_wordnet_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"data\.noun"):
        wordnet.examples(tmp_path)
