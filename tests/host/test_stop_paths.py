"""Every way to end a recording gracefully: the tail is transcribed, `done` comes last, exit 0."""

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pulse import PulseServer
from recorder import (
    WORDS,
    Recorder,
    Start,
    microphones_in_use,
    patched,
    sound,
    spoken,
    write_script,
    write_wav,
)
from support import requires

pytest_plugins = ("host_fixtures",)


def half_a_line(recorder: Recorder) -> None:
    recorder.write(b"sto")
    recorder.close_stdin()


TOLD: dict[str, tuple[Callable[[Recorder], None], str]] = {
    "a stop line": (lambda r: r.say("stop"), "stop"),
    "a stop line of Windows": (lambda r: r.write(b"stop\r\n"), "stop"),
    "stdin closed": (lambda r: r.close_stdin(), "stdin_eof"),
    "half a line and stdin closed": (half_a_line, "stdin_eof"),
    "SIGINT": (lambda r: r.send(signal.SIGINT), "sigint"),
    "SIGTERM": (lambda r: r.send(signal.SIGTERM), "sigterm"),
    "SIGHUP": (lambda r: r.send(signal.SIGHUP), "sighup"),
}
"""What the host does, and the reason given for the end."""

WATCHED = ("--meta", "--events", "speech,ready")


def stop_after_two_words(recorder: Recorder, tell: Callable[[Recorder], None]) -> None:
    recorder.until("speech", state="end", count=2)
    tell(recorder)


def assert_two_words(recorder: Recorder, *reasons: str) -> None:
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:2])
    assert recorder.done["stop_reason"] in reasons
    account = recorder.done["samples"]
    assert account["captured"] == account["transcribed"] + account["silent"] + account["lost"]


def assert_all_ways_end_it(recorders: dict[str, Recorder]) -> None:
    """Tell all at once, each its own way: most of the time goes by in real time."""
    for way, recorder in recorders.items():
        stop_after_two_words(recorder, TOLD[way][0])
    for way, recorder in recorders.items():
        assert_two_words(recorder, TOLD[way][1])


def test_a_file_played_in_real_time_stops_in_every_way(start: Start, two_words: Path) -> None:
    arguments = ("--input", two_words, "--realtime", *WATCHED)
    recorders = {way: start(*arguments) for way in TOLD}
    assert_all_ways_end_it(recorders)
    assert all(recorder.done["audio_ms"] < 30_000 for recorder in recorders.values())


def test_the_microphone_stops_in_every_way(start: Start, room: PulseServer) -> None:
    recorders = {way: start(*WATCHED, env=room.env) for way in TOLD}
    for recorder in recorders.values():
        recorder.until("ready", what="capture")
    room.mic.play(spoken(*WORDS[:2]))
    assert_all_ways_end_it(recorders)
    assert microphones_in_use(room) == 0


def test_max_seconds_ends_the_microphone_at_that_sample(start: Start, room: PulseServer) -> None:
    events = ("--events", "speech,ready,warning")
    recorder = start(*WATCHED, *events, "--max-seconds", "1.5", env=room.env)
    recorder.until("ready", what="capture")
    room.mic.play(spoken(*WORDS[:2]))
    assert_two_words(recorder, "max_seconds")
    assert recorder.done["samples"]["captured"] == 24_000
    assert "input_left" in [line["code"] for line in recorder.of("warning")]


def test_max_seconds_ends_raw_pcm_and_tells(start: Start) -> None:
    recorder = start("--input", "-", "--max-seconds", "1.25", "--events", "warning")
    recorder.write((sound(*WORDS[:4]) * 32_767).astype("<i2").tobytes())
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:2])
    assert [line["code"] for line in recorder.of("warning")] == ["input_left"]


def test_max_seconds_ends_a_file_at_that_sample(start: Start, speech: Path) -> None:
    arguments = ("--max-seconds", "1.25", "--meta", "--events", "warning")
    recorder = start("--input", speech, *arguments).finish(0)
    assert left_of(recorder) == [5.2]  # of 6.4
    assert recorder.heard == list(WORDS[:2])
    assert recorder.done["stop_reason"] == "max_seconds"
    assert recorder.done["samples"]["captured"] == 20_000


def test_the_end_of_the_input_is_an_end_too(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:2]))
    recorder = start("--input", wav, "--realtime", *WATCHED)
    assert_two_words(recorder, "end_of_input")


def test_a_signal_ends_raw_pcm_with_what_was_written(start: Start) -> None:
    recorder = start("--input", "-", *WATCHED)
    recorder.write((sound(*WORDS[:2]) * 32_767).astype("<i2").tobytes())
    stop_after_two_words(recorder, lambda r: r.send(signal.SIGTERM))
    assert_two_words(recorder, "sigterm")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_count_also_where_the_parent_ignored_them(
    number: signal.Signals, start: Start, two_words: Path
) -> None:
    ignoring = 'trap "" INT TERM HUP; exec "$@"'
    recorder = start("--input", two_words, "--realtime", *WATCHED, wrap=ignoring)
    stop_after_two_words(recorder, lambda r: r.send(number))
    assert_two_words(recorder, number.name.lower())


def test_a_hangup_is_not_the_first_of_two_ctrl_c(start: Start, two_words: Path) -> None:
    recorder = start("--input", two_words, "--realtime", *WATCHED, script={"delay_s": 1.0})
    stop_after_two_words(recorder, lambda r: r.send(signal.SIGHUP))
    recorder.send(signal.SIGINT)
    # Two threads may take one signal each, and the second be the faster one.
    assert_two_words(recorder, "sighup", "sigint")


@pytest.mark.parametrize("way", ["/dev/null", "closed", "a file", "a terminal"])
def test_only_the_end_of_a_pipe_is_a_command(
    way: str, start: Start, two_words: Path, tmp_path: Path
) -> None:
    (tmp_path / "stop").write_text("stop\n")
    master, slave = pty.openpty()
    wrap, stdin = {
        "/dev/null": ("", subprocess.DEVNULL),
        "closed": ('exec "$@" <&-', subprocess.DEVNULL),
        "a file": (f'exec "$@" <"{tmp_path}/stop"', subprocess.DEVNULL),
        "a terminal": ("", slave),
    }[way]
    recorder = start("--input", two_words, "--realtime", *WATCHED, wrap=wrap, stdin=stdin)
    os.write(master, b"stop\n\x04\x04")
    stop_after_two_words(recorder, lambda r: r.send(signal.SIGINT))
    assert_two_words(recorder, "sigint")
    os.close(slave)
    os.close(master)


def test_the_group_gets_ctrl_c_and_the_worker_goes_on(start: Start, two_words: Path) -> None:
    recorder = start("--input", two_words, "--realtime", *WATCHED, script={"delay_s": 0.5})
    recorder.until("ready", what="model")
    stop_after_two_words(recorder, lambda r: os.killpg(r.pid, signal.SIGINT))
    assert_two_words(recorder, "sigint")
    assert "again" not in recorder.stderr


def test_a_stop_that_was_there_before_us_ends_at_once(start: Start, two_words: Path) -> None:
    recorder = start("--input", two_words, "--realtime", "--meta")
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.done["stop_reason"] == "stop"
    assert recorder.done["audio_ms"] < 10_000


def test_a_stop_before_the_first_sample_leaves_no_line_but_done(
    start: Start, room: PulseServer
) -> None:
    room.mic.idle = "nothing"
    try:
        recorder = start("--events", "hello", env=room.env)
        recorder.until("hello")
        recorder.say("stop")
        recorder.finish(0)
    finally:
        room.mic.idle = "noise"
    assert recorder.text == ""
    assert recorder.done["totalChunks"] == 0


def test_a_stop_while_the_model_loads_waits_for_it(start: Start, two_words: Path) -> None:
    recorder = start("--input", two_words, "--realtime", *WATCHED, script={"load_s": 2.5})
    stop_after_two_words(recorder, lambda r: r.say("stop"))
    assert not recorder.of("done")
    assert_two_words(recorder, "stop")


SPARING: dict[str, tuple[tuple[str, ...], Callable[[Recorder], None]]] = {
    "a stop line": (("--realtime",), lambda r: r.say("stop")),
    "SIGINT": ((), lambda r: r.send(signal.SIGINT)),
}


@pytest.mark.parametrize("way", SPARING)
def test_a_stop_waits_for_no_model_where_nobody_spoke(
    way: str, start: Start, tmp_path: Path
) -> None:
    wav = write_wav(tmp_path / "quiet.wav", sound(rest=20.0))
    arguments, tell = SPARING[way]
    recorder = start("--input", wav, *arguments, *WATCHED, script={"load_s": 60.0})
    recorder.until("ready", what="capture")
    tell(recorder)
    recorder.finish(0, within=30)
    assert recorder.text == ""
    assert recorder.codes() == []


def test_a_stop_after_the_audio_was_all_read_waits_for_no_model_either(
    start: Start, tmp_path: Path
) -> None:
    audio = sound(rest=20.0)
    # A rustle in the last block that is read: told as speech, but nothing to be decoded.
    rustle = slice(round(19.85 * 16_000), round(19.95 * 16_000))
    audio[rustle] += 0.0021 * np.sin(np.arange(1_600) / 5)
    wav = write_wav(tmp_path / "quiet.wav", audio)
    recorder = start("--input", wav, "--meta", "--events", "speech", script={"load_s": 60.0})
    recorder.until("speech", state="end")
    recorder.send(signal.SIGTERM)
    recorder.finish(0, within=30)
    assert recorder.done["stop_reason"] == "sigterm"
    assert recorder.done["samples"]["silent"] == len(audio)


def test_raw_pcm_that_ends_unspoken_waits_for_no_model(start: Start) -> None:
    recorder = start("--input", "-", "--meta", script={"load_s": 60.0})
    recorder.write((sound(rest=1.0) * 32_767).astype("<i2").tobytes())
    recorder.close_stdin()
    recorder.finish(0, within=30)
    assert recorder.done["stop_reason"] == "end_of_input"


def test_a_microphone_that_goes_away_unspoken_to_waits_for_no_model(start: Start) -> None:
    with PulseServer() as server:
        recorder = start("--events", "ready", env=server.env, script={"load_s": 90.0})
        recorder.until("ready", what="capture")
        server.signal(signal.SIGKILL)
        recorder.finish(12)
    assert recorder.codes() == ["device_lost"]


def test_a_first_compile_is_waited_for_even_then(start: Start, tmp_path: Path) -> None:
    script = write_script(tmp_path, load_s=2.0)
    # The one backend that compiles; what it opens here is the tones.
    wrap = patched(
        tmp_path,
        "choice = selection.ModelSelection",
        "spec = choice.spec",
        "choice.spec = lambda self: spec(self)._replace(backend='coreml')",
        "start = session.Recording._start_worker",
        "session.Recording._start_worker = lambda self, spec: "
        "start(self, spec._replace(backend='scripted'))",
    )
    wav = write_wav(tmp_path / "quiet.wav", sound(rest=20.0))
    arguments = ("--backend", "scripted", "--model", script, "--input", wav, "--realtime")
    recorder = start(*arguments, *WATCHED, wrap=wrap, model=False)
    recorder.until("ready", what="capture")
    recorder.say("stop")
    recorder.finish(0)
    assert [ready["what"] for ready in recorder.of("ready")] == ["capture", "model"]


def left_of(recorder: Recorder) -> list[float]:
    """Return the seconds of a file that were left, as told."""
    told = [w["message"] for w in recorder.of("warning") if w["code"] == "input_left"]
    return [float(message.split()[0]) for message in told]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_tells_what_it_leaves_of_a_file(
    number: signal.Signals, start: Start, tmp_path: Path
) -> None:
    audio = sound(*(WORDS * 4))
    wav = write_wav(tmp_path / "long.wav", audio)
    short = ("--chunk-seconds", "5", "--overlap-seconds", "1", "--events", "warning", "--meta")
    recorder = start("--input", wav, *short, script={"delay_s": 1.0})
    recorder.until("chunk", index=0)
    recorder.send(number)
    recorder.finish(0)
    used = recorder.done["samples"]["captured"]
    assert 5 * 16_000 < used < len(audio)
    assert left_of(recorder) == [pytest.approx((len(audio) - used) / 16_000, abs=0.06)]
    assert recorder.stderr.count("were left unread") == 1
    assert recorder.heard == list(WORDS * 4)[: len(recorder.heard)]


def test_a_stop_of_a_file_that_is_all_read_leaves_nothing(start: Start, speech: Path) -> None:
    arguments = ("--input", speech, "--events", "speech,ready,warning")
    recorder = start(*arguments, script={"delay_s": 1.5})
    recorder.until("speech", state="end", count=10)
    recorder.until("ready", what="model")
    recorder.send(signal.SIGINT)
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:10])
    assert left_of(recorder) == []


def test_a_stop_while_a_window_is_decoded_waits_for_it(start: Start) -> None:
    audio = sound(*WORDS[:10])
    short = ("--chunk-seconds", "5", "--overlap-seconds", "1")
    recorder = start("--input", "-", *short, "--events", "speech", script={"delay_s": 1.0})
    recorder.write((audio * 32_767).astype("<i2").tobytes())
    recorder.until("speech", state="end", count=9)  # past 5 s: the first window is being decoded
    assert not recorder.of("chunk")
    recorder.send(signal.SIGTERM)
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:10])


def test_cancel_without_its_line_feed_is_cancel_too(start: Start, two_words: Path) -> None:
    recorder = start("--input", two_words, "--realtime", *WATCHED, script={"load_s": 30.0})
    recorder.until("ready", what="capture")
    recorder.write(b"cancel")
    recorder.close_stdin()
    recorder.finish(130)
    assert recorder.done["stop_reason"] == "cancel"


def test_odd_lines_are_told_and_change_nothing(start: Start, two_words: Path) -> None:
    recorder = start("--input", two_words, "--realtime", "--meta", "--events", "speech,warning")
    for odd in (b"\xff\xfe\x00\n", b"STOPP\n", b"\n", b"x" * 200_000 + b"stop\n"):
        recorder.write(odd)
    stop_after_two_words(recorder, lambda r: r.say("  stop  "))
    assert_two_words(recorder, "stop")
    assert {w["code"] for w in recorder.of("warning")} == {"unknown_command"}


def is_python_starting(pid: int) -> bool:
    """Return whether Python's own Ctrl-C handler is there, and our code not yet."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> signal.SIGINT - 1 & 1) and not caught >> signal.SIGTERM - 1 & 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_of_the_start_is_no_traceback(
    number: signal.Signals, start: Start, two_words: Path
) -> None:
    requires("/proc", present=Path("/proc/self/status").exists())
    recorders = [start("--input", two_words, "--realtime") for _ in range(8)]
    for recorder in recorders:
        time.sleep(0.04)  # not to wait for anything, but to come at different moments
        while is_python_starting(recorder.pid):  # a traceback then is not ours
            time.sleep(0.001)
        recorder.send(number)
    for recorder in recorders:
        code = recorder.wait(10)
        assert code in (0, -number)
        assert recorder.finish(code).lines == [] or code == 0


def test_ctrl_c_during_a_restart_of_the_worker_is_graceful(start: Start, two_words: Path) -> None:
    failing = {"failures": {"0": {"how": "abort", "attempts": 2}}}
    arguments = ("--input", two_words, "--realtime", "--no-speculation", *WATCHED)
    recorder = start(*arguments, script=failing)
    stop_after_two_words(recorder, lambda r: os.killpg(r.pid, signal.SIGINT))
    assert_two_words(recorder, "sigint")
    assert "2 of 2" in recorder.stderr
