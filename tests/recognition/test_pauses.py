"""Lines that end at pauses: the same words as on a fixed grid, sooner, and none for silence."""

from collections.abc import Sequence

import numpy as np
import pytest
from sounds import (
    VOCABULARY,
    Spoken,
    cut_every,
    dictation,
    noise,
    silence,
    spoken,
    text_in,
    transcribed,
)

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples, to_samples
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.windows import Window, into_windows

AT_PAUSE = Geometry.of(15, 2, 600)


def phrases(seed: int, seconds: float, *, longest: float = 2.5, run: int = 7) -> list[Spoken]:
    """Return words in phrases of up to `run` with pauses of up to `longest` s between them."""
    rng = np.random.default_rng(seed)
    at, words = float(rng.uniform(0.1, 2)), list[Spoken]()
    while at < seconds - 3:
        for _ in range(int(rng.integers(1, run))):
            if at > seconds - 1:
                break
            length = float(rng.uniform(0.15, 0.4))
            words.append((VOCABULARY[int(rng.integers(26))], at, at + length))
            at += length + float(rng.uniform(0.08, 0.2))
        at += float(rng.uniform(0.2, longest))
    return words


def cut(audio: Samples, geometry: Geometry = AT_PAUSE, block: int = 4096) -> list[Window]:
    return list(into_windows(cut_every(audio, block), geometry))


@pytest.mark.parametrize("room", [0.0, 1e-4, 2e-3])
@pytest.mark.parametrize("seed", range(8))
def test_every_word_comes_once(seed: int, room: float) -> None:
    words = phrases(seed, 90)
    audio = spoken(words, 90) + noise(90, room, seed)
    assert transcribed(audio, geometry=AT_PAUSE).text == text_in(words)


@pytest.mark.parametrize("seed", range(4))
def test_every_word_comes_once_where_pauses_are_long(seed: int) -> None:
    words = phrases(seed, 150, longest=30)
    assert transcribed(spoken(words, 150), geometry=AT_PAUSE).text == text_in(words)


@pytest.mark.parametrize("seed", range(4))
def test_every_word_comes_once_where_pauses_are_rare(seed: int) -> None:
    words = phrases(seed, 120, run=120)
    run = transcribed(spoken(words, 120), geometry=AT_PAUSE)
    assert run.text == text_in(words)
    assert all(line.stop - line.start <= 15 * SAMPLE_RATE for line in run.lines)


@pytest.mark.parametrize("seconds", [30, 60])
def test_a_line_of_many_windows_ends_at_a_pause_too(seconds: float) -> None:
    geometry = Geometry.of(seconds, 2, 600)
    words = phrases(5, 140, run=60)
    run = transcribed(spoken(words, 140), geometry=geometry)
    assert run.text == text_in(words)
    assert all(line.stop - line.start <= seconds * SAMPLE_RATE for line in run.lines)


def test_a_line_ends_with_the_speech_before_a_pause() -> None:
    words = [("alfa", 1.0, 1.4), ("bravo", 1.6, 2.0), ("charlie", 3.2, 3.6)]
    run = transcribed(spoken(words, 5), geometry=AT_PAUSE)
    assert run.texts == ["alfa bravo", "charlie"]
    assert run.lines[0].stop == to_samples(2.2)


def test_a_short_pause_ends_no_line() -> None:
    words = [("alfa", 1.0, 1.4), ("bravo", 1.9, 2.3), ("charlie", 2.8, 3.2)]
    assert transcribed(spoken(words, 5), geometry=AT_PAUSE).texts == ["alfa bravo charlie"]


def test_the_window_is_there_when_the_pause_is_long_enough() -> None:
    audio = spoken([("alfa", 1.0, 1.4)], 2.0)
    assert cut(audio[: to_samples(1.98)])[0].final
    first = cut(audio)[0]
    assert (first.final, first.at_pause, first.closes_line) == (False, True, True)
    assert first.stop == to_samples(1.6)


@pytest.mark.parametrize("audio", [silence(70), noise(70)], ids=["zeros", "a room"])
def test_silence_gives_no_line_and_no_decode(audio: Samples) -> None:
    run = transcribed(audio, geometry=AT_PAUSE)
    assert run.lines == []
    assert run.account.silent == len(audio)


def test_a_line_does_not_end_shortly_after_speech_began() -> None:
    # 13.5 s of silence behind the first word: on the grid a window would end within the second.
    words = [("alfa", 0.5, 0.9), *[(t, a + 14.4, b + 14.4) for t, a, b in dictation(6)]]
    assert transcribed(spoken(words, 22), geometry=AT_PAUSE).texts == [
        "alfa",
        text_in(words[1:]),
    ]


CUTS = [(0, (1,)), *((s, c) for s in range(3) for c in ((160,), (7, 3000, 1), (48_000, 5)))]
"""Seeds, and the sizes of blocks; those of one sample take long."""


@pytest.mark.parametrize(("seed", "sizes"), CUTS)
def test_how_the_stream_is_cut_leaves_no_trace(seed: int, sizes: Sequence[int]) -> None:
    seconds = 6 if sizes == (1,) else 40
    audio = spoken(phrases(seed, seconds), seconds)
    pieces: list[Samples] = []
    at = 0
    while at < len(audio):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(audio[at : at + size])
        at += size
    found, expected = list(into_windows(pieces, AT_PAUSE)), cut(audio)
    assert [(w.start, w.stop, w.cut) for w in found] == [(w.start, w.stop, w.cut) for w in expected]


def test_a_stop_behind_the_last_line_has_nothing_to_decode() -> None:
    for room in (1e-4, 2e-3):
        audio = spoken([("alfa", 1.0, 1.4)], 4) + noise(4, room, 3)
        assert [w.final for w in cut(audio) if not w.silent] == [False]


def test_an_hour_with_400_pauses_keeps_every_word() -> None:
    rng = np.random.default_rng(9)
    words, at = list[Spoken](), 0.5
    for _ in range(400):
        for _ in range(int(rng.integers(3, 12))):
            words.append((VOCABULARY[int(rng.integers(26))], at, at + 0.3))
            at += float(rng.uniform(0.4, 0.6))
        at += float(rng.uniform(0.7, 10))
    audio = spoken(words, at + 1)
    assert transcribed(audio, geometry=AT_PAUSE).text == text_in(words)
