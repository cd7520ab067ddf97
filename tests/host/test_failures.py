"""What goes wrong, how it is told, and that what was said before it still comes."""

import os
import shutil
import signal
import subprocess
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import psutil
import pytest
from pulse import JACK_TABLE, PulseServer
from pulse import RATE as MIC_RATE
from recorder import (
    LONG,
    PROGRAM,
    WORDS,
    Recorder,
    Start,
    eventually,
    microphones_in_use,
    patched,
    s16,
    sound,
    spoken,
    write_wav,
)
from support import requires

from parakeet_coreml.store.manifest import MARKER, shipped

pytest_plugins = ("host_fixtures",)

MANIFESTS = Path(str(files("parakeet_coreml") / "manifests"))

SHORT = ("--chunk-seconds", "5", "--overlap-seconds", "2")


def assert_failed(recorder: Recorder, code: int, *names: str) -> None:
    recorder.finish(code)
    assert recorder.codes() == list(names)
    assert all(list(e) == ["type", "code", "message", "hint"] for e in recorder.of("error"))
    assert all(error["message"] for error in recorder.of("error"))
    assert all("\n" not in error["message"] for error in recorder.of("error"))
    assert all(error["message"] in recorder.stderr for error in recorder.of("error"))


# The machine


@pytest.mark.parametrize("most", [7, 8, 10])
def test_hardly_any_descriptors(most: int) -> None:
    sound = files("parakeet_coreml") / "samples" / "speech.wav"
    command = [*PROGRAM, "progressive-record", "--model", "tiny-en", "--input", str(sound)]
    limited = ["bash", "-c", f'ulimit -n {most}; exec "$@"', "bash", *command]
    done = subprocess.run(
        limited, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode
    assert "Traceback" not in done.stderr
    assert "open files" in done.stderr


# The microphone


def test_a_microphone_that_does_not_exist(start: Start, room: PulseServer) -> None:
    recorder = start("--device", "no such thing", env=room.env)
    assert_failed(recorder, 10, "no_device")
    assert recorder.done["totalChunks"] == 0


def test_no_audio_server(start: Start, tmp_path: Path) -> None:
    (tmp_path / ".asoundrc").write_text(
        "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
    )
    nowhere = {"HOME": str(tmp_path), "PULSE_SERVER": f"unix:{tmp_path}/none"}
    assert_failed(start(env=nowhere), 10, "no_device")


def test_a_server_without_a_microphone(start: Start) -> None:
    with PulseServer() as server:
        server.unplug()
        assert_failed(start(env=server.env), 10, "no_device")


def meddle(inject: str, room: PulseServer, *command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command and let this befall it at each look into JACK's table, as PortAudio starts."""
    subprocess.run([*PROGRAM, "devices"], env=room.env, capture_output=True, check=True)
    requires("JACK behind PortAudio", present=JACK_TABLE.exists())
    requires("strace", present=shutil.which("strace") is not None)
    strace = ["strace", "-f", "-P", f"{JACK_TABLE}/metadata.db"]
    strace += ["-e", "trace=openat", "-e", f"inject=openat:{inject}"]
    return subprocess.run([*strace, *command], env=room.env, capture_output=True, check=False)


def test_a_lock_that_a_killed_program_left_is_mended(start: Start, room: PulseServer) -> None:
    killed = meddle("signal=KILL:when=1", room, *PROGRAM, "devices")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    recorder = start(env=room.env)
    assert_failed(recorder, 10, "no_device")
    assert "start again" in recorder.of("error")[0]["hint"]
    recorder = start("--events", "ready", env=room.env)
    recorder.until("ready", what="capture")
    recorder.say("stop")
    recorder.finish(0)


def test_a_refused_option_leaves_no_lock(start: Start, room: PulseServer) -> None:
    refused = (*PROGRAM, "progressive-record", "--no-such-option")
    done = meddle("delay_enter=50000", room, *refused)
    assert b"DELAYED" in done.stderr, done.stderr
    recorder = start("--events", "ready", env=room.env)
    recorder.until("ready", what="capture")
    recorder.say("stop")
    recorder.finish(0)


# It ends by itself where the signal is ignored, as SIGHUP is below `nohup`.
RECORD_A_SECOND = ("progressive-record", "--model", "tiny-en", "--max-seconds", "1")


@pytest.mark.parametrize(
    ("number", "arguments"),
    [
        ("INT", RECORD_A_SECOND),
        ("TERM", RECORD_A_SECOND),
        ("HUP", RECORD_A_SECOND),
        ("INT", ("devices",)),
        ("TERM", ("doctor", "--model", "tiny-en")),
    ],
)
def test_a_signal_during_the_start_leaves_no_lock(
    start: Start, room: PulseServer, number: str, arguments: tuple[str, ...]
) -> None:
    done = meddle(f"signal={number}:when=1", room, *PROGRAM, *arguments)
    ended = signal.Signals[f"SIG{number}"]
    # The probe of `doctor` alone is hit, and found wanting.
    assert done.returncode in {-ended, 10 if arguments[0] == "doctor" else 0}, done.stderr
    recorder = start("--events", "ready", env=room.env)
    recorder.until("ready", what="capture")
    recorder.say("stop")
    recorder.finish(0)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])  # a crash, and a log-out
def test_a_microphone_that_goes_away_keeps_what_was_said(start: Start, end: signal.Signals) -> None:
    with PulseServer() as server:
        recorder = start("--events", "ready,speech", "--meta", env=server.env)
        recorder.until("ready", what="capture")
        server.mic.play(spoken(*WORDS[:2]))
        recorder.until("speech", state="end", count=2)
        server.signal(end)
        assert_failed(recorder, 12, "device_lost")
    assert recorder.heard == list(WORDS[:2])
    assert recorder.done["stop_reason"] == "device_lost"


@pytest.mark.skipif(not LONG, reason="a minute of being frozen")
def test_a_frozen_recorder_tells_what_was_lost_and_hardly_grows(
    start: Start, room: PulseServer
) -> None:
    recorder = start("--events", "ready,speech,warning", "--meta", env=room.env)
    began = recorder.until("ready", what="capture").at
    room.mic.play(spoken(*WORDS[:2]))
    recorder.until("speech", state="end", count=2)
    size = psutil.Process(recorder.pid).memory_info().rss
    recorder.send(signal.SIGSTOP)
    time.sleep(70)
    recorder.send(signal.SIGCONT)
    recorder.until("warning", code="input_overflow")
    room.mic.play(spoken(*WORDS[2:4]))
    recorder.until("speech", state="end", count=4)
    grown = psutil.Process(recorder.pid).memory_info().rss - size
    recorder.say("stop")
    passed = time.monotonic() - began
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:4])
    assert [warning["code"] for warning in recorder.of("warning")] == ["input_overflow"]
    assert recorder.done["audio_ms"] / 1000 == pytest.approx(passed, abs=2)
    assert grown < 32 << 20


def test_a_microphone_that_is_unplugged_and_comes_back_goes_on(start: Start) -> None:
    with PulseServer() as server:
        recorder = start("--events", "ready,speech,warning,state", "--meta", env=server.env)
        recorder.until("ready", what="capture")
        server.mic.play(spoken(*WORDS[:2]))
        recorder.until("speech", state="end", count=2)
        server.unplug()
        recorder.until("warning", code="capture_stall")
        server.plug()
        warning = recorder.until("warning", code="device_reopened").fields
        server.mic.play(spoken(*WORDS[2:4]))
        recorder.until("speech", state="end", count=4)
        recorder.say("stop")
        recorder.finish(0)
    assert recorder.heard == list(WORDS[:4])
    assert "ms were lost" in warning["message"]
    assert warning["message"] in recorder.stderr
    assert recorder.of("state") == []
    account = recorder.done["samples"]
    assert account["captured"] == account["transcribed"] + account["silent"] + account["lost"]


def test_a_microphone_that_was_named_is_lost_when_it_is_unplugged(start: Start) -> None:
    with PulseServer("Desk") as server:
        recorder = start("--device", "Desk", "--events", "ready,speech,warning", env=server.env)
        recorder.until("ready", what="capture")
        server.mics["Desk"].play(spoken(*WORDS[:2]))
        recorder.until("speech", state="end", count=2)
        server.unplug("mic")  # to which the server would move it
        server.unplug("Desk")
        assert_failed(recorder, 12, "device_lost")
    assert recorder.heard == list(WORDS[:2])
    assert not [w for w in recorder.of("warning") if w["code"] == "device_reopened"]


def test_a_microphone_that_is_suspended_and_goes_on_is_not_lost(start: Start) -> None:
    with PulseServer() as server:
        recorder = start("--events", "ready,warning", env=server.env)
        recorder.until("ready", what="capture")
        server.mic.play(spoken(*WORDS[:2])).wait()
        server.suspend()
        recorder.until("warning", code="capture_stall")
        server.suspend(suspended=False)
        server.mic.play(spoken(*WORDS[2:4])).wait()
        recorder.say("stop")
        recorder.finish(0)
    assert recorder.heard == list(WORDS[:4])


def test_a_sound_server_that_hangs_is_left_behind(start: Start) -> None:
    with PulseServer() as server:
        recorder = start("--events", "ready,speech", env=server.env)
        recorder.until("ready", what="capture")
        server.mic.play(spoken(*WORDS[:2]))
        recorder.until("speech", state="end", count=2)
        server.signal(signal.SIGSTOP)
        assert_failed(recorder, 12, "device_lost")
    assert recorder.heard == list(WORDS[:2])


def test_a_muted_microphone_is_told_from_a_quiet_one(start: Start, room: PulseServer) -> None:
    with room.mic.muted():
        recorder = start("--events", "warning", "--max-seconds", "3.5", env=room.env)
        recorder.until("warning", code="mic_silent")
        assert_failed(recorder, 11, "mic_silent")
    assert recorder.text == ""


@pytest.mark.skipif(not LONG, reason="15 s of silence: PARAKEET_LONG=1 runs it")
def test_a_microphone_muted_midway_is_told(start: Start, room: PulseServer) -> None:
    recorder = start("--events", "ready,warning", "--max-seconds", "30", env=room.env)
    recorder.until("ready", what="capture")
    room.mic.play(spoken(*WORDS[:2]))
    with room.mic.muted():
        recorder.until("warning", code="mic_silent")
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:2])


def test_a_muted_microphone_is_ready_all_the_same_and_called_silent(
    start: Start, room: PulseServer
) -> None:
    with room.mic.muted():
        recorder = start("--events", "ready", env=room.env)
        ready = recorder.until("ready", what="capture").fields
        recorder.say("stop")
        recorder.finish(0)
    assert (ready["silent"], 0 < ready["t_ms"] <= 1_700) == (True, True)


def test_a_microphone_that_wakes_with_zeros_is_ready_when_it_hears(
    start: Start, room: PulseServer
) -> None:
    with room.mic.muted():
        recorder = start("--events", "ready", env=room.env)
        while not microphones_in_use(room):
            time.sleep(0.01)
        room.mic.play(np.concatenate([np.zeros(MIC_RATE // 5, np.int16), spoken(*WORDS[:2])]))
        ready = recorder.until("ready", what="capture").fields
        room.mic.idle = "noise"
        recorder.until("ready", what="model")
        room.mic.play(spoken(*WORDS[2:3])).wait()
        recorder.say("stop")
        recorder.finish(0)
    assert ("silent" in ready, ready["t_ms"] > 0) == (False, True)
    assert recorder.heard == list(WORDS[:3])


def test_a_resume_is_reported_where_the_pause_came_before_any_sound(
    start: Start, room: PulseServer
) -> None:
    with room.mic.muted():
        recorder = start("--events", "ready,state", env=room.env)
        while not microphones_in_use(room):
            time.sleep(0.01)
        recorder.say("pause")
        recorder.until("state", state="paused")
        recorder.say("resume")
        recorder.until("state", state="recording")
        recorder.say("stop")
        recorder.finish(0)
    assert len(recorder.of("ready")) == 2


def test_zeros_for_less_than_three_seconds_are_no_failure(start: Start, room: PulseServer) -> None:
    with room.mic.muted():
        start("--max-seconds", "1", env=room.env).finish(0)


def test_the_last_bit_of_noise_is_no_muted_microphone(start: Start, room: PulseServer) -> None:
    with room.mic.muted():
        recorder = start("--events", "ready", "--max-seconds", "3.5", env=room.env)
        room.mic.play(np.random.default_rng(1).integers(-1, 2, 6 * MIC_RATE).astype(np.int16))
        recorder.finish(0)
    assert recorder.text == ""


def test_a_file_of_zeros_is_only_silent(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "zeros.wav", np.zeros(8 * 16_000))
    recorder = start("--input", wav, *SHORT).finish(0)
    assert [(c["text"], c["confidence"]) for c in recorder.of("chunk")] == [("", 0.0)] * 2
    assert [c["elapsed_ms"] for c in recorder.of("chunk")] == [0, 0]


# The backend


def test_what_a_worker_prints_reaches_stderr(start: Start, room: PulseServer) -> None:
    noisy = {"failures": {"0": {"how": "noise"}}}
    recorder = start("--events", "ready,speech", env=room.env, script=noisy)
    recorder.until("ready", what="capture")
    room.mic.play(spoken(*WORDS[:2]))
    recorder.until("speech", state="end", count=2)
    recorder.say("stop")
    assert recorder.finish(0).heard == list(WORDS[:2])
    assert "noise on file descriptor 1" in recorder.stderr


def test_a_model_that_is_missing_is_told_before_the_microphone_opens(
    start: Start, room: PulseServer, tmp_path: Path
) -> None:
    folder = ("--models-dir", tmp_path / "none")
    recorder = start("--backend", "onnx", *folder, "--events", "all", model=False, env=room.env)
    error = recorder.until("error")
    assert microphones_in_use(room) == 0
    assert_failed(recorder, 20, "model_missing")
    assert "parakeet-coreml models download v3" in error.fields["hint"]
    assert error.at - recorder.began < 3
    assert [line.fields["type"] for line in recorder.lines] == ["hello", "error", "timing", "done"]


def test_a_model_that_is_corrupt(start: Start, speech: Path, tmp_path: Path) -> None:
    folder = tmp_path / shipped("v3", "onnx").folder
    folder.mkdir()
    (folder / MARKER).write_text((MANIFESTS / "v3-onnx.json").read_text())
    recorder = start("--input", speech, "--backend", "onnx", "--models-dir", tmp_path, model=False)
    assert_failed(recorder, 21, "model_corrupt")


def test_a_model_of_the_right_sizes_that_does_not_load_is_checked_byte_by_byte(
    start: Start, speech: Path, tmp_path: Path
) -> None:
    manifest = shipped("v3", "onnx")
    folder = tmp_path / manifest.folder
    folder.mkdir()
    (folder / MARKER).write_text((MANIFESTS / "v3-onnx.json").read_text())
    for file in manifest.files:
        with (folder / file.path).open("wb") as sparse:
            sparse.truncate(file.size)
    recorder = start("--input", speech, "--backend", "onnx", "--models-dir", tmp_path, model=False)
    assert_failed(recorder, 21, "model_corrupt")
    assert "SHA-256" in recorder.of("error")[0]["message"]


@pytest.mark.parametrize("how", ["error", "abort", "exit"])
def test_a_model_that_does_not_load_ends_the_recording(
    how: str, start: Start, room: PulseServer
) -> None:
    recorder = start(env=room.env, script={"load_fail": {"how": how, "attempts": 99}})
    assert_failed(recorder, 22, "model_unusable")
    assert microphones_in_use(room) == 0


def test_a_script_that_is_none_does_not_load(start: Start, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    recorder = start(
        "--input", speech, "--backend", "scripted", "--model", tmp_path / "broken.json", model=False
    )
    assert_failed(recorder, 22, "model_unusable")


def test_a_model_that_does_not_load_leaves_the_account_balanced(start: Start, speech: Path) -> None:
    recorder = start("--input", speech, "--meta", script={"load_fail": {"how": "error"}})
    assert_failed(recorder, 22, "model_unusable")
    account = recorder.done["samples"]
    assert account["captured"] == account["transcribed"] + account["silent"] + account["lost"]
    assert recorder.done["stop_reason"] == "model_unusable"


def test_one_window_that_always_fails_costs_only_its_own_words(
    start: Start, tmp_path: Path
) -> None:
    wav = write_wav(tmp_path / "long.wav", sound(*WORDS))
    failing = {"failures": {"1": {"how": "error", "attempts": 99}}}
    recorder = start("--input", wav, *SHORT, "--meta", script=failing)
    assert_failed(recorder, 23, "backend_failed")
    assert recorder.heard[:5] == list(WORDS[:5])
    assert recorder.heard[-8:] == list(WORDS[-8:])
    account = recorder.done["samples"]
    assert account["lost"] > 0
    assert account["captured"] == account["transcribed"] + account["silent"] + account["lost"]


FAULTS = [("abort", k) for k in range(4)] + [
    ("segv", 0),
    ("exit", 1),
    ("error", 1),
    ("garbage", 0),
    ("noise", 1),
    ("hang", 1),
]
"""Four windows are decoded; the hang costs the five seconds a later window may take."""


@pytest.mark.parametrize(("how", "window"), FAULTS + [("hang", 0)] * LONG)
def test_a_worker_that_fails_once_changes_no_word(
    how: str, window: int, start: Start, tmp_path: Path
) -> None:
    wav = write_wav(tmp_path / "long.wav", sound(*WORDS))
    failing = {"failures": {str(window): {"how": how}}}
    recorder = start("--input", wav, *SHORT, "--events", "timing", script=failing)
    recorder.finish(0, within=120)
    assert recorder.heard == list(WORDS)
    assert recorder.codes() == []
    assert recorder.of("timing")[0]["restarts"] == (how != "noise")


def test_a_worker_killed_from_outside_changes_no_word(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "long.wav", sound(*WORDS))
    recorder = start("--input", wav, *SHORT, "--events", "timing", script={"delay_s": 0.2})
    for index in range(3):
        recorder.until("chunk", index=index)
        os.kill(recorder.worker(), signal.SIGKILL)
    recorder.finish(0)
    assert recorder.heard == list(WORDS)
    assert recorder.of("timing")[0]["restarts"] == 3


def test_a_backend_that_cannot_keep_up_ends_the_recording_but_loses_nothing(
    start: Start, tmp_path: Path
) -> None:
    wav = write_wav(tmp_path / "long.wav", sound(*WORDS, rest=60.0))
    wrap = patched(tmp_path, "cutting.BACKLOG = 4 * 16_000")  # 4 s instead of 10 minutes
    recorder = start(
        "--input", wav, "--realtime", *SHORT, "--meta", script={"delay_s": 1.0}, wrap=wrap
    )
    assert_failed(recorder, 13, "overload")
    assert recorder.heard == list(WORDS[: len(recorder.heard)])
    assert len(recorder.heard) >= 8
    assert recorder.done["stop_reason"] == "overload"
    assert recorder.done["audio_ms"] < 20_000


# Leaving at once

TWICE = {
    "SIGINT": ([], signal.SIGINT, 130),
    "SIGTERM": ([], signal.SIGTERM, 143),
    "SIGTERM after SIGINT": ([signal.SIGINT], signal.SIGTERM, 143),
    "SIGINT after SIGHUP": ([signal.SIGHUP], signal.SIGINT, 130),
}


@pytest.mark.parametrize("way", TWICE)
def test_a_second_signal_ends_with_what_there_is(way: str, start: Start) -> None:
    before, number, code = TWICE[way]
    hanging = {"failures": {"1": {"how": "hang"}}}
    recorder = start("--input", "-", *SHORT, "--meta", script=hanging)
    recorder.write(s16(sound(*WORDS)).tobytes())
    recorder.until("chunk", index=0)  # the next window is never answered
    began = time.monotonic()
    for first in before:
        recorder.send(first)
    # Two signals of one kind that wait together are one: send until it leaves.
    assert eventually(lambda: recorder.is_gone_after(number))
    recorder.finish(code)
    assert recorder.ended - began < 4
    assert recorder.text
    assert recorder.heard == list(WORDS[: len(recorder.heard)])
    assert recorder.done["stop_reason"] == "cancel"
    account = recorder.done["samples"]
    assert account["captured"] == account["transcribed"] + account["silent"] + account["lost"]


@pytest.mark.parametrize("told", ["cancel", "cancel\r", "stop\ncancel"])
def test_cancel_leaves_at_once(told: str, start: Start, two_words: Path) -> None:
    hanging = {"failures": {"0": {"how": "hang"}}}
    recorder = start("--input", two_words, "--realtime", "--events", "speech", script=hanging)
    recorder.until("speech", state="end", count=2)
    began = time.monotonic()
    recorder.say(told)
    recorder.finish(130)
    assert recorder.ended - began < 4
    assert recorder.text == ""


def test_leaving_at_once_while_the_model_loads(start: Start, room: PulseServer) -> None:
    recorder = start("--events", "ready", env=room.env, script={"load_s": 60.0})
    recorder.until("ready", what="capture")
    recorder.say("cancel")
    recorder.finish(130, within=9)
    assert recorder.text == ""
    assert eventually(lambda: microphones_in_use(room) == 0, 3)


def test_a_storm_of_signals_ends_with_one_last_line(start: Start, two_words: Path) -> None:
    recorder = start("--input", two_words, "--realtime", "--events", "ready,speech")
    recorder.until("ready", what="model")
    kinds = [signal.SIGHUP, signal.SIGWINCH, signal.SIGPIPE, signal.SIGCONT, signal.SIGINT]
    for i in range(200):
        recorder.send(kinds[i % len(kinds)])
    recorder.wait()
    recorder.finish(recorder.process.returncode)
    assert recorder.process.returncode in (0, 130)  # pending signals of one kind are one


def test_a_storm_of_hangups_is_one_graceful_stop(start: Start, two_words: Path) -> None:
    recorder = start("--input", two_words, "--realtime", "--events", "ready,speech")
    recorder.until("speech", state="end", count=2)
    for _ in range(200):
        recorder.send(signal.SIGHUP)
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:2])


def test_a_slow_model_is_waited_for_when_a_file_is_stopped(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "long.wav", sound(*WORDS, rest=60.0))
    wrap = patched(tmp_path, "ending.CAPTURE_LIMIT = 1.0")
    recorder = start("--input", wav, "--meta", script={"delay_s": 4.0}, wrap=wrap)
    recorder.until("chunk", index=0)
    recorder.send(signal.SIGINT)
    recorder.finish(0)
    assert recorder.heard
    account = recorder.done["samples"]
    assert account["captured"] == account["transcribed"] + account["silent"]


def test_what_is_refused_leaves_stdout_empty_whatever_stdin_says(
    start: Start, tmp_path: Path
) -> None:
    recorder = start("--input", tmp_path / "none.wav", "--realtime", "--events", "all")
    recorder.write(b"foo\n")
    recorder.finish(2)


def test_a_source_that_does_not_end_is_left_behind_with_the_words_so_far(
    start: Start, tmp_path: Path
) -> None:
    wav = write_wav(tmp_path / "long.wav", sound(*WORDS, rest=60.0))
    wrap = patched(
        tmp_path, "ending.CAPTURE_LIMIT = 1.0", "file.FileSource.stop = lambda self, tail=0: None"
    )
    recorder = start("--input", wav, "--realtime", *SHORT, wrap=wrap)
    recorder.until("chunk", index=0)
    recorder.say("stop")
    assert_failed(recorder, 40, "deadline")
    assert recorder.heard


def test_a_source_that_does_not_end_is_left_behind_also_after_another_failure(
    start: Start, tmp_path: Path
) -> None:
    wav = write_wav(tmp_path / "long.wav", sound(*WORDS, rest=60.0))
    wrap = patched(
        tmp_path, "ending.CAPTURE_LIMIT = 1.0", "file.FileSource.stop = lambda self, tail=0: None"
    )
    failing = {"failures": {"0": {"how": "error", "attempts": 99}}}
    recorder = start("--input", wav, "--realtime", *SHORT, wrap=wrap, script=failing)
    recorder.until("error", code="backend_failed")
    recorder.say("stop")
    assert_failed(recorder, 23, "backend_failed", "deadline")


def test_a_bug_while_decoding_is_an_error_and_done(
    start: Start, two_words: Path, tmp_path: Path
) -> None:
    wrap = patched(tmp_path, "pipeline.transcribe = lambda *_, **__: 1 / 0")
    recorder = start("--input", two_words, wrap=wrap)
    assert_failed(recorder, 1, "internal")


def test_a_bug_on_the_thread_that_cuts_is_an_error_and_done(
    start: Start, two_words: Path, tmp_path: Path
) -> None:
    wrap = patched(tmp_path, "file.FileSource.blocks = lambda self: 1 / 0")
    recorder = start("--input", two_words, wrap=wrap)
    assert_failed(recorder, 1, "internal")


def test_a_bug_while_the_reader_is_waited_for_does_not_wait_for_ever(
    start: Start, two_words: Path, tmp_path: Path
) -> None:
    wrap = patched(
        tmp_path,
        "wait = session.writer.Writer.flush",
        "session.writer.Writer.flush = lambda self, s: 1 / 0 if s == 5.0 else wait(self, s or 2.0)",
    )
    recorder = start("--input", two_words, wrap=wrap)
    recorder.finish(0)  # `done` is written: nothing that the host was promised is missing
    assert recorder.heard == list(WORDS[:2])
    assert "internal error" in recorder.stderr
