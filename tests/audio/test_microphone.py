"""The real microphone path: FIFO, PulseAudio, ALSA, PortAudio, `Microphone`, in a child process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pulse import RATE, Pcm, PulseServer

RAMP_SECONDS = int(os.environ.get("PARAKEET_RAMP_SECONDS", "20"))
"""How long the drop detector listens; 60 for a release."""

PATIENCE = 20.0
"""Seconds in which anything has to happen, however busy the machine."""

RECORD = Path(__file__).parent / "record.py"


class Recording:
    """A child that records; its events and, once it has ended, its samples as 16-bit integers."""

    def __init__(self, path: Path, env: dict[str, str], options: dict[str, Any]) -> None:
        self.events: list[dict[str, Any]] = []
        self._path = path
        self._stderr = path.with_suffix(".err")
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, RECORD, path, json.dumps(options)],
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def until(self, event: str) -> dict[str, Any]:
        """Read events up to one of this kind."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event:
                return self.events[-1]
        raise AssertionError(f"no {event} in {self.events}")

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"stop\n")
        self._process.stdin.flush()

    def samples(self) -> NDArray[np.int64]:
        """Return what has been recorded so far."""
        values = np.fromfile(self._path, np.float32)
        return np.round(values * 32_768).astype(np.int64)

    def last_words(self) -> str:
        """Return the last line on stderr, once the child has left."""
        assert self._process.wait(PATIENCE) == 0
        return self._stderr.read_text().splitlines()[-1]

    def kinds(self) -> list[str]:
        """Return the events in order, warnings by their code."""
        return [e["code"] if e["event"] == "warn" else e["event"] for e in self.events]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


Record = Callable[..., Recording]


@pytest.fixture
def record(pulse: PulseServer, tmp_path: Path) -> Iterator[Record]:
    started: list[Recording] = []

    def start(server: PulseServer = pulse, **options: Any) -> Recording:
        started.append(Recording(tmp_path / f"{len(started)}.f32", server.env, options))
        return started[-1]

    yield start
    for recording in started:
        recording.close()


def ramp(seconds: float) -> Pcm:
    """A counter that wraps: one sample lost or doubled anywhere breaks it."""
    return np.arange(round(seconds * RATE), dtype=np.uint16).view(np.int16)


def ramp_of(samples: NDArray[np.int64], expected: Pcm) -> NDArray[np.int64]:
    """The part of a recording between the quiet before and after a ramp that starts at 1,000."""
    start = int(np.flatnonzero(samples == expected[0])[0])
    return samples[start : start + len(expected)]


def hear_everything(recording: Recording, sound: Pcm) -> None:
    heard = ramp_of(recording.samples(), sound)
    assert np.array_equal(heard, sound)
    assert recording.events[-1]["lost"] == 0


def hear_the_beginning(recording: Recording, sound: Pcm) -> None:
    """Only what the server itself still held when it died may be missing."""
    heard = ramp_of(recording.samples(), sound)
    assert np.array_equal(heard, sound[: len(heard)])
    assert len(heard) > len(sound) - RATE // 4


@pytest.fixture
def busy_cores() -> Iterator[None]:
    hogs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 2)
    ]
    yield
    for hog in hogs:
        hog.kill()
        hog.wait()


def test_no_sample_is_lost_or_doubled_while_threads_and_cores_are_busy(
    pulse: PulseServer, record: Record, busy_cores: None
) -> None:
    recording = record(hogs=8)
    recording.until("sound")
    sound = ramp(RAMP_SECONDS)[1_000:]
    pulse.mic.play(sound)
    # What a machine as busy as this holds at the stop is another question than what it loses.
    pulse.mic.play(np.zeros(RATE // 2, np.int16)).wait()
    recording.stop()
    recording.until("end")
    hear_everything(recording, sound)


def test_what_was_said_right_before_the_stop_is_kept(pulse: PulseServer, record: Record) -> None:
    recording = record()
    recording.until("sound")
    sound = ramp(0.5)[1_000:]
    pulse.mic.play(sound).wait()
    recording.stop()
    recording.until("end")
    hear_everything(recording, sound)
    assert recording.kinds() == ["open", "sound", "stopped", "end"]
    assert recording.events[-1]["threads"] == []


def test_the_microphone_runs_before_numpy_is_loaded(pulse: PulseServer, record: Record) -> None:
    opened = record().until("open")
    assert (opened["rate"], opened["name"], opened["numpy"]) == (RATE, "default", False)


def test_a_stop_before_the_first_sample_ends_an_empty_recording(
    pulse: PulseServer, record: Record
) -> None:
    pulse.stop()
    pulse.mic.idle = "nothing"
    pulse.start()
    recording = record()
    recording.until("open")
    recording.stop()
    recording.until("end")
    assert recording.kinds() == ["open", "stopped", "end"]
    assert len(recording.samples()) == 0


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "unplug"])
def test_what_arrived_before_the_device_went_away_is_kept(
    pulse: PulseServer, record: Record, how: str
) -> None:
    recording = record()
    recording.until("sound")
    sound = ramp(1.0)[1_000:]
    pulse.mic.play(sound).wait()
    gone = time.monotonic()
    if how == "unplug":
        pulse.unplug()
    else:
        pulse.signal(signal.Signals[how])
    assert recording.until("error")["name"] == "device_lost"
    assert time.monotonic() - gone < 2.0
    assert recording.until("end")["close_seconds"] < 1.0
    assert recording.events[-1]["threads"] == []
    hear_the_beginning(recording, sound)


def test_a_server_that_stalls_and_goes_on_loses_nothing(pulse: PulseServer, record: Record) -> None:
    recording = record()
    recording.until("sound")
    sound = ramp(2.0)[1_000:]
    done = pulse.mic.play(sound)
    pulse.signal(signal.SIGSTOP)
    assert recording.until("warn")["code"] == "capture_stall"
    assert not done.is_set()
    pulse.signal(signal.SIGCONT)
    done.wait()
    recording.stop()
    recording.until("end")
    assert recording.kinds() == ["open", "sound", "capture_stall", "stopped", "end"]
    hear_everything(recording, sound)


def test_a_server_that_stalls_for_ever_is_a_lost_device(pulse: PulseServer, record: Record) -> None:
    recording = record(stall_timeout=2.0)
    recording.until("sound")
    sound = ramp(1.0)[1_000:]
    pulse.mic.play(sound).wait()
    pulse.signal(signal.SIGSTOP)
    error = recording.until("error")
    assert (error["name"], "2 s" in error["text"]) == ("device_lost", True)
    assert recording.until("end")["close_seconds"] < 1.0
    hear_the_beginning(recording, sound)


def test_a_stalled_server_does_not_delay_the_stop(pulse: PulseServer, record: Record) -> None:
    recording = record(stall_timeout=PATIENCE)
    recording.until("sound")
    pulse.signal(signal.SIGSTOP)
    asked = time.monotonic()
    recording.stop()
    recording.until("stopped")
    assert time.monotonic() - asked < 3.0
    assert recording.until("end")["close_seconds"] < 1.0


def test_a_microphone_that_falls_silent_right_before_the_stop_is_told(
    pulse: PulseServer, record: Record
) -> None:
    recording = record()
    recording.until("sound")
    pulse.mic.play(ramp(1.0)).wait()
    pulse.mic.idle = "nothing"
    time.sleep(0.4)  # less than half a second, in which nothing comes
    recording.stop()
    recording.until("end")
    assert recording.kinds() == ["open", "sound", "input_overflow", "stopped", "end"]
    assert recording.events[-1]["lost"] > 0.2 * RATE


def test_without_a_server_there_is_no_device(pulse: PulseServer, record: Record) -> None:
    pulse.stop()
    error = record().until("error")
    assert error["name"] == "no_device"
    assert error["seconds"] < 5.0


def test_a_wedged_server_is_given_up_at_the_deadline(pulse: PulseServer, record: Record) -> None:
    pulse.signal(signal.SIGSTOP)
    recording = record(open_timeout=1.0)
    error = recording.until("error")
    assert (error["name"], "1 s" in error["text"]) == ("no_device", True)
    assert 1.0 <= error["seconds"] < 3.0
    # The import that hangs has muted stderr; people must still be told.
    assert recording.last_words() == "good-bye"


@pytest.fixture
def desk_and_headset() -> Iterator[PulseServer]:
    with PulseServer("Desk Microphone", "Headset") as server:
        yield server


@pytest.mark.parametrize("wanted", ["Headset", "head", "index"])
def test_a_device_is_found_by_name_part_of_it_or_index(
    desk_and_headset: PulseServer, record: Record, wanted: str
) -> None:
    listed = record(desk_and_headset, list=True).until("devices")["devices"]
    index = next(index for index, name, _, _ in listed if name == "Headset")
    recording = record(desk_and_headset, device=str(index) if wanted == "index" else wanted)
    assert recording.until("open")["name"] == "Headset"
    recording.until("sound")
    sound = ramp(0.3)[1_000:]
    desk_and_headset.mics["Headset"].play(sound).wait()
    recording.stop()
    recording.until("end")
    hear_everything(recording, sound)


def test_the_list_names_every_microphone_and_the_default(
    desk_and_headset: PulseServer, record: Record
) -> None:
    listed = record(desk_and_headset, list=True).until("devices")["devices"]
    assert {"Desk Microphone", "Headset", "mic"} < {name for _, name, _, _ in listed}
    assert [name for _, name, _, default in listed if default] == ["default"]
    assert {api for _, _, api, _ in listed} == {"ALSA"}


def test_an_unknown_device_is_refused_by_name(pulse: PulseServer, record: Record) -> None:
    error = record(device="Kazoo").until("error")
    assert (error["name"], "'Kazoo'" in error["text"]) == ("no_device", True)


def test_two_recorders_share_one_microphone(pulse: PulseServer, record: Record) -> None:
    pair = [record(), record()]
    for recording in pair:
        recording.until("sound")
    sound = ramp(0.5)[1_000:]
    pulse.mic.play(sound).wait()
    for recording in pair:
        recording.stop()
        recording.until("end")
        hear_everything(recording, sound)
