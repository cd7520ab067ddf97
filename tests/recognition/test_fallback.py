"""The ladder of attempts: which audio is asked for, in which order, and what is kept of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import (
    DEFAULT,
    Listener,
    decode_with_fallback,
    dictation,
    ears,
    noise,
    silence,
    spoken,
    tone,
    windows_of,
)

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, Samples, to_samples
from parakeet_coreml.backends.base import Backend, Hypothesis, Token
from parakeet_coreml.errors import BackendFailedError, ModelUnusableError
from parakeet_coreml.recognition.fallback import (
    AROUND,
    EARLIER,
    LEAD,
    NOISE,
    SPOKEN,
    Decoded,
)
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.windows import Window


def heard(*starts: int) -> Hypothesis:
    """Return one token at each sample."""
    return Hypothesis(tuple(Token(i, f"▁w{i}", at, 1280, 0.9) for i, at in enumerate(starts)))


UNDERSTOOD = heard(*range(0, MODEL_WINDOW, SAMPLE_RATE))
"""A word a second: no speech in it is left without one."""


@dataclass
class Script:
    """A backend that answers by number of call; empty where nothing is told."""

    answers: dict[int, Hypothesis | Exception] = field(default_factory=dict)
    always: Hypothesis = field(default_factory=Hypothesis)
    asked: list[Samples] = field(default_factory=list)
    max_samples: int = MODEL_WINDOW

    def transcribe(self, window: Samples, /) -> Hypothesis:
        assert 1 <= len(window) <= self.max_samples
        self.asked.append(window)
        answer = self.answers.get(len(self.asked) - 1, self.always)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None: ...


def window_of(
    audio: Samples, start: int = 0, *, silent: bool = False, voiced: int | None = None
) -> Window:
    stop = start + len(audio)
    spoken_in = len(audio) if voiced is None else voiced
    speech = ((start, start + spoken_in),) if spoken_in else ()
    return Window(start, stop, stop, audio, silent=silent, speech=speech)


def results(windows: Sequence[Window], backend: Script | Listener) -> list[Decoded]:
    return list(decode_with_fallback(windows, backend))


def starts_of(decoded: Decoded) -> list[int]:
    return [t.start for t in decoded.hypothesis.tokens]


TALK = spoken(dictation(40), 40)
PAUSED = np.concatenate((noise(1), tone("alfa", 32_000), noise(2), tone("zulu", 32_000), noise(1)))
"""8 s: noise, a word of 2 s, a pause of 2 s in the middle, another word, noise."""


# Without a ladder


def test_times_count_from_the_start_of_the_recording() -> None:
    (decoded,) = results([window_of(PAUSED, 1000)], Script({0: heard(5, 640)}))
    assert starts_of(decoded) == [1005, 1640]


def test_a_silent_window_is_not_decoded() -> None:
    backend = Script()
    (decoded,) = results([window_of(silence(15), silent=True, voiced=0)], backend)
    assert (decoded.hypothesis, decoded.elapsed, decoded.error) == (Hypothesis(), 0.0, None)
    assert backend.asked == []


@pytest.mark.parametrize("voiced", [0, SPOKEN - 1])
def test_one_look_is_enough_where_hardly_anything_was_said(voiced: int) -> None:
    backend = Script()
    results([window_of(TALK[:MODEL_WINDOW], voiced=voiced)], backend)
    assert len(backend.asked) == 1


def test_0_4_s_of_speech_must_not_decode_to_nothing() -> None:
    assert to_samples(0.4) == SPOKEN
    backend = Script()
    results([window_of(PAUSED, voiced=SPOKEN)], backend)
    assert len(backend.asked) > 1


def test_in_a_short_window_any_speech_counts() -> None:
    short = np.concatenate((tone("alfa", 4800), noise(1.5)))
    for voiced, count in ((0, 1), (320, 3)):
        backend = Script()
        results([window_of(short, voiced=voiced)], backend)
        assert len(backend.asked) == count


def test_the_window_itself_is_what_is_asked_first() -> None:
    backend = Script(always=UNDERSTOOD)
    results([window_of(PAUSED)], backend)
    assert len(backend.asked) == 1
    np.testing.assert_array_equal(backend.asked[0], PAUSED)


# Rung by rung

BEFORE = window_of(TALK[:MODEL_WINDOW])
START = 13 * SAMPLE_RATE
SHORTER = np.concatenate((noise(1), PAUSED))
"""9 s, so that there is room for every look."""


def looks(window: Window, before: Window | None = None) -> list[Samples]:
    """Return everything that is asked about a window that is never understood."""
    backend = Script({0: UNDERSTOOD} if before else {})
    results([before, window] if before else [window], backend)
    return backend.asked[1:] if before else backend.asked


def test_all_rungs_come_in_order() -> None:
    before = window_of(TALK[: START + 2 * SAMPLE_RATE])
    own, full, earlier, onset, behind, first, second = looks(window_of(SHORTER, START), before)
    np.testing.assert_array_equal(own, SHORTER)
    assert len(full) == MODEL_WINDOW
    np.testing.assert_array_equal(full[: len(SHORTER)], SHORTER)
    assert not full[len(SHORTER) :].any()
    np.testing.assert_array_equal(earlier[:EARLIER], TALK[START - EARLIER : START])
    np.testing.assert_array_equal(earlier[EARLIER:], SHORTER)
    np.testing.assert_array_equal(onset, SHORTER[2 * SAMPLE_RATE - LEAD :])
    assert behind[:SAMPLE_RATE].std() == pytest.approx(NOISE, rel=0.05)
    np.testing.assert_array_equal(behind[SAMPLE_RATE:], SHORTER)
    np.testing.assert_array_equal(np.concatenate((first, second)), SHORTER)
    assert len(first) == pytest.approx(5 * SAMPLE_RATE, abs=640)


def test_a_full_window_is_not_declared_longer() -> None:
    own, earlier, *_ = looks(window_of(TALK[START : START + MODEL_WINDOW], START), BEFORE)
    assert len(own) == len(earlier) == MODEL_WINDOW
    np.testing.assert_array_equal(earlier, TALK[START - EARLIER :][:MODEL_WINDOW])


def test_the_first_window_cannot_begin_earlier() -> None:
    own, _full, onset, *_ = looks(window_of(SHORTER))
    assert len(own) - len(onset) == to_samples(1.9)  # 0.1 s before its first word


@pytest.mark.parametrize(
    "before",
    [
        window_of(TALK[: START - 1]),  # ends before this one begins
        window_of(TALK[:SAMPLE_RATE], START - EARLIER + 1),  # begins too late
    ],
)
def test_earlier_audio_must_reach_up_to_the_window(before: Window) -> None:
    backend = Script({0: UNDERSTOOD})
    results([before, window_of(SHORTER, START)], backend)
    assert [len(a) for a in backend.asked[1:4]] == [
        len(SHORTER),
        MODEL_WINDOW,
        len(SHORTER) - 2 * SAMPLE_RATE + LEAD,
    ]


@pytest.mark.parametrize(
    "before",
    [
        window_of(TALK[:START]),  # ends where this one begins
        window_of(TALK[START - EARLIER :][:SAMPLE_RATE], START - EARLIER),  # has no more
    ],
)
def test_earlier_audio_may_just_reach_up_to_the_window(before: Window) -> None:
    _own, _full, earlier, *_ = looks(window_of(SHORTER, START), before)
    np.testing.assert_array_equal(earlier[:EARLIER], TALK[START - EARLIER : START])
    np.testing.assert_array_equal(earlier[EARLIER:], SHORTER)


@pytest.mark.parametrize("before", [0.0, LEAD / SAMPLE_RATE])
def test_a_window_that_begins_with_speech_has_no_later_onset(before: float) -> None:
    audio = np.concatenate((noise(before), tone("alfa", 48_000), noise(2)))
    lengths = [len(audio), MODEL_WINDOW, len(audio) + SAMPLE_RATE]
    assert [len(a) for a in looks(window_of(audio))] == lengths


def test_a_short_window_has_noise_on_both_sides() -> None:
    word = np.concatenate((noise(0.05), tone("alfa", 6400), noise(0.05)))
    *_, behind = looks(window_of(word))
    assert len(behind) == len(word) + SAMPLE_RATE
    half = SAMPLE_RATE // 2
    np.testing.assert_array_equal(behind[half:-half], word)
    assert behind[:half].std() == pytest.approx(NOISE, rel=0.05)
    assert behind[-half:].std() == pytest.approx(NOISE, rel=0.05)


def test_the_noise_is_the_same_every_time() -> None:
    first, second = (looks(window_of(SHORTER))[3] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_without_a_pause_there_are_no_halves() -> None:
    assert len(looks(window_of(tone("alfa", 48_000)))) == 3


# What is kept of a look

RUNGS = [
    # calls before the look that answers, sample of the recording its audio begins at
    (0, START),
    (1, START),
    (2, START - EARLIER),
    (3, START + 2 * SAMPLE_RATE - LEAD),
    (4, START - SAMPLE_RATE),
]


@pytest.mark.parametrize(("call", "begins"), RUNGS)
def test_a_look_is_taken_where_it_lies_in_the_recording(call: int, begins: int) -> None:
    before = window_of(TALK[: START + 2 * SAMPLE_RATE])
    inside = START + 3 * SAMPLE_RATE
    backend = Script({0: UNDERSTOOD, call + 1: heard(inside - begins)})
    _, decoded = results([before, window_of(SHORTER, START, voiced=SPOKEN)], backend)
    assert starts_of(decoded) == [inside]
    assert len(backend.asked) == call + 2, "the ladder goes on after an answer"


def test_the_halves_are_put_together() -> None:
    backend = Script({4: heard(100), 5: heard(200)})
    (decoded,) = results([window_of(SHORTER, START)], backend)
    first, second = (len(a) for a in backend.asked[4:])
    assert first + second == len(SHORTER)
    assert starts_of(decoded) == [START + 100, START + first + 200]


def test_nothing_outside_the_window_is_kept() -> None:
    before = window_of(TALK[: START + 2 * SAMPLE_RATE])
    # Heard in the half second before the window only: as good as nothing, so the ladder goes on.
    backend = Script({0: UNDERSTOOD, 3: heard(0, EARLIER - 1), 4: heard(1600)})
    _, decoded = results([before, window_of(SHORTER, START)], backend)
    assert starts_of(decoded) == [START + 2 * SAMPLE_RATE - LEAD + 1600]


def test_nothing_past_the_window_is_kept() -> None:
    backend = Script({1: heard(0, len(SHORTER) - 1, len(SHORTER))})
    (decoded,) = results([window_of(SHORTER, START)], backend)
    assert starts_of(decoded) == [START, START + len(SHORTER) - 1]


# Speech without words in a window with words


def test_speech_without_a_word_is_decoded_again_and_fills() -> None:
    audio = spoken(dictation(14), 15)
    whole = ears().transcribe(audio)
    deaf = [t for t in whole.tokens if not 4 * SAMPLE_RATE <= t.start < 8 * SAMPLE_RATE]
    backend = Script({0: Hypothesis(tuple(deaf))})
    backend_two = Both(backend, ears())
    (window,) = (w for w in windows_of(audio) if not w.final or w.start == 0)
    (decoded,) = decode_with_fallback([window], backend_two)
    assert [t.piece for t in decoded.hypothesis.tokens] == [t.piece for t in whole.tokens]
    assert len(backend.asked) == 1
    assert decoded.attempts == 2


@dataclass
class Both:
    """A backend that answers the first call, and another for those behind it."""

    first: Script
    then: Backend
    max_samples: int = MODEL_WINDOW

    def transcribe(self, window: Samples, /) -> Hypothesis:
        asked = self.first if not self.first.asked else self.then
        return asked.transcribe(window)

    def close(self) -> None: ...


def hole(*starts: float, seconds: float = 15.0, cut: float | None = None) -> int:
    """Return how often a window full of speech is decoded that has words at these seconds."""
    audio = TALK[: to_samples(seconds)]
    window = window_of(audio)
    if cut is not None:
        window = replace(window, cut=to_samples(cut))
    backend = Script({0: heard(*(to_samples(s) for s in starts))})
    results([window], backend)
    return len(backend.asked)


def test_a_second_and_a_half_is_a_hole() -> None:
    dense = [0.1 + i for i in range(15)]
    assert hole(*dense) == 1
    assert hole(*dense[:5], *dense[6:]) == 2  # from 4.18 to 6.1 s
    assert hole(*dense[:5], 5.6, *dense[6:]) == 1


def test_a_hole_behind_the_cut_is_the_next_windows() -> None:
    dense = [0.1 + i for i in range(13)]
    assert hole(*dense, cut=12.0) == 1
    assert hole(*dense, cut=14.0) == 2


def test_a_filled_word_joins_no_word_before_the_hole() -> None:
    window = window_of(TALK[:MODEL_WINDOW])
    piece = Hypothesis((Token(1, "teen", 3200, 1280, 0.9),))
    dense = [to_samples(0.1 + i) for i in range(15) if i not in (5, 6)]
    (decoded,) = results([window], Script({0: heard(*dense), 1: piece}))
    assert decoded.hypothesis.tokens[5].piece == "▁teen"
    assert len(decoded.hypothesis.tokens) == 14


def test_what_was_heard_behind_the_hole_does_not_come_twice() -> None:
    window = window_of(TALK[:MODEL_WINDOW])
    dense = [to_samples(0.1 + i) for i in range(15) if i not in (5, 6)]
    again = heard(*range(to_samples(0.5), 9 * SAMPLE_RATE, SAMPLE_RATE))
    (decoded,) = results([window], Script({0: heard(*dense), 1: again}))
    assert sorted(starts_of(decoded)) == starts_of(decoded)
    assert len(starts_of(decoded)) == len(dense) + 3
    assert starts_of(decoded)[5] == to_samples(4.1) + 1280 + to_samples(0.5)


# The ends of a window


def test_a_window_does_not_end_in_dead_silence() -> None:
    audio = np.concatenate((TALK[: 12 * SAMPLE_RATE], silence(3)))
    backend = Script(always=UNDERSTOOD)
    results([window_of(audio, voiced=SPOKEN)], backend)
    assert len(backend.asked[0]) == to_samples(12.2)


@pytest.mark.parametrize("end", [silence(0.7), noise(3)], ids=["short", "a room"])
def test_a_quiet_end_stays(end: Samples) -> None:
    audio = np.concatenate((TALK[: 12 * SAMPLE_RATE], end))
    backend = Script(always=UNDERSTOOD)
    results([window_of(audio, voiced=SPOKEN)], backend)
    assert len(backend.asked[0]) == len(audio)


def test_a_single_word_is_asked_with_a_little_noise_around_it() -> None:
    word = tone("alfa", 6400)
    backend = Script({0: heard(0, 3200, 9000)})
    (decoded,) = results([window_of(word, START)], backend)
    (asked,) = backend.asked
    assert len(asked) == len(word) + 2 * AROUND
    np.testing.assert_array_equal(asked[AROUND:-AROUND], word)
    assert asked[:AROUND].std() == pytest.approx(NOISE, rel=0.1)
    # What is timed into the noise is the word's all the same.
    assert starts_of(decoded) == [START, START, START + 5800]


# Windows nobody understood


def chain(count: int, geometry: Geometry = DEFAULT) -> list[Window]:
    audio = spoken(dictation(13.0 * count + 2), 13.0 * count + 2)
    return list(windows_of(audio, geometry))


def test_c25_an_empty_window_is_looked_at_again_together_with_the_next() -> None:
    windows = chain(3)
    probe = Listener(deaf=frozenset(range(1, 99)))
    results(windows[:2], probe)
    # Window 1 and every second attempt at it are answered with nothing.
    backend = Listener(deaf=frozenset(range(1, len(probe.asked))))
    first, empty, both, third = results(windows, backend)
    assert [d.again for d in (first, empty, both, third)] == [False, False, True, False]
    assert not empty.hypothesis
    assert both.window.start == 13 * SAMPLE_RATE + to_samples(6.5)
    assert both.window.stop == both.window.start + MODEL_WINDOW
    # The middle of what it shares with the next one.
    assert both.window.cut == to_samples((26 + 34.5) / 2)
    assert both.hypothesis
    assert not both.window.closes_line
    audio = np.concatenate((windows[1].audio, windows[2].audio[2 * SAMPLE_RATE :]))
    np.testing.assert_array_equal(both.window.audio, audio[to_samples(6.5) :][:MODEL_WINDOW])
    assert third.hypothesis


def test_the_look_across_two_windows_has_no_ladder_of_its_own() -> None:
    windows = chain(2)
    backend = Script(always=Hypothesis())
    decoded = results(windows, backend)
    assert [d.again for d in decoded] == [False, True, False]
    assert len(backend.asked) <= 7 + 1 + 7


def test_short_windows_are_looked_at_across_up_to_the_end_of_the_later() -> None:
    windows = chain(2, Geometry.of(5, 2))[:2]
    _, both, _ = results(windows, Script())
    assert (both.window.start, both.window.stop) == (to_samples(1.5), 8 * SAMPLE_RATE)


def test_windows_without_overlap_are_looked_at_across_their_border() -> None:
    windows = chain(3, Geometry.of(15, 0))[:2]
    _, both, _ = results(windows, Script())
    assert (both.window.start, both.window.stop) == (to_samples(7.5), to_samples(22.5))


@given(
    words=st.lists(st.tuples(st.integers(0, 55), st.integers(1, 4)), max_size=20),
    size=st.integers(5, 15),
    deaf=st.sets(st.integers(0, 60)),
)
@settings(max_examples=15)
def test_the_number_of_looks_is_bounded(
    words: list[tuple[int, int]], size: int, deaf: set[int]
) -> None:
    audio = spoken([("alfa", at, at + length / 5) for at, length in words], 60)
    windows = list(windows_of(audio, Geometry.of(size, 2)))
    backend = Listener(deaf=frozenset(deaf))
    decoded = results(windows, backend)
    assert [d.window for d in decoded if not d.again] == windows
    assert len(backend.asked) <= 8 * len(windows)


# Failures


def test_c26_a_failure_costs_its_window_and_the_next_goes_on() -> None:
    error = BackendFailedError("the worker was killed")
    windows = chain(3)
    backend = Listener(failing={1: error})
    decoded = results(windows, backend)
    assert [d.error for d in decoded] == [None, error, None]
    assert [bool(d.hypothesis) for d in decoded] == [True, False, True]
    assert [d.again for d in decoded] == [False] * 3, "its neighbour is the second attempt"


def test_a_failure_on_the_ladder_is_a_failure_of_the_window() -> None:
    error = BackendFailedError("the worker was killed")
    (decoded,) = results([window_of(SHORTER)], Script({2: error}))
    assert decoded.error is error
    assert not decoded.hypothesis


def test_the_time_of_a_failed_window_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    (decoded,) = results([window_of(SHORTER)], Script({0: BackendFailedError("gone")}))
    assert decoded.elapsed == 2.5


def test_elapsed_counts_second_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    class Slow(Script):
        def transcribe(self, window: Samples, /) -> Hypothesis:
            clock[0] += 1
            return super().transcribe(window)

    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    (decoded,) = results([window_of(SHORTER)], Slow({3: heard(SAMPLE_RATE)}))
    assert decoded.elapsed == 4.0


@pytest.mark.parametrize("make", [ModelUnusableError, ValueError, KeyError])
def test_what_no_restart_can_help_is_not_hidden(make: Callable[[str], Exception]) -> None:
    with pytest.raises(make("x").__class__):
        results(chain(1), Script({0: make("x")}))


def test_windows_are_decoded_as_they_are_asked_for() -> None:
    backend = Listener()
    stream = decode_with_fallback(iter(chain(3)), backend)
    for count in (1, 2, 3):
        next(stream)
        assert len(backend.asked) == count
