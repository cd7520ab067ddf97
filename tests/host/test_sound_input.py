"""Sound files through pipes, and files whose headers lie, as the command takes them."""

import os
import struct
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
