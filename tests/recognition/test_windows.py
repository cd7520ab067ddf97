"""How a stream is cut: exact windows, cuts that audio alone decides, an end where speech ends."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sounds import (
    DEFAULT,
    ROOM,
    cut_every,
    dictation,
    into_windows,
    noise,
    silence,
    spans_of,
    spoken,
    tone,
    windows_of,
)
from strategies import cuts, geometries

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples, to_ms, to_samples
from parakeet_coreml.recognition import energy
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.tape import MEMORY, Tape
from parakeet_coreml.recognition.windows import Chunker, Window


def talk(seconds: float, *, until: float | None = None) -> Samples:
    """Return a recording with words up to a time, by default up to its end."""
    return spoken(dictation(until or seconds), seconds)


def regular(count: int) -> list[tuple[float, float]]:
    """Return the first windows of any recording that is long enough."""
    return [(13.0 * i, 13.0 * i + 15) for i in range(count)]


# Which windows there are


def test_c1_no_audio_gives_no_window() -> None:
    assert windows_of(silence(0)) == []
    assert list(into_windows([], DEFAULT)) == []


@pytest.mark.parametrize("samples", [1, 160, 1599])
def test_c2_less_than_a_tenth_of_a_second_gives_no_window(samples: int) -> None:
    assert windows_of(tone("alfa", samples)) == []


def test_c2_a_tenth_of_a_second_gives_one() -> None:
    (window,) = windows_of(tone("alfa", 1600))
    assert (window.start, window.stop, window.final, window.closes_line) == (0, 1600, True, True)


def test_c3_a_short_word_is_not_too_short() -> None:
    audio = np.concatenate((noise(0.1), tone("november", to_samples(0.34)), noise(1)))
    (window,) = windows_of(audio)
    assert window.start == 0
    # 200 ms after its last voiced tick.
    assert to_samples(0.44) < window.stop <= to_samples(0.44 + 0.2) + energy.TICK
    assert window.voiced > 0


def test_c4_almost_a_window_is_the_last_one() -> None:
    audio = talk(14.999)
    (window,) = windows_of(audio)
    assert window.start == 0
    assert window.final
    assert to_samples(14.5) < window.stop <= len(audio)


def test_c5_exactly_a_window_is_one_and_no_more() -> None:
    assert spans_of(windows_of(talk(15))) == regular(1)


def test_c6_one_sample_more_changes_nothing() -> None:
    audio = np.append(talk(15), np.float32(0.3)).astype(np.float32)
    assert spans_of(windows_of(audio)) == regular(1)


def test_c7_28_s_are_two_windows() -> None:
    assert spans_of(windows_of(talk(28))) == regular(2)


def test_c8_a_quiet_rest_is_no_window() -> None:
    assert spans_of(windows_of(talk(28.05, until=28))) == regular(2)
    assert spans_of(windows_of(talk(40.9, until=28))) == regular(2)


def test_c9_the_last_window_ends_where_speech_ends_and_is_full() -> None:
    audio = spoken([*dictation(28), ("zulu", 28.1, 28.5)], 31)
    *before, last = windows_of(audio)
    assert spans_of(before) == regular(2)
    assert last.stop == pytest.approx(to_samples(28.7), abs=2 * energy.TICK)
    assert last.stop - last.start == DEFAULT.size
    assert last.cut == last.stop
    assert (last.final, last.closes_line) == (True, True)


def test_c9_the_last_window_ends_with_the_recording_if_speech_does_not() -> None:
    audio = spoken([*dictation(28), ("zulu", 28.1, 28.6)], 28.6)
    assert spans_of(windows_of(audio))[-1] == (13.6, 28.6)


def test_c10_windows_start_every_13_s_exactly() -> None:
    words = [*dictation(99.4), ("zulu", 99.5, 100.0)]
    assert spans_of(windows_of(spoken(words, 100))) == [*regular(7), (85.0, 100.0)]


def stream(seconds: int, piece: Samples) -> Iterator[Samples]:
    """Yield the same second again and again: no recording is held in memory."""
    for _ in range(seconds):
        yield piece


def test_c11_half_an_hour_is_139_windows() -> None:
    piece = talk(1)
    spans = spans_of(into_windows(stream(1800, piece), DEFAULT))
    assert spans[:-1] == regular(138)
    assert spans[-1][1] == pytest.approx(1800, abs=0.5)


def test_c11_no_more_than_a_minute_of_audio_is_kept() -> None:
    tape = Tape()
    for block in stream(300, noise(1)):
        tape.append(block)
    assert tape.stop == 300 * SAMPLE_RATE
    assert MEMORY <= tape.stop - tape.start <= 2 * MEMORY
    assert tape.start % energy.TICK == 0


@pytest.mark.parametrize("begins", [2**31 - 100_000, 2**32 - 100_000, 2**40 + 1])
def test_positions_past_31_and_32_bits_are_what_they_are_near_the_start(begins: int) -> None:
    audio = talk(40)
    chunker = Chunker(DEFAULT, begins=begins)
    windows = [window for block in cut_every(audio, 4_096) for window in chunker.push(block)]
    last = chunker.last()
    assert last is not None

    def places(window: Window, origin: int) -> list[int]:
        ends = (window.start, window.stop, window.cut, *sum(window.speech, ()))
        assert {type(end) for end in ends} == {int}
        return [end - origin for end in ends]

    early = windows_of(audio)
    assert [places(w, begins) for w in (*windows, last)] == [places(w, 0) for w in early]
    assert to_ms(last.stop) - to_ms(begins) in {to_ms(early[-1].stop) + more for more in (0, 1)}


@given(geometry=geometries(), seconds=st.floats(0, 70))
@settings(max_examples=20)
def test_c12_windows_cover_every_sample_and_their_cuts_tile_the_recording(
    geometry: Geometry, seconds: float
) -> None:
    audio = talk(seconds)
    windows = windows_of(audio, geometry)
    for before, after in pairwise(windows):
        assert after.start <= before.cut < after.stop
        assert before.cut < after.cut
    for i, w in enumerate(w for w in windows if not w.final):
        assert (w.start, w.stop) == (i * geometry.hop, i * geometry.hop + geometry.size)
        assert w.stop - geometry.overlap <= w.cut <= w.stop
    for w in windows:
        assert 0 <= w.start < w.stop <= len(audio)
        assert w.stop - w.start <= geometry.size
        np.testing.assert_array_equal(w.audio, audio[w.start : w.stop])
    assert [w.final for w in windows] == sorted(w.final for w in windows)


# However the stream is cut into blocks


def same(windows: Sequence[Window], others: Sequence[Window]) -> bool:
    facts = [(w.start, w.stop, w.cut, w.silent, w.speech, w.closes_line, w.final) for w in windows]
    return facts == [
        (w.start, w.stop, w.cut, w.silent, w.speech, w.closes_line, w.final) for w in others
    ] and all((a.audio == b.audio).all() for a, b in zip(windows, others, strict=True))


RECORDING = np.concatenate((talk(22), noise(9), talk(20), silence(4), talk(15, until=10)))


@pytest.mark.parametrize("block", [160, 333, 1024, 4096, 240_000, 10**7])
def test_c13_the_size_of_blocks_leaves_no_trace(block: int) -> None:
    assert same(windows_of(RECORDING, block=block), windows_of(RECORDING, block=SAMPLE_RATE))


def test_c13_blocks_of_one_sample_leave_no_trace() -> None:
    geometry = Geometry.of(5, 2)
    audio = RECORDING[: 6 * SAMPLE_RATE]
    assert same(windows_of(audio, geometry, block=1), windows_of(audio, geometry))


WHOLE = {
    geometry: windows_of(RECORDING, geometry, block=10**7)
    for geometry in (DEFAULT, Geometry.of(7.003, 1.5), Geometry.of(30, 5))
}


@given(places=cuts(len(RECORDING)), geometry=st.sampled_from(list(WHOLE)))
@settings(max_examples=25)
def test_c13_how_the_stream_is_cut_leaves_no_trace(
    places: Sequence[int], geometry: Geometry
) -> None:
    blocks = np.split(RECORDING, places)
    assert same(list(into_windows(blocks, geometry)), WHOLE[geometry])


def test_a_window_comes_with_its_last_sample() -> None:
    taken = [0]

    def counted() -> Iterator[Samples]:
        for block in cut_every(talk(29), 160):
            taken[0] += len(block)
            yield block

    windows = into_windows(counted(), DEFAULT)
    assert (next(windows).stop, taken[0]) == (15 * SAMPLE_RATE,) * 2
    assert (next(windows).stop, taken[0]) == (28 * SAMPLE_RATE,) * 2


def test_a_window_does_not_change_with_what_comes_after_it() -> None:
    loud = np.concatenate((RECORDING[: 15 * SAMPLE_RATE], talk(10) * 3))
    assert same(windows_of(loud)[:1], windows_of(RECORDING)[:1])


def test_the_noise_floor_of_a_window_is_that_of_its_last_30_s() -> None:
    # A loud room long ago must not hide a soft voice now.
    loud, soft = noise(40, 0.02), spoken(dictation(44), 44, level=0.01)
    last = windows_of(np.concatenate((loud, soft)))[5]
    assert last.start == 65 * SAMPLE_RATE
    assert last.voiced > 8 * SAMPLE_RATE


# Where windows are cut


def first_cut(audio: Samples, geometry: Geometry = DEFAULT) -> float:
    return windows_of(audio, geometry)[0].cut / SAMPLE_RATE


def test_c18_a_pause_is_where_to_cut() -> None:
    audio = tone("alfa", 20 * SAMPLE_RATE)
    audio[to_samples(13.9) : to_samples(14.3)] = noise(0.4)
    assert 13.9 < first_cut(audio) < 14.3
    assert first_cut(audio) == pytest.approx(14.1, abs=0.03)


def test_c19_without_a_pause_it_is_the_exact_middle() -> None:
    assert first_cut(tone("alfa", 20 * SAMPLE_RATE)) == 14.0
    assert first_cut(silence(20)) == 14.0
    assert first_cut(silence(20), Geometry.of(15, 4)) == 13.0


def test_a_pause_at_the_edge_of_the_overlap_has_too_little_context() -> None:
    audio = tone("alfa", 20 * SAMPLE_RATE)
    audio[to_samples(13.0) : to_samples(13.4)] = 0
    audio[to_samples(14.6) : to_samples(15.0)] = 0
    assert first_cut(audio) == 14.0


def test_c14_without_overlap_windows_are_cut_at_their_ends() -> None:
    windows = windows_of(talk(32), Geometry.of(15, 0))
    assert [(w.start, w.cut, w.stop) for w in windows[:2]] == [
        (0, 240_000, 240_000),
        (240_000, 480_000, 480_000),
    ]
    assert windows[2].final


def test_a_tiny_overlap_is_cut_in_its_middle() -> None:
    assert windows_of(talk(16), Geometry(80_000, 320, 80_000))[0].cut == 80_000 - 160


# What audio says of a window


def test_c20_c21_silent_windows_are_called_silent() -> None:
    for audio in (silence(30), noise(30, 3e-4)):
        windows = windows_of(audio)
        assert spans_of(windows) == regular(2)
        assert all(w.silent and w.voiced == 0 for w in windows)


@pytest.mark.parametrize(("seconds", "silent"), [(0.1, True), (3.0, False)])
def test_a_faint_sound_is_looked_at_if_it_lasts(seconds: float, silent: bool) -> None:
    # Far above the floor of a very quiet room, and softer than any whisper: a turned-down input.
    audio = noise(30, 2e-5)
    start, stop = 5 * SAMPLE_RATE, round((5 + seconds) * SAMPLE_RATE)
    audio[start:stop] += noise(3, 0.0011)[: stop - start]
    window = windows_of(audio)[0]
    assert energy.is_silence(window.audio)
    assert window.silent is silent
    assert (window.voiced == 0) is silent


def test_a_flat_room_is_silent_however_loud_within_the_bounds() -> None:
    assert all(window.silent for window in windows_of(noise(30, 3e-4)))


def test_a_tail_under_the_noise_is_looked_at_all_the_same() -> None:
    audio = noise(17, 0.004)
    *_, last = windows_of(audio)
    assert (last.stop, last.final, last.voiced) == (17 * SAMPLE_RATE, True, 0)


def test_a_short_recording_without_a_pause_is_taken_for_speech() -> None:
    audio = noise(0.4, 0.01)
    (window,) = windows_of(audio)
    assert window.voiced == len(audio)
    assert windows_of(noise(2, 0.01))[0].voiced == 0


def test_a_short_silent_recording_gives_no_window() -> None:
    assert windows_of(silence(5)) == []
    assert windows_of(noise(14.9)) == []


def test_a_short_recording_of_doubtful_sound_is_decoded_whole() -> None:
    # Loud enough for a voice, without a beginning or an end that stands out.
    (window,) = windows_of(noise(4, 0.004))
    assert (window.start, window.stop) == (0, 4 * SAMPLE_RATE)


def test_c22_speech_between_silences_is_in_one_window() -> None:
    audio = np.concatenate((noise(20), talk(3), noise(20)))
    windows = windows_of(audio)
    assert spans_of(windows) == regular(3)
    assert [w.silent for w in windows] == [True, False, True]


def test_voiced_counts_samples_of_speech() -> None:
    audio = noise(15)
    audio[3 * SAMPLE_RATE : 5 * SAMPLE_RATE] += tone("alfa", 2 * SAMPLE_RATE)
    assert windows_of(audio)[0].voiced == 2 * SAMPLE_RATE


def test_c41_the_last_window_leaves_digital_zeros_behind_speech_out() -> None:
    audio = np.concatenate((talk(12), silence(1)))
    (window,) = windows_of(audio)
    assert window.stop <= to_samples(12.2)


def test_c40_the_last_window_keeps_a_soft_end() -> None:
    audio = noise(20)
    words = spoken([*dictation(16), ("zulu", 16.4, 16.8)], 20)
    audio[: len(words)] = words
    hiss = noise(0.4, 3 * ROOM * 4)
    audio[to_samples(17.05) : to_samples(17.45)] = hiss
    assert windows_of(audio)[-1].stop >= to_samples(17.45)


def test_a_word_that_a_window_cut_off_is_heard_whole() -> None:
    audio = spoken([*dictation(14), ("zulu", 14.6, 15.05)], 17)
    assert [w.final for w in windows_of(audio)] == [False, True]


def test_what_a_window_cut_off_ends_where_the_word_does() -> None:
    # Too little of it is left to be speech by itself.
    audio = np.concatenate((spoken([("alfa", 14.8, 15.04)], 15.1), noise(3)))
    assert spans_of(windows_of(audio)) == [(0.0, 15.0), (0.24, 15.24)]


@pytest.mark.parametrize("seconds", [16, 17, 20, 27.9])
def test_new_speech_after_the_last_regular_window_is_heard(seconds: float) -> None:
    *_, last = windows_of(talk(seconds))
    assert last.final
    assert last.stop == pytest.approx(to_samples(seconds), abs=to_samples(0.5))
    assert last.stop - last.start == DEFAULT.size


def test_e18_a_whispered_rest_is_heard() -> None:
    rest = noise(3, 1.0) * np.float32(10 ** (-39 / 20) / 4)
    audio = np.concatenate((spoken(dictation(16), 16), noise(1), rest, noise(1)))
    *_, last = windows_of(audio)
    assert last.final
    assert last.stop >= 20 * SAMPLE_RATE


def test_last_words_only_just_above_the_noise_are_heard() -> None:
    audio = noise(22, 0.003)
    for text, start, stop in dictation(20):
        first, last = to_samples(start), to_samples(stop)
        audio[first:last] += tone(text, last - first, 0.0085)
    *_, last_window = windows_of(audio)
    assert last_window.final
    assert to_samples(19.5) <= last_window.stop <= to_samples(20.5)


def test_c17_a_line_of_60_s_is_closed_by_its_fifth_window_and_by_the_last() -> None:
    windows = windows_of(talk(100), Geometry.of(60, 2))
    assert [w.closes_line for w in windows] == [
        False,
        False,
        False,
        False,
        True,
        False,
        False,
        True,
    ]


# The tape


def test_the_tape_gives_copies() -> None:
    tape = Tape()
    tape.append(noise(1))
    first = tape.read(0, 100)
    first[:] = 7
    assert tape.read(0, 100).max() < 1


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (0, 16_001), (7, 6)])
def test_the_tape_refuses_what_it_does_not_hold(start: int, stop: int) -> None:
    tape = Tape()
    tape.append(noise(1))
    with pytest.raises(ValueError, match=str(stop)):
        tape.read(start, stop)


def test_the_tape_forgets_what_is_old() -> None:
    tape = Tape()
    for _ in range(70):
        tape.append(noise(1))
    with pytest.raises(ValueError, match="0"):
        tape.read(0, 1)


@given(seconds=st.integers(0, 90), sizes=st.lists(st.integers(0, SAMPLE_RATE), max_size=25))
@example(seconds=90, sizes=[1])
@settings(max_examples=20)
def test_the_tape_holds_the_newest_30_s(seconds: int, sizes: list[int]) -> None:
    tape = Tape()
    sizes = [SAMPLE_RATE] * seconds + sizes
    everything = np.arange(sum(sizes), dtype=np.float32)
    at = 0
    for size in sizes:
        tape.append(everything[at : at + size])
        at += size
        assert tape.stop == at
        assert tape.stop - tape.start >= min(at, MEMORY)
        first = max(0, at - MEMORY)
        assert (tape.read(first, at) == everything[first:at]).all()
