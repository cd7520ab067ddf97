"""What tiny-en is measured with: joining, parting, noise and counting, on cases made up here."""

import sys
from pathlib import Path

import numpy as np
import pytest

from models.tiny_en import cases
from models.tiny_en.cases import RATE, Case


def case(words: str, seconds: float, value: float = 0.1) -> Case:
    return words, np.full(int(seconds * RATE), value, np.float32)


def test_neighbours_fill_a_window_and_none_is_lost() -> None:
    some = [case(str(n), 4) for n in range(8)]

    groups = list(cases.grouped(some, 10 * RATE))

    assert [[words for words, _ in group] for group in groups] == [
        ["0", "1"],
        ["2", "3"],
        ["4", "5"],
        ["6", "7"],
    ]


def test_pauses_count_towards_a_window() -> None:
    some = [case(str(n), 4) for n in range(4)]

    assert [len(group) for group in cases.grouped(some, 10 * RATE, pause=1)] == [2, 2]
    assert [len(group) for group in cases.grouped(some, 10 * RATE, pause=1.1)] == [1, 1, 1, 1]


def test_one_longer_than_a_window_stays_alone() -> None:
    some = [case("a", 1), case("b", 20), case("c", 1)]

    groups = cases.grouped(some, 15 * RATE)

    assert [[words for words, _ in group] for group in groups] == [["a"], ["b"], ["c"]]


def test_of_none_there_is_no_group() -> None:
    assert list(cases.grouped([], RATE)) == []


def test_a_pause_is_between_and_not_behind() -> None:
    words, sound = cases.joined([case("yes", 1, 0.5), case("no", 2, 0.5)], pause=0.4)

    assert words == "yes no"
    assert len(sound) == int(3.4 * RATE)
    assert not sound[RATE : int(1.4 * RATE)].any()
    assert sound[0] == sound[-1] == np.float32(0.5)


def test_edges_are_faint() -> None:
    _, sound = cases.edged(case("go", 1, 0.5))

    assert len(sound) == int(1.6 * RATE)
    assert 0 < np.abs(sound[: int(0.3 * RATE)]).max() < 0.002


@pytest.mark.parametrize("ratio", [20, 5])
@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_noise_is_as_far_below_as_said(ratio: float, slope: float) -> None:
    words, clean = case("go", 4, 0.2)

    ((same, spoiled),) = cases.with_noise([(words, clean)], ratio, slope)

    noise = spoiled - clean
    found = 20 * np.log10(np.sqrt((clean**2).mean()) / np.sqrt((noise**2).mean()))
    assert same == words
    assert found == pytest.approx(ratio, abs=0.5)


def test_words_of_the_recorder_go_to_the_utterance_they_lie_in() -> None:
    group = [case("one two", 2), case("three", 2), case("four", 2)]
    chunks = [
        {"end_ms": 3900, "words": [word("one", 100, 500), word("too", 600, 900)]},
        {"end_ms": 6000, "words": [word("three", 2500, 3000), word("four", 3990, 4400)]},
    ]

    assert [(place, heard) for place, _, heard in cases.by_utterance(group, chunks)] == [
        ("elsewhere", "one too"),
        ("at a seam", "three"),
        ("at a seam", "four"),
    ]


def word(text: str, start: int, end: int) -> dict[str, object]:
    return {"text": text, "start_ms": start, "end_ms": end}


def test_a_row_counts_all_pairs_together(capsys: pytest.CaptureFixture[str]) -> None:
    cases.row("people", [("a b c d", "a x c"), ("e", "e f"), ("g", "")])

    assert capsys.readouterr().out == "| people | 6 | 66.7 % | 1 | 2 | 1 |\n"


def test_a_row_of_nothing_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    cases.row("nobody", [])

    assert capsys.readouterr().out == ""


def test_the_recorder_says_its_chunks(tmp_path: Path) -> None:
    """Any program that writes lines of JSON will do: what matters is how it is called and read."""
    fake = tmp_path / "recorder.py"
    fake.write_text(
        "import json, sys, wave\n"
        "path = sys.argv[sys.argv.index('--input') + 1]\n"
        "with wave.open(path) as sound:\n"
        "    text = f'{sound.getframerate()} {sound.getnframes()} {sys.argv[-1]}'\n"
        "print(json.dumps({'type': 'ready'}))\n"
        "print(json.dumps({'type': 'chunk', 'text': text}))\n"
        "print(json.dumps({'type': 'done'}))\n"
    )

    chunks = cases.recorded(case("", 1)[1], [sys.executable, str(fake)], "--model", "here")

    assert [chunk["text"] for chunk in chunks] == ["16000 16000 here"]
