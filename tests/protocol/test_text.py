"""What a person reads: lines of words in a file, live words in place on a screen."""

import os

import pyte
import pytest
from test_json_lines import said

from parakeet_coreml.errors import DeviceLostError
from parakeet_coreml.protocol.text import Text

COLUMNS, ROWS = 40, 10


class Terminal:
    """A screen as an emulator shows it; a put may be refused, as a slow reader's is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, columns: int = COLUMNS) -> None:
        self.screen = pyte.Screen(columns, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        self.refuse = False
        self.writes = 0
        size = os.terminal_size((columns, ROWS))
        monkeypatch.setattr("os.get_terminal_size", lambda _fd: size)
        self.text = Text(self.put, screen=7)

    def put(self, line: bytes, *, droppable: bool = False) -> bool:
        if droppable and self.refuse:
            return False
        self.writes += 1
        self.stream.feed(line.replace(b"\n", b"\r\n"))  # as a terminal's driver does
        return True

    def live(self, text: str, stable: str = "") -> None:
        self.text.event("partial", index=0, text=text, stable=stable, t_ms=0)

    @property
    def rows(self) -> list[str]:
        return [row.rstrip() for row in self.screen.display if row.strip()]


def chunk(text: Text, *words: str) -> None:
    text.chunk(said(*words), elapsed=0, start=0, stop=1)


def in_a_pipe(*chunks: tuple[str, ...]) -> bytes:
    written: list[bytes] = []

    def put(line: bytes, *, droppable: bool = False) -> bool:
        assert not droppable
        written.append(line)
        return True

    text = Text(put, screen=None)
    text.hello()
    for words in chunks:
        chunk(text, *words)
        text.event("level", rms_db=-20.0)
        text.event("partial", index=0, text="live", stable="", t_ms=0)
    text.error(DeviceLostError("gone"))
    assert not text.say("listening")
    text.done(stop_reason="stop")
    chunk(text, "late")
    text.done()
    return b"".join(written)


def test_in_a_pipe_every_chunk_is_a_line() -> None:
    assert in_a_pipe(("fix", "it\x1b[2J"), (), ("now",)) == b"fix it [2J\nnow\n"


def test_nothing_said_is_nothing_written() -> None:
    assert in_a_pipe() == b""


def test_live_words_stand_in_place_behind_the_fixed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    chunk(terminal.text, "please", "open", "it")
    terminal.live("and")
    terminal.live("and then close")
    assert terminal.rows == ["please open it", "and then close"]
    chunk(terminal.text, "and", "then", "close", "it")
    assert terminal.rows == ["please open it", "and then close it"]


def test_long_live_words_are_wrapped_at_words_and_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal(monkeypatch)
    words = "the quick brown fox jumps over the lazy dog and runs into the dark wood again"
    for end in range(1, len(words.split()) + 1):
        terminal.live(" ".join(words.split()[:end]))
    assert len(terminal.rows) == 2
    assert " ".join(terminal.rows) == words
    terminal.live("the quick")
    assert terminal.rows == ["the quick"]


def test_words_that_may_change_are_faint(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr("os.get_terminal_size", lambda _fd: os.terminal_size((COLUMNS, ROWS)))

    def put(line: bytes, *, droppable: bool = False) -> bool:
        assert droppable
        written.append(line)
        return True

    text = Text(put, screen=7)
    text.event("partial", index=0, text="please open the", stable="please open", t_ms=0)
    assert written == [b"please open \x1b[2mthe\x1b[22m"]


def test_every_change_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    terminal.live("a b c")
    terminal.text.event("level", rms_db=-20.0)
    chunk(terminal.text, "a", "b", "c")
    assert terminal.writes == 3


def test_the_level_stands_below_the_words_and_goes_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal(monkeypatch)
    terminal.live("please")
    terminal.text.event("level", rms_db=-30.0)
    assert terminal.rows == ["please", "[||||||||||          ]"]
    terminal.text.event("level", rms_db=-120.0)
    chunk(terminal.text, "please")
    assert terminal.rows == ["please", "[                    ]"]
    terminal.text.done()
    assert terminal.rows == ["please"]


def test_what_is_said_to_people_stays_above_live_words(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    terminal.live("please open")
    assert terminal.text.say("Warning: no sound comes")
    terminal.live("please open it")
    assert terminal.rows == ["Warning: no sound comes", "please open it"]


def test_a_drawing_that_a_slow_terminal_did_not_get_is_not_erased(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal(monkeypatch)
    chunk(terminal.text, "first")
    terminal.refuse = True
    terminal.live("one two three four five six seven eight nine ten eleven")
    terminal.refuse = False
    terminal.live("twelve")
    assert terminal.rows == ["first", "twelve"]


def test_more_live_words_than_the_screen_has_rows_show_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal(monkeypatch)
    words = [f"word{i}" for i in range(200)]
    terminal.live(" ".join(words))
    terminal.live(" ".join([*words, "last"]))
    assert terminal.rows[-1].endswith("last")
    chunk(terminal.text, "all")
    assert terminal.rows == ["all"]


@pytest.mark.parametrize("columns", [9, 12, 20, 21, 37, 60, 300])
def test_nothing_wraps_by_itself_on_any_width(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    terminal = Terminal(monkeypatch, columns)
    terminal.text.event("level", rms_db=0.0)
    words = "please open the second terminal and save the file before you go home"
    terminal.live(words)
    terminal.live(words)
    meter = terminal.rows[-1]
    assert len(meter) < columns
    assert (meter[0], set(meter[1:-1]), meter[-1]) == ("[", {"|"}, "]")
    terminal.text.done()
    assert terminal.rows == []


def test_a_terminal_without_a_size_gets_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch, 80)
    monkeypatch.setattr("os.get_terminal_size", lambda _fd: os.terminal_size((0, 0)))
    terminal.live("please open")
    assert terminal.rows == ["please open"]
