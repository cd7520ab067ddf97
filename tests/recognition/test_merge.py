"""Seams: told cases, and properties over whatever two windows may hear."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Views, any_views, name, parsed, speech, word

from parakeet_coreml.audio.samples import FRAME, SAMPLE_RATE
from parakeet_coreml.backends.base import Hypothesis, Token
from parakeet_coreml.recognition import merge
from parakeet_coreml.recognition.merge import Seam
from parakeet_coreml.recognition.words import Word, key_of, text_of, words_of

GOLDEN = Path(__file__).parent.parent / "golden" / "seams.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))
END = 10_000
"""A frame after everything."""


def joined(
    earlier: Sequence[Word], later: Sequence[Word], *, cut: int, stop: int
) -> tuple[list[Word], list[Word]]:
    """Return what the earlier window prints, and what the later, last one adds. Frames."""
    first, seam = Seam().join(earlier, cut=cut * FRAME, stop=stop * FRAME)
    second, seam = seam.join(later, cut=END * FRAME, stop=END * FRAME)
    assert seam.held == ()
    return first, second


def merged(views: Views) -> list[Word]:
    first, second = joined(views.earlier, views.later, cut=views.cut, stop=views.stop)
    return first + second


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_told_seam(case: dict[str, str]) -> None:
    earlier, later = words_of(parsed(case["left"])), words_of(parsed(case["right"]))
    first, second = joined(earlier, later, cut=int(case["cut"]), stop=int(case["left_end"]))
    assert text_of(first + second) in [case["expected"], *case["also_ok"]]


def test_all_48_told_seams_are_there() -> None:
    assert len(CASES) == 48


# Words of tokens


@pytest.mark.parametrize(
    ("notation", "texts"),
    [
        ("▁we@1 ▁do@3", ["we", "do"]),
        ("▁Gre@1 en@2 land@3", ["Greenland"]),
        ("▁hi@1 ▁@3 there@4", ["hi", "there"]),
        ("▁hi@1 .@3", ["hi."]),
        (".@1 ▁hi@3", ["hi"]),
        ("▁hi@1 ▁-@3 ▁you@5", ["hi -", "you"]),
        ("ration@1 ▁is@4", ["ration", "is"]),
        ("▁@1", []),
        ("", []),
        ("▁a@1 ▁.@2 !@3", ["a .!"]),
        ("▁word▁@1 next@3", ["word", "next"]),
    ],
)
def test_tokens_become_whole_words(notation: str, texts: list[str]) -> None:
    assert [w.text for w in words_of(parsed(notation))] == texts


def test_a_word_lasts_from_its_first_token_past_its_last() -> None:
    (only,) = words_of(parsed("▁Gre@10:1 en@12:0 land@15:4"))
    assert (only.start, only.stop) == (10 * FRAME, 19 * FRAME)
    assert only.probabilities == (0.9, 0.9, 0.9)


def test_a_token_of_no_duration_lasts_one_frame() -> None:
    (only,) = words_of(parsed("▁a@10:0"))
    assert only.stop == 11 * FRAME


def test_falling_times_do_not_shorten_a_word() -> None:
    (only,) = words_of(parsed("▁long@10:9 er@11:1"))
    assert only.stop == 19 * FRAME


def test_only_a_window_that_begins_inside_a_word_has_a_headless_one() -> None:
    assert [w.headless for w in words_of(parsed("ration@1 ▁is@4 fine@5 ▁@6 now@7"))] == [
        True,
        False,
        False,
    ]


def test_marks_keep_their_probability_with_their_word() -> None:
    tokens = [Token(0, "▁hi", 0, FRAME, 0.5), Token(1, ".", FRAME, FRAME, 0.7)]
    (only,) = words_of(tokens)
    assert only.probabilities == (0.5, 0.7)
    assert only.stop == 2 * FRAME


def test_a_mark_that_is_a_word_of_its_own_does_not_lengthen_the_word_before() -> None:
    (only,) = words_of(parsed("▁hi@10:2 ▁-@40:2"))
    assert (only.text, only.stop, len(only.probabilities)) == ("hi -", 12 * FRAME, 2)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Don't", "dont"),
        ("Größe", "grösse"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER F}ull", "full"),
        ("ПРИВЕТ,", "привет"),
        ("...", ""),
        ("№", "no"),
        ("C3PO", "c3po"),
    ],
)
def test_the_key_of_a_word_is_its_letters_and_digits(text: str, key: str) -> None:
    assert key_of(text) == key


# What held words do


def test_held_words_wait_for_the_next_window() -> None:
    first, seam = Seam().join([word("a", 10), word("b", 180)], cut=175 * FRAME, stop=187 * FRAME)
    assert (text_of(first), text_of(seam.held)) == ("a", "b")


def test_a_word_centred_on_the_cut_is_the_later_window_s() -> None:
    centred = word("b", 174)
    assert centred.centre == 175 * FRAME
    first, seam = Seam().join([word("a", 10), centred], cut=175 * FRAME, stop=187 * FRAME)
    assert (text_of(first), text_of(seam.held)) == ("a", "b")


def test_a_fragment_at_the_edge_is_not_printed_behind_the_whole_word() -> None:
    earlier = [word("three", 171, 6), word("fo", 186, 1)]
    later = [word("four", 184), word("five", 197, 3)]
    first, second = joined(earlier, later, cut=175, stop=187)
    assert text_of(first + second) == "three four five"


def test_the_last_window_holds_nothing_back() -> None:
    # Its last token may last longer than the window does: a frame at least.
    fresh, seam = Seam().join(words_of(parsed("▁a@10 ▁b@186:4")), cut=187 * FRAME, stop=187 * FRAME)
    assert (text_of(fresh), seam.held) == ("a b", ())


def test_the_last_window_prints_held_words_that_lie_past_its_end() -> None:
    _, seam = Seam().join([word("a", 10), word("b", 180)], cut=175 * FRAME, stop=187 * FRAME)
    fresh, seam = seam.join([], cut=178 * FRAME, stop=178 * FRAME)
    assert (text_of(fresh), seam.held) == ("b", ())


def test_held_words_outlive_a_window_that_heard_nothing() -> None:
    first, seam = Seam().join([word("a", 10), word("b", 180)], cut=175 * FRAME, stop=187 * FRAME)
    second, seam = seam.join([], cut=337 * FRAME, stop=350 * FRAME)
    third, seam = seam.join([word("c", 340)], cut=END * FRAME, stop=END * FRAME)
    assert text_of(first + second + third) == "a b c"


def test_a_held_word_is_printed_once_though_the_later_times_fall() -> None:
    earlier = [word("a", 100), word("x", 178, 4)]
    later = [word("b", 200, 4), word("c", 170, 2)]
    first, second = joined(earlier, later, cut=170, stop=187)
    assert Counter(w.text for w in first + second) == {"a": 1, "x": 1, "b": 1, "c": 1}


def test_held_words_fill_one_gap_after_the_other() -> None:
    earlier = [word("a", 164, 2), word("um", 171, 2), word("er", 183, 1)]
    later = [word("a", 164, 2), word("b", 177, 2), word("c", 192)]
    first, second = joined(earlier, later, cut=168, stop=187)
    assert text_of(first + second) == "a um b er c"


def test_a_held_word_that_the_later_window_contradicts_is_dropped() -> None:
    first, second = joined(
        [word("we", 164), word("yeah", 185)],
        [word("we", 164), word("went", 180, 6), word("on", 188)],
        cut=175,
        stop=187,
    )
    assert text_of(first + second) == "we went on"


def test_an_invented_word_on_the_last_frames_needs_a_long_silence_after_it() -> None:
    earlier = [word("so", 100), word("yeah", 185)]
    soon, later = [word("next", 192)], [word("next", 230)]
    assert text_of(merged(Views(earlier, soon, 175, 187))) == "so next"
    assert text_of(merged(Views(earlier, later, 175, 187))) == "so yeah next"


@pytest.mark.parametrize("cut", range(168, 182))
def test_two_words_in_the_same_place_are_one_word(cut: int) -> None:
    # Half a second late, the later window's copies are paired with the wrong ones.
    said = ("eight", 156), ("six", 162), ("six", 169), ("eight", 175), ("six", 182)
    late = ("eight", 162.5), ("six", 168.5), ("six", 175.5), ("eight", 181.5), ("stop", 187.5)
    earlier, later = (
        [Word(text, round(at * FRAME), round((at + 3) * FRAME), (0.9,)) for text, at in words]
        for words in (said, late)
    )
    first, second = joined(earlier, later, cut=cut, stop=187)
    near = [w for w in first + second if 174 * FRAME <= w.start <= 176 * FRAME]
    assert len(near) == 1
    assert text_of(first + second).endswith("eight stop")


@pytest.mark.parametrize(("gap", "printed"), [(8, "so um next"), (6, "so um next"), (5, "so next")])
def test_a_held_word_needs_room_in_the_later_window(gap: int, printed: str) -> None:
    earlier = [word("so", 170, 4), word("um", 177, 3)]
    later = [word("so", 170, 4), word("next", 174 + gap, 4)]
    assert text_of(merged(Views(earlier, later, 175, 187))) == printed


def test_a_word_heard_in_pieces_of_two_windows_is_not_glued() -> None:
    earlier = words_of(parsed("▁every@180:4"))
    later = words_of(parsed("thing@184:3 ▁now@192"))
    texts = [w.text for w in merged(Views(earlier, later, 175, 187))]
    assert "everything" not in texts


def test_words_far_behind_are_forgotten() -> None:
    seam = Seam()
    for at in range(0, 4000, 163):
        words = [word(name(at + i), at + i, 4) for i in range(0, 160, 6)]
        _, seam = seam.join(words, cut=(at + 175) * FRAME, stop=(at + 187) * FRAME)
    assert seam.stop - seam.printed[0].stop < 30 * SAMPLE_RATE
    assert seam.stop - seam.printed[0].stop > 29 * SAMPLE_RATE


def test_closeness_decides_which_copy_is_meant() -> None:
    earlier = [word("two", t) for t in (165, 171, 177, 183)]
    later = [word("two", t) for t in (171, 177, 183, 189)]
    first, second = joined(earlier, later, cut=175, stop=187)
    assert len(first + second) == 5


@pytest.mark.parametrize(("apart", "times"), [(8, 1), (9, 2)])
def test_the_same_word_may_be_timed_eight_frames_apart(apart: int, times: int) -> None:
    earlier = [word("we", 165, 2)]
    later = [word("we", 165 + apart, 2), word("go", 190)]
    first, second = joined(earlier, later, cut=166 + 1, stop=187)
    assert text_of(first + second).split().count("we") == times


def test_the_same_word_too_far_apart_is_another_one() -> None:
    earlier = [word("we", 165, 2), word("um", 180, 2)]
    later = [word("as", 170, 2), word("we", 175, 2), word("go", 190)]
    first, second = joined(earlier, later, cut=168, stop=187)
    assert text_of(first + second).split().count("we") == 2


def test_it_resumes_right_behind_a_common_word_before_the_last_printed_one() -> None:
    earlier = [word("a", 160, 2), word("b", 166, 2)]
    later = [word("a", 160, 2), word("c", 172, 2), word("d", 180, 2)]
    first, second = joined(earlier, later, cut=170, stop=187)
    assert text_of(first + second) == "a b c d"


@pytest.mark.parametrize(("start", "kept"), [(171, False), (172, True)])
def test_without_a_common_word_it_resumes_six_frames_after_the_last_printed_one(
    start: int, kept: bool
) -> None:
    first, second = joined(
        [word("aa", 164)], [word("bb", start), word("cc", 180)], cut=175, stop=187
    )
    assert ("bb" in text_of(first + second)) == kept


def test_a_word_that_covers_the_last_printed_one_is_skipped() -> None:
    first, second = joined(
        [word("author", 170, 12)], [word("other", 171, 10), word("cc", 184)], cut=177, stop=187
    )
    assert text_of(first + second) == "author cc"


# Properties of one seam


@given(views=any_views())
def test_p1_the_order_inside_each_window_is_kept_and_nothing_is_made_up(views: Views) -> None:
    # By identity: equal words are told apart by where they came from.
    printed = [id(w) for w in merged(views)]
    for heard in (views.earlier, views.later):
        own = [i for i in printed if i in {id(w) for w in heard}]
        assert own == [id(w) for w in heard if id(w) in own]
    assert set(printed) <= {id(w) for w in (*views.earlier, *views.later)}


@given(views=any_views())
def test_p5_no_word_is_printed_twice_and_none_outside_the_overlap_is_lost(views: Views) -> None:
    printed = [id(w) for w in merged(views)]
    assert len(printed) == len(set(printed))
    first, _ = joined(views.earlier, views.later, cut=views.cut, stop=views.stop)
    assert len(first) + len(views.later) >= len(printed) - len(views.earlier)
    # Everything up to the last word before the cut is printed, whatever the later window says.
    before = [i for i, w in enumerate(views.earlier) if w.centre < views.cut * FRAME]
    assert first == views.earlier[: before[-1] + 1 if before else 0]


@given(words=speech(), at=st.integers(0, 30))
def test_p5_words_past_the_earlier_window_are_all_printed(words: list[Word], at: int) -> None:
    earlier = [w for w in words if w.stop <= 187 * FRAME]
    later = [w for w in words if w.start >= 162 * FRAME]
    printed = merged(Views(earlier, later, 162 + min(at, 25), 187))
    assert printed == words


@given(words=speech(vocabulary=4), share=st.integers(0, 100))
def test_p2_a_window_merged_with_itself_is_unchanged(words: list[Word], share: int) -> None:
    cut = words[share * len(words) // 101].start // FRAME
    assert merged(Views(words, words, cut, 360)) == words


@given(views=any_views(), seconds=st.integers(1, 14_400))
def test_p3_adding_a_constant_to_all_times_changes_nothing(views: Views, seconds: int) -> None:
    offset = seconds * 25

    def moved(words: list[Word]) -> list[Word]:
        shift = offset * FRAME
        return [replace(w, start=w.start + shift, stop=w.stop + shift) for w in words]

    later = Views(moved(views.earlier), moved(views.later), views.cut + offset, views.stop + offset)
    assert moved(merged(views)) == merged_late(later)


def merged_late(views: Views) -> list[Word]:
    first, seam = Seam().join(views.earlier, cut=views.cut * FRAME, stop=views.stop * FRAME)
    far = (views.stop + END) * FRAME
    return first + seam.join(views.later, cut=far, stop=far)[0]


@given(views=any_views(), data=st.data())
def test_p4_case_and_marks_change_no_word(views: Views, data: st.DataObject) -> None:
    changes = st.sampled_from(
        [str.upper, str.lower, str.title, lambda t: f"«{t}»", lambda t: t + "."]
    )
    dressed = [replace(w, text=data.draw(changes)(w.text)) for w in views.later]
    plain = [key_of(w.text) for w in merged(views)]
    assert [key_of(w.text) for w in merged(replace(views, later=dressed))] == plain


@given(
    earlier=st.lists(
        st.tuples(st.sampled_from(["▁a", "b", "▁", "c", "▁d"]), st.integers(140, 187))
    ),
    later=st.lists(st.tuples(st.sampled_from(["▁x", "y", "▁", "z", "▁w"]), st.integers(162, 240))),
)
def test_p6_no_word_is_made_of_pieces_of_two_windows(
    earlier: list[tuple[str, int]], later: list[tuple[str, int]]
) -> None:
    def heard(pieces: list[tuple[str, int]]) -> list[Word]:
        return words_of([Token(0, p, at * FRAME, FRAME, 0.9) for p, at in pieces])

    for w in merged(Views(heard(earlier), heard(later), 175, 187)):
        assert set(w.text) <= set("abcd") or set(w.text) <= set("xyzw")


@given(words=speech(gap=(5, 12)), data=st.data())
def test_p8_two_frames_of_jitter_change_nothing(words: list[Word], data: st.DataObject) -> None:
    # Five frames apart by their starts and unique; the later window times each anew.
    earlier = [w for w in words if w.stop <= 187 * FRAME]
    later = [
        replace(w, start=w.start + by * FRAME, stop=w.stop + by * FRAME)
        for w in words
        if w.start >= 162 * FRAME
        for by in [data.draw(st.integers(-2, 2))]
    ]
    printed = merged(Views(earlier, later, data.draw(st.integers(168, 181)), 187))
    assert [w.text for w in printed] == [w.text for w in words]


# Chains of windows, as `windows` cuts them


@dataclass(frozen=True)
class Hearing:
    """How badly a simulated window hears, by a seeded chance."""

    seed: int
    jitter: int = 0
    """Frames a word's times may be wrong by."""
    drops: float = 0.0
    """Share of words not heard."""
    fragments: bool = False
    """Words cut by a window's edge are heard as something else."""


SIZE, HOP, FULL = 187, 162, 163
"""Frames: a window, from one to the next (13 s is 162.5), and where its seams lie."""


def spans(total: int) -> Iterator[tuple[int, int, int]]:
    """Yield start, stop and cut of each window, then of the end-aligned last one. Frames."""
    start = 0
    while start + SIZE <= total:
        yield start, start + SIZE, start + SIZE - 12
        start += HOP
    if start == 0 or start - HOP + SIZE < total:
        yield max(0, total - SIZE), total, total


def heard(words: Iterable[Word], start: int, stop: int, hearing: Hearing) -> list[Word]:
    """Return what one window makes of the words in it."""
    rng = random.Random(f"{hearing.seed} {start}")
    result = []
    for w in words:
        by = rng.randint(-hearing.jitter, hearing.jitter) * FRAME
        first, last = max(w.start, start * FRAME), min(w.stop, stop * FRAME)
        dropped = rng.random() < hearing.drops
        if last <= first or dropped:
            continue
        whole = (first, last) == (w.start, w.stop)
        if whole:
            result.append(replace(w, start=w.start + by, stop=w.stop + by))
        elif hearing.fragments:
            text = w.text[: len(w.text) // 2] or "-"
            result.append(Word(text, first, last, (0.3,), headless=first > w.start))
    return result


def chained(words: Sequence[Word], total: int, hearing: Hearing) -> tuple[list[list[Word]], Seam]:
    """Return what each window prints, the last one first shown to be the last."""
    seam = Seam()
    printed = []
    for start, stop, cut in spans(total):
        view = heard(words, start, stop, hearing)
        fresh, seam = seam.join(view, cut=cut * FRAME, stop=stop * FRAME)
        printed.append(fresh)
    return [*printed, list(seam.held)], seam


@st.composite
def recordings(draw: st.DrawFn, gap: tuple[int, int] = (5, 14)) -> tuple[list[Word], int]:
    """Draw unique words of up to two minutes, and a total that has them all."""
    total = draw(st.integers(20, 1500))
    rng = random.Random(draw(st.integers(0, 10**6)))
    words: list[Word] = []
    at = rng.randint(0, 10)
    while at + 6 < total:
        words.append(word(f"w{name(len(words))}", at, rng.randint(2, 6)))
        at += words[-1].stop // FRAME - at + rng.randint(*gap)
    return words, max(total, words[-1].stop // FRAME if words else 0)


@given(recording=recordings(), seed=st.integers(0, 10**6), fragments=st.booleans())
def test_p11_a_chain_of_windows_prints_what_was_said(
    recording: tuple[list[Word], int], seed: int, fragments: bool
) -> None:
    words, total = recording
    printed, _ = chained(words, total, Hearing(seed, jitter=2, fragments=fragments))
    assert text_of(w for line in printed for w in line) == text_of(words)


# Words further apart than two windows may mistime them against each other: closer ones, of which
# each window heard another, have no order that anyone could know.
@given(recording=recordings(gap=(2, 9)), seed=st.integers(0, 10**6), drops=st.floats(0, 0.5))
def test_p7_what_is_printed_stays_and_keeps_its_order(
    recording: tuple[list[Word], int], seed: int, drops: float
) -> None:
    words, total = recording
    hearing = Hearing(seed, jitter=1, drops=drops, fragments=True)
    printed, _ = chained(words, total, hearing)
    # Whatever comes later, the lines so far are the same: nothing is taken back.
    cut_off = [w for w in words if w.start < (total // 2) * FRAME]
    shorter, _ = chained(cut_off, total, hearing)
    same = sum(1 for start, stop, _ in spans(total) if stop < total // 2)
    assert shorter[:same] == printed[:same]
    truth = [w.text for w in words]
    texts = [w.text for line in printed for w in line if w.text in truth]
    assert texts == sorted(texts, key=truth.index)


def test_p12_random_drops_double_nothing_and_lose_no_more_than_themselves() -> None:
    said = lost = 0
    for seed in range(40):
        rng = random.Random(seed)
        words: list[Word] = []
        at = 3
        while at < 1480:
            words.append(word(f"w{name(len(words))}", at, rng.randint(1, 5)))
            at = words[-1].stop // FRAME + rng.randint(1, 4)
        printed, _ = chained(words, 1500, Hearing(seed, jitter=1, drops=0.02))
        texts = [w.text for line in printed for w in line]
        assert len(texts) == len(set(texts))
        order = {w.text: i for i, w in enumerate(words)}
        assert texts == sorted(texts, key=order.__getitem__)
        said, lost = said + len(words), lost + len(words) - len(texts)
    assert said > 9_000
    assert lost / said <= 0.02


def test_p9_a_window_is_joined_by_its_words_alone() -> None:
    words = [word(f"w{name(i)}", 3 + 7 * i, 4) for i in range(60)]
    views = [heard(words, start, stop, Hearing(1)) for start, stop, _ in spans(500)]
    again = [words_of(_tokens(view)) for view in views]
    assert [_texts(v) for v in again] == [_texts(v) for v in views]
    assert _through(views) == _through(again)


def _texts(words: Iterable[Word]) -> list[str]:
    return [w.text for w in words]


def _tokens(words: Iterable[Word]) -> tuple[Token, ...]:
    tokens = [Token(0, f"▁{w.text}", w.start, w.stop - w.start, 0.9) for w in words]
    return Hypothesis(tuple(tokens)).tokens


def _through(views: Sequence[Sequence[Word]]) -> list[str]:
    seam, texts = Seam(), []
    for view, (_, stop, cut) in zip(views, spans(500), strict=True):
        fresh, seam = seam.join(view, cut=cut * FRAME, stop=stop * FRAME)
        texts += _texts(fresh)
    return texts


def test_p10_the_work_of_a_seam_does_not_grow_with_the_recording(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = [0]

    def counted(text: str) -> str:
        keys[0] += 1
        return key_of(text)

    monkeypatch.setattr(merge, "key_of", counted)

    def work(frames: int) -> int:
        keys[0] = 0
        words = [word(f"w{name(i)}", 4 * i, 3) for i in range(frames // 4)]
        chained(words, frames, Hearing(0))
        return keys[0]

    minute, hour = work(60 * 25 // 2), work(3600 * 25 // 2)
    windows = sum(1 for _ in spans(3600 * 25 // 2))
    assert hour < 61 * minute
    assert hour < 1_500 * windows
