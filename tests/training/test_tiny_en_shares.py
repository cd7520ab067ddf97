"""Shares of runs in a mean of weights."""

import pytest

from models.tiny_en.shares import each, rest


def test_one_share_is_parted_among_the_runs() -> None:
    assert each([1.0], 1) == [1.0]
    assert each([0.6], 2) == [0.3, 0.3]


def test_as_many_as_runs_are_theirs() -> None:
    assert each([0.625, 0.15], 2) == [0.625, 0.15]
    assert rest([0.625, 0.15]) == 0.225


def test_a_whole_leaves_nothing_however_it_is_parted() -> None:
    for count in range(1, 50):
        assert rest(each([1.0], count)) == 0


@pytest.mark.parametrize(
    ("shares", "count"),
    [([0.5, 0.5], 1), ([0.5, 0.5], 3), ([0.7, 0.7], 2), ([-0.1, 0.5], 2), ([1.1], 1)],
)
def test_what_is_no_mean_is_refused(shares: list[float], count: int) -> None:
    with pytest.raises(ValueError, match="together 1 at most"):
        each(shares, count)
