"""Sound files through pipes, and files whose headers lie, as the command takes them."""

import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from recorder import WORDS, Start, sound, write_wav

pytest_plugins = ("host_fixtures",)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """A WAV at 48 kHz in which three words are said."""
    return write_wav(tmp_path / "three.wav", sound(*WORDS[:3], rate=48_000), 48_000)


def test_a_sound_file_on_stdin_is_heard_at_its_own_rate(start: Start, wav: Path) -> None:
    recorder = start("--input", "-", "--meta", "--events", "warning")
    recorder.write(wav.read_bytes())
    recorder.close_stdin()
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:3])
    assert recorder.of("warning") == []


M4A = b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(range(256)) * 400


def test_what_is_not_read_on_stdin_is_refused_and_no_words(start: Start) -> None:
    recorder = start("--input", "-")
    recorder.write(M4A)
    recorder.close_stdin()
    assert "ffmpeg -i FILE" in recorder.finish(2).stderr


HELD = """
import threading
from parakeet_coreml.__main__ import main
from parakeet_coreml.recording import session

let_go = session.Recording._let_go

def held(recording):
    let_go(recording)
    for thread in threading.enumerate():
        if thread.name == "work":
            thread.join(30)

session.Recording._let_go = held
main()
"""
"""The program, in which the thread that owns the model sees it taken away before we leave."""


def test_taking_down_what_a_refused_call_had_begun_is_no_failure() -> None:
    called = ("progressive-record", "--input", "-", "--backend", "onnx", "--model", "tiny-en")
    line = [sys.executable, "-P", "-c", HELD, *called]
    done = subprocess.run(line, input=M4A, capture_output=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.count(b"Error: ") == 1


@pytest.mark.parametrize("most", [8, 30])
def test_a_file_on_stdin_that_ends_within_its_header_is_refused(
    start: Start, wav: Path, most: int
) -> None:
    # While a worker loads, whose end at the refusal is no news: nothing comes on stdout.
    recorder = start("--input", "-", "--events", "warning", script={"load_s": 60.0})
    recorder.write(wav.read_bytes()[:most])
    recorder.close_stdin()
    assert "ends within its header" in recorder.finish(2).stderr


def test_a_refusal_after_the_protocol_began_is_an_error_line(start: Start) -> None:
    recorder = start("--input", "-", "--events", "hello,ready")
    recorder.until("ready", what="capture")
    recorder.write(M4A)
    recorder.close_stdin()
    assert recorder.wait() == 2
    recorder.checked = True
    (error,) = recorder.of("error")
    assert (error["code"], "MP4" in error["message"]) == ("usage", True)
    assert [line.fields["type"] for line in recorder.lines][-1] == "done"
    assert recorder.text == ""


def test_a_named_pipe_is_read_as_it_comes(start: Start, tmp_path: Path, wav: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    recorder = start("--input", tmp_path / "fifo")
    writer = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(wav.read_bytes(),))
    writer.start()
    recorder.finish(0)
    writer.join()
    assert recorder.heard == list(WORDS[:3])


def test_a_named_pipe_is_not_played_in_real_time(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    recorder = start("--input", tmp_path / "fifo", "--realtime")
    assert "not a pipe" in recorder.finish(2).stderr


def test_a_recording_whose_writer_crashed_is_read_to_its_end(start: Start, wav: Path) -> None:
    data = bytearray(wav.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 0)
    wav.write_bytes(data)
    recorder = start("--input", wav, "--events", "warning").finish(0)
    assert recorder.heard == list(WORDS[:3])
    assert [line["code"] for line in recorder.of("warning")] == ["long_file"]


ENDLESS = b"xxxx\xf8\xff\xff\xff" + b"abcdefghijklmnop" * 2
"""A name in a list of names, of size -8: libsndfile 1.2.2 reads it for ever."""


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A WAV that libsndfile never finishes to open, without samples that we could find."""
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    names = b"LIST" + struct.pack("<I", 4 + len(ENDLESS)) + b"INFO" + ENDLESS
    body = b"WAVE" + form + names + b"\1\2\3\4" + bytes(700)
    path = tmp_path / "endless.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def test_a_header_that_leads_nowhere_is_given_up(start: Start, endless: Path) -> None:
    assert "leads nowhere" in start("--input", endless).finish(2).stderr


def test_a_header_that_leads_nowhere_holds_up_no_signal(start: Start, endless: Path) -> None:
    recorder = start("--input", endless)
    recorder.send(signal.SIGTERM)
    recorder.send(signal.SIGTERM)
    assert recorder.wait() in {2, 143, -signal.SIGTERM}  # as far as it had come
    recorder.checked = True


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_the_writer_of_a_pipe(
    start: Start, tmp_path: Path, stop: signal.Signals
) -> None:
    os.mkfifo(tmp_path / "fifo")
    recorder = start("--input", tmp_path / "fifo", "--meta", "--events", "ready")
    recorder.until("ready", what="capture")
    recorder.send(stop)
    recorder.finish(0)
    assert recorder.done["stop_reason"] == stop.name.lower()
    assert recorder.text == ""
