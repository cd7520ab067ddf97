import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sounds import noise, silence, tone

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.recognition import energy
from parakeet_coreml.recognition.energy import TICK, Levels

ROOM, VOICE = 0.001, 0.05
HUSH = 1e-4
"""Levels: of a room, a voice, and of almost nothing."""


def levels(*runs: tuple[int, float]) -> Levels:
    """Return levels of (ticks, level) runs."""
    return np.concatenate([np.full(ticks, level, dtype=np.float32) for ticks, level in runs])


def flags(*runs: tuple[int, float], floor: float = ROOM) -> list[tuple[int, int]]:
    """Return the voiced stretches as (first tick, tick after the last)."""
    voiced = energy.voiced(levels(*runs), floor)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], voiced.astype(int), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


# Levels


def test_a_level_is_the_rms_of_a_tick() -> None:
    audio = np.concatenate((tone("alfa", TICK, 0.1), silence(0.02)))
    assert energy.levels_of(audio) == pytest.approx([0.1, 0], abs=1e-3)


def test_the_rest_of_a_tick_is_left_out() -> None:
    assert len(energy.levels_of(np.ones(2 * TICK - 1, dtype=np.float32))) == 1
    assert len(energy.levels_of(np.ones(TICK - 1, dtype=np.float32))) == 0


@pytest.mark.parametrize("offset", [0.5, -0.9, 0.01])
def test_a_constant_offset_is_no_sound(offset: float) -> None:
    quiet = energy.levels_of(noise(1))
    assert energy.levels_of(noise(1) + np.float32(offset)) == pytest.approx(quiet, abs=1e-6)


# The floor


def test_the_floor_is_twice_the_tenth_percentile() -> None:
    assert energy.floor_of(levels((12, 0.002), (88, 0.1))) == pytest.approx(0.004)
    assert energy.floor_of(levels((8, 0.001), (92, 0.003))) == pytest.approx(0.006)


def test_digital_zeros_do_not_lower_the_floor() -> None:
    heard = levels((100, 0.004), (100, 0.05))
    muted = np.concatenate((heard, np.zeros(10_000, dtype=np.float32)))
    assert energy.floor_of(muted) == energy.floor_of(heard) == pytest.approx(0.008)


@pytest.mark.parametrize("runs", [[(50, 0.0)], [(0, 0.0)], [(50, 1e-5)]])
def test_no_room_is_quieter_than_the_lowest_floor(runs: list[tuple[int, float]]) -> None:
    assert energy.floor_of(levels(*runs)) == pytest.approx(0.0005)


def test_speech_without_pauses_does_not_become_the_floor() -> None:
    assert energy.floor_of(levels((1500, 0.3))) == pytest.approx(0.02)


# What is voiced


def test_speech_starts_6_db_above_the_floor_for_60_ms() -> None:
    assert flags((10, 0.0), (3, 2.01 * ROOM), (20, 0.0)) == [(10, 13)]
    assert flags((10, 0.0), (2, 2.01 * ROOM), (20, 0.0)) == []
    assert flags((10, 0.0), (3, 1.99 * ROOM), (20, 0.0)) == []


def test_speech_goes_on_above_3_db() -> None:
    assert flags((3, VOICE), (20, 1.42 * ROOM), (30, 0.0)) == [(0, 23)]
    assert flags((3, VOICE), (20, 1.40 * ROOM), (30, 0.0)) == [(0, 3)]


def test_300_ms_of_quiet_end_speech() -> None:
    assert flags((5, VOICE), (14, 0.0), (5, VOICE)) == [(0, 24)]
    assert flags((5, VOICE), (15, 0.0), (5, VOICE)) == [(0, 5), (20, 25)]


def test_a_click_after_a_pause_is_no_speech() -> None:
    assert flags((5, VOICE), (20, 0.0), (2, VOICE), (20, 0.0)) == [(0, 5)]


def test_a_soft_start_is_not_voiced_until_it_is_loud() -> None:
    assert flags((5, 1.5 * ROOM), (3, VOICE), (20, 0.0)) == [(5, 8)]


@pytest.mark.parametrize("runs", [[(0, 0.0)], [(100, 0.0)], [(1, VOICE)]])
def test_where_nothing_is_said_nothing_is_voiced(runs: list[tuple[int, float]]) -> None:
    assert flags(*runs) == []


run = st.tuples(st.integers(1, 30), st.booleans())


@given(
    shape=st.lists(run, min_size=1, max_size=12),
    louder=st.floats(1, 20),
    floor=st.floats(energy.FLOOR_MIN, energy.FLOOR_MAX),
)
def test_how_far_above_the_floor_a_voice_is_changes_nothing(
    shape: list[tuple[int, bool]], louder: float, floor: float
) -> None:
    def said(voice: float) -> list[tuple[int, int]]:
        return flags(*((ticks, voice if on else floor / 2) for ticks, on in shape), floor=floor)

    assert said(2.1 * floor) == said(2.1 * floor * louder)


@given(
    shape=st.lists(run, min_size=3, max_size=12),
    gain=st.floats(0.6, 8),
)
def test_a_louder_recording_has_its_speech_in_the_same_places(
    shape: list[tuple[int, bool]], gain: float
) -> None:
    # As long as the floor can follow: between its bounds.
    runs = [(20, ROOM), *((ticks, VOICE if on else ROOM) for ticks, on in shape), (100, ROOM)]

    def said(gain: float) -> list[tuple[int, int]]:
        heard = [(ticks, level * gain) for ticks, level in runs]
        return flags(*heard, floor=energy.floor_of(levels(*heard)))

    assert said(gain) == said(1)


# Silence


def whisper(seconds: float) -> Samples:
    """Return noise in syllables: RMS -53 dB, peaks of -39 dB, as measured of whispering."""
    audio = noise(seconds, 1.0) * np.float32(10 ** (-39 / 20) / 4)
    for at in range(0, len(audio), SAMPLE_RATE // 4):
        audio[at : at + SAMPLE_RATE // 16] = noise(1 / 16, 1e-4)
    return audio


def test_e18_whispering_is_no_silence() -> None:
    audio = whisper(3)
    assert 20 * np.log10(audio.std()) == pytest.approx(-53, abs=2)
    assert not energy.is_silence(audio)
    found = energy.voiced(energy.levels_of(audio), energy.floor_of(energy.levels_of(audio)))
    assert found.mean() > 0.5


@pytest.mark.parametrize("rms", [0.0, 1e-5, 3e-4, 8e-4])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_a_quiet_room_is_silence_with_or_without_offset(rms: float, offset: float) -> None:
    assert energy.is_silence(noise(15, rms) + np.float32(offset))


def test_nothing_is_silence() -> None:
    assert energy.is_silence(np.empty(0, dtype=np.float32))
    assert energy.is_silence(np.zeros(1, dtype=np.float32))


def test_one_loud_sample_is_no_silence() -> None:
    audio = silence(15)
    audio[1000] = 0.0061
    assert not energy.is_silence(audio)
    audio[1000] = 0.0059
    assert energy.is_silence(audio)


def test_a_soft_hum_is_no_silence() -> None:
    assert not energy.is_silence(tone("alfa", SAMPLE_RATE, 0.0013))
    assert energy.is_silence(tone("alfa", SAMPLE_RATE, 0.0012))


def test_40_ms_of_a_soft_voice_are_no_silence() -> None:
    audio = silence(15)
    audio[32_000 : 32_000 + 2 * TICK] = tone("alfa", 2 * TICK, 0.0021)
    assert not energy.is_silence(audio)
    audio[32_000 : 32_000 + 2 * TICK] = tone("alfa", 2 * TICK, 0.0019)
    assert energy.is_silence(audio)


# Where speech ends


def end_of(*runs: tuple[int, float]) -> int | None:
    found = np.flatnonzero(energy.spoken(levels(*runs), ROOM))
    end = energy.with_tail(levels(*runs), int(found[-1]), ROOM) if len(found) else None
    return None if end is None else end // TICK


def test_speech_ends_200_ms_after_its_last_voiced_tick() -> None:
    assert end_of((10, 0.0), (10, VOICE), (100, 0.0)) == 20 + 10


def test_there_is_no_end_without_speech() -> None:
    assert end_of((100, 0.0)) is None
    assert end_of((0, 0.0)) is None


def test_behind_a_noise_gate_no_sound_is_trimmed() -> None:
    # The last word is far below the floor that the louder ones make.
    assert end_of((10, VOICE), (20, 0.0), (15, 0.4 * ROOM), (30, 0.0)) == 45 + 10
    assert end_of((10, VOICE), (20, HUSH), (15, 0.4 * ROOM), (30, HUSH)) == 10 + 10


def test_zeros_before_the_first_sound_are_no_noise_gate() -> None:
    assert end_of((40, 0.0), (10, VOICE), (30, HUSH)) == 50 + 10


def test_a_soft_end_is_kept() -> None:
    assert end_of((10, VOICE), (25, 1.2 * ROOM), (100, HUSH)) == 10 + 10 + 20


def test_half_of_the_soft_end_must_be_above_the_floor() -> None:
    assert end_of((10, VOICE), (20, 1.2 * ROOM), (100, HUSH)) == 10 + 10 + 20
    assert end_of((10, VOICE), (19, 1.2 * ROOM), (100, HUSH)) == 10 + 10


def test_c40_a_soft_s_after_a_gap_is_kept() -> None:
    # A word, 0.25 s of nothing, and an s above the threshold of going on, not of starting.
    assert end_of((20, VOICE), (12, HUSH), (8, 1.5 * ROOM), (100, HUSH)) == 40 + 10


def test_the_end_of_speech_does_not_depend_on_how_long_the_quiet_lasts() -> None:
    assert len({end_of((20, VOICE), (quiet, 0.5 * ROOM)) for quiet in range(40, 200, 7)}) == 1


# Where to cut


def test_constant_loudness_is_cut_in_the_exact_middle() -> None:
    for ticks in (1, 2, 25, 50, 51):
        assert energy.quietest(levels((ticks, VOICE))) == ticks * TICK // 2
        assert energy.quietest(levels((ticks, 0.0))) == ticks * TICK // 2


@pytest.mark.parametrize("at", [0, 3, 15, 30])
def test_a_pause_of_0_4_s_is_where_to_cut(at: int) -> None:
    found = energy.quietest(levels((at, VOICE), (20, ROOM), (30 - at, VOICE)))
    assert at * TICK < found < (at + 20) * TICK
    assert found == pytest.approx((at + 10) * TICK, abs=3 * TICK)


def test_the_longer_of_two_pauses_wins_though_the_other_is_nearer_to_the_middle() -> None:
    found = energy.quietest(levels((2, VOICE), (20, ROOM), (2, VOICE), (9, ROOM), (17, VOICE)))
    assert 2 * TICK < found < 22 * TICK


def test_of_two_equal_pauses_the_one_nearer_to_the_middle_wins() -> None:
    near_end = levels((2, VOICE), (10, ROOM), (14, VOICE), (10, ROOM), (14, VOICE))
    assert 26 * TICK < energy.quietest(near_end) < 36 * TICK
    assert 14 * TICK < energy.quietest(near_end[::-1]) < 24 * TICK


def test_one_quiet_tick_does_not_beat_a_pause() -> None:
    found = energy.quietest(levels((10, VOICE), (1, 0.0), (20, VOICE), (15, ROOM), (4, VOICE)))
    assert 31 * TICK < found < 46 * TICK


def test_the_quietest_of_nothing_is_its_start() -> None:
    assert energy.quietest(levels((0, 0.0))) == 0


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=80),
)
def test_the_cut_lies_inside(heard: list[float]) -> None:
    assert 0 < energy.quietest(np.array(heard, dtype=np.float32)) < len(heard) * TICK


# The longest pause


@pytest.mark.parametrize(
    ("voiced", "tick"),
    [
        ("", None),
        ("....", None),
        ("..x..", None),
        (".xxxx.", None),
        ("x.x", 1),
        ("x...x..x", 2),
        ("x.x....x", 4),
        ("....x.x....", 5),
    ],
)
def test_the_longest_pause_lies_between_speech(voiced: str, tick: int | None) -> None:
    assert energy.longest_pause(np.array([c == "x" for c in voiced], dtype=np.bool_)) == tick
