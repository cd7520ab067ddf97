"""Requests that arrive twice, signals that were blocked, launchers that go, odd lines on stdin."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recorder import WORDS, Recorder, Start, command, eventually, sound, write_script, write_wav

pytest_plugins = ("host_fixtures",)

SLOW = {"delay_s": 0.5}
"""A window takes so long that a stop is under way for a while."""

PAIRS = {
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
    "SIGTERM twice": (signal.SIGTERM, signal.SIGTERM),
    "SIGINT and SIGTERM": (signal.SIGINT, signal.SIGTERM),
}


def speaking(start: Start, two_words: Path, **script: object) -> Recorder:
    """Start a recording and wait until two words were said."""
    watched = ("--meta", "--events", "speech,ready")
    recorder = start("--input", two_words, "--realtime", *watched, script={**SLOW, **script})
    recorder.until("speech", state="end", count=2)
    return recorder


@pytest.mark.parametrize("apart", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("pair", PAIRS)
def test_one_request_that_arrives_twice_is_one(
    start: Start, two_words: Path, pair: str, apart: float
) -> None:
    recorder = speaking(start, two_words, delay_s=1.0)
    first, second = PAIRS[pair]
    recorder.send(first)
    time.sleep(apart)
    recorder.send(second)
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:2])
    # The system may hand over two that come at once in either order.
    possible = (first, second) if apart == 0 else (first,)
    assert recorder.done["stop_reason"] in [number.name.lower() for number in possible]


def test_a_second_request_after_half_a_second_leaves_at_once(start: Start, two_words: Path) -> None:
    recorder = speaking(start, two_words, failures={"0": {"how": "hang"}})
    recorder.send(signal.SIGINT)
    time.sleep(0.7)
    recorder.send(signal.SIGINT)
    recorder.finish(130)


BLOCKED = "import os, signal, sys; {change}; os.execv(sys.argv[1], sys.argv[1:])"


def changed(change: str) -> str:
    """Return the shell line that starts a command with its signals changed."""
    return f"""exec {sys.executable} -c '{BLOCKED.format(change=change)}' "$@" """


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_work_where_the_parent_blocked_them(
    start: Start, two_words: Path, number: signal.Signals
) -> None:
    change = "signal.pthread_sigmask(signal.SIG_BLOCK, {1, 2, 15, 14})"
    arguments = ("--input", two_words, "--realtime", "--meta", "--events", "speech")
    recorder = start(*arguments, wrap=changed(change))
    recorder.until("speech", state="end", count=2)
    recorder.send(number)
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:2])


def test_under_nohup_a_hangup_is_none(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:4]))
    change = "signal.signal(1, signal.SIG_IGN)"
    arguments = ("--input", wav, "--realtime", "--meta", "--events", "speech")
    recorder = start(*arguments, wrap=changed(change))
    recorder.until("speech", state="end", count=1)
    recorder.send(signal.SIGHUP)
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:4])
    assert recorder.done["stop_reason"] == "end_of_input"


def test_an_alarm_is_a_stop(start: Start, two_words: Path) -> None:
    recorder = speaking(start, two_words)
    recorder.send(signal.SIGALRM)
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:2])
    assert recorder.done["stop_reason"] == "sigalrm"


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_signal_in_the_first_moments_ends_it_in_order_or_before_it_began(
    start: Start, two_words: Path, moment: float
) -> None:
    recorder = start("--input", two_words, "--realtime", "--meta")
    time.sleep(moment)
    recorder.send(signal.SIGTERM)
    code = recorder.wait()
    recorder.checked = True
    # Before our first instruction the system's own rule holds; from then on there is a last line.
    assert code == -signal.SIGTERM or (code == 0 and recorder.done["type"] == "done")
    assert (code == 0) == bool(recorder.lines)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.3, 1.0])
def test_a_launcher_that_goes_ends_the_recording(tmp_path: Path, delay: float) -> None:
    wav = write_wav(tmp_path / "long.wav", sound(*WORDS[:2], rest=60))
    script = write_script(tmp_path)
    log = tmp_path / "log"
    log.touch()  # the shell may be gone before who makes it runs
    line = command(
        *("progressive-record", "--input", wav, "--realtime", "--meta"),
        *("--backend", "scripted", "--model", script),
    )
    shell = f'"$@" >{log} </dev/null & sleep {delay}'
    subprocess.run(["sh", "-c", shell, "sh", *line], check=True, start_new_session=True, timeout=60)
    assert eventually(lambda: '"done"' in log.read_text("utf-8"), 8)
    assert '"stop_reason":"host_gone"' in log.read_text("utf-8")


def test_under_nohup_a_recording_outlives_its_launcher(tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:4]))
    log = tmp_path / "log"
    line = command(
        *("progressive-record", "--input", wav, "--realtime", "--meta"),
        *("--backend", "scripted", "--model", write_script(tmp_path)),
    )
    shell = f'nohup "$@" >{log} 2>&1 </dev/null & sleep 0.5'
    subprocess.run(["sh", "-c", shell, "sh", *line], check=True, start_new_session=True, timeout=60)
    assert eventually(lambda: '"done"' in log.read_text("utf-8"), 20)
    assert '"stop_reason":"end_of_input"' in log.read_text("utf-8")


def test_a_stdin_at_its_end_from_the_start_ends_it_and_says_so(
    start: Start, two_words: Path
) -> None:
    read, write = os.pipe()
    os.close(write)
    with os.fdopen(read, "rb") as closed:
        recorder = start("--input", two_words, "--realtime", "--events", "warning", stdin=closed)
        recorder.finish(0)
    assert [line["code"] for line in recorder.of("warning")] == ["stdin_closed"]
    assert "stdin was closed from the start" in recorder.stderr


@pytest.mark.parametrize("line", [b"\xef\xbb\xbfstop\n", b"\xef\xbb\xbf stop\r\n"])
def test_a_byte_order_mark_is_no_part_of_a_command(
    start: Start, two_words: Path, line: bytes
) -> None:
    recorder = start("--input", two_words, "--realtime", "--meta", "--events", "speech")
    recorder.until("speech", state="end", count=2)
    recorder.write(line)
    recorder.finish(0)
    assert recorder.done["stop_reason"] == "stop"


def test_the_rest_of_a_line_that_is_too_long_is_no_command(start: Start, two_words: Path) -> None:
    recorder = start("--input", two_words, "--realtime", "--meta", "--events", "speech,warning")
    recorder.until("speech", state="end", count=1)
    for _ in range(3):
        recorder.write(b"x" * 65_536)
    recorder.until("warning", code="unknown_command")
    recorder.write(b"cancel\n")  # the end of that line
    recorder.until("speech", state="end", count=2)
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.done["stop_reason"] == "stop"
    assert len(recorder.of("warning")) == 1
