"""What is said of sound that was left."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from parakeet_coreml.audio.source import Source
from parakeet_coreml.recording.summary import left_of


@dataclass
class Played:
    """A source of which only the length matters."""

    seconds: float | None


def said(seconds: float | None, used: float, reason: str | None, *, live: bool) -> str:
    source = cast("Source", cast("Any", Played(seconds)))
    return left_of(source, round(used * 16_000), reason, live=live)


@pytest.mark.parametrize(
    ("seconds", "used", "reason", "live", "words"),
    [
        (10.0, 4.0, "sigint", False, "6.0 s of the file"),
        (10.0, 4.0, "max_seconds", False, "6.0 s of the file"),
        (10.0, 4.0, "max_seconds", True, "6.0 s of the file"),
        (10.0, 4.0, "stop", True, ""),
        (10.0, 10.0, "max_seconds", False, ""),
        (10.0, 4.0, None, False, ""),
        (None, 4.0, "sigint", False, "the rest of the file"),
        (0.0, 4.0, "max_seconds", True, "--max-seconds ended it after 4.0 s"),
        (0.0, 4.0, "max_seconds", False, "--max-seconds ended it after 4.0 s"),
        (0.0, 4.0, "sigint", False, ""),
        (0.0, 4.0, "end_of_input", False, ""),
    ],
)
def test_what_an_end_left_unheard_is_told(
    seconds: float | None, used: float, reason: str | None, live: bool, words: str
) -> None:
    told = said(seconds, used, reason, live=live)
    assert words in told
    assert bool(told) == bool(words)
