"""Which words look like a term."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parakeet_coreml.backends.transducer.resemblance import (
    KEPT,
    Resemblance,
    distance,
    letters_of,
)

letters = st.text("abcé7", max_size=9)


def by_table(one: str, other: str) -> int:
    row: list[int] = [*range(len(other) + 1)]
    for i, a in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            before, row[j] = row[j], min(before + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]


@given(one=letters, other=letters)
def test_the_distance_is_that_of_the_table(one: str, other: str) -> None:
    assert distance(one, other) == by_table(one, other)


@given(words=st.lists(letters, max_size=6), terms=st.lists(letters.filter(bool), min_size=1))
def test_what_is_found_is_what_comparing_all_finds(words: list[str], terms: list[str]) -> None:
    resemblance = Resemblance(terms)
    found = {(at, term) for at, terms_there in resemblance.places(words) for term in terms_there}
    spans = [(i, j) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
    written = {at for i, j in spans if "".join(words[i:j]) in terms for at in range(i, j)}
    for at in range(len(words)):
        free = [(i, j) for i, j in spans if i == at and written.isdisjoint(range(i, j))]
        texts = ["".join(words[i:j]) for i, j in free]
        for number, term in enumerate(terms):
            near = any(text and by_table(text, term) <= Resemblance.limit(term) for text in texts)
            assert ((at, number) in found) == near


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (["the", "cuber", "netis"], [(1, (0,))]),
        (["kubernetes"], []),
        (["kuber", "netes"], []),
        (["a", "docker", "s"], []),
        (["the", "house"], []),
        (["dockor"], [(0, (1,))]),
        ([], []),
        ([""], []),
    ],
)
def test_words_are_joined_and_compared(
    written: list[str], found: list[tuple[int, tuple[int, ...]]]
) -> None:
    assert Resemblance(["Kubernetes", "docker"]).places(written) == found


def test_the_likest_comes_first() -> None:
    assert Resemblance(["petersen", "peterson"]).places(["petersom"]) == [(0, (1, 0))]


def test_marks_and_case_are_no_letters() -> None:
    assert letters_of("▁Él's, C3!") == "élsc3"


def test_what_is_remembered_is_bounded() -> None:
    resemblance = Resemblance(["docker"])
    for number in range(KEPT + 10):
        resemblance.places([f"{number:08}"])
    assert len(resemblance._known) <= KEPT + 10
    assert resemblance.places(["dokker"]) == [(0, (0,))]
