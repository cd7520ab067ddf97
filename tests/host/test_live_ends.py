"""How a live recording pauses, ends by itself, and goes on a little after a stop."""

import time
from pathlib import Path

import pytest
from pulse import PulseServer
from recorder import WORDS, Recorder, Start, microphones_in_use, sound, spoken, write_wav

pytest_plugins = ("host_fixtures",)

WATCHED = ("--meta", "--events", "state,speech,ready,warning")


def say_two(recorder: Recorder, room: PulseServer, first: int = 0) -> None:
    """Say two words into the microphone and wait until they were heard."""
    before = sum(line["state"] == "end" for line in recorder.of("speech"))
    room.mic.play(spoken(*WORDS[first : first + 2]))
    recorder.until("speech", state="end", count=before + 2)


def test_a_pause_lets_the_microphone_go_and_loses_no_word(start: Start, room: PulseServer) -> None:
    recorder = start(*WATCHED, env=room.env)
    recorder.until("ready", what="capture")
    say_two(recorder, room)
    recorder.say("pause")
    recorder.until("state", state="paused")
    assert microphones_in_use(room) == 0
    line = recorder.until("chunk").fields
    assert line["text"].split() == list(WORDS[:2])  # written as at a stop
    recorder.say("resume")
    recorder.until("state", state="recording")
    assert microphones_in_use(room) == 1
    say_two(recorder, room, 2)
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:4])
    account = recorder.done["samples"]
    assert account["captured"] == account["transcribed"] + account["silent"] + account["lost"]
    paused, again = (line["t_ms"] for line in recorder.of("state"))
    assert again == paused  # the pause is no audio


def test_a_word_between_a_pause_and_the_stop_is_heard(start: Start, room: PulseServer) -> None:
    """In a pause a stop waits for less: but not where the newest sound is no pause any more."""
    recorder = start(*WATCHED, env=room.env)
    recorder.until("ready", what="capture")
    say_two(recorder, room)
    time.sleep(0.5)
    room.mic.play(spoken(WORDS[2], rest=0.0)).wait()
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:3])


@pytest.mark.parametrize("commands", [("pause", "resume"), ("pause", "resume") * 3])
def test_pauses_close_upon_one_another_lose_nothing(
    start: Start, room: PulseServer, commands: tuple[str, ...]
) -> None:
    recorder = start(*WATCHED, env=room.env)
    recorder.until("ready", what="capture")
    say_two(recorder, room)
    for command in commands:
        recorder.say(command)
    recorder.until("state", state="recording")
    say_two(recorder, room, 2)
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:4])


def test_a_pause_holds_that_comes_before_the_microphone_runs(
    start: Start, room: PulseServer
) -> None:
    recorder = start(*WATCHED, env=room.env)
    recorder.say("pause")
    recorder.until("state", state="paused")
    assert microphones_in_use(room) == 0
    recorder.say("resume")
    recorder.until("state", state="recording")
    say_two(recorder, room)
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:2])


def test_a_pause_holds_that_comes_while_the_microphone_opens_again(
    start: Start, room: PulseServer
) -> None:
    recorder = start(*WATCHED, env=room.env)
    recorder.until("ready", what="capture")
    recorder.say("pause")
    recorder.until("state", state="paused")
    recorder.say("resume\npause")
    time.sleep(1)  # it would be open by now
    assert microphones_in_use(room) == 0
    recorder.say("resume")
    recorder.until("state", state="recording")
    recorder.say("stop")
    recorder.finish(0)


def test_a_stop_while_paused_ends_at_once(start: Start, room: PulseServer) -> None:
    recorder = start(*WATCHED, env=room.env)
    recorder.until("ready", what="capture")
    say_two(recorder, room)
    recorder.say("pause")
    recorder.until("state", state="paused")
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:2])
    assert recorder.done["stop_reason"] == "stop"


def test_a_microphone_that_does_not_open_again_is_lost(start: Start) -> None:
    with PulseServer() as room:
        recorder = start(*WATCHED, env=room.env)
        recorder.until("ready", what="capture")
        say_two(recorder, room)
        recorder.say("pause")
        recorder.until("state", state="paused")
        room.unplug()
        recorder.say("resume")
        recorder.finish(12)
    assert recorder.heard == list(WORDS[:2])
    assert recorder.of("error")[0]["code"] == "device_lost"


def test_only_a_microphone_can_be_paused(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:4]))
    recorder = start("--input", wav, "--realtime", *WATCHED)
    recorder.until("ready", what="capture")
    recorder.say("pause")
    recorder.until("warning", code="unknown_command")
    recorder.finish(0)
    assert recorder.heard == list(WORDS[:4])


def test_a_recording_ends_after_so_long_without_speech(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:2], rest=30))
    recorder = start("--input", wav, "--realtime", "--auto-stop", "1", *WATCHED).finish(0)
    assert recorder.heard == list(WORDS[:2])
    assert recorder.done["stop_reason"] == "auto_stop"
    assert 1_200 + 1_000 <= recorder.done["audio_ms"] <= 4_000


def test_it_does_not_end_before_anybody_spoke(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(rest=2.5))
    recorder = start("--input", wav, "--realtime", "--auto-stop", "0.5", *WATCHED).finish(0)
    assert recorder.done["stop_reason"] == "end_of_input"


def test_the_microphone_stays_open_for_the_tail(start: Start, two_words: Path) -> None:
    recorder = start("--input", two_words, "--realtime", "--tail-ms", "900", *WATCHED)
    first = recorder.until("speech", state="start").fields
    recorder.say("stop")
    recorder.finish(0)
    # The second word, which was only begun when the hand was on the key, or not even that.
    assert recorder.heard == list(WORDS[:2])
    assert recorder.done["audio_ms"] >= first["t_ms"] + 900


def test_a_limit_has_no_tail(start: Start, two_words: Path) -> None:
    arguments = ("--max-seconds", "1.5", "--tail-ms", "1000")
    recorder = start("--input", two_words, "--realtime", *arguments, *WATCHED).finish(0)
    assert recorder.done["samples"]["captured"] == 24_000


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tail-ms", "1001"),
        ("--tail-ms", "-1"),
        ("--auto-stop", "0.1"),
        ("--auto-stop", "nan"),
        ("--chunk-at", "pause", "--pause-ms", "100"),
        ("--pause-ms", "-5"),
        ("--chunk-at", "word"),
    ],
)
def test_what_no_recording_can_be_made_of_is_refused(
    start: Start, speech: Path, arguments: tuple[str, ...]
) -> None:
    recorder = start("--input", speech, *arguments).finish(2)
    assert recorder.raw == b""


def test_lines_end_at_pauses_where_that_is_wanted(start: Start, tmp_path: Path) -> None:
    audio = sound(*WORDS[:2], rest=0.5)
    wav = write_wav(tmp_path / "a.wav", audio)
    longer = write_wav(tmp_path / "b.wav", sound(*WORDS[:2], rest=40.0))
    for file in (wav, longer):
        recorder = start("--input", file, "--chunk-at", "pause", "--meta").finish(0)
        assert [line["text"].split() for line in recorder.of("chunk")] == [list(WORDS[:2])]
