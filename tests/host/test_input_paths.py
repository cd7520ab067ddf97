"""The same sound gives the same lines, whichever way it comes in."""

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pulse import PulseServer
from recorder import WORDS, Audio, Fields, Recorder, Start, s16, sound, spoken, write_wav

pytest_plugins = ("host_fixtures",)

SAID = WORDS[:10]

SHORT = ("--chunk-seconds", "5", "--overlap-seconds", "2", "--meta", "--words")


def raw(audio: Audio, encoding: str = "s16le") -> bytes:
    """Return PCM as a host writes it."""
    return s16(audio).astype("<i2").tobytes() if encoding == "s16le" else f32(audio)


def f32(audio: Audio) -> bytes:
    """Return the samples of the 16-bit file as floats."""
    return (s16(audio) / 32_768).astype("<f4").tobytes()


def lines_of(recorder: Recorder) -> tuple[list[Fields], str]:
    return recorder.chunks(), recorder.text


@pytest.fixture
def expected(start: Start, tmp_path: Path) -> tuple[list[Fields], str]:
    """What the file gives."""
    wav = write_wav(tmp_path / "expected.wav", sound(*SAID))
    recorder = start("--input", wav, *SHORT).finish(0)
    assert recorder.heard == list(SAID)
    return lines_of(recorder)


def feed(recorder: Recorder, data: bytes, *, step: int, pause: float = 0.0) -> Recorder:
    """Write PCM in steps of odd sizes, and its end."""
    for at in range(0, len(data), step):
        recorder.write(data[at : at + step])
        time.sleep(pause)
    recorder.close_stdin()
    return recorder.finish(0)


def test_raw_pcm_gives_the_lines_of_the_file(
    start: Start, expected: tuple[list[Fields], str]
) -> None:
    audio = sound(*SAID)
    at_once = start("--input", "-", *SHORT)
    floats = start("--input", "-", "--input-encoding", "f32le", *SHORT)
    slowly = start("--input", "-", *SHORT)
    assert lines_of(feed(at_once, raw(audio), step=1 << 20)) == expected
    assert lines_of(feed(floats, raw(audio, "f32le"), step=99_991)) == expected
    assert lines_of(feed(slowly, raw(audio), step=4_001, pause=0.01)) == expected


def test_a_redirected_file_is_raw_pcm_too(
    start: Start, expected: tuple[list[Fields], str], tmp_path: Path
) -> None:
    (tmp_path / "raw").write_bytes(raw(sound(*SAID)))
    with (tmp_path / "raw").open("rb") as file:
        assert lines_of(start("--input", "-", *SHORT, stdin=file).finish(0)) == expected


def test_real_time_gives_the_lines_of_the_file(
    start: Start, expected: tuple[list[Fields], str], tmp_path: Path
) -> None:
    recorder = start("--input", tmp_path / "expected.wav", "--realtime", *SHORT).finish(0)
    assert lines_of(recorder) == expected
    assert recorder.ended - recorder.began > len(sound(*SAID)) / 16_000
    assert recorder.lines[0].at < recorder.ended - 1


def test_one_process_gives_the_lines_of_two(
    start: Start, expected: tuple[list[Fields], str], tmp_path: Path
) -> None:
    recorder = start("--input", tmp_path / "expected.wav", "--in-process", *SHORT).finish(0)
    assert lines_of(recorder) == expected


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2), (48_000, 1)])
def test_other_rates_and_channels_give_the_same_words(
    rate: int, channels: int, start: Start, tmp_path: Path
) -> None:
    audio = sound(*WORDS, rate=rate)
    wide = np.repeat(s16(audio)[:, None], channels, axis=1)
    soundfile.write(tmp_path / "a.flac", wide, rate, subtype="PCM_16")
    assert start("--input", tmp_path / "a.flac").finish(0).heard == list(WORDS)
    recorder = start("--input", "-", "--input-rate", str(rate))
    assert feed(recorder, raw(audio), step=1 << 16).heard == list(WORDS)


def test_the_microphone_gives_the_words_of_the_file(start: Start, room: PulseServer) -> None:
    recorder = start("--events", "ready,speech", *SHORT, env=room.env)
    recorder.until("ready", what="capture")
    room.mic.play(spoken(*SAID, rest=1.0)).wait()
    recorder.until("speech", state="end", count=10)
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.heard == list(SAID)
    assert len(recorder.of("chunk")) >= 2
    timed = [word for chunk in recorder.of("chunk") for word in chunk["words"]]
    steps = np.diff([word["start_ms"] for word in timed])
    assert np.all(np.abs(steps - 600) <= 100), steps


def test_the_microphone_gives_every_word_also_where_nobody_watches(
    start: Start, room: PulseServer
) -> None:
    recorder = start("--events", "ready", "--meta", env=room.env)
    recorder.until("ready", what="capture")
    room.mic.play(spoken(*SAID[:4], rest=0.5)).wait()
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.heard == list(SAID[:4])
    assert recorder.done["samples"]["lost"] == 0


def test_nothing_on_stdin_is_an_empty_recording(start: Start) -> None:
    recorder = start("--input", "-")
    recorder.close_stdin()
    assert recorder.finish(0).raw == b'{"type":"done","totalChunks":0,"full_text":""}\n'


def test_half_a_sample_at_the_end_is_told_and_left_out(start: Start) -> None:
    recorder = start("--input", "-", "--events", "warning", "--meta")
    feed(recorder, raw(sound(*WORDS[:2])) + b"\x01", step=1 << 16)
    assert recorder.heard == list(WORDS[:2])
    assert [warning["code"] for warning in recorder.of("warning")] == ["partial_sample"]
    assert recorder.done["samples"]["captured"] == len(sound(*WORDS[:2]))


def test_samples_that_are_no_numbers_are_told_and_harmless(start: Start) -> None:
    audio = np.frombuffer(f32(sound(*WORDS[:2])), "<f4").copy()
    audio[100:110] = np.nan
    audio[200] = np.inf
    recorder = start("--input", "-", "--input-encoding", "f32le", "--events", "warning")
    feed(recorder, audio.tobytes(), step=1 << 16)
    assert recorder.heard == list(WORDS[:2])
    assert [warning["code"] for warning in recorder.of("warning")] == ["nan_samples"]


def test_a_stop_line_among_raw_pcm_is_only_samples(start: Start) -> None:
    recorder = start("--input", "-")
    feed(recorder, b"stop\n\n" + raw(sound(*WORDS[:2])), step=1 << 16)
    assert recorder.heard == list(WORDS[:2])


def test_a_file_leaves_stdin_alone(start: Start, speech: Path) -> None:
    recorder = start("--input", speech, script={"delay_s": 1.0})
    recorder.say("cancel")
    recorder.close_stdin()
    assert recorder.finish(0).heard == list(WORDS[:10])


def test_names_are_only_names(start: Start, tmp_path: Path) -> None:
    names = ("-x.wav", "a b\n.wav", "ünï.raw", "'\".wav")
    for name in names:
        write_wav(tmp_path / "a.wav", sound(*WORDS[:2])).rename(tmp_path / name)
        given = f"--input={name}" if name.startswith("-") else f"--input={tmp_path / name}"
        recorder = start(given, "--events", "ready", cwd=tmp_path).finish(0)
        assert recorder.heard == list(WORDS[:2])
        assert recorder.of("ready")[0]["device"]["name"].endswith(name)
