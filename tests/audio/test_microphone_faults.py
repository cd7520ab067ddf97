"""What PortAudio does on its worst days, by a stand-in for sounddevice."""

import inspect
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from portaudio_standin import (
    RATE,
    Clocked,
    Fake,
    FakeStream,
    PortAudioError,
    Step,
    dies,
    fails,
    gives,
)

from parakeet_coreml.audio.devices import DeviceInfo, chosen, list_devices
from parakeet_coreml.audio.microphone import NOISE_RMS, Microphone
from parakeet_coreml.audio.onset import LIMIT, FirstSound, Onset
from parakeet_coreml.audio.pace import LATE, LEAST, Pace
from parakeet_coreml.errors import DeviceLostError, NoDeviceError

PATIENCE = 20.0


def heard(mic: Microphone) -> tuple[NDArray[np.float32], str]:
    """Return all samples, and the message if the device was lost."""
    blocks: list[NDArray[np.float32]] = []
    message = ""
    try:
        blocks.extend(mic.blocks())
    except DeviceLostError as error:
        message = error.message
    mic.close()
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32), message


def test_the_device_is_opened_mono_at_its_own_rate_with_a_deep_ring(fake: Fake) -> None:
    mic = fake.microphone(dies)
    mic.open()
    heard(mic)
    assert fake.asked.pop("latency") in {0.5, 5.0}
    assert fake.asked == {"device": 0, "samplerate": RATE, "channels": 1, "dtype": "float32"}
    assert (mic.rate, mic.channels, mic.name) == (RATE, 1, "Desk")


@pytest.mark.parametrize(("death", "why"), [(fails, "-9999"), (dies, "the device is gone")])
def test_everything_that_arrived_comes_before_the_loss_is_told(
    fake: Fake, death: Step, why: str
) -> None:
    mic = fake.microphone(gives(100), gives(7), death)
    mic.open()
    samples, message = heard(mic)
    assert np.array_equal(samples, np.full(107, 0.5, np.float32))
    assert why in message
    assert "'Desk'" in message
    assert "\n" not in message


def test_an_overflow_is_filled_with_noise_counted_and_told(fake: Fake) -> None:
    mic = fake.microphone(gives(480), gives(480, overflowed=True, after=0.5), gives(480), dies)
    mic.open()
    samples, _ = heard(mic)
    filled = samples[960:-480]
    assert 0.3 * RATE < len(filled) < PATIENCE * RATE
    assert len(filled) == mic.lost_samples
    assert math.isclose(np.sqrt(np.mean(filled**2)), NOISE_RMS, rel_tol=0.1)
    assert np.count_nonzero(filled) == len(filled)
    assert np.all(samples[:960] == 0.5)
    assert np.all(samples[-480:] == 0.5)
    assert fake.codes() == ["input_overflow"]
    assert f"{len(filled) * 1000 // RATE} ms" in fake.warnings[0][1]


def test_what_is_filled_once_is_not_filled_again(fake: Fake) -> None:
    flagged = [gives(480, overflowed=True, after=1.0), gives(480, overflowed=True)]
    mic = fake.microphone(gives(480), *flagged, dies)
    mic.open()
    samples, _ = heard(mic)
    assert mic.lost_samples == len(samples) - 3 * 480 > 0
    assert fake.codes() == ["input_overflow"] * 2
    first, second = (int(text.split(" ms")[0].split()[-1]) for _, text in fake.warnings)
    assert second < first


def test_a_loss_without_a_flag_is_found_by_the_clock_after_a_long_freeze(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parakeet_coreml.audio.microphone.HELD_UP", 0.3)
    monkeypatch.setattr("parakeet_coreml.audio.microphone.SETTLED", 0.0)
    mic = fake.microphone(gives(480), gives(480, after=1.0), *[gives(0)] * 3, dies)
    mic.open()
    samples, _ = heard(mic)
    assert mic.lost_samples == len(samples) - 960 > 0.7 * RATE
    assert fake.codes() == ["input_overflow"]


def test_a_night_in_a_freezer_is_told_whole_and_filled_for_a_minute_at_most(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parakeet_coreml.audio.microphone.HELD_UP", 0.3)
    monkeypatch.setattr("parakeet_coreml.audio.microphone.SETTLED", 0.0)
    monkeypatch.setattr("parakeet_coreml.audio.microphone.FILL_LIMIT", 0.25)
    mic = fake.microphone(gives(480), gives(480, after=1.0), *[gives(0)] * 3, dies)
    mic.open()
    samples, _ = heard(mic)
    assert len(samples) == 960 + RATE // 4
    assert mic.lost_samples > 0.7 * RATE
    assert f"{mic.lost_samples * 1000 // RATE} ms" in fake.warnings[0][1]


def test_noise_for_a_long_gap_comes_in_pieces_and_does_not_repeat(fake: Fake) -> None:
    mic = fake.microphone(gives(480), gives(480, overflowed=True, after=2.5), dies)
    mic.open()
    blocks: list[NDArray[np.float32]] = []
    with pytest.raises(DeviceLostError):
        blocks.extend(mic.blocks())
    mic.close()
    filled = np.concatenate(blocks)[960:]
    assert len(filled) > 2 * RATE
    assert max(map(len, blocks)) <= RATE
    assert not np.array_equal(filled[:1_000], filled[RATE : RATE + 1_000])


def test_samples_that_come_late_after_a_freeze_are_not_called_lost(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parakeet_coreml.audio.microphone.HELD_UP", 0.3)
    monkeypatch.setattr("parakeet_coreml.audio.microphone.SETTLED", 0.2)
    whole = 3 * RATE // 2  # all of the freeze, and of the looks around it
    late = [gives(480), gives(480, after=1.0), gives(0), gives(whole, after=0.1)]
    mic = fake.microphone(*late, *[gives(0, after=0.1)] * 3, dies)
    mic.open()
    samples, _ = heard(mic)
    assert (mic.lost_samples, len(samples)) == (0, 960 + whole)
    assert fake.codes() == []


class InBursts(FakeStream):
    """Gives what it recorded every 0.4 s, as Bluetooth does: twice as seldom as STOP_LIMIT.

    After `most` bursts nothing.
    """

    def __init__(self, every: float = 0.4, most: float = math.inf) -> None:
        super().__init__([])
        self.every, self.most = every, most
        self.given = 0
        self.began = time.monotonic()

    @property
    def read_available(self) -> int:
        due = int((time.monotonic() - self.began) / self.every)
        count = int(min(due, self.most)) - self.given
        self.given += count
        return count * round(self.every * RATE)


def test_a_stop_waits_for_a_device_that_gives_its_sound_in_bursts(fake: Fake) -> None:
    stream = fake.stream = InBursts()
    mic = fake.microphone()
    mic.open()
    while stream.given < 3:
        time.sleep(0.005)
    mic.stop()
    samples, _ = heard(mic)
    assert (mic.lost_samples, len(samples) >= 4 * RATE * 2 // 5) == (0, True)


@pytest.mark.parametrize(("every", "most"), [(0.01, 100), (0.25, 4)])
def test_a_device_that_falls_silent_right_before_a_stop_is_told(
    fake: Fake, every: float, most: int
) -> None:
    stream = fake.stream = InBursts(every, most)
    mic = fake.microphone()
    mic.open()
    silent = stream.began + 1.0
    # Less than half a second, and more than its own bursts leave open.
    time.sleep(silent + every + 0.2 - time.monotonic())
    mic.stop()
    stopped = time.monotonic()
    samples, message = heard(mic)
    assert (fake.codes(), message) == (["input_overflow"], "")
    assert mic.lost_samples == len(samples) - RATE
    assert LEAST * RATE <= mic.lost_samples <= (stopped - silent) * RATE + 1


@pytest.mark.parametrize("off", [-0.015, 0.015])
def test_a_clock_that_is_hardly_off_loses_nothing_at_a_stop(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    # Even what nobody would hear is told.
    monkeypatch.setattr("parakeet_coreml.audio.microphone.LEAST", 0.01)
    fake.stream = Clocked(round(RATE * (1 + off)))
    mic = fake.microphone()
    mic.open()
    time.sleep(1.5)
    mic.stop()
    heard(mic)
    assert (fake.codes(), mic.lost_samples) == ([], 0)


def test_a_stop_right_behind_a_freeze_still_tells_what_was_lost(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parakeet_coreml.audio.microphone.HELD_UP", 0.3)
    mic = fake.microphone(gives(480), gives(480, after=1.0))
    mic.open()
    time.sleep(1.2)
    mic.stop()
    samples, _ = heard(mic)
    assert mic.lost_samples == len(samples) - 960 > 0.7 * RATE
    assert fake.codes() == ["input_overflow"]


class Stalled(FakeStream):
    """Gives 0.1 s of sound, then nothing; what it kept meanwhile comes behind a stop, or never."""

    def __init__(self, kept: bool) -> None:
        super().__init__([])
        self.kept = kept
        self.began = time.monotonic()
        self.given = 0
        self.stopped = math.inf

    @property
    def read_available(self) -> int:
        now = time.monotonic()
        late = self.kept and now > self.stopped + 0.1
        due = round((now - self.began) * RATE) if late else RATE // 10
        count, self.given = max(0, due - self.given), max(due, self.given)
        return count


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("stalled", [0.9, 1.1, 1.35])  # wherever in the consumer's waits
def test_a_stop_in_a_stall_waits_for_what_is_due_and_tells_what_is_not_there(
    fake: Fake, kept: bool, stalled: float
) -> None:
    stream = fake.stream = Stalled(kept)
    mic = fake.microphone()
    mic.open()
    blocks: list[NDArray[np.float32]] = []
    consumer = threading.Thread(target=lambda: blocks.extend(mic.blocks()))
    consumer.start()
    time.sleep(stalled)
    mic.stop()
    stream.stopped = time.monotonic()
    consumer.join(PATIENCE)
    mic.close()
    assert sum(map(len, blocks)) >= (stalled - 0.05) * RATE
    assert fake.codes() == ([] if kept else ["input_overflow"])
    assert all("no sound came from it" in message for _, message in fake.warnings)


def test_a_stop_while_portaudio_hangs_tells_what_it_kept(fake: Fake) -> None:
    mic = fake.microphone(gives(480), lambda s: int(s.hang.wait()) - 1)
    fake.stream.hang.clear()
    mic.open()
    time.sleep(0.8)
    mic.stop()
    samples, message = heard(mic)
    assert len(samples) - 480 == mic.lost_samples > 0.6 * RATE
    assert (fake.codes(), message) == (["input_overflow"], "")


def test_on_a_mac_the_flag_of_a_late_cycle_is_no_loss(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("parakeet_coreml.audio.microphone.SETTLED", 0.1)
    late = [gives(480), gives(480, overflowed=True, after=0.2), gives(RATE // 5)]
    mic = fake.microphone(*late, *[gives(0, after=0.1)] * 3, dies)
    mic.open()
    samples, _ = heard(mic)
    assert (mic.lost_samples, len(samples)) == (0, 960 + RATE // 5)
    assert fake.codes() == []


def test_on_a_mac_a_real_loss_is_told_by_the_count(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("parakeet_coreml.audio.microphone.SETTLED", 0.1)
    flagged = gives(480, overflowed=True, after=1.0)
    mic = fake.microphone(gives(480), flagged, *[gives(0, after=0.1)] * 3, dies)
    mic.open()
    samples, _ = heard(mic)
    assert mic.lost_samples == len(samples) - 960 > 0.7 * RATE
    assert fake.codes() == ["input_overflow"]


def test_a_device_that_gives_nothing_is_warned_of_and_then_lost(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parakeet_coreml.audio.microphone.STALL_WARNING", 0.2)
    mic = fake.microphone(gives(480), stall_timeout=0.6)
    mic.open()
    samples, message = heard(mic)
    assert len(samples) == 480
    assert "no sound came for 0.6 s" in message
    assert fake.codes() == ["capture_stall"]


def test_two_stalls_do_not_add_up(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parakeet_coreml.audio.microphone.STALL_WARNING", 0.1)
    stall = gives(480, after=0.6)
    mic = fake.microphone(stall, stall, stall, dies, stall_timeout=1.2)
    mic.open()
    samples, message = heard(mic)
    assert len(samples) == 3 * 480
    assert "the device is gone" in message
    assert fake.codes() == ["capture_stall"] * 3


def test_a_read_that_never_comes_back_holds_up_nobody(fake: Fake) -> None:
    for stopped in (False, True):
        mic = fake.microphone(lambda s: int(s.hang.wait()) - 1, stall_timeout=1.0)
        fake.stream.hang.clear()
        mic.open()
        if stopped:
            mic.stop()
        start = time.monotonic()
        _, message = heard(mic)
        assert ("no sound" in message) != stopped
        assert time.monotonic() - start < PATIENCE
        fake.stream.hang.set()


def test_a_close_that_never_comes_back_holds_up_nobody(fake: Fake) -> None:
    mic = fake.microphone(gives(480))
    mic.open()
    fake.stream.hang.clear()
    start = time.monotonic()
    mic.close()
    mic.close()
    assert time.monotonic() - start < PATIENCE / 4
    assert fake.stream.aborted.wait(PATIENCE)
    assert list(mic.blocks()) is not None  # ends


def test_a_healthy_microphone_leaves_no_thread(fake: Fake) -> None:
    mic = fake.microphone(gives(480))
    mic.open()
    mic.stop()
    assert len(heard(mic)[0]) == 480
    assert fake.stream.closed.wait(PATIENCE)
    limit = time.monotonic() + PATIENCE
    while any(t.name.startswith("microphone") for t in threading.enumerate()):
        assert time.monotonic() < limit
        time.sleep(0.001)


def test_a_slow_opening_is_told_while_it_lasts(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parakeet_coreml.audio.portaudio.REMIND", 0.1)
    fake.open_when.clear()
    mic = fake.microphone(open_timeout=0.35)
    with pytest.raises(NoDeviceError, match="did not answer"):
        mic.open()
    assert fake.codes() == ["device_opening"] * 3
    fake.open_when.set()


def test_a_microphone_that_opens_too_late_is_closed_again(fake: Fake) -> None:
    fake.open_when.clear()
    mic = fake.microphone(open_timeout=0.1)
    with pytest.raises(NoDeviceError, match=r"within 0\.1 s"):
        mic.open()
    fake.open_when.set()
    assert fake.stream.closed.wait(PATIENCE)


@pytest.mark.parametrize("rate", [math.nan, math.inf, 0.0, -1.0, 7.0, 7_999.0, 4_294_967_295.0])
def test_an_absurd_rate_never_reaches_the_resampler(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    fake.rate = rate
    monkeypatch.setitem(sys.modules, "sounddevice", fake.module())
    mic = fake.microphone(gives(480))

    def record() -> None:
        mic.open()
        next(mic.blocks())

    with pytest.raises(NoDeviceError, match="Desk"):
        record()
    mic.close()


def test_between_two_looks_nothing_wakes_it_but_a_stop(fake: Fake) -> None:
    mic = fake.microphone(gives(10), gives(20), gives(40))
    mic.poll = 60.0
    mic.open()
    blocks = mic.blocks()
    assert len(next(blocks)) == 10
    time.sleep(0.3)
    assert len(fake.stream.script) == 2
    mic.stop()
    assert len(next(blocks)) == 20
    mic.close()


def test_who_waits_for_a_moment_hears_it_sooner(fake: Fake) -> None:
    mic = fake.microphone(gives(10), gives(0), gives(20), gives(40))
    mic.poll = 3600.0
    mic.open()
    blocks = mic.blocks()
    assert len(next(blocks)) == 10
    mic.look_within(0.05)
    assert len(next(blocks)) == 20
    time.sleep(0.3)
    assert len(fake.stream.script) == 1, "it was asked for once"
    mic.stop()
    assert len(next(blocks)) == 40
    mic.close()


def test_the_first_samples_are_told_once(fake: Fake) -> None:
    told: list[int] = []
    mic = fake.microphone(gives(0), gives(9), gives(9), dies, begun=lambda: told.append(1))
    mic.open()
    heard(mic)
    assert told == [1]


def onsets(mic: Microphone) -> list[Onset]:
    """Return what is told of where the sound of a recording begins, which loses no sample."""
    told: list[Onset] = []
    mic.sounds = told.append
    mic.open()
    heard(mic)
    return told


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zeros_of_a_device_that_wakes_are_no_sound_yet_and_are_kept(
    fake: Fake, zero: float
) -> None:
    waking = [gives(RATE // 10, level=zero)] * 7  # AirPods: 0.6 to 0.7 s of them
    mic = fake.microphone(*waking, gives(0), gives(480), gives(480), dies)
    told: list[Onset] = []
    mic.sounds = told.append
    mic.open()
    samples, _ = heard(mic)
    assert told == [Onset(700)]
    assert len(samples) == 7 * RATE // 10 + 960
    assert np.count_nonzero(samples) == 960


def test_sound_that_begins_within_a_block_is_found_there() -> None:
    first = FirstSound(RATE, 2, 1)
    block = np.zeros((4_800, 2), np.float32)
    block[:, 0] = 0.5  # not the channel that is heard
    assert first.look(b"", 0.0) is None
    assert first.look(block.tobytes(), 1.0) is None
    block[2_400, 1] = 1e-9
    assert first.look(block.tobytes(), 1.1) == Onset(150)


def test_a_device_that_gives_only_zeros_is_told_silent_by_their_count(fake: Fake) -> None:
    zeros = [gives(RATE // 2, level=0.0)] * 4
    assert onsets(fake.microphone(*zeros, dies)) == [Onset(1_500, silent=True)]


def test_zeros_that_break_off_are_told_silent_by_the_clock() -> None:
    first = FirstSound(RATE, 1, 0)
    assert first.look(b"", 9.0) is None
    assert first.look(bytes(4 * 480), 10.0) is None
    assert first.look(b"", 10.0 + LIMIT - 0.01) is None
    assert first.look(b"", 10.0 + LIMIT) == Onset(10, silent=True)


def test_portaudio_that_is_not_installed_is_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(NoDeviceError, match="PortAudio library not found") as caught:
        list_devices()
    assert "libportaudio2" in caught.value.hint


def test_stderr_speaks_while_portaudio_is_being_loaded(tmp_path: Path) -> None:
    # What sounddevice does to fd 2 for as long as PortAudio takes, here for ever.
    (tmp_path / "sounddevice.py").write_text(
        "import os, time\n"
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 2)\n"
        "os.write(1, b'mute')\n"
        "time.sleep(600)\n"
    )
    code = (
        "import os, sys\n"
        "from parakeet_coreml.audio import devices, portaudio\n"
        "portaudio.preload()\n"
        "sys.stdin.readline()\n"
        "print('no such option', file=sys.stderr)\n"
        "try: devices.list_devices(timeout=0.1)\n"
        "except devices.NoDeviceError: os.write(2, b'and fd 2 is back')\n"
        "os._exit(0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.read(4) == b"mute"
        _, said = child.communicate(b"go on\n", timeout=PATIENCE)
    assert said == b"no such option\nand fd 2 is back"


def test_only_devices_that_record_are_listed(fake: Fake) -> None:
    assert list_devices() == [
        DeviceInfo(
            index=0, name="Desk", host_api="Fake Audio", channels=2, rate=RATE, is_default=True
        )
    ]


# Which device


def devices(*names: str) -> list[DeviceInfo]:
    return [
        DeviceInfo(index=10 + i, name=name, host_api="", channels=1, rate=RATE, is_default=i == 1)
        for i, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(None, 11), ("10", 10), (" 12 ", 12), ("BUILT", 10), ("usb mic", 11), ("Pro", 12)],
)
def test_a_device_is_chosen(wanted: str | None, index: int) -> None:
    known = devices("Built-in", "USB Mic", "USB Mic Pro")
    assert chosen(known, wanted).index == index


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("usb", "'usb' fits several microphones: 11 'USB Mic', 12 'USB Mic Pro'"),
        ("9", "no microphone '9'"),
        ("-1", "no microphone '-1'"),
        ("x\n\x1b", r"no microphone 'x\\n\\x1b'"),
    ],
)
def test_a_choice_that_fits_none_or_several_is_refused(wanted: str, why: str) -> None:
    with pytest.raises(NoDeviceError) as caught:
        chosen(devices("Built-in", "USB Mic", "USB Mic Pro"), wanted)
    assert caught.value.message == why.replace("\\\\", "\\")
    assert caught.value.hint


def test_no_devices_and_no_default_are_told_apart() -> None:
    with pytest.raises(NoDeviceError, match="there is no microphone"):
        chosen([], None)
    with pytest.raises(NoDeviceError, match="there is no default microphone"):
        chosen(devices("Only one"), None)


# The clock


@given(
    delays=st.lists(st.floats(0, 0.1), min_size=2, max_size=60),
    block=st.integers(100, 5_000),
    skew=st.floats(-5e-4, 5e-4),
)
def test_nothing_is_missing_from_a_device_that_is_only_late(
    delays: list[float], block: int, skew: float
) -> None:
    pace = Pace(RATE, 0.0)
    now = 0.0
    for i, delay in enumerate(delays, 1):
        now = max(now, i * block / RATE * (1 + skew) + delay)
        pace.arrived(block, now)
        assert pace.missing(now) <= 0.101 * RATE


@pytest.mark.parametrize("off", [-0.015, -0.001, 0.0, 0.015])
def test_a_slow_clock_loses_nothing_and_what_it_loses_is_counted_right(off: float) -> None:
    pace = Pace(48_000, 0.0)
    now = played(pace, 600, 48_000 * (1 + off))
    assert pace.lost(now) < 0.01 * 48_000
    assert pace.lost(now) <= pace.missing(now)
    assert not pace.mute(now + 0.27)  # it gives bursts every 0.2 s
    assert pace.mute(now + 0.29)
    assert pace.lost(now + 0.3) == pytest.approx(0.3 * 48_000, abs=0.01 * 48_000)
    # Held up for 20 s, in which everything was kept: not half a second is called lost.
    now += 20.0
    pace.arrived(round(20.0 * 48_000 * (1 + off)), now)
    assert pace.lost(now) < LATE * 48_000


@given(lost=st.floats(0.2, 30), rate=st.sampled_from([8_000, 44_100, 192_000]))
def test_what_the_device_lost_is_missing_until_it_is_filled(lost: float, rate: int) -> None:
    pace = Pace(rate, 0.0)
    for i in range(1, 101):
        pace.arrived(rate // 100, 3.0 + i / 100)
    now = 4.0 + lost
    pace.arrived(rate // 100, now)
    missing = pace.lost(now)
    assert missing == pytest.approx(lost * rate, abs=0.05 * rate + 1, rel=2e-3)
    assert missing <= pace.missing(now)
    pace.filled(missing)
    assert pace.lost(now) == 0


def test_the_longest_gap_is_the_device_s_and_no_freeze() -> None:
    pace = Pace(RATE, 0.0)
    for moment in (1.0, 1.1, 1.35, 1.4, 11.4):
        pace.arrived(4_800, moment)
    assert pace.gap == pytest.approx(0.25)


def played(pace: Pace, seconds: float, true_rate: float, start: float = 0.0) -> float:
    """Let a device give bursts of 0.2 s of its own clock; returns when it ended."""
    now = start
    while now < start + seconds:
        now += 0.2
        pace.arrived(round(0.2 * true_rate), now)
    return now


@pytest.mark.parametrize("off", [-0.25, -0.05, -0.03, 0.03, 0.1])
def test_a_clock_that_is_off_is_measured_and_nothing_is_invented(off: float) -> None:
    pace = Pace(48_000, 0.0)
    now = played(pace, 60, 48_000 * (1 + off))
    drift = pace.drift()
    assert drift == pytest.approx(off, abs=0.01)
    pace.follow(drift)
    assert pace.missing(now) == 0
    # A freeze after which everything comes: nothing is missing, however slow the device is.
    now += 10.0
    pace.arrived(round(10.0 * 48_000 * (1 + off)), now)
    assert pace.missing(now) < 0.1 * 48_000
    assert pace.drift() == 0


@pytest.mark.parametrize("off", [-0.01, 0.0, 0.01])
def test_a_clock_that_is_hardly_off_is_no_drift(off: float) -> None:
    pace = Pace(48_000, 0.0)
    played(pace, 300, 48_000 * (1 + off))
    assert pace.drift() == 0


def test_a_loss_that_was_filled_and_a_freeze_are_no_drift() -> None:
    pace = Pace(48_000, 0.0)
    now = played(pace, 30, 48_000)
    now += 20.0
    pace.arrived(9_600, now)
    pace.filled(pace.missing(now))
    played(pace, 30, 48_000, now)
    assert pace.drift() == 0


def test_what_was_kept_through_a_freeze_is_no_drift_however_fast_it_comes() -> None:
    pace = Pace(48_000, 0.0)
    now = played(pace, 10, 48_000) + 30.0
    pace.arrived(24_000, now)
    kept = 20.0  # seconds, in rings of 0.5 s at every look
    while kept > 0:
        now += 0.2
        kept -= 0.5
        pace.arrived(24_000, now)
        assert (pace.drift(), pace.flipped()[0]) == (0, 0)
    pace.filled(pace.missing(now))
    now = played(pace, 20, 48_000, now)
    assert (pace.drift(), pace.missing(now)) == (0, 0)


def test_a_clock_is_judged_again_after_a_freeze_that_lost_something() -> None:
    pace = Pace(48_000, 0.0)
    now = played(pace, 2, 48_000) + 3.0
    now = played(pace, 80, 48_000 * 0.9, now)
    assert pace.drift() == pytest.approx(-0.1, abs=0.01)


def test_an_early_burst_is_no_drift() -> None:
    pace = Pace(48_000, 0.0)
    pace.arrived(9_600, 0.3)
    pace.arrived(19_200, 0.31)
    played(pace, 10, 48_000, 0.31)
    assert pace.drift() == 0


@pytest.mark.parametrize(
    ("claimed", "true", "within"),
    [(48_000, 24_000, 3.5), (24_000, 48_000, 3.5), (48_000, 16_000, 3.5), (48_000, 44_100, 15.0)],
)
def test_another_rate_than_the_claimed_is_known_by_the_clock(
    claimed: int, true: int, within: float
) -> None:
    pace = Pace(claimed, 0.0)
    now, rate = 0.0, 0
    while not rate:
        now = played(pace, 0.1, true, now)
        rate, heard = pace.flipped()
    assert rate == true
    assert now <= within
    assert heard <= now


def test_a_rate_that_flips_after_ten_minutes_is_known_as_fast() -> None:
    pace = Pace(48_000, 0.0)
    now = played(pace, 600, 48_000)
    assert pace.flipped() == (0, 0.0)
    played(pace, 3.5, 24_000, now)
    assert pace.flipped()[0] == 24_000


@pytest.mark.parametrize("begins", [0.2, 0.4, 0.6, 1.0, 1.4, 1.8])
@pytest.mark.parametrize("true", [16_000, 24_000])
def test_a_rate_that_flips_in_the_first_seconds_is_known_with_all_that_it_cost(
    begins: float, true: int
) -> None:
    pace = Pace(48_000, 0.0)
    now, rate, cost = played(pace, begins, 48_000), 0, 0.0
    flipped = now
    while not rate:
        now = played(pace, 0.1, true, now)
        rate, cost = pace.flipped()
    assert rate == true
    assert now - flipped <= 3.4
    assert cost == pytest.approx(now - flipped, rel=0.1)


class Flips(Clocked):
    """Gives 48 kHz for half a second, then 24, as AirPods may when they begin to record."""

    @property
    def read_available(self) -> int:
        passed = time.monotonic() - self.began
        due = int(min(passed, 0.5) * 48_000 + max(0.0, passed - 0.5) * 24_000) - self.given
        self.given += due
        return due


def test_a_rate_that_flips_too_short_before_a_stop_to_be_known_is_told_as_a_loss(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(Pace, "STRETCH", 60.0)
    fake.stream = Flips(RATE)
    mic = fake.microphone()
    mic.open()
    time.sleep(2.0)
    mic.stop()
    samples, message = heard(mic)
    assert (fake.codes(), message) == (["input_overflow"], "")
    assert "fewer samples than it claims" in fake.warnings[0][1]
    assert mic.lost_samples > RATE // 2
    assert len(samples) == fake.stream.given + mic.lost_samples


@given(
    burst=st.floats(0.05, 0.26),
    delays=st.lists(st.floats(0, 0.1), min_size=40, max_size=80),
    off=st.floats(-0.03, 0.03),
    frozen=st.floats(0, 10),
)
def test_a_late_bursty_or_frozen_device_has_no_other_rate(
    burst: float, delays: list[float], off: float, frozen: float
) -> None:
    pace = Pace(48_000, 0.0)
    looks: dict[float, int] = {}
    seen = 0.0
    for i, delay in enumerate(delays, 1):
        due = i * burst + delay
        seen = max(seen, 2.0 + frozen if 2.0 < due < 2.0 + frozen else due)
        looks[seen] = looks.get(seen, 0) + round(burst * 48_000 * (1 + off))
    for moment, count in looks.items():
        pace.arrived(count, moment)
        assert pace.flipped()[0] == 0


@pytest.mark.parametrize("off", [-0.25, -0.05, 0.05, 0.2])
def test_a_clock_that_is_off_has_no_usual_rate(off: float) -> None:
    pace = Pace(48_000, 0.0)
    played(pace, 60, 48_000 * (1 + off))
    assert pace.flipped() == (0, 0.0)
    assert pace.drift()


def test_a_drifting_device_is_told_once(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "ENOUGH", 0.2)
    monkeypatch.setattr(Pace, "BURST", 0.0)
    mic = fake.microphone(*[gives(RATE // 100, after=0.05) for _ in range(8)], dies)
    mic.open()
    heard(mic)
    assert "clock_drift" in fake.codes()
    assert fake.codes()[0] == "clock_drift"
    assert "fewer samples" in fake.warnings[0][1]


@pytest.mark.parametrize("wanted", ["", "  "])
def test_an_empty_name_is_the_default_device(wanted: str) -> None:
    assert chosen(devices("Desk", "USB"), wanted) == chosen(devices("Desk", "USB"), None)


def test_a_number_of_5000_digits_is_no_device() -> None:
    with pytest.raises(NoDeviceError, match="no microphone"):
        chosen(devices("Desk"), "9" * 5000)


def test_without_a_session_the_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(NoDeviceError) as raised:
        chosen([], None)
    assert "XDG_RUNTIME_DIR" in raised.value.hint


def test_a_name_that_is_not_utf_8_hides_no_other_device(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["sounddevice"]
    (device, _) = module.query_devices()
    known: dict[int | None, dict[str, Any]] = {0: device, 2: {**device, "index": 2, "name": "USB"}}

    def query(index: int | None = None) -> dict[str, Any]:
        if index in known:
            return known[index]
        if index is None or index == 1:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        raise PortAudioError("Error querying device 3")

    monkeypatch.setattr(module, "query_devices", query)
    assert [found.name for found in list_devices()] == ["Desk", "USB"]


def test_the_deadlines_are_five_seconds() -> None:
    parameters = inspect.signature(Microphone).parameters
    assert parameters["open_timeout"].default == 5.0
    assert parameters["stall_timeout"].default == 5.0
    assert inspect.signature(list_devices).parameters["timeout"].default == 5.0
