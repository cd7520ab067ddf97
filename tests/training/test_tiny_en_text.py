"""The sentences tiny-en is trained on: none of the evaluation's, nothing left unfilled."""

import re
import runpy
from pathlib import Path
from random import Random
from typing import Any

import pytest

TEXT: dict[str, Any] = runpy.run_path(
    str(Path(__file__).parents[2] / "models" / "tiny_en" / "text.py")
)


@pytest.mark.parametrize("kind", sorted(TEXT["KINDS"]))
def test_every_kind_is_words_in_letters(kind: str) -> None:
    rng = Random(0)
    for _ in range(500):
        drawn, words = TEXT["sentence"](rng, {kind: 1})
        assert drawn == kind
        assert re.fullmatch(r"[a-z']+( [a-z']+)*", words)


def test_every_mark_has_words() -> None:
    templates = [entry for entries in TEXT["WORDS"].values() for entry in entries]
    for template in templates:
        assert "{" not in TEXT["filled"](Random(1), template)


def test_a_held_out_sentence_is_never_drawn() -> None:
    rng = Random(2)
    held = sorted(TEXT["HELD_OUT"])
    assert len(held) == 30
    draws = iter([held[0], f"please {held[1]} now", "go on"])
    TEXT["KINDS"]["fake"] = lambda _: next(draws)
    try:
        assert TEXT["sentence"](rng, {"fake": 1}) == ("fake", "go on")
    finally:
        del TEXT["KINDS"]["fake"]
