import math
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import word

from parakeet_coreml.backends.base import Hypothesis, Token
from parakeet_coreml.recognition.words import Word, confidence_of, in_turn, text_of

TOKEN = Token(id=3, piece="▁fix", start=1280, duration=2560, probability=0.5)


def said(*probabilities: float) -> Word:
    return Word("a", 0, 1280, probabilities)


def test_a_shifted_hypothesis_is_another_one() -> None:
    hypothesis = Hypothesis((TOKEN,))
    (token,) = hypothesis.shifted(1000).tokens
    assert (token.start, token.duration, token.piece) == (2280, 2560, "▁fix")
    assert hypothesis.tokens[0].start == 1280


def test_a_hypothesis_is_true_if_anything_was_heard() -> None:
    assert Hypothesis((TOKEN,))
    assert not Hypothesis()


@pytest.mark.parametrize("value", [TOKEN, Hypothesis((TOKEN,)), said(0.5)])
def test_values_are_frozen(value: object) -> None:
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        value.start = 3  # type: ignore[attr-defined]


def test_the_centre_of_a_word_is_between_its_ends() -> None:
    assert Word("a", 100, 201, ()).centre == 150


def test_words_are_joined_by_one_space() -> None:
    assert text_of([word("fix", 0), word("the", 3), word("bug.", 6)]) == "fix the bug."
    assert text_of([]) == ""


def test_confidence_is_the_mean_over_tokens_not_over_words() -> None:
    assert confidence_of([said(1.0), said(0.5, 0.0)]) == pytest.approx(0.5)


def test_no_words_have_no_confidence() -> None:
    assert confidence_of([]) == 0.0
    assert confidence_of([Word("a", 0, 1, ())]) == 0.0


@given(st.lists(st.lists(st.floats(0, 1), max_size=4), max_size=6))
def test_confidence_is_a_share(probabilities: list[list[float]]) -> None:
    confidence = confidence_of(said(*own) for own in probabilities)
    assert 0.0 <= confidence <= 1.0


@pytest.mark.parametrize(("odd", "confidence"), [(1.5, 1.0), (-0.5, 0.0), (math.inf, 1.0)])
def test_confidence_stays_a_share_whatever_a_backend_says(odd: float, confidence: float) -> None:
    assert confidence_of([said(odd)]) == confidence


def test_confidence_is_never_nan() -> None:
    assert confidence_of([said(math.nan)]) == 0.0


def test_words_that_overlap_in_time_take_turns() -> None:
    words = [
        Word("a", 0, 400, ()),
        Word("b", 300, 900, ()),
        Word("c", 850, 860, ()),
        Word("d", 700, 1000, ()),
    ]
    turns = in_turn(words, 100)
    assert [(w.text, w.start, w.stop) for w in turns] == [
        ("a", 100, 300),
        ("b", 300, 850),
        ("c", 850, 860),
        ("d", 860, 1000),
    ]


@given(
    times=st.lists(st.tuples(st.integers(0, 999), st.integers(0, 400)), max_size=12),
    after=st.integers(0, 500),
)
def test_no_two_words_share_a_sample_whatever_the_times(
    times: list[tuple[int, int]], after: int
) -> None:
    turns = in_turn([Word("a", at, at + lasts, ()) for at, lasts in times], after)
    edges = [after, *(edge for w in turns for edge in (w.start, w.stop))]
    assert len(turns) == len(times)
    assert edges == sorted(edges)
