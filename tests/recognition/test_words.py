import math
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import word

from parakeet_coreml.backends.base import Hypothesis, Token
from parakeet_coreml.recognition.words import Word, confidence_of, text_of

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
