"""The lines a host reads, byte for byte, and what may never be in them."""

import json
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import word

from parakeet_coreml.audio.samples import FRAME, SAMPLE_RATE
from parakeet_coreml.errors import BackendFailedError, DeviceLostError, ParakeetError, UsageError
from parakeet_coreml.protocol import json_lines
from parakeet_coreml.protocol.json_lines import (
    DROPPABLE,
    EVENTS,
    MAX_LINE,
    JsonLines,
    Value,
    encode,
    parse_events,
    plain,
)
from parakeet_coreml.recognition.words import Word, text_of

GOLDEN = Path(__file__).parent.parent / "golden" / "lines.jsonl"


class Lines:
    """Takes what is written, as stdout's writer does."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.droppable: list[bytes] = []

    def put(self, line: bytes, *, droppable: bool = False) -> bool:
        self.written.append(line)
        if droppable:
            self.droppable.append(line)
        return True

    @property
    def objects(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.written]


def report(lines: Lines, *, names: str = "", meta: bool = False, words: bool = False) -> JsonLines:
    return JsonLines(lines.put, events=parse_events(names), meta=meta, words=words)


def said(*texts: str, probability: float = 0.94) -> list[Word]:
    return [word(text, 5 * i, probability=probability) for i, text in enumerate(texts)]


# Byte for byte


def record(told: JsonLines) -> None:
    """Go through everything a recording may say."""
    told.hello()
    device: dict[str, Value] = {"name": "Built-in \N{EN DASH} Mic", "sample_rate": 48_000}
    told.event("ready", what="capture", t_ms=0, device=device)
    told.event("level", t_ms=100, rms_db=-23.5, peak_db=-11.0, clipping=False)
    told.event("speech", state="start", t_ms=240)
    told.event("ready", what="model", backend="onnx", model="tiny-en", compute_units="cpu")
    told.event("warning", code="input_overflow", message="the device lost 480 samples")
    told.chunk(said("fix", "the", "login", "bug"), elapsed=0.0524, start=0, stop=14 * SAMPLE_RATE)
    told.event("partial", index=1, text="please term", stable="please", t_ms=14_000)
    told.event("state", state="paused", t_ms=27_000)
    told.event("state", state="recording", t_ms=27_000, silent=True)
    told.chunk([], elapsed=0, start=14 * SAMPLE_RATE, stop=27 * SAMPLE_RATE)
    told.error(DeviceLostError("the microphone is gone", "plug it in"))
    told.chunk(
        said("please", "terminal", "two", probability=0.876),
        elapsed=0.0999,
        start=27 * SAMPLE_RATE,
        stop=31 * SAMPLE_RATE + 8,
    )
    told.event("speech", state="end", t_ms=30_020)
    told.event("window", index=0, audio_ms=15_000.0, encoder_ms=30.2, ahead=False)
    told.event(
        "timing", backend="onnx", model="tiny-en", compute_units="cpu", stages={"stop_ms": 3}
    )
    told.done(stop_reason="stdin", samples={"captured": 496_008, "lost": 0})


def test_every_line_is_what_hosts_were_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "__version__", "1.2.3")
    monkeypatch.setattr("os.getpid", lambda: 4711)
    lines = Lines()
    record(report(lines))
    record(report(lines, names="all", meta=True, words=True))
    assert b"".join(lines.written) == GOLDEN.read_bytes()


def test_the_two_lines_of_the_contract() -> None:
    lines = Lines()
    told = report(lines)
    told.chunk(said("fix", "the", "login", "bug"), elapsed=0.0521, start=0, stop=1)
    told.chunk(said("please", "terminal", "two"), elapsed=0, start=1, stop=2)
    told.done()
    first, _, last = lines.written
    assert first == (
        b'{"type":"chunk","index":0,"text":"fix the login bug","confidence":0.94,"elapsed_ms":52}\n'
    )
    assert last == (
        b'{"type":"done","totalChunks":2,"full_text":"fix the login bug please terminal two"}\n'
    )


def test_by_default_there_are_chunks_errors_and_done() -> None:
    lines = Lines()
    record(report(lines))
    assert [line["type"] for line in lines.objects] == ["chunk", "chunk", "error", "chunk", "done"]


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_can_be_asked_for_alone(event: str) -> None:
    lines = Lines()
    told = report(lines, names=event)
    record(told)
    types = {line["type"] for line in lines.objects}
    assert types == {"chunk", "error", "done", event}
    assert [told.wants(e) for e in EVENTS] == [e == event for e in EVENTS]


def test_only_levels_and_partials_may_be_left_out() -> None:
    lines = Lines()
    record(report(lines, names="all"))
    assert {json.loads(line)["type"] for line in lines.droppable} == DROPPABLE


def test_what_is_asked_for_is_only_added() -> None:
    bare, full = Lines(), Lines()
    record(report(bare))
    record(report(full, names="all", meta=True, words=True))
    own = [line for line in full.objects if line["type"] in {"chunk", "error", "done"}]
    for less, more in zip(bare.objects, own, strict=True):
        assert list(more)[: len(less)] == list(less)
        assert {key: more[key] for key in less} == less


# Names of events


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ("", set()),
        (" , ,", set()),
        ("level", {"level"}),
        (" level , speech,level", {"level", "speech"}),
        ("all", set(EVENTS)),
        ("level,all", set(EVENTS)),
    ],
)
def test_events_are_named_in_a_list(names: str, wanted: set[str]) -> None:
    assert parse_events(names) == wanted


@pytest.mark.parametrize("names", ["levels", "chunk", "done", "all,odd", "Level"])
def test_an_unknown_event_is_refused(names: str) -> None:
    with pytest.raises(UsageError, match="--events does not know") as refusal:
        parse_events(names)
    assert "timing" in refusal.value.hint


# What may not be in a line

ACTING = [
    ("\x00", "\\u0000"),
    ("\x1b", "\\u001b"),
    ("\n", "\\n"),
    ("\r", "\\r"),
    ("\x7f", "\\u007f"),
    ("\x85", "\\u0085"),
    ("\x9b", "\\u009b"),
    ("\u00ad", "\\u00ad"),
    ("\u061c", "\\u061c"),
    ("\u200b", "\\u200b"),
    ("\u2028", "\\u2028"),
    ("\u2029", "\\u2029"),
    ("\u202e", "\\u202e"),
    ("\ufeff", "\\ufeff"),
    ("\U000e0001", "\\udb40\\udc01"),
]


@pytest.mark.parametrize(("char", "escape"), ACTING, ids=[e for _, e in ACTING])
def test_what_acts_on_a_terminal_is_escaped(char: str, escape: str) -> None:
    line = encode({"text": f"é{char}x"})
    assert line == f'{{"text":"é{escape}x"}}\n'.encode()
    assert json.loads(line) == {"text": f"é{char}x"}
    assert encode({"text": char}) == f'{{"text":"{escape}"}}\n'.encode()


@pytest.mark.parametrize("text", ["Größe", "東京", "Привет", "it's", "\N{NO-BREAK SPACE}", "😀"])
def test_everything_else_is_plain_utf_8(text: str) -> None:
    assert encode({"text": text}) == f'{{"text":"{text}"}}\n'.encode()


@pytest.mark.parametrize("codes", [(0xD800,), (0xDFFF,), (0xDFFF, 0xD800)])
def test_lone_surrogates_become_replacement_characters(codes: tuple[int, ...]) -> None:
    lone = "".join(map(chr, codes))
    expected = "\N{REPLACEMENT CHARACTER}" * len(lone)
    assert json.loads(encode({"text": f"a{lone}b"})) == {"text": f"a{expected}b"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode({"level": number})
    with pytest.raises(ValueError, match="JSON"):
        encode({"stages": {"x": [number]}})


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_any_value_is_one_line_that_reads_back(fields: dict[str, Value]) -> None:
    line = encode(fields)
    assert line.endswith(b"\n")
    text = line[:-1].decode()
    acting = {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cs"}}
    assert not acting
    assert json.loads(text) == fields


@given(st.text(st.characters(), max_size=20))
def test_plain_text_has_nothing_that_acts(text: str) -> None:
    shown = plain(text)
    assert len(shown) == len(text)
    assert not {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cs"}}


def test_plain_text_keeps_what_people_read() -> None:
    assert plain("Größe\x1b[31m 東京\u202e\n") == "Größe [31m 東京  "


# Long lines


def long_words(count: int, text: str = "supercalifragilistic") -> list[Word]:
    return [Word(f"{text}{i}", i * FRAME, (i + 1) * FRAME, (0.9,)) for i in range(count)]


def test_timed_words_are_left_out_where_a_line_would_be_too_long() -> None:
    lines = Lines()
    told = report(lines, words=True)
    fitting, too_many = long_words(600), long_words(900)
    told.chunk(fitting, elapsed=0, start=0, stop=1)
    told.chunk(too_many, elapsed=0, start=0, stop=1)
    first, second = lines.objects
    assert first["words"]
    assert len(lines.written[0]) <= MAX_LINE
    assert "words" not in second
    assert second["text"] == text_of(too_many)


def test_exactly_64_kib_are_allowed() -> None:
    def written(padding: int, *, ms: int = 1) -> bytes:
        lines = Lines()
        words = [Word("x" * padding, 0, FRAME, (0.9,)), *long_words(600)]
        report(lines, words=True).chunk(words, elapsed=ms / 1000, start=0, stop=1)
        return lines.written[0]

    # The padding is in the line twice, in its text and as a word; one digit more evens that out.
    spare = MAX_LINE - len(written(2))
    padding, ms = 2 + spare // 2, 10 if spare % 2 else 1
    assert len(written(padding, ms=ms)) == MAX_LINE
    assert b'"words"' in written(padding, ms=ms)
    assert b'"words"' not in written(padding, ms=ms * 10)


def test_the_longest_chunk_of_fast_speech_has_room_for_its_words() -> None:
    lines = Lines()
    # 120 s at five words a second.
    report(lines, words=True, meta=True).chunk(
        long_words(600, "words"), elapsed=0, start=0, stop=120 * SAMPLE_RATE
    )
    assert len(lines.objects[0]["words"]) == 600  # type: ignore[arg-type]


@pytest.mark.parametrize("char", ["x", "é", "\U0001f600", "\x1b", "\U000e0001", '"'])
def test_what_is_told_to_people_is_cut_to_fit_a_line(char: str) -> None:
    lines = Lines()
    told = report(lines, names="all")
    endless = "Core ML: " + char * 1_000_000
    told.error(BackendFailedError(endless, endless))
    told.event("warning", code="worker_restarted", message=endless)
    told.event("partial", index=1, text=endless, stable=endless, t_ms=1)
    assert all(len(line) <= MAX_LINE for line in lines.written)
    error, warning, partial = lines.objects
    for text in (error["message"], error["hint"], warning["message"], partial["text"]):
        assert str(text)[:2000] == endless[:2000]
        assert str(text).endswith(char + "…")


def test_what_fits_is_not_cut() -> None:
    lines = Lines()
    report(lines).error(BackendFailedError("x" * json_lines.MAX_TEXT))
    assert lines.objects[0]["message"] == "x" * json_lines.MAX_TEXT


def test_done_has_everything_however_long() -> None:
    lines = Lines()
    told = report(lines)
    for _ in range(10):
        told.chunk(long_words(1000), elapsed=0, start=0, stop=1)
    told.done()
    assert len(lines.written[-1]) > 3 * MAX_LINE
    assert lines.objects[-1]["full_text"] == told.full_text


# Done


def test_nothing_comes_after_done() -> None:
    lines = Lines()
    told = report(lines, names="all")
    told.chunk(said("one"), elapsed=0, start=0, stop=1)
    told.done()
    told.chunk(said("two"), elapsed=0, start=0, stop=1)
    told.error(ParakeetError("late"))
    told.event("level", t_ms=1)
    told.hello()
    told.done()
    assert [line["type"] for line in lines.objects] == ["chunk", "done"]
    assert told.full_text == "one"


def test_a_recording_without_words_is_done_too() -> None:
    lines = Lines()
    report(lines).done()
    assert lines.written == [b'{"type":"done","totalChunks":0,"full_text":""}\n']


def test_meta_comes_only_when_asked_for() -> None:
    bare, full = Lines(), Lines()
    report(bare).done(stop_reason="stdin")
    report(full, meta=True).done(stop_reason="stdin")
    assert "stop_reason" not in bare.objects[0]
    assert full.objects[0]["stop_reason"] == "stdin"


texts = st.text(min_size=1).filter(lambda t: bool(t.split()))


@given(st.lists(st.lists(texts, max_size=4), max_size=8))
def test_chunk_texts_joined_are_the_full_text(chunks: list[list[str]]) -> None:
    lines = Lines()
    told = report(lines)
    for chunk in chunks:
        told.chunk(said(*chunk), elapsed=0.1, start=0, stop=1)
    told.done()
    *parts, last = lines.objects
    assert [part["index"] for part in parts] == list(range(len(chunks)))
    assert last["totalChunks"] == len(chunks)
    assert last["full_text"] == " ".join(str(part["text"]) for part in parts if part["text"])
    assert all(0 <= float(str(part["confidence"])) <= 1 for part in parts)


def test_numbers_of_a_chunk_are_rounded() -> None:
    lines = Lines()
    told = report(lines)
    told.chunk(said("a", probability=0.126), elapsed=1.2346, start=0, stop=1)
    told.chunk(said("a", probability=2.0), elapsed=0.0004, start=0, stop=1)
    first, second = lines.objects
    assert (first["confidence"], first["elapsed_ms"]) == (0.13, 1235)
    assert (second["confidence"], second["elapsed_ms"]) == (1.0, 0)
    assert isinstance(first["elapsed_ms"], int)


def test_times_of_words_are_whole_milliseconds() -> None:
    lines = Lines()
    told = report(lines, words=True)
    told.chunk([Word("a", 100, 1380, (0.5, 0.8))], elapsed=0, start=0, stop=1)
    assert lines.objects[0]["words"] == [
        {"text": "a", "start_ms": 6, "end_ms": 86, "confidence": 0.65}
    ]


# Threads


def together(*acts: Callable[[], None]) -> None:
    """Run every act on a thread of its own, all at once."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], None]) -> None:
        start.wait()
        act()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_lines_from_many_threads_keep_their_order() -> None:
    lines = Lines()
    told = report(lines, names="level")

    def chunks() -> None:
        for _ in range(200):
            told.chunk(said("a"), elapsed=0, start=0, stop=1)

    def levels() -> None:
        for _ in range(200):
            told.event("level", t_ms=1)

    together(chunks, chunks, chunks, levels)
    told.done()
    indices = [line["index"] for line in lines.objects if line["type"] == "chunk"]
    assert indices == list(range(600))
    assert lines.objects[-1]["totalChunks"] == 600


def test_done_is_the_last_line_whoever_else_writes() -> None:
    lines = Lines()
    told = report(lines)

    def chunks() -> None:
        for _ in range(300):
            told.chunk(said("a"), elapsed=0, start=0, stop=1)

    together(chunks, chunks, told.done, told.done)
    types = [line["type"] for line in lines.objects]
    assert types.count("done") == 1
    assert types[-1] == "done"
    assert lines.objects[-1]["totalChunks"] == len(types) - 1
