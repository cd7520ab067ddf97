"""The statistics, against cases worked out by hand and against jiwer."""

import math
import random

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parakeet_coreml.bench.figures import (
    Errors,
    confirmed_latency,
    corpus_rate,
    paired,
    percentile,
    rate,
    spread,
)
from parakeet_coreml.bench.scoring import Scorer

ONE, NONE = Errors(1, 0, 0, 10), Errors(0, 0, 0, 10)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        *(([3], 0.5, 3), ([3], 0.99, 3), ([1, 2], 0.5, 1.5), ([1, 2, 4], 0.5, 2)),
        *(([4, 1, 2], 0.75, 3), ([0, 10], 0.95, 9.5), (list(range(101)), 0.95, 95)),
        *(([5, 1, 9], 0.0, 1), ([5, 1, 9], 1.0, 9)),
    ],
)
def test_percentiles_worked_out_by_hand(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_no_values_have_no_percentile_and_no_spread() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
    assert spread([]) is None


def test_a_spread() -> None:
    found = spread([1.0, 2.0, 3.0, 4.0, 100.0])
    assert found is not None
    assert (found.n, found.median, found.least, found.most) == (5, 3, 1, 100)
    assert found.p95 == pytest.approx(80.8)
    assert found.p99 == pytest.approx(96.16)


def test_the_rate_is_over_the_corpus_and_not_the_mean_of_rates() -> None:
    assert corpus_rate([Errors(1, 0, 0, 2), Errors(0, 1, 1, 8)]) == pytest.approx(0.3)
    assert math.isnan(corpus_rate([]))


def test_recordings_that_are_all_alike_have_no_interval() -> None:
    found = rate([ONE] * 20, seed=1)
    assert (found.value, found.low, found.high) == (0.1, 0.1, 0.1)


def test_the_interval_is_that_of_the_binomial_distribution() -> None:
    """Half of 100 recordings wrong: the share of wrong ones drawn is binomial, 0.5 ± 0.098."""
    errors = [Errors(1, 0, 0, 1)] * 50 + [Errors(0, 0, 0, 1)] * 50
    found = rate(errors, seed=1)
    assert found.value == 0.5
    assert found.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.015)
    assert found.high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.015)


def test_the_same_seed_gives_the_same_interval() -> None:
    errors = [Errors(n, 0, 0, 10 + n) for n in range(30)]
    assert rate(errors, seed=5) == rate(errors, seed=5) != rate(errors, seed=6)


def test_a_difference_is_seen_in_pairs_that_intervals_hide() -> None:
    """Every recording is one word worse, and how hard they are varies far more than that."""
    rng = random.Random(0)
    hard = [rng.randrange(0, 40) for _ in range(60)]
    second = [Errors(errors, 0, 0, 50) for errors in hard]
    first = [Errors(errors + 1, 0, 0, 50) for errors in hard]
    apart = rate(first, 1), rate(second, 1)
    assert apart[0].low < apart[1].high
    found = paired(first, second, seed=1)
    assert found.value == pytest.approx(0.02)
    assert found.low == pytest.approx(0.02)
    assert found.high == pytest.approx(0.02)
    assert found.differs


def test_chance_is_no_difference() -> None:
    assert not paired([ONE, NONE] * 20, [NONE, ONE] * 20, seed=1).differs
    same = paired([ONE] * 3, [ONE] * 3, seed=1)
    assert (same.value, same.differs) == (0, False)


def test_pairs_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="not the same"):
        paired([ONE], [], seed=1)
    with pytest.raises(ValueError, match="no recordings"):
        rate([], seed=1)


def test_confirmed_latency_worked_out_by_hand() -> None:
    """At 5 s words up to 3 s come, at 9 s words up to 8: (5 + 2 + 6 + 1) / 4."""
    assert confirmed_latency([(5_000, 3_000), (9_000, 8_000)]) == 3_500
    assert confirmed_latency([]) is None


WORDS = st.lists(st.sampled_from(["alfa", "bravo", "tango", "kilo"]), max_size=8)


@given(st.lists(st.tuples(WORDS.filter(bool), WORDS), min_size=1, max_size=5))
def test_the_corpus_rate_is_jiwers(pairs: list[tuple[list[str], list[str]]]) -> None:
    said, heard = ([" ".join(pair[i]) for pair in pairs] for i in (0, 1))
    scorer = Scorer("english")
    errors = [scorer.errors(*texts) for texts in zip(said, heard, strict=True)]
    assert corpus_rate(errors) == pytest.approx(jiwer.wer(said, heard))


@pytest.mark.parametrize(
    ("said", "heard", "expected"),
    [
        ("Mr. Smith has twenty-two colours", "mister smith has 22 colors", Errors(0, 0, 0, 5)),
        ("uh open it", "open it", Errors(0, 0, 0, 2)),
        ("one two three", "", Errors(0, 1, 0, 1)),  # the normaliser makes it one number
        ("open the door", "open a door please", Errors(1, 0, 1, 3)),
        ("uh", "hello there", Errors(0, 0, 2, 0)),
        ("open", "", Errors(0, 1, 0, 1)),
    ],
)
def test_words_are_normalised_as_the_leaderboard_does(
    said: str, heard: str, expected: Errors
) -> None:
    assert Scorer("english").errors(said, heard) == expected


def test_other_languages_keep_their_letters() -> None:
    assert Scorer("basic").errors("Où est-elle ?", "ou est elle") == Errors(1, 0, 0, 3)
