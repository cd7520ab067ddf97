"""Where terms were written."""

from parakeet_coreml.recognition.spotting import Spotted, Spotter
from parakeet_coreml.recognition.words import Word


def words(text: str) -> list[Word]:
    return [Word(w, i * 10, i * 10 + 8, (1.0,)) for i, w in enumerate(text.split())]


def spotted(text: str, *terms: str) -> list[Spotted]:
    return Spotter(terms).spotted(words(text))


def test_terms_are_found_with_marks_around_them() -> None:
    assert spotted("ask Redis, or (New York).", "Redis", "New York") == [
        Spotted("Redis", 10, 18),
        Spotted("New York", 30, 48),
    ]


def test_other_case_and_parts_of_words_are_not_the_term() -> None:
    assert spotted("redis Rediscover new New", "Redis", "New York") == []


def test_the_longer_of_two_counts_and_each_occurrence() -> None:
    found = spotted("New York New York Times", "New York", "New York Times")
    assert [term.text for term in found] == ["New York", "New York Times"]


def test_a_term_with_marks_is_found_as_it_is() -> None:
    assert [t.text for t in spotted("in C# and ++ now", "C#", "++")] == ["C#", "++"]


def test_nothing_is_found_in_nothing() -> None:
    assert spotted("", "Redis") == spotted("Redis") == []
