"""Words longer than an overlap: numbers, and languages without spaces."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sounds import listening

from parakeet_coreml.audio.samples import FRAME, SAMPLE_RATE, Samples, to_samples
from parakeet_coreml.backends.base import Hypothesis, Token
from parakeet_coreml.recognition.account import Account
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.merge import Seam
from parakeet_coreml.recognition.pipeline import Plan, transcribe
from parakeet_coreml.recognition.words import glued, text_of, words_of

SIZE, OVERLAP = 15 * SAMPLE_RATE, 2 * SAMPLE_RATE

CARD = "4111222233334444"


def said(pieces: Sequence[tuple[str, float, float]]) -> list[Token]:
    """Return tokens of pieces with start and duration in seconds, on whole frames."""
    return [
        Token(0, piece, to_samples(at) // FRAME * FRAME, to_samples(lasts) // FRAME * FRAME, 0.9)
        for piece, at, lasts in pieces
    ]


def number(digits: str, at: float, pace: float) -> list[Token]:
    """Return "card", a number of which only the first digit is marked, and "thanks"."""
    pieces = [("▁card", at - 0.6, 0.3)]
    pieces += [
        (("▁" if i == 0 else "") + d, at + i * pace, pace * 0.6) for i, d in enumerate(digits)
    ]
    pieces.append(("▁thanks", at + len(digits) * pace + 0.5, 0.4))
    return said(pieces)


def printed(
    tokens: Sequence[Token], total: float, *, marked: bool, where: float = 0.5, jitter: int = 0
) -> list[str]:
    """Return the lines of windows that hear the tokens which lie in them.

    `marked`: the first piece a window hears opens a word. `where`: the cut, as a share of the
    overlap. `jitter`: frames by which a window may time a token wrongly.
    """
    end, rng = to_samples(total), random.Random(0)
    seam, lines, start, last = Seam(), [], 0, False
    while not last:
        stop = start + SIZE
        last = stop >= end
        if last:
            start, stop = max(0, end - SIZE), end
        own = [t for t in tokens if start <= t.start and t.start + t.duration <= stop]
        own = [t._replace(start=t.start + rng.randint(-jitter, jitter) * FRAME) for t in own]
        if own and marked:
            own[0] = own[0]._replace(piece="▁" + own[0].piece.removeprefix("▁"))
        cut = stop if last else stop - OVERLAP + round(OVERLAP * where)
        fresh, seam = seam.join(words_of(own), start=start, cut=cut, stop=stop, overlap=OVERLAP)
        lines.append(text_of(glued(fresh)))
        start += SIZE - OVERLAP
    assert seam.held == ()
    return lines


def letters(lines: Sequence[str]) -> str:
    return "".join(lines).replace(" ", "")


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("where", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("pace", [0.15, 0.25, 0.4, 0.6])
@pytest.mark.parametrize("digits", [CARD, CARD[:10], "5550142", "1111111111", "98765432"])
def test_no_digit_of_a_long_number_is_lost_or_doubled(
    digits: str, pace: float, where: float, marked: bool
) -> None:
    wrong = [
        (start, lines)
        for start in (5 + i / 10 for i in range(135))
        for lines in [printed(number(digits, start, pace), 32, marked=marked, where=where)]
        if letters(lines) != f"card{digits}thanks"
    ]
    assert len(wrong) == 0, (len(wrong), wrong[:3])


@pytest.mark.parametrize("where", [0.25, 0.5, 0.75])
def test_a_number_timed_a_frame_otherwise_keeps_its_digits(where: float) -> None:
    for start in (5 + i / 10 for i in range(135)):
        lines = printed(
            number("4916338506082832", start, 0.4), 32, marked=True, where=where, jitter=1
        )
        assert letters(lines) == "card4916338506082832thanks"


SPOKEN = "".join(chr(0x4E00 + i) for i in range(250))
"""250 characters, each of them once."""


@pytest.mark.parametrize("where", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("every", [0, 7, 60, 1000])
@pytest.mark.parametrize("marked", [True, False])
def test_a_language_without_spaces_is_printed_whole(marked: bool, every: int, where: float) -> None:
    pieces = [
        ("▁" * bool(every and i % every == 0) + c, 0.24 * i, 0.2) for i, c in enumerate(SPOKEN)
    ]
    lines = printed(said(pieces), 60, marked=marked, where=where)
    assert letters(lines) == SPOKEN
    assert all(lines)


def test_tokens_of_two_characters_are_compared_character_by_character() -> None:
    # What one window hears in pairs the next one hears in pairs that lie across them.
    one = said([(SPOKEN[i : i + 2], 0.24 * i, 0.4) for i in range(0, 62, 2)])
    two = said([(SPOKEN[i : i + 2], 0.24 * i, 0.4) for i in range(55, 91, 2)])
    first, seam = Seam().join(
        words_of(one), start=0, cut=14 * SAMPLE_RATE, stop=SIZE, overlap=OVERLAP
    )
    end = 28 * SAMPLE_RATE
    second, _ = seam.join(words_of(two), start=13 * SAMPLE_RATE, cut=end, stop=end, overlap=OVERLAP)
    assert letters([text_of(first), text_of(second)]) == SPOKEN[:91]


def test_a_word_within_the_overlap_is_never_taken_apart() -> None:
    tokens = said([("▁so", 12.0, 0.2), ("▁Gre", 13.6, 0.3), ("en", 13.9, 0.3), ("land", 14.2, 0.4)])
    for where in (0.25, 0.5, 0.75):
        assert " ".join(printed(tokens, 20, marked=True, where=where)).split() == [
            "so",
            "Greenland",
        ]


def test_the_end_of_a_word_that_a_window_begins_in_is_the_word() -> None:
    # Heard whole by the earlier window and held by it; the later one heard "land" as a word.
    tokens = said([("▁so", 11.0, 0.2), ("▁Green", 12.7, 0.3), ("land", 13.1, 1.5)])
    assert " ".join(printed(tokens, 20, marked=True, where=0.25)).split() == ["so", "Greenland"]


def test_numbers_are_joined_inside_a_line() -> None:
    first, seam = Seam().join(
        words_of(number(CARD, 9, 0.4)[:16]),
        start=0,
        cut=14 * SAMPLE_RATE,
        stop=SIZE,
        overlap=OVERLAP,
    )
    rest = [t for t in number(CARD, 9, 0.4) if t.start >= 13 * SAMPLE_RATE]
    second, _ = seam.join(
        words_of(rest), start=13 * SAMPLE_RATE, cut=28 * SAMPLE_RATE, stop=28 * SAMPLE_RATE
    )
    joined = glued([*first, *second])
    assert text_of(joined) == f"card {CARD} thanks"
    assert [w.stop > w.start for w in joined] == [True] * 3


@given(seed=st.integers(0, 10**6), where=st.sampled_from([0.25, 0.5, 0.75]))
def test_no_digit_is_made_up_whatever_the_pace(seed: int, where: float) -> None:
    rng = random.Random(seed)
    at, pieces = 0.5, []
    while at < 50:
        for i in range(rng.randint(1, 30)):
            pieces.append(("▁" * (i == 0) + rng.choice("0123456789"), at, 0.16))
            at += rng.uniform(0.24, 0.5)
        at += rng.uniform(0.3, 1.5)
    truth = "".join(piece for piece, _, _ in pieces).replace("▁", "")
    assert letters(printed(said(pieces), at + 1, marked=True, where=where)) == truth


class Listening:
    """A backend that knows where in the audio each window lies, and says the tokens in it."""

    max_samples = SIZE

    def __init__(self, audio: Samples, tokens: Sequence[Token], *, marked: bool) -> None:
        self._audio, self._tokens, self._marked = audio, tokens, marked

    def transcribe(self, window: Samples, /) -> Hypothesis:
        # Two samples: among half a million, one value may come twice.
        pairs = (self._audio[:-1] == window[0]) & (self._audio[1:] == window[1])
        found = np.flatnonzero(pairs)
        if not len(found):
            return Hypothesis(())  # a further attempt, behind noise
        start = int(found[0])
        own = [
            t._replace(start=t.start - start)
            for t in self._tokens
            if start <= t.start and t.start + t.duration <= start + len(window)
        ]
        if own and self._marked:
            own[0] = own[0]._replace(piece="▁" + own[0].piece.removeprefix("▁"))
        return Hypothesis(tuple(own))

    def close(self) -> None:
        pass


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize(
    ("digits", "pace"), [(CARD, 0.4), (CARD[:10], 0.6), (CARD[:10], 0.2), ("5550142", 0.4)]
)
def test_a_long_number_survives_the_whole_data_path(digits: str, pace: float, marked: bool) -> None:
    audio = (0.1 * np.random.default_rng(0).standard_normal(30 * SAMPLE_RATE)).astype(np.float32)
    plan = Plan(Geometry.of(15, 2))
    wrong: list[tuple[float, list[str]]] = []
    for start in (5 + i / 10 for i in range(0, 135, 4)):
        backend = Listening(audio, number(digits, start, pace), marked=marked)
        lines = list(
            transcribe([audio], backend=backend, plan=plan, listener=listening(), account=Account())
        )
        if letters([text_of(line.words) for line in lines]) != f"card{digits}thanks":
            wrong.append((start, [text_of(line.words) for line in lines]))
    assert wrong == []
