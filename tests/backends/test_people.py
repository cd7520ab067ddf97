"""The built-in model on people it never heard (tests/data/people): the errors it makes today.

The bounds are what `models.tiny_en.measure` found on 2026-11-28 plus a few words: they say what to
expect, and that a change of the windows, the search or the weights does not lose it. They are no
goals.
"""

from functools import cache
from pathlib import Path

import pytest
import specs

from models.tiny_en import measure
from models.tiny_en.cases import WINDOW, Case, Samples, counted, listened
from parakeet_coreml.backends.base import Backend
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.store.locate import BUILT_IN_DIRECTORY

PEOPLE = Path(__file__).parents[1] / "data" / "people"


@cache
def of(kind: str) -> list[Case]:
    """Return the recordings of a kind; of all for ""."""
    kinds = measure.cases(PEOPLE)
    return [case for name, found in kinds.items() if name.startswith(kind) for case in found]


@cache
def backend() -> Backend:
    opened, _ = open_backend(specs.spec_of("onnx", "tiny-en", BUILT_IN_DIRECTORY))
    return opened


def hear(sound: Samples) -> str:
    return measure.heard(backend(), sound)


def test_the_set_is_what_its_manifest_lists() -> None:
    files = [*PEOPLE.glob("*/*.opus")]

    assert len(files) == len(of("")) == 333
    assert sum(path.stat().st_size for path in files) < 3_000_000


# Measured: 4, 19, 7, 364 and 69.
@pytest.mark.parametrize(
    ("kind", "words", "most"),
    [
        ("digits", 36, 6),
        ("command", 160, 22),
        ("word", 21, 9),
        ("sentence", 802, 384),
        ("open", 103, 76),
    ],
)
def test_each_recording_alone(kind: str, words: int, most: int) -> None:
    found = counted(listened(hear, of(kind)))

    assert found.words == words
    assert found.wrong <= most


def test_commands_in_strings() -> None:
    found = counted(listened(hear, measure.strings(of("command"))))

    assert found.words == 160
    assert found.wrong <= 19  # 15 were measured


def test_the_recorder_hears_what_a_window_hears() -> None:
    windows = counted(listened(hear, measure.filled(of(""), WINDOW)))
    recorder = counted(listened(measure.streamed, measure.filled(of(""), 4 * WINDOW)))

    assert windows.words == recorder.words == 1122
    assert windows.wrong <= 508  # 483 were measured, and 494
    assert recorder.wrong <= windows.wrong + 0.02 * windows.words
