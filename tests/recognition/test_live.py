"""Words that may still change: all of the open line, and the part two decodes agree on."""

import pytest

from parakeet_coreml.recognition.live import Forecast, after_line
from parakeet_coreml.recognition.words import Word


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(t, i * 100, i * 100 + 50, (0.9,)) for i, t in enumerate(text.split()))


def after(*texts: str, settled: str = "") -> tuple[str, str]:
    """Return text and stable text after decodes of the open words."""
    forecast = Forecast()
    for text in texts:
        forecast = forecast.next(words(settled), words(text))
    return forecast.texts


@pytest.mark.parametrize(
    ("texts", "stable"),
    [
        (("please",), ""),
        (("please", "please open"), "please"),
        (("please open the", "please open a door"), "please open"),
        (("please open", "close it"), ""),
        (("please open", "close it", "close it"), "close it"),
        (("please open", ""), ""),
        (("Please, open", "please open"), "please open"),
    ],
)
def test_what_two_decodes_agree_on_is_stable(texts: tuple[str, ...], stable: str) -> None:
    assert after(*texts) == (texts[-1], stable)


def test_settled_words_are_stable_without_agreement() -> None:
    assert after("open", settled="please") == ("please open", "please")
    assert after("open it", "open up", settled="please") == ("please open up", "please open")


def test_behind_a_line_held_words_were_heard_once() -> None:
    forecast = after_line(words("and then"))
    assert forecast.texts == ("and then", "")
    assert forecast.next((), words("and then close")).texts == ("and then close", "and then")
