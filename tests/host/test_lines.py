"""The lines themselves: byte for byte by default, and what is asked for beyond."""

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pulse import PulseServer
from recorder import WORDS, Fields, Recorder, Start, command, sound, write_wav

pytest_plugins = ("host_fixtures",)

SHORT = ("--chunk-seconds", "5", "--overlap-seconds", "2")

EVENTS = ["hello", "ready", "level", "speech", "partial", "warning", "window", "timing"]

DEFAULT = (
    b'{"type":"chunk","index":0,"text":"alfa bravo","confidence":0.9,"elapsed_ms":N}\n'
    b'{"type":"done","totalChunks":1,"full_text":"alfa bravo"}\n'
)


def timeless(recorder: Recorder) -> bytes:
    return re.sub(rb'"elapsed_ms":\d+', b'"elapsed_ms":N', recorder.raw)


@pytest.fixture
def brief(tmp_path: Path) -> Path:
    """Give a file of two words."""
    return write_wav(tmp_path / "brief.wav", sound(*WORDS[:2]))


def test_the_default_lines_are_these_bytes(start: Start, brief: Path) -> None:
    recorder = start("--input", brief).finish(0)
    assert timeless(recorder) == DEFAULT
    assert recorder.stderr == ""


def test_options_come_from_the_environment_too(start: Start, brief: Path) -> None:
    env = {"PARAKEET_COREML_INPUT": str(brief), "PARAKEET_COREML_EVENTS": "hello"}
    recorder = start(env=env).finish(0)
    assert [line.fields["type"] for line in recorder.lines] == ["hello", "chunk", "done"]


def test_the_command_line_wins_over_the_environment(start: Start, brief: Path) -> None:
    env = {"PARAKEET_COREML_FORMAT": "text", "PARAKEET_COREML_CHUNK_SECONDS": "nan"}
    recorder = start("--input", brief, "--format", "json", "--chunk-seconds", "5", env=env)
    assert timeless(recorder.finish(0)) == DEFAULT


def test_one_line_a_window_silent_ones_too_and_one_for_the_rest(
    start: Start, tmp_path: Path
) -> None:
    silence = np.zeros(6 * 16_000)
    audio = np.concatenate((sound(*WORDS[:8]), silence, sound(*WORDS[8:10])))
    recorder = start("--input", write_wav(tmp_path / "a.wav", audio), *SHORT, "--meta").finish(0)
    assert recorder.heard == list(WORDS[:10])
    spans = [(chunk["start_ms"], chunk["end_ms"]) for chunk in recorder.of("chunk")]
    assert all(one[1] == other[0] for one, other in pairwise(spans)), spans
    assert any(c["text"] == "" and c["confidence"] == 0.0 for c in recorder.of("chunk"))
    full_windows = (len(audio) - 5 * 16_000) // (3 * 16_000) + 1
    assert len(recorder.of("chunk")) in (full_windows, full_windows + 1)


def test_lines_do_not_depend_on_how_fast_the_backend_is(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS))
    fast = start("--input", wav, *SHORT)
    slow = start("--input", wav, *SHORT, script={"delay_s": 0.3, "load_s": 0.5})
    assert fast.finish(0).chunks() == slow.finish(0).chunks()
    assert all(line["elapsed_ms"] >= 300 for line in slow.of("chunk") if line["text"])


def test_events_come_in_their_order(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:3]))
    recorder = start("--input", wav, "--realtime", *SHORT, "--events", "all", "--meta", "--words")
    recorder.finish(0)
    kinds = [line.fields["type"] for line in recorder.lines]
    assert kinds[0] == "hello"
    assert kinds[-2:] == ["timing", "done"]
    assert [ready["what"] for ready in recorder.of("ready")] == ["capture", "model"]
    assert set(kinds) == {*EVENTS, "chunk", "done"} - {"warning"}
    assert_described(recorder)


def assert_described(recorder: Recorder) -> None:
    """Look at the keys that are not there by default."""
    hello, timing = recorder.of("hello")[0], recorder.of("timing")[0]
    assert hello["schema"] == 1
    assert hello["pid"] == recorder.pid
    assert set(EVENTS) <= set(hello["features"])
    for described in (timing, recorder.of("ready")[1], recorder.done):
        assert described["backend"] == "scripted"
        assert described["model"].startswith("script")
    assert {"capture_end_ms", "first_chunk_ms", "done_ms", "model_ms"} <= set(timing["stages"])
    assert recorder.done["stop_reason"] == "end_of_input"
    levels = [level["t_ms"] for level in recorder.of("level")]
    assert levels == sorted(set(levels))
    for chunk in recorder.of("chunk"):
        assert [word["text"] for word in chunk["words"]] == chunk["text"].split()


def test_a_recording_without_speech_is_ready_all_the_same(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "quiet.wav", sound())
    recorder = start("--input", wav, "--events", "ready").finish(0)
    assert [ready["what"] for ready in recorder.of("ready")] == ["capture", "model"]


def test_capture_is_ready_before_the_model_however_late_its_sound(
    start: Start, room: PulseServer
) -> None:
    room.mic.idle = "nothing"
    try:
        recorder = start("--events", "hello,ready", env=room.env)
        recorder.until("hello")
        with pytest.raises(AssertionError, match="no ready"):
            recorder.until("ready", patience=1.5)
    finally:
        room.mic.idle = "noise"
    recorder.until("ready", what="model")
    recorder.say("stop")
    recorder.finish(0)
    assert [ready["what"] for ready in recorder.of("ready")] == ["capture", "model"]


def test_text_is_words_for_people(start: Start, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS))
    recorder = start("--input", wav, *SHORT, "--format", "text", text=True).finish(0)
    assert recorder.raw.decode().split() == list(WORDS)
    assert recorder.raw.endswith(b"\n")
    assert recorder.stderr == ""


def test_text_tells_failures_on_stderr_only(start: Start, tmp_path: Path) -> None:
    recorder = start(
        "--backend", "onnx", "--models-dir", tmp_path, "--format", "text", model=False, text=True
    ).finish(20)
    assert recorder.raw == b""
    assert "not installed" in recorder.stderr


def test_control_characters_of_a_model_are_escaped(start: Start, brief: Path) -> None:
    odd = "a\u202eb\x1b[31mred\u2028x\x7fy é 😀"
    recorder = start("--input", brief, script={"windows": [{"text": odd}]}).finish(0)
    assert rb"\u202e" in recorder.raw
    assert rb"\u001b" in recorder.raw
    assert "é 😀".encode() in recorder.raw
    assert recorder.text.split() == odd.split()


def test_a_long_text_is_one_last_line(start: Start, speech: Path) -> None:
    text = " ".join(["wort" * 60] * 600)  # what a window may hold, and more than 64 KiB
    recorder = start("--input", speech, script={"windows": [{"text": text}]})
    recorder.finish(0)
    assert recorder.text == text


@pytest.mark.parametrize("arguments", [("--version",), ("-h",), ("--help",)])
def test_every_command_says_what_it_is(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=True)
    assert "parakeet-coreml" in done.stdout
    assert done.stderr == ""


def test_the_help_of_recording_names_every_option_and_code() -> None:
    done = subprocess.run(
        command("progressive-record", "-h"), capture_output=True, text=True, check=True
    )
    options = set(re.findall(r"--[a-z-]+", done.stdout))
    assert {"--input", "--realtime", "--model", "--events", "--max-seconds"} <= options
    assert {"--input-rate", "--input-encoding", "--compute-units", "--words"} <= options
    codes = set(re.findall(r"(?<!\S)\d+(?=  )|130, 143", done.stdout))
    assert {"0", "2", "10", "13", "20", "23", "30", "40", "130, 143"} <= codes


HOSTILE: dict[str, tuple[str, dict[str, str]]] = {
    "no home": ('unset HOME; exec "$@"', {}),
    "the C locale": ('exec "$@"', {"LC_ALL": "C", "PYTHONUTF8": "0", "LANG": ""}),
    "a folder that was deleted": ('mkdir x; cd x; rmdir ../x; exec "$@"', {}),
    "almost no environment": ('exec env -i PATH="$PATH" "$@"', {}),
    "an empty PATH": ('PATH= exec "$@"', {}),
    "few descriptors": ('ulimit -n 40; exec "$@"', {}),
}


@pytest.mark.parametrize("place", HOSTILE)
def test_it_records_in_odd_places(place: str, start: Start, brief: Path, tmp_path: Path) -> None:
    wrap, env = HOSTILE[place]
    recorder = start("--input", brief, wrap=wrap, env=env, cwd=tmp_path).finish(0)
    assert timeless(recorder) == DEFAULT


def test_modules_where_the_user_stands_are_not_run(start: Start, brief: Path) -> None:
    trap = "import os; os.write(2, b'Traceback: trapped'); os._exit(66)\n"
    for name in ("numpy", "parakeet_coreml", "click", "json", "soxr", "sounddevice"):
        (brief.parent / f"{name}.py").write_text(trap)
    assert timeless(start("--input", brief, cwd=brief.parent).finish(0)) == DEFAULT


def test_devices_lists_the_microphones_as_json(room_env: dict[str, str]) -> None:
    done = subprocess.run(
        command("devices", "--json"), capture_output=True, check=True, env=room_env
    )
    found: list[Fields] = json.loads(done.stdout)
    assert [device["name"] for device in found if device["is_default"]] == ["default"]
