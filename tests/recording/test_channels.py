"""One channel of several, and one microphone of several."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pulse import PulseServer
from support import requires

from parakeet_coreml.audio.devices import DeviceInfo, first_there
from parakeet_coreml.audio.opening import channels_of
from parakeet_coreml.audio.resample import Counts
from parakeet_coreml.errors import NoDeviceError, UsageError
from parakeet_coreml.recording.options import Options
from parakeet_coreml.recording.sources import Told, heard, open_source

NOBODY = Told(warn=lambda *_: None, begun=lambda: None, sounds=lambda *_: None)


def stereo(folder: Path) -> Path:
    tone = np.sin(np.arange(16_000) / 5).astype(np.float32)
    sound = np.stack([0.5 * tone, 0.1 * tone[::-1]], axis=1)
    soundfile.write(folder / "two.wav", sound, 16_000, subtype="FLOAT")
    return folder / "two.wav"


def samples(path: Path, channel: str) -> np.ndarray:
    options = Options(input=str(path), channel=channel)
    source = open_source(options, NOBODY, watched=False)
    return np.concatenate([*heard(source, Counts(), options.channel_number)])


def test_the_channel_that_was_asked_for_is_heard(tmp_path: Path) -> None:
    path = stereo(tmp_path)
    both, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(samples(path, "1"), both[:, 0])
    np.testing.assert_array_equal(samples(path, "2"), both[:, 1])
    np.testing.assert_allclose(samples(path, "mix"), both.mean(axis=1), atol=1e-6)


def test_a_channel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 2 channels, no channel 3"):
        samples(stereo(tmp_path), "3")


@pytest.mark.parametrize("channel", ["1", "2", "mix"])
def test_a_channel_of_a_sound_file_through_a_pipe_is_heard_alone(
    channel: str, tmp_path: Path
) -> None:
    file, pipe = stereo(tmp_path), tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        wrote = pool.submit(pipe.write_bytes, file.read_bytes())
        heard_there = samples(pipe, channel)
        wrote.result(timeout=30)
    np.testing.assert_array_equal(heard_there, samples(file, channel))


def test_a_channel_that_a_stream_lacks_ends_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parakeet_coreml", "progressive-record", "--input", "-"]
    command += ["--model", "tiny-en", "--backend", "onnx", "--channel"]
    for sound, channel, count in (
        (stereo(tmp_path).read_bytes(), "3", "2 channels"),
        (bytes(32_000), "2", "1 channel"),
    ):
        child = subprocess.run(
            [*command, channel], input=sound, capture_output=True, timeout=60, check=False
        )
        assert child.returncode == 2
        assert f"has {count}, no channel {channel}" in child.stderr.decode()
        assert b"Traceback" not in child.stderr


@pytest.mark.parametrize("channel", ["0", "33", "-1", "left", "", "1.0", "٣", "01"])
def test_what_is_no_channel_is_refused(channel: str) -> None:
    with pytest.raises(UsageError, match="--channel must be mix or a number from 1 to 32"):
        Options(channel=channel).geometry()


HOOK = DeviceInfo(0, "Hook", "ALSA", 2, 48_000.0, is_default=False)
DESK = DeviceInfo(1, "Desk", "ALSA", 1, 48_000.0, is_default=True)


def test_the_first_microphone_that_is_there_is_taken() -> None:
    assert first_there([HOOK, DESK], ()) == (DESK, None)
    assert first_there([HOOK, DESK], ("hook", "desk")) == (HOOK, None)
    found, wrong = first_there([HOOK, DESK], ("lapel", "7", "hook"))
    assert (found, wrong and wrong.message) == (HOOK, "no microphone 'lapel'")


def test_without_any_of_them_all_are_named_each_once() -> None:
    with pytest.raises(NoDeviceError, match="no microphone 'lapel'; no microphone 'boom'"):
        first_there([HOOK, DESK], ("lapel", "boom"))
    with pytest.raises(NoDeviceError, match=r"^there is no microphone$"):
        first_there([], ("lapel", "boom"))


@pytest.mark.parametrize(("channel", "opened"), [(None, 1), (1, 2), (2, 2)])
def test_a_microphone_is_opened_with_the_channels_it_takes(
    channel: int | None, opened: int
) -> None:
    assert channels_of(HOOK, channel) == opened


def test_a_microphone_without_the_channel_is_no_device() -> None:
    with pytest.raises(NoDeviceError, match="has 1 channel, no channel 2"):
        channels_of(DESK, 2)


@pytest.mark.parametrize(("channel", "loudness"), [("1", -53), ("2", -13)])
def test_a_channel_of_a_real_microphone_is_heard_alone(
    tmp_path: Path, channel: str, loudness: int
) -> None:
    requires("paplay", present=shutil.which("paplay") is not None)
    tone = np.sin(2 * np.pi * 500 * np.arange(44_100 * 30) / 44_100)
    sound = np.stack([0.003 * tone, 0.3 * tone], axis=1).astype(np.float32)
    soundfile.write(tmp_path / "two.wav", sound, 44_100)
    with PulseServer() as server:
        load = ["load-module", "module-null-sink", "sink_name=two", "channels=2", "rate=44100"]
        for command in (load, ["set-default-source", "two.monitor"]):
            subprocess.run(["pactl", *command], env=server.env, check=True, capture_output=True)
        play = ["paplay", "--device=two", str(tmp_path / "two.wav")]
        with subprocess.Popen(play, env=server.env) as player:
            record = [sys.executable, "-m", "parakeet_coreml", "progressive-record"]
            record += ["--model", "tiny-en", "--backend", "onnx", "--channel", channel]
            record += ["--device", "nothing", "--device", "default", "--max-seconds", "3"]
            record += ["--events", "level,warning"]
            child = subprocess.run(
                record, env=server.env, capture_output=True, timeout=60, check=False
            )
            player.kill()
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    assert child.returncode == 0
    assert "other_device" in {line.get("code") for line in lines}
    levels = [line["rms_db"] for line in lines if line["type"] == "level"]
    assert round(statistics.median(levels)) == pytest.approx(loudness, abs=1)
