import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import geometries

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE
from parakeet_coreml.errors import UsageError
from parakeet_coreml.recognition.geometry import Geometry


def test_by_default_a_window_spans_15_s_and_the_next_starts_13_s_later() -> None:
    geometry = Geometry.of(15, 2)
    assert (geometry.size, geometry.overlap, geometry.hop) == (240_000, 32_000, 208_000)
    assert geometry.line == geometry.size


def test_fractions_of_a_second_become_whole_samples() -> None:
    geometry = Geometry.of(7.77777, 1.33333)
    assert (geometry.size, geometry.overlap) == (124_444, 21_333)


@pytest.mark.parametrize("chunk", [4.999, 0, -1, 120.001, math.inf, -math.inf, math.nan])
def test_a_chunk_is_5_to_120_s_long(chunk: float) -> None:
    with pytest.raises(UsageError, match="--chunk-seconds must be from 5 to 120"):
        Geometry.of(chunk, 2)


@pytest.mark.parametrize(
    ("chunk", "overlap"),
    [(15, -0.001), (15, 12.001), (15, 15), (15, 20), (5, 2.001), (5, 4.9), (60, 12.5)],
)
def test_an_overlap_is_at_least_3_s_shorter_than_its_window(chunk: float, overlap: float) -> None:
    with pytest.raises(UsageError, match="--overlap-seconds must be from 0 to"):
        Geometry.of(chunk, overlap)


@pytest.mark.parametrize("overlap", [math.nan, math.inf, -math.inf])
def test_an_overlap_is_a_number(overlap: float) -> None:
    with pytest.raises(UsageError, match="--overlap-seconds"):
        Geometry.of(15, overlap)


@pytest.mark.parametrize(("chunk", "overlap"), [(5, 2), (5, 0), (15, 12), (120, 12), (120, 0)])
def test_the_bounds_themselves_are_allowed(chunk: float, overlap: float) -> None:
    geometry = Geometry.of(chunk, overlap)
    assert geometry.line == chunk * SAMPLE_RATE
    assert geometry.hop >= 3 * SAMPLE_RATE


def test_the_refusal_says_what_was_given_and_what_is_allowed() -> None:
    with pytest.raises(UsageError) as refusal:
        Geometry.of(10, 8)
    assert refusal.value.message == (
        "--overlap-seconds must be from 0 to 7 (3 s less than a window), not 8"
    )


def test_a_longer_chunk_is_made_of_windows_the_model_takes() -> None:
    geometry = Geometry.of(60, 2)
    assert (geometry.size, geometry.line) == (MODEL_WINDOW, 60 * SAMPLE_RATE)


def stops(geometry: Geometry, count: int) -> list[int]:
    return [geometry.size + i * geometry.hop for i in range(count)]


def test_every_window_closes_a_line_by_default() -> None:
    geometry = Geometry.of(15, 2)
    assert all(geometry.closes_line(stop) for stop in stops(geometry, 20))


def test_a_line_of_60_s_ends_with_the_first_window_that_reaches_it() -> None:
    geometry = Geometry.of(60, 2)
    closing = [s / SAMPLE_RATE for s in stops(geometry, 20) if geometry.closes_line(s)]
    assert closing == [67, 132, 184, 249]  # windows end at 15, 28, 41, 54, 67, 80, …


def test_a_window_that_ends_where_the_line_does_closes_it() -> None:
    geometry = Geometry.of(30, 0)
    closing = [s / SAMPLE_RATE for s in stops(geometry, 6) if geometry.closes_line(s)]
    assert closing == [30, 60, 90]


def test_a_line_a_little_longer_than_a_window_takes_two() -> None:
    geometry = Geometry.of(15.5, 2)
    closing = [s / SAMPLE_RATE for s in stops(geometry, 6) if geometry.closes_line(s)]
    assert closing == [28, 41, 54, 67, 80]


@given(geometry=geometries(), count=st.integers(1, 60))
def test_lines_end_with_the_first_window_at_or_past_each_multiple(
    geometry: Geometry, count: int
) -> None:
    closing = [s for s in stops(geometry, count) if geometry.closes_line(s)]
    expected = stops(geometry, count)
    if geometry.line > geometry.size:
        multiples = range(geometry.line, expected[-1] + 1, geometry.line)
        expected = sorted({min(s for s in expected if s >= m) for m in multiples})
    assert closing == expected
