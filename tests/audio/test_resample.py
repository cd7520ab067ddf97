import math
from collections.abc import Iterable
from itertools import islice

import numpy as np
import pytest
import soxr
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parakeet_coreml.audio.resample import LOUDEST, Counts, to_16k
from parakeet_coreml.audio.samples import MAX_RATE, MIN_RATE, SAMPLE_RATE, Samples

RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000)

Sound = NDArray[np.float32]


def resampled(blocks: Iterable[Sound], rate: int, counts: Counts | None = None) -> Samples:
    parts = list(to_16k(blocks, rate, counts=counts or Counts()))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def noise(length: int, channels: int = 0, seed: int = 0) -> Sound:
    shape = (length, channels) if channels else (length,)
    loud = np.random.default_rng(seed).standard_normal(shape)
    return (0.1 * loud).astype(np.float32)


def tone(hertz: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> Sound:
    times = np.arange(round(rate * seconds)) / rate
    return (level * np.sin(2 * math.pi * hertz * times)).astype(np.float32)


def rms(sound: Sound) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


@given(
    rate=st.sampled_from(RATES) | st.integers(MIN_RATE, 192_000),
    channels=st.sampled_from([0, 1, 2, 3, 7]),
    length=st.integers(0, 40_000),
    cuts=st.lists(st.floats(0, 1), max_size=12),
    seed=st.integers(0, 9),
)
@example(rate=48_000, channels=2, length=9_600, cuts=[0.5], seed=0)
@example(rate=44_100, channels=0, length=0, cuts=[], seed=0)
def test_how_the_input_is_cut_leaves_no_trace(
    rate: int, channels: int, length: int, cuts: list[float], seed: int
) -> None:
    sound = noise(length, channels, seed)
    if channels > 1:
        # Silence and opposite phase in turns, so that the choice of the mix changes on the way.
        sound[length // 3 : 2 * length // 3, 1] = -sound[length // 3 : 2 * length // 3, 0]
        sound[length // 2 :, 2:] = 0
    blocks = np.split(sound, sorted(round(cut * length) for cut in cuts))
    whole = resampled([sound], rate)
    assert np.array_equal(resampled(blocks, rate), whole)
    assert abs(len(whole) - round(length * SAMPLE_RATE / rate)) <= 1
    assert whole.dtype == np.float32
    assert whole.ndim == 1


@pytest.mark.parametrize("rate", [r for r in RATES if r != SAMPLE_RATE])
def test_single_samples_give_what_soxr_gives_at_once(rate: int) -> None:
    sound = noise(rate // 20)
    expected = soxr.resample(sound, rate, SAMPLE_RATE, quality="HQ")
    assert np.array_equal(resampled(np.split(sound, len(sound)), rate), expected)


def test_16_khz_passes_through_untouched() -> None:
    sound = noise(5_000)
    assert np.array_equal(resampled([sound[:7], sound[7:]], SAMPLE_RATE), sound)


def test_mono_is_not_held_back() -> None:
    blocks = to_16k(iter([noise(10), noise(20)]), SAMPLE_RATE, counts=Counts())
    assert len(next(blocks)) == 10


def test_two_channels_are_held_back_for_100_ms_at_most() -> None:
    seen = 0

    def live() -> Iterable[Sound]:
        nonlocal seen
        while True:
            seen += 441
            yield noise(441, 2)

    heard = sum(len(block) for block in islice(to_16k(live(), 44_100, counts=Counts()), 9))
    held = seen / 44_100 - heard / SAMPLE_RATE
    assert held < 0.1 + 0.03  # the filter of soxr itself holds 22 ms


def test_values_that_are_no_numbers_become_silence_and_are_counted() -> None:
    sound = noise(1_000)
    sound[[3, 500, 900]] = [np.nan, np.inf, -np.inf]
    counts = Counts()
    heard = resampled([sound[:400], sound[400:]], SAMPLE_RATE, counts)
    assert counts.bad_samples == 3
    assert list(heard[[3, 500, 900]]) == [0, 0, 0]
    assert heard[4] == sound[4]


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_huge_values_stay_finite(rate: int, channels: int) -> None:
    sound = np.full((2_000, channels), 1e30, np.float32)
    sound[1::2] = -np.finfo(np.float32).max
    heard = resampled([sound], rate)
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() < 4 * LOUDEST


def test_the_input_is_left_as_it_was() -> None:
    sound = noise(100)
    sound[5] = np.nan
    before = sound.copy()
    resampled([sound], SAMPLE_RATE)
    assert np.array_equal(sound, before, equal_nan=True)


def test_opposite_phase_does_not_cancel() -> None:
    one = tone(300, SAMPLE_RATE)
    assert rms(resampled([np.stack([one, -one], axis=1)], SAMPLE_RATE)) == pytest.approx(rms(one))


@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
@pytest.mark.parametrize("hum", [0.0, 0.003, 0.06])
def test_a_balanced_plug_keeps_its_voice_whatever_hums(rate: int, hum: float) -> None:
    times = np.arange(3 * rate) / rate
    voice = np.float32(0.05) * tone(700, rate, 3) * (np.sin(2 * np.pi * times) > 0)
    low = np.sin(100 * np.pi * times) + 0.5 * np.sin(300 * np.pi * times) + 0.5
    noises = (hum * low).astype(np.float32)
    balanced = np.stack([voice + noises, noises - voice], axis=1)
    heard = resampled([balanced], rate)
    truth = resampled([(voice + noises)[:, None]], rate)
    # One channel from the first word on, without a change of sign.
    assert np.allclose(heard[1_600:], truth[1_600:], atol=1e-3)


def test_one_live_channel_among_sixteen_keeps_its_loudness() -> None:
    sound = np.zeros((SAMPLE_RATE, 16), np.float32)
    sound[:, 11] = tone(300, SAMPLE_RATE)
    assert np.array_equal(resampled([sound], SAMPLE_RATE), sound[:, 11])


def test_equal_channels_are_averaged() -> None:
    one = tone(300, SAMPLE_RATE)
    two = tone(500, SAMPLE_RATE)
    heard = resampled([np.stack([one, two], axis=1)], SAMPLE_RATE)
    assert np.allclose(heard, (one + two) / 2, atol=1e-7)


def test_a_tone_keeps_its_pitch_and_loudness() -> None:
    heard = resampled([tone(1_000, 44_100)], 44_100)[1_000:-1_000]
    assert np.allclose(heard, tone(1_000, SAMPLE_RATE)[1_000:-1_000], atol=1e-3)


def test_a_tone_beyond_8_khz_does_not_fold_back() -> None:
    assert rms(resampled([tone(11_000, 48_000)], 48_000)[1_000:-1_000]) < 1e-4


@pytest.mark.parametrize(
    "rate", [math.nan, math.inf, 0, -48_000, 7, MIN_RATE - 1, MAX_RATE + 1, 4_294_967_295]
)
def test_a_rate_that_hangs_soxr_is_refused_before_the_first_block(rate: float) -> None:
    with pytest.raises(ValueError, match="rate of"):
        to_16k([], rate, counts=Counts())  # type: ignore[arg-type]


def test_nothing_gives_nothing() -> None:
    assert len(resampled([], 44_100)) == 0
    assert len(resampled([noise(0), noise(0, 2)], 44_100)) == 0
