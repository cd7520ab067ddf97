"""Readers that go away, are slow or never read, and descriptors that are closed, full or odd."""

import array
import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from pulse import PulseServer
from recorder import (
    WORDS,
    Start,
    eventually,
    microphones_in_use,
    processes_naming,
    sound,
    spoken,
    write_wav,
)
from support import requires

pytest_plugins = ("host_fixtures",)

DEV_FULL = Path("/dev/full")
"""A disk without any room, which Linux has."""

SHORT = ("--chunk-seconds", "5", "--overlap-seconds", "2")

F_SETPIPE_SZ = 1031
"""`fcntl.F_SETPIPE_SZ`, which only Linux names."""


def small_pipe() -> tuple[int, int]:
    """Return a pipe that holds one page, so that a reader who does not read is felt soon."""
    requires("pipes of one page, as Linux has", present=sys.platform == "linux")
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
    return reader, writer


def full_pipe() -> tuple[int, int]:
    """Return a pipe that takes nothing more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"x" * 512):
            pass
    os.set_blocking(writer, True)
    return reader, writer


def drain(reader: int) -> bytes:
    """Read everything until the end, and close."""
    data = bytearray()
    while piece := os.read(reader, 1 << 16):
        data += piece
    os.close(reader)
    return bytes(data)


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_nothing_is_recorded_where_stdout_is_closed(closed: str, start: Start) -> None:
    start(wrap=f'exec "$@" {closed}').finish(30, within=10)


def require_dev_full() -> None:
    requires(str(DEV_FULL), present=DEV_FULL.exists())


@pytest.mark.parametrize("silenced", ["2>&-", "2>/dev/full", "2>/dev/null", "<&- 2>&-"])
def test_nothing_depends_on_stderr(silenced: str, start: Start, speech: Path) -> None:
    if str(DEV_FULL) in silenced:
        require_dev_full()
    recorder = start("--input", speech, wrap=f'exec "$@" {silenced}').finish(0)
    assert recorder.heard == list(WORDS[:10])


def test_a_stderr_that_nobody_reads_holds_up_nothing(start: Start, two_words: Path) -> None:
    reader, writer = full_pipe()
    recorder = start("--input", two_words, "--realtime", "--events", "speech", stderr=writer)
    os.close(writer)
    for _ in range(200):
        recorder.say("odd")
    recorder.until("speech", state="end", count=2)
    recorder.say("stop")
    recorder.finish(0)
    os.close(reader)
    assert recorder.heard == list(WORDS[:2])


def test_a_full_disk_under_stdout_is_told(start: Start, two_words: Path) -> None:
    require_dev_full()
    arguments = ("--input", two_words, "--realtime", "--events", "hello")
    recorder = start(*arguments, wrap='exec "$@" >/dev/full').finish(30, within=10)
    assert "No space left on device" in recorder.stderr
    assert "nobody reads" not in recorder.stderr


def test_a_full_disk_is_told_also_for_the_last_line(start: Start, speech: Path) -> None:
    require_dev_full()
    recorder = start("--input", speech, wrap='exec "$@" >/dev/full').finish(30)
    assert "No space left on device" in recorder.stderr


def test_help_into_a_full_disk_is_no_traceback(start: Start) -> None:
    require_dev_full()
    start("-h", model=False, wrap='exec "$@" >/dev/full', text=True).finish(30)


def test_a_reader_that_goes_away_ends_the_recording(start: Start, room: PulseServer) -> None:
    reader, writer = os.pipe()
    recorder = start("--events", "all", env=room.env, stdout=writer)
    os.close(writer)
    assert b"hello" in os.read(reader, 4096)
    assert eventually(lambda: microphones_in_use(room) == 1)
    os.close(reader)
    assert eventually(lambda: microphones_in_use(room) == 0, 3)
    recorder.finish(30, within=9)
    assert "nobody reads stdout" in recorder.stderr


def test_head_takes_one_line_and_the_recorder_goes_too(
    start: Start, room: PulseServer, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    wrap = f'{{ "$@"; echo $? >"{code}"; }} | head -1'
    recorder = start("--events", "hello,level", env=room.env, wrap=wrap, text=True).finish(0)
    assert [line.fields["type"] for line in recorder.lines] == ["hello"]
    assert code.read_text() == "30\n"
    assert microphones_in_use(room) == 0


def test_a_reader_that_never_reads_costs_five_seconds_at_the_end(
    start: Start, two_words: Path
) -> None:
    reader, writer = full_pipe()
    recorder = start("--input", two_words, "--realtime", stdout=writer)
    os.close(writer)
    recorder.say("stop")
    recorder.finish(30)
    assert 4 < recorder.ended - recorder.began < 15
    os.close(reader)


def unread(reader: int) -> int:
    """Return how many bytes wait in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, count)
    return count[0]


def test_leaving_at_once_works_while_nobody_reads(start: Start, two_words: Path) -> None:
    reader, writer = full_pipe()
    recorder = start("--input", two_words, "--realtime", stdout=writer)
    os.close(writer)
    recorder.worker()
    recorder.say("stop\ncancel")
    recorder.finish(130, within=4)
    os.close(reader)


def test_a_slow_reader_loses_no_words(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "long.wav", sound(*(WORDS * 4)))
    reader, writer = small_pipe()
    recorder = start("--input", wav, *SHORT, "--words", "--events", "partial", stdout=writer)
    os.close(writer)
    # The process has nothing more to do than to write once its worker is idle.
    assert eventually(lambda: unread(reader) >= 3000)
    data = drain(reader)
    recorder.finish(0)
    assert data.endswith(b"}\n")
    assert data.count(b'"type":"done"') == 1
    assert " ".join(WORDS * 4).encode() in data


def test_a_stdout_that_does_not_block_gets_every_line(start: Start, speech: Path) -> None:
    reader, writer = small_pipe()
    os.set_blocking(writer, False)
    text = " ".join(["wort" * 60] * 600)  # several times what the pipe takes
    recorder = start("--input", speech, stdout=writer, script={"windows": [{"text": text}]})
    os.close(writer)
    assert eventually(lambda: unread(reader) > 0)
    chunk, done = drain(reader).splitlines()
    recorder.finish(0)
    assert json.loads(chunk)["text"] == text
    assert json.loads(done)["full_text"] == text


def test_a_socket_as_stdout_ends_the_recording_when_it_closes(
    start: Start, two_words: Path
) -> None:
    ours, theirs = socket.socketpair()
    recorder = start(
        "--input", two_words, "--realtime", "--events", "hello", stdout=theirs.fileno()
    )
    theirs.close()
    assert b"hello" in ours.recv(4096)
    ours.close()
    recorder.finish(30, within=9)


PARENT = """\
import os, subprocess, sys
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=open(sys.argv[1], "wb"))
print(child.pid, flush=True)
sys.stdin.read()
os._exit(0)
"""
"""A host that writes to a file, and goes when its stdin ends."""


def test_a_dead_host_ends_a_recording_into_a_file(
    start: Start, room: PulseServer, tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    host = tmp_path / "host.py"
    host.write_text(PARENT)
    wrap = f'exec "{sys.executable}" "{host}" "{lines}" "$@"'
    parent = start("--events", "hello,ready,speech", "--meta", env=room.env, wrap=wrap, text=True)
    assert eventually(lambda: lines.exists() and b'"capture"' in lines.read_bytes())
    room.mic.play(spoken(*WORDS[:2]))
    assert eventually(lambda: lines.read_bytes().count(b'"state":"end"') == 2)
    parent.send(signal.SIGKILL)
    assert eventually(lambda: microphones_in_use(room) == 0, 3)
    parent.finish(-9)
    assert eventually(lambda: not processes_naming(str(tmp_path)), 9)
    last = lines.read_bytes().splitlines()[-1]
    assert b'"full_text":"alfa bravo"' in last
    assert b'"stop_reason":"host_gone"' in last


def test_a_dead_host_does_not_end_a_file_in_silence(start: Start, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    host = tmp_path / "host.py"
    host.write_text(PARENT)
    wav = write_wav(tmp_path / "long.wav", sound(*(WORDS * 4)))
    wrap = f'exec "{sys.executable}" "{host}" "{lines}" "$@"'
    arguments = ("--input", wav, *SHORT, "--events", "warning", "--meta")
    parent = start(*arguments, script={"delay_s": 0.5}, wrap=wrap, text=True)
    assert eventually(lambda: lines.exists() and b'"chunk"' in lines.read_bytes())
    parent.send(signal.SIGKILL)
    parent.finish(-9)
    assert eventually(lambda: not processes_naming(str(tmp_path)))
    *_, last = told = [json.loads(line) for line in lines.read_bytes().splitlines()]
    assert last["stop_reason"] == "host_gone"
    assert "input_left" in {line.get("code") for line in told}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_counts_also_while_the_last_line_is_blocked(
    number: signal.Signals, start: Start, speech: Path
) -> None:
    reader, writer = small_pipe()
    text = " ".join(["wort" * 60] * 600)  # several times what the pipe takes
    recorder = start("--input", speech, stdout=writer, script={"windows": [{"text": text}]})
    os.close(writer)
    assert eventually(lambda: unread(reader) > 0)
    recorder.send(signal.SIGINT)
    time.sleep(0.6)  # sooner it would be the same request, arriving twice
    assert eventually(lambda: recorder.is_gone_after(number), 4)
    recorder.finish(128 + number)
    os.close(reader)


def test_a_host_killed_while_we_write_takes_us_along(start: Start, two_words: Path) -> None:
    reader, writer = full_pipe()
    recorder = start("--input", two_words, "--realtime", "--events", "all", stdout=writer)
    os.close(writer)
    recorder.worker()
    os.close(reader)
    recorder.finish(30, within=9)


def test_stdin_devnull_and_stdout_file_is_a_shell_user(
    start: Start, speech: Path, tmp_path: Path
) -> None:
    out = (tmp_path / "out").open("wb")
    start("--input", speech, stdin=subprocess.DEVNULL, stdout=out).finish(0)
    out.close()
    assert (tmp_path / "out").read_bytes().count(b"\n") == 2
