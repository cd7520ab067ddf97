"""The data path with backends that hear tones: lines, what is told, and the account of samples."""

import itertools
import random
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import (
    DEFAULT,
    VOCABULARY,
    Listener,
    Run,
    Spoken,
    cut_every,
    dictation,
    ears,
    listening,
    noise,
    silence,
    spans_of,
    spoken,
    text_in,
    tone,
    transcribed,
    windows_of,
)
from strategies import cuts, geometries

from parakeet_coreml.audio.samples import FRAME, SAMPLE_RATE, Samples, to_samples
from parakeet_coreml.backends.base import Hypothesis, Token
from parakeet_coreml.backends.scripted import Reply, ScriptedBackend
from parakeet_coreml.backends.scripted import Spoken as Told
from parakeet_coreml.errors import (
    BackendFailedError,
    DeviceLostError,
    ModelUnusableError,
    OverloadError,
    ParakeetError,
)
from parakeet_coreml.recognition import cutting, pipeline
from parakeet_coreml.recognition.account import Account
from parakeet_coreml.recognition.account import Listener as Watcher
from parakeet_coreml.recognition.fallback import Decoded
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.pipeline import READ_AHEAD, Line, Plan
from parakeet_coreml.recognition.windows import Window
from parakeet_coreml.recognition.words import confidence_of, text_of

PATIENCE = 30.0
"""Seconds a thread is waited for; it takes milliseconds."""


def said(seconds: float, words: Sequence[Spoken] | None = None) -> tuple[Samples, str]:
    """Return a recording and what is said in it."""
    words = dictation(seconds) if words is None else words
    return spoken(words, seconds), text_in(words)


def heard_in(seconds: float, words: Sequence[Spoken] | None = None) -> Run:
    """Transcribe a recording; every word must come, in order."""
    audio, text = said(seconds, words)
    run = transcribed(audio)
    assert run.text == text
    return run


# The cases of the chunker, with words


def test_c1_no_audio_gives_no_line() -> None:
    run = transcribed(silence(0))
    assert (run.lines, run.text) == ([], "")
    assert transcribed(iter([])).lines == []


def test_c2_a_tenth_of_a_second_is_the_least_that_is_decoded() -> None:
    listener = Listener()
    assert transcribed(tone("alfa", 1599), backend=listener).lines == []
    assert listener.asked == []
    assert transcribed(tone("alfa", 1600), backend=listener).text == "alfa"


def test_c3_a_short_word_alone_is_heard() -> None:
    assert len(heard_in(1.0, [("november", 0.3, 0.64)]).lines) == 1
    assert len(heard_in(0.34, [("november", 0.0, 0.34)]).lines) == 1


def test_c4_less_than_a_window_is_one_line() -> None:
    assert len(heard_in(14.999).lines) == 1


def test_c5_exactly_a_window_is_decoded_once_and_its_held_words_still_come() -> None:
    audio, text = said(15)
    listener = Listener()
    run = transcribed(audio, backend=listener)
    assert len(listener.asked) == 1
    assert run.text == text
    assert len(run.lines) == 2
    assert run.lines[1].words
    assert run.lines[1].elapsed == 0.0


def test_c7_28_s_are_decoded_twice() -> None:
    audio, text = said(28)
    listener = Listener()
    run = transcribed(audio, backend=listener)
    assert listener.seconds == [15, 15]
    assert run.text == text
    assert len(run.lines) == 3


def test_c9_the_word_behind_the_last_regular_window_comes_once() -> None:
    run = heard_in(31, [*dictation(28), ("zulu", 28.1, 28.5)])
    assert len(run.lines) == 3
    assert run.texts[-1].endswith("zulu")


def test_c10_100_s_are_decoded_eight_times() -> None:
    listener = Listener()
    audio, text = said(100, [*dictation(99.4), ("zulu", 99.5, 100.0)])
    run = transcribed(audio, backend=listener)
    assert len(listener.asked) == len(run.lines) == 8
    assert run.text == text


def test_c12_lines_tile_the_recording() -> None:
    run = heard_in(100)
    assert run.lines[0].start == 0
    for before, after in itertools.pairwise(run.lines):
        assert before.stop == after.start
    assert [line.start for line in run.lines] == sorted(line.start for line in run.lines)


@given(places=cuts(45 * SAMPLE_RATE))
@settings(max_examples=8)
def test_c13_how_the_stream_is_cut_changes_no_line(places: Sequence[int]) -> None:
    audio, text = said(45)
    run = transcribed(np.split(audio, places))
    assert run.text == text
    assert facts(run.lines) == facts(transcribed(audio).lines)


def facts(lines: Sequence[Line]) -> list[object]:
    """Return everything of lines but the time they took."""
    return [(line.words, line.start, line.stop) for line in lines]


def test_c14_without_overlap_nothing_is_held_back() -> None:
    words = [(t, a + 0.2, b + 0.2) for t, a, b in dictation(44)]  # none lies across 15 s
    audio, text = said(45, words)
    run = transcribed(audio, geometry=Geometry.of(15, 0))
    assert run.text == text
    assert len(run.lines) == 3


def test_c17_lines_of_60_s_have_the_same_words() -> None:
    audio, text = said(140)
    listener = Listener()
    run = transcribed(audio, geometry=Geometry.of(60, 2), backend=listener)
    assert run.text == text
    assert [line.stop / SAMPLE_RATE for line in run.lines[:2]] == pytest.approx([66, 131], abs=0.5)
    assert len(run.lines) == 3
    assert len(listener.asked) == 11


@pytest.mark.parametrize("audio", [silence(45), noise(45, 3e-4)], ids=["zeros", "room"])
def test_c20_c21_silence_is_a_line_for_each_full_window_and_no_decode(audio: Samples) -> None:
    listener = Listener()
    run = transcribed(audio, backend=listener)
    assert run.texts == ["", "", ""]
    assert [confidence_of(line.words) for line in run.lines] == [0.0] * 3
    assert [line.elapsed for line in run.lines] == [0.0] * 3
    assert listener.asked == []
    assert run.account.silent == 45 * SAMPLE_RATE


def test_c22_words_between_long_silences_come_once() -> None:
    run = heard_in(43, [("alfa", 20.2, 20.6), ("bravo", 21, 21.5), ("zulu", 22.4, 22.9)])
    assert run.texts == ["", "alfa bravo zulu", ""]


def test_c23_a_word_across_the_next_start_comes_once() -> None:
    heard_in(40, [("kilo", 12.8, 13.3)])
    heard_in(20, [("kilo", 12.8, 13.3)])


def test_c24_words_inside_the_overlap_come_once() -> None:
    heard_in(40, [("kilo", 13.2, 13.5), ("lima", 13.9, 14.2), ("mike", 14.4, 14.8)])


@given(at=st.floats(10, 18), length=st.floats(0.12, 0.6), total=st.sampled_from([20.0, 31.0]))
@settings(max_examples=30)
def test_a_word_anywhere_about_a_seam_comes_once(at: float, length: float, total: float) -> None:
    heard_in(total, [("kilo", at, at + length)])


@given(pace=st.floats(0.4, 0.9), length=st.floats(0.1, 0.3), seconds=st.floats(16, 60))
@settings(max_examples=12)
def test_steady_speech_comes_whole(pace: float, length: float, seconds: float) -> None:
    heard_in(seconds, dictation(seconds, pace=pace, length=length))


def test_c25_held_words_outlive_an_empty_window() -> None:
    audio, _ = said(43)
    run = transcribed(audio, backend=Listener(deaf=frozenset({1, 2, 3, 4, 5})))
    words = run.text.split()
    # Window 0 alone, the look across 1 and 2 from 19.5 s on, then the rest.
    early = text_in(w for w in dictation(43) if w[2] < 15).split()
    late = text_in(w for w in dictation(43) if w[1] > 28).split()
    assert words[: len(early)] == early
    assert words[-len(late) :] == late
    assert run.account.missed


def test_c26_a_failed_window_is_told_at_once_and_the_next_goes_on() -> None:
    audio, _ = said(54)
    error = BackendFailedError("the worker was killed")
    run = transcribed(audio, backend=Listener(failing={1: error}))
    assert run.failures == [error]
    assert run.account.lost == 13 * SAMPLE_RATE
    assert [bool(text) for text in run.texts] == [True, True, True, True, True]
    before, after = 15, 26  # what windows 0 and 2 heard
    expected = text_in(w for w in dictation(54) if w[2] < before or w[1] > after)
    assert run.text == expected


def test_c26_the_failure_comes_before_the_line() -> None:
    audio, _ = said(30)
    failures: list[ParakeetError] = []
    listener = Listener(failing={0: BackendFailedError("gone")})
    lines = pipeline.transcribe(
        [audio],
        backend=listener,
        plan=Plan(DEFAULT),
        listener=listening(failures.append),
        account=Account(),
    )
    next(lines)
    assert len(failures) == 1
    assert list(lines)


def test_c41_zeros_behind_speech_are_not_decoded() -> None:
    audio, text = said(12)
    listener = Listener()
    run = transcribed(np.concatenate((audio, silence(1))), backend=listener)
    assert run.text == text
    assert listener.seconds[0] <= 12.2


def test_c37_clipping_is_heard() -> None:
    audio, text = said(20)
    assert transcribed(np.clip(audio * 50, -1, 1)).text == text


# Latency, by counting decodes


def decodes_after(audio: Samples, stop: float) -> tuple[list[float], Run]:
    """Return the lengths of the windows decoded after a stop, and what came of it."""
    listener = Listener()
    run = transcribed(audio[: to_samples(stop)], backend=listener)
    regular = [w for w in windows_of(audio[: to_samples(stop)]) if not w.final]
    return listener.seconds[len(regular) :], run


def test_l2_one_window_is_decoded_after_a_stop_without_pause() -> None:
    audio, _ = said(60)
    assert decodes_after(audio, 20.2)[0] == [15]


@pytest.mark.parametrize("rest", [0.5, 1.0, 6.0, 12.9])
def test_l3_the_rest_costs_one_full_window_however_long_it_is(rest: float) -> None:
    audio = spoken(
        [("alfa", 0.1, 0.4), *((w, 14.9 + i / 2, 15.3 + i / 2) for i, w in enumerate(VOCABULARY))],
        30,
    )
    (seconds,), _ = decodes_after(audio, 15 + rest)
    assert seconds == 15


def test_l8_a_stop_at_the_border_of_a_window_decodes_nothing_more() -> None:
    audio, _ = said(60)
    assert decodes_after(audio, 28)[0] == []


def test_nothing_new_after_the_last_window_means_nothing_to_decode() -> None:
    audio, text = said(27, dictation(15.3))
    after, run = decodes_after(audio, 27)
    assert after == []
    assert run.text == text
    assert run.lines[-1].elapsed == 0.0


def test_a_line_comes_with_the_last_sample_of_its_window() -> None:
    audio, _ = said(40)
    taken = [0]
    most = [0]

    def blocks() -> Iterator[Samples]:
        for block in cut_every(audio, 1600):
            taken[0] += len(block)
            yield block

    class Noting(Listener):
        def transcribe(self, window: Samples, /) -> Hypothesis:
            most.append(taken[0])
            return super().transcribe(window)

    run = transcribed(blocks(), backend=Noting())
    assert len(run.lines) >= 3
    assert most[1] >= 15 * SAMPLE_RATE


# End to end


def test_e1_e2_no_seam_shows_in_the_text() -> None:
    text = heard_in(130).text
    assert not re.search(r"[a-z],[a-z]|[a-z][.?!][A-Z]|▁|  |\. \.", text)


@pytest.mark.parametrize("ahead", [0, 0.3, 1, 2.7, 6.4, 12])
def test_e3_low_noise_in_front_changes_no_word(ahead: float) -> None:
    audio, text = said(60)
    assert transcribed(np.concatenate((noise(ahead, seed=1), audio))).text == text


def test_e5_the_same_sentence_12_times_comes_12_times() -> None:
    sentence = ("alfa", "sierra", "kilo", "november", "oscar", "tango")
    texts = sentence * 12
    words = [(t, 0.1 + 0.45 * i, 0.4 + 0.45 * i) for i, t in enumerate(texts)]
    heard_in(0.45 * len(texts) + 0.5, words)


@pytest.mark.parametrize("pace", [0.3, 0.45, 0.7, 1.1])
def test_e6_the_same_word_again_and_again_comes_as_often(pace: float) -> None:
    count = int(29 / pace)
    words = [("tango", 0.1 + pace * i, 0.1 + pace * i + 0.18) for i in range(count)]
    run = heard_in(30, words)
    assert run.text.split() == ["tango"] * count


def test_e9_words_on_both_sides_of_a_long_pause_come() -> None:
    heard_in(16, [("alfa", 0.5, 0.9), ("bravo", 1.2, 1.6), ("zulu", 12.1, 12.6)])
    heard_in(34, [("alfa", 13.5, 13.9), ("bravo", 24.2, 24.6), ("zulu", 30.1, 30.6)])


@pytest.mark.parametrize("seconds", [3.0, 14.0, 15.2, 27.5, 33.0])
def test_e12_a_last_word_just_before_the_stop_is_heard(seconds: float) -> None:
    words = [*dictation(seconds - 1), ("yankee", seconds - 0.35, seconds - 0.02)]
    heard_in(seconds, words)


def test_e13_confidence_is_a_share_and_nothing_for_no_words() -> None:
    audio, _ = said(50, [w for w in dictation(50) if not 14 < w[1] < 34])
    run = transcribed(audio)
    for line in run.lines:
        assert confidence_of(line.words) == pytest.approx(0.9 if line.words else 0.0)
    assert {bool(line.words) for line in run.lines} == {True, False}


def test_e15_live_and_read_as_fast_as_possible_give_the_same_lines() -> None:
    audio, _ = said(70)
    assert facts(transcribed(audio, live=True).lines) == facts(transcribed(audio).lines)


def test_e16_any_script_of_the_world_passes() -> None:
    texts = "Größe straße Привет don't naïve 東京 مرحبا"
    audio = tone("alfa", 15 * SAMPLE_RATE)
    run = transcribed(audio, backend=ScriptedBackend([texts]))
    assert run.text == texts


def test_e17_a_long_pause_at_the_end_invents_nothing() -> None:
    listener = Listener()
    audio, text = said(60, dictation(20))
    run = transcribed(audio, backend=listener)
    assert run.text == text
    assert len(listener.asked) == 2


def test_e18_a_whisper_reaches_the_model() -> None:
    listener = Listener(backend=ScriptedBackend(["one two", "three four"]))
    whisper = noise(20, 1.0) * np.float32(10 ** (-53 / 20))
    run = transcribed(whisper, backend=listener)
    assert listener.asked
    assert run.text.startswith("one")


@dataclass
class Edgy:
    """A backend that hears badly near the edges of its window, as models do."""

    seed: int
    listener: Listener = field(default_factory=Listener)
    spoiled: int = 0
    max_samples: int = 15 * SAMPLE_RATE

    def transcribe(self, window: Samples, /) -> Hypothesis:
        rng = random.Random(f"{self.seed} {len(self.listener.asked)}")
        heard = self.listener.transcribe(window).tokens
        return Hypothesis(tuple(t for token in heard for t in self._as_heard(token, window, rng)))

    def _as_heard(self, token: Token, window: Samples, rng: random.Random) -> list[Token]:
        """Return the token, another one, or none."""
        edge = min(token.start, len(window) - token.start - token.duration)
        if edge > to_samples(0.4) or rng.random() < 0.3:
            return [token]
        self.spoiled += 1
        return [token._replace(piece="\u2581what", probability=0.3)] if rng.random() < 0.5 else []

    def close(self) -> None: ...


@pytest.mark.parametrize("seed", range(6))
def test_e14_bad_hearing_near_the_edges_of_windows_does_not_reach_the_text(seed: int) -> None:
    words = [w for w in dictation(120, pace=0.37, length=0.25) if 1 < w[1] < 117]
    audio, _ = said(120, words)
    # The edges of the recording itself have no other window to hear them.
    audio[: to_samples(0.5)] = noise(0.5)
    backend = Edgy(seed)
    run = transcribed(audio, backend=backend)
    assert backend.spoiled > 10
    assert run.text.split()[:-1] == text_in(words).split()[: len(run.text.split()) - 1]
    assert len(words) - 1 <= len(run.text.split()) <= len(words)


# What happens on the way


def test_everything_live_is_heard_with_its_place() -> None:
    audio, _ = said(20)
    pieces: list[tuple[int, int]] = []
    account = Account()
    listener = Watcher(
        heard=lambda block, start: pieces.append((start, len(block))),
        failed=lambda error: None,
        end_live=None,
    )
    list(
        pipeline.transcribe(
            cut_every(audio, 1000),
            backend=ears(),
            plan=Plan(DEFAULT),
            listener=listener,
            account=account,
        )
    )
    assert pieces == [(at, 1000) for at in range(0, 320_000, 1000)]
    assert account.captured == 320_000


def lost_after(audio: Samples, error: Exception) -> Iterator[Samples]:
    yield from cut_every(audio, 4096)
    raise error


@pytest.mark.parametrize("seconds", [0, 9.0, 20.0, 31.0])
def test_c31_a_lost_source_is_told_once_and_its_tail_transcribed(seconds: float) -> None:
    audio, text = said(seconds) if seconds else (silence(0), "")
    error = DeviceLostError("unplugged")
    run = transcribed(lost_after(audio, error), live=True)
    assert run.failures == [error]
    assert run.text == text


def test_an_unexpected_exception_of_the_source_surfaces() -> None:
    audio, _ = said(20)
    with pytest.raises(ZeroDivisionError):
        transcribed(lost_after(audio, ZeroDivisionError()))


def test_an_exception_of_a_listener_surfaces() -> None:
    def deaf(_block: Samples, _start: int) -> None:
        raise KeyError("ear")

    listener = Watcher(heard=deaf, failed=lambda error: None, end_live=None)
    account = Account()
    lines = pipeline.transcribe(
        [noise(1)], backend=ears(), plan=Plan(DEFAULT), listener=listener, account=account
    )
    with pytest.raises(KeyError, match="ear"):
        list(lines)


def test_a_backend_that_is_gone_for_good_ends_it_but_not_without_the_held_words() -> None:
    audio, _ = said(54)
    error = ModelUnusableError("the model no longer loads")
    listener, account = listening(), Account()
    lines = pipeline.transcribe(
        cut_every(audio, 4096),
        backend=Listener(failing={1: error}),
        plan=Plan(DEFAULT),
        listener=listener,
        account=account,
    )
    got: list[Line] = []
    with pytest.raises(ModelUnusableError):
        got.extend(iter(lines))
    words = [w for line in got for w in line.words]
    assert text_of(words) == text_in(w for w in dictation(54) if w[2] < 15)
    assert account.lost > 0


def test_the_line_behind_a_final_word_on_the_last_frame_is_not_split_in_two() -> None:
    # The word's token lies on the last frame and lasts longer than the audio does.
    told = Reply(words=(Told("alfa", 1.0, 1.5), Told("zulu", 2.99, 3.0)))
    audio = tone("alfa", 3 * SAMPLE_RATE)
    run = transcribed(audio, backend=ScriptedBackend([told]))
    assert run.texts == ["alfa zulu"]


# Threads


class Gate:
    """A backend that answers only when it is let."""

    max_samples = 15 * SAMPLE_RATE

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked = threading.Event()
        self.ears = ears()

    def transcribe(self, window: Samples, /) -> Hypothesis:
        self.asked.set()
        assert self.open.wait(PATIENCE)
        return self.ears.transcribe(window)

    def close(self) -> None: ...


def test_a_live_source_never_waits_for_the_model() -> None:
    audio, text = said(120)
    gate, exhausted = Gate(), threading.Event()

    def blocks() -> Iterator[Samples]:
        yield from cut_every(audio, 4096)
        exhausted.set()

    listener, account = listening(end_live=lambda: None), Account()
    lines = pipeline.transcribe(
        blocks(), backend=gate, plan=Plan(DEFAULT), listener=listener, account=account
    )
    # Nobody has asked for a line yet, and the model has not answered once.
    assert exhausted.wait(PATIENCE)
    gate.open.set()
    assert " ".join(filter(None, (text_of(line.words) for line in lines))) == text


def test_a_file_is_read_only_a_little_ahead_of_the_model() -> None:
    audio, text = said(200)
    gate, taken = Gate(), [0]
    reached = threading.Event()
    # One window is with the model, some wait, one more waits to wait.
    most = 15 + 13 * (READ_AHEAD + 1)

    def blocks() -> Iterator[Samples]:
        for block in cut_every(audio, 1600):
            taken[0] += len(block)
            if taken[0] == most * SAMPLE_RATE:
                reached.set()
            yield block

    listener, account = listening(), Account()
    lines = pipeline.transcribe(
        blocks(), backend=gate, plan=Plan(DEFAULT), listener=listener, account=account
    )
    reader = threading.Thread(target=lambda: texts.extend(text_of(x.words) for x in lines))
    texts: list[str] = []
    reader.start()
    assert gate.asked.wait(PATIENCE)
    assert reached.wait(PATIENCE)
    assert taken[0] <= most * SAMPLE_RATE
    gate.open.set()
    reader.join(PATIENCE)
    assert " ".join(filter(None, texts)) == text


def test_an_overload_ends_a_live_recording_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cutting, "BACKLOG", 60 * SAMPLE_RATE)
    audio, _ = said(300)
    gate, stopped = Gate(), threading.Event()
    given_out = [0]

    def blocks() -> Iterator[Samples]:
        for block in cut_every(audio, SAMPLE_RATE):
            if stopped.is_set():
                break
            given_out[0] += len(block)
            yield block
        gate.open.set()

    failures: list[ParakeetError] = []
    listener, account = listening(failures.append, stopped.set), Account()
    lines = pipeline.transcribe(
        blocks(), backend=gate, plan=Plan(DEFAULT), listener=listener, account=account
    )
    texts = [text_of(line.words) for line in lines]
    (error,) = failures
    assert isinstance(error, OverloadError)
    # The first window that ends more than 60 s after what is decoded: 67 s.
    assert given_out[0] == 67 * SAMPLE_RATE
    whole = text_in(w for w in dictation(300) if w[2] <= 67)
    assert " ".join(filter(None, texts)) == whole
    assert account.captured == account.transcribed + account.silent + account.lost


def test_an_overload_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "BACKLOG", 15 * SAMPLE_RATE)
    audio, text = said(90)
    gate = Gate()

    def blocks() -> Iterator[Samples]:
        yield from cut_every(audio, SAMPLE_RATE)
        gate.open.set()

    run = transcribed(blocks(), backend=gate, live=True)
    assert [f.name for f in run.failures] == ["overload"]
    assert run.ended_live == 1
    assert run.text == text


def test_a_file_cannot_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "BACKLOG", SAMPLE_RATE)
    assert transcribed(said(60)[0]).failures == []


def test_ten_minutes_behind_is_an_overload() -> None:
    assert cutting.BACKLOG == 600 * SAMPLE_RATE
    assert "10 minutes behind" in cutting._overload().message


# The account


@dataclass(frozen=True)
class Trouble:
    """A recording and what goes wrong with it."""

    words: list[tuple[float, float]]
    seconds: float
    geometry: Geometry
    deaf: set[int]
    failing: set[int]
    lost: bool


@given(
    trouble=st.builds(
        Trouble,
        words=st.lists(st.tuples(st.floats(0, 44), st.floats(0.1, 1.2)), max_size=12),
        seconds=st.floats(0, 45),
        geometry=geometries(),
        deaf=st.sets(st.integers(0, 30)),
        failing=st.sets(st.integers(0, 30), max_size=5),
        lost=st.booleans(),
    )
)
@settings(max_examples=40)
def test_every_sample_is_accounted_for(trouble: Trouble) -> None:
    words = [("alfa", at, at + length) for at, length in trouble.words]
    audio = spoken(words, 46)[: to_samples(trouble.seconds)]
    listener = Listener(
        deaf=frozenset(trouble.deaf),
        failing={i: BackendFailedError(str(i)) for i in trouble.failing},
    )
    source = lost_after(audio, DeviceLostError("x")) if trouble.lost else cut_every(audio, 5000)
    run = transcribed(source, backend=listener, geometry=trouble.geometry)
    account = run.account
    assert account.captured == len(audio)
    assert min(account.transcribed, account.silent, account.lost) >= 0
    assert bool(account.lost) <= bool(run.failures)
    regular = [w for w in windows_of(audio, trouble.geometry) if not w.final]
    full = sum(trouble.geometry.closes_line(w.stop) for w in regular)
    assert full <= len(run.lines) <= full + 1


def test_what_was_spoken_and_not_understood_is_counted() -> None:
    audio = spoken([], 15)
    audio[: 4 * SAMPLE_RATE] += tone("alfa", 4 * SAMPLE_RATE)
    run = transcribed(audio, backend=Listener(deaf=frozenset(range(99))))
    assert run.account.missed == ((0, 4 * SAMPLE_RATE),)
    assert run.account.transcribed == 15 * SAMPLE_RATE


@pytest.mark.parametrize(
    ("audio", "spared"),
    [
        (silence(0), 1),
        (noise(40, 1e-4), 1),
        (tone("alfa", 1599), 1),  # too short for any word
        (np.concatenate((noise(40, 1e-4), tone("alfa", 8_000))), 0),
        (noise(3, 0.004), 0),  # a room that may drown a voice
    ],
)
def test_it_is_told_where_nothing_has_to_be_decoded(audio: Samples, spared: int) -> None:
    told: list[str] = []
    listener = Listener()
    listening_to = Watcher(
        heard=lambda *_: None,
        failed=lambda error: pytest.fail(error.message),
        end_live=None,
        nothing_to_decode=lambda: told.append("spared"),
    )
    geometry = Geometry.of(15, 2)
    list(
        pipeline.transcribe(
            iter([audio]),
            backend=listener,
            plan=Plan(geometry),
            listener=listening_to,
            account=Account(),
        )
    )
    assert len(told) == spared
    assert bool(listener.asked) != bool(spared)


HEARD = Hypothesis((Token(1, "▁alfa", 0, FRAME, 0.9),))


def missed_of(*looks: tuple[int, int, bool, tuple[tuple[int, int], ...]]) -> list[tuple[int, int]]:
    """Return what is missed after looks from, to, whether heard, speech; all in seconds.

    A look that does not begin where a regular window would is a second one across two.
    """
    listener, account = listening(), Account()
    for start, stop, heard, speech in looks:
        spoken = tuple((first * SAMPLE_RATE, last * SAMPLE_RATE) for first, last in speech)
        window = Window(
            start * SAMPLE_RATE,
            stop * SAMPLE_RATE,
            stop * SAMPLE_RATE,
            silence(stop - start),
            silent=False,
            speech=spoken,
        )
        hypothesis = HEARD if heard else Hypothesis()
        pipeline._book(account, listener, Decoded(window, hypothesis, 0.0, again=start % 13 != 0))
    return sorted((a // SAMPLE_RATE, b // SAMPLE_RATE) for a, b in account.missed)


def test_a_line_has_the_decoding_time_of_all_windows_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]

    class Slow(Listener):
        def transcribe(self, window: Samples, /) -> Hypothesis:
            clock[0] += 2.0 ** len(self.asked)
            return super().transcribe(window)

    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    audio, _ = said(41)
    run = transcribed(audio, backend=Slow(), geometry=Geometry.of(28, 2))
    # Two windows make the first line, the third window and the last one the second.
    assert [line.elapsed for line in run.lines] == [1.0 + 2.0, 4.0]


def test_speech_is_missed_where_no_look_heard_a_word() -> None:
    said_at = ((2, 4), (12, 15))
    assert missed_of((0, 15, True, said_at)) == []
    assert missed_of((0, 15, False, said_at)) == [(2, 4), (12, 15)]
    # A second attempt across the next window hears the later half, or all of it.
    assert missed_of((0, 15, False, said_at), (7, 22, True, ())) == [(2, 4)]
    assert missed_of((0, 15, False, said_at), (3, 14, True, ())) == [(2, 3), (14, 15)]
    assert missed_of((0, 15, False, said_at), (7, 22, False, ())) == [(2, 4), (12, 15)]
    # The next window hears what they share.
    assert missed_of((0, 15, False, said_at), (13, 28, True, ())) == [(2, 4), (12, 13)]


def test_missed_speech_is_counted_once_where_windows_overlap() -> None:
    shared = ((14, 16),)
    assert missed_of((0, 15, False, ((14, 15),)), (13, 28, False, shared)) == [(14, 15), (15, 16)]
    assert missed_of((0, 15, True, ((14, 15),)), (13, 28, False, shared)) == [(15, 16)]


def test_a_last_line_is_for_speech_or_words_alone() -> None:
    nothing = Listener(deaf=frozenset(range(99)))
    assert transcribed(noise(4, 0.004), backend=nothing).texts == []
    speech = np.concatenate((noise(1), tone("alfa", 32_000), noise(1)))
    assert transcribed(speech, backend=nothing).texts == [""]


def test_a_second_look_across_two_windows_books_nothing() -> None:
    audio, _ = said(28)
    probe = Listener(deaf=frozenset(range(99)))
    transcribed(audio, backend=probe)
    error = BackendFailedError("gone")
    looks = [i for i in range(len(probe.asked)) if lost_by(audio, i, error) == 0]
    assert len(looks) == 1


def lost_by(audio: Samples, call: int, error: BackendFailedError) -> int:
    """Return the samples lost when everything is deaf and one call fails."""
    run = transcribed(audio, backend=Listener(deaf=frozenset(range(99)), failing={call: error}))
    assert run.failures == [error]
    return run.account.lost


def test_the_tail_nobody_spoke_in_is_silent() -> None:
    audio, _ = said(20, dictation(14.5))
    account = transcribed(audio).account
    assert (account.transcribed, account.silent) == (15 * SAMPLE_RATE, 5 * SAMPLE_RATE)


@pytest.mark.parametrize("tail", [0.5, 12.9, 20.0])
@pytest.mark.parametrize("room", [1e-4, 2e-3, 4e-3])
def test_a_quiet_room_behind_the_words_costs_one_decode_at_most(tail: float, room: float) -> None:
    audio = spoken(dictation(20), 20.0 + tail)
    audio += noise(20.0 + tail, room, seed=7)
    listener = Listener()
    run = transcribed(audio, backend=listener)
    assert run.text == text_in(dictation(20))
    regular = [w for w in windows_of(audio) if not w.final and not w.silent]
    assert len(listener.asked) <= len(regular) + 1


def test_spans_of_windows_and_lines_agree() -> None:
    audio, _ = said(60)
    spans = spans_of(windows_of(audio))
    run = transcribed(audio)
    for (start, stop), line in zip(spans, run.lines, strict=True):
        assert start <= line.stop / SAMPLE_RATE <= stop
        assert line.start % 1 == 0
        assert all(w.start < line.stop + FRAME for w in line.words)
