"""A microphone that is lost while it records: opened again, or not, and what it cost is told."""

import threading
import time
from typing import Any

import numpy as np
import pytest
from portaudio_standin import RATE, Clocked, Fake, FakeStream, dies, gives

from parakeet_coreml.audio.microphone import NOISE_RMS, Microphone
from parakeet_coreml.audio.pace import Pace
from parakeet_coreml.audio.portaudio import restart
from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.errors import DeviceLostError, NoDeviceError
from parakeet_coreml.recording import reopening
from parakeet_coreml.recording.capture import Capture, Watcher
from parakeet_coreml.recording.options import Options
from parakeet_coreml.recording.sources import Told, open_source

PATIENCE = 20.0


class Listening:
    """A capture from the stand-in, on a thread of its own as in a recording."""

    def __init__(self, fake: Fake, **options: Any) -> None:
        chosen = Options(**options)
        told = Told(
            warn=lambda *w: fake.warnings.append(w), begun=lambda: None, sounds=lambda *_: None
        )
        self.paused = threading.Event()
        self.capture = Capture(
            chosen,
            open_source=lambda again: open_source(chosen, told, watched=True, again=again),
            watcher=Watcher(
                sounds=lambda *_: None,
                paused=self.paused.set,
                stop=lambda _: None,
                warn=told.warn,
                left=lambda *_: None,
                ended=lambda: None,
            ),
        )
        self.blocks: list[Samples] = []
        self.quiet: list[int] = []
        """How much of all that came would be quiet for `--auto-stop` if nobody spoke."""
        self.error: DeviceLostError | None = None
        self.capture.open()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for block in self.capture.audio():
                if block is not None:
                    self.blocks.append(block)
                    self.quiet.append(self.capture.quiet_of(sum(map(len, self.blocks))))
        except DeviceLostError as error:
            self.error = error

    def ended(self) -> Samples:
        """Wait for its end and return what was heard."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return np.concatenate([*self.blocks, np.empty(0, np.float32)])


def until(true: Any) -> None:
    limit = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.005)


def lost_ms(fake: Fake) -> int:
    """Return what the one warning of a microphone that was opened again says it cost."""
    (message,) = [text for code, text in fake.warnings if code == "device_reopened"]
    return int(message.split(" ms were lost")[0].split()[-1])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parakeet_coreml.recording.capture.BETWEEN", 0.02)
    monkeypatch.setattr(Pace, "STRETCH", 0.3)


def goes_on_after(fake: Fake, *then: FakeStream) -> Listening:
    """Let the first stream die after 4,800 samples, and others follow it."""
    fake.stream.script = [gives(4_800), dies]
    fake.next = [*then]
    return Listening(fake)


def test_a_microphone_that_is_gone_is_replaced_by_the_system_s(fake: Fake) -> None:
    fake.devices, fake.claims = ["Built-in"], {"Built-in": 24_000}
    listening = goes_on_after(fake, Clocked(24_000))
    until(lambda: fake.stream.rate == 24_000 if isinstance(fake.stream, Clocked) else False)
    until(lambda: "device_reopened" in fake.codes())
    listening.capture.stop()
    heard = listening.ended()
    assert fake.codes() == ["capture_stall", "device_reopened"]
    assert "'Desk' stopped: the device is gone" in fake.warnings[1][1]
    assert "from 'Built-in' at 24000 Hz" in fake.warnings[1][1]
    assert [asked["samplerate"] for asked in fake.opened] == [RATE, 24_000]
    assert (fake.starts, fake.broken) == (1, [])
    # The gap is as long in the recording as it was for the one who spoke.
    between = np.abs(heard[2_000:]) < 10 * NOISE_RMS  # it begins at 1,600
    assert np.count_nonzero(between) == pytest.approx(lost_ms(fake) * 16 - 400, abs=100)
    assert listening.error is None


def test_what_stands_for_a_loss_is_no_quiet_that_ends_a_recording(fake: Fake) -> None:
    listening = goes_on_after(fake, Clocked(RATE))
    until(lambda: "device_reopened" in fake.codes())
    until(lambda: len(listening.quiet) > 8)
    listening.capture.stop()
    heard = listening.ended()
    made = next(
        at
        for at, block in enumerate(listening.blocks)
        if len(block) and (block < 10 * NOISE_RMS).all()
    )
    recorded = sum(map(len, listening.blocks[made + 1 :]))
    assert listening.quiet[made] == 0
    assert 0 < listening.quiet[-1] <= recorded < len(heard)
    assert recorded - listening.quiet[-1] <= len(listening.blocks[-1])


def test_nor_is_what_stands_for_samples_that_a_device_lost(fake: Fake) -> None:
    lost = gives(480, overflowed=True, after=0.6)
    fake.stream.script = [gives(4_800), gives(4_800), lost, gives(4_800), gives(480), dies]
    listening = Listening(fake, device="Desk")
    heard = listening.ended()
    assert fake.codes() == ["input_overflow"]
    made = next(at for at, block in enumerate(listening.blocks) if len(block) > 4_800)
    assert listening.quiet[made - 1] > 0
    assert listening.quiet[made] == 0
    held_back = 400  # by the resampler, of what stands for the loss
    assert listening.quiet[-1] <= (4_800 + 480) // 3 + held_back < len(heard)


def test_samples_that_stop_are_a_change_of_route_on_a_mac(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parakeet_coreml.recording.sources.AGAIN_AFTER", 0.5)
    fake.next = [Clocked(RATE)]
    fake.stream.script = [gives(4_800)]  # and nothing more, though it calls itself active
    listening = Listening(fake)
    until(lambda: "device_reopened" in fake.codes())
    listening.capture.stop()
    heard = listening.ended()
    assert lost_ms(fake) >= 500
    assert len(heard) >= 1_600 + lost_ms(fake) * 16 - 16
    assert "no sound came for 0.5 s" in fake.warnings[-1][1]


def test_the_first_samples_may_take_longer_than_a_change_of_route(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parakeet_coreml.recording.sources.AGAIN_AFTER", 0.5)
    fake.stream.script = [gives(0, after=1.2), gives(4_800)]
    listening = Listening(fake)
    until(lambda: not fake.stream.script)
    listening.capture.stop()
    assert len(listening.ended()) == 1_600
    assert fake.codes() == []


@pytest.mark.parametrize("device", ["Desk", "0", ("Kazoo", "desk")])
def test_a_device_that_was_named_is_lost(fake: Fake, device: str | tuple[str, ...]) -> None:
    fake.stream.script = [gives(4_800), dies]
    listening = Listening(fake, device=device)
    assert len(listening.ended()) == 1_600
    assert listening.error is not None
    assert (len(fake.opened), fake.starts) == (1, 1)
    assert "device_reopened" not in fake.codes()


def test_a_device_that_comes_back_in_time_is_found(fake: Fake) -> None:
    fake.devices = []
    listening = goes_on_after(fake, Clocked(RATE))
    until(lambda: fake.known == [])
    time.sleep(0.1)
    fake.devices = ["Desk"]
    until(lambda: "device_reopened" in fake.codes())
    listening.capture.stop()
    listening.ended()
    assert (listening.error, fake.broken) == (None, [])
    assert lost_ms(fake) >= 100


def test_one_that_does_not_come_back_is_lost_with_its_first_error(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parakeet_coreml.recording.capture.PATIENCE", 0.2)
    fake.devices = []
    listening = goes_on_after(fake)
    assert len(listening.ended()) == 1_600
    assert listening.error is not None
    assert "'Desk' stopped: the device is gone" in listening.error.message
    assert fake.codes() == ["capture_stall"]


def test_one_that_never_gave_a_sample_is_not_tried_again(fake: Fake) -> None:
    fake.stream.script = [dies]
    listening = Listening(fake)
    listening.ended()
    assert listening.error is not None
    assert len(fake.opened) == 1


def test_nothing_is_started_anew_around_a_stream_that_does_not_close(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reopening, "RELEASE", 0.2)
    fake.stream.hang.clear()
    listening = goes_on_after(fake)
    listening.ended()
    assert listening.error is not None
    assert (fake.broken, fake.starts, len(fake.opened)) == ([], 1, 1)


def test_one_that_hangs_as_it_opens_again_holds_no_words_up(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parakeet_coreml.recording.sources.OPEN_AGAIN", 0.3)
    monkeypatch.setattr("parakeet_coreml.recording.capture.PATIENCE", 0.1)
    monkeypatch.setitem(Microphone.__init__.__kwdefaults__ or {}, "open_timeout", 3600.0)

    def dies_and_jams(stream: FakeStream) -> int:
        fake.open_when.clear()
        return dies(stream)

    fake.stream.script = [gives(4_800), dies_and_jams]
    listening = Listening(fake)
    assert len(listening.ended()) == 1_600
    assert listening.error is not None
    assert len(fake.opened) == 1
    with pytest.raises(NoDeviceError, match="does not answer"):
        restart()  # a call may still be inside PortAudio


def test_a_stop_ends_the_wait_for_a_device(fake: Fake) -> None:
    fake.devices = []
    listening = goes_on_after(fake)
    until(lambda: fake.known == [])
    listening.capture.stop()
    listening.ended()
    assert listening.error is not None


def test_a_pause_while_it_opens_again_is_kept_to_and_the_loss_is_told(fake: Fake) -> None:
    fake.devices = []
    listening = goes_on_after(fake, Clocked(RATE), Clocked(RATE))
    until(lambda: fake.known == [])
    listening.capture.pause()
    fake.devices = ["Desk"]
    assert listening.paused.wait(PATIENCE)
    assert fake.codes() == ["capture_stall", "device_reopened"]
    listening.capture.resume()
    until(lambda: not fake.next)
    listening.capture.stop()
    listening.ended()
    assert (listening.error, fake.broken) == (None, [])


def test_unplugged_on_a_mac_the_last_one_is_lost(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("parakeet_coreml.recording.sources.AGAIN_AFTER", 0.5)
    monkeypatch.setattr("parakeet_coreml.recording.capture.PATIENCE", 0.2)
    fake.devices = []
    fake.stream.script = [gives(4_800)]  # and nothing more, though it calls itself active
    listening = Listening(fake)
    assert len(listening.ended()) == 1_600
    assert listening.error is not None
    assert (listening.error.name, listening.error.exit_code) == ("device_lost", 12)
    assert "no sound came for 0.5 s" in listening.error.message


class Sleeps(Clocked):
    """Gives 48 kHz for 0.6 s, then nothing for a second in which nobody looks, then 24 kHz."""

    slept = False

    @property
    def read_available(self) -> int:
        if not self.slept and time.monotonic() - self.began > 0.6:
            time.sleep(1.0)
            self.slept, self.rate, self.began, self.given = True, 24_000, time.monotonic(), 0
        return super().read_available


def test_a_mac_that_sleeps_and_wakes_with_another_rate_tells_both(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("parakeet_coreml.audio.microphone.HELD_UP", 0.5)
    monkeypatch.setattr("parakeet_coreml.audio.microphone.SETTLED", 0.2)
    monkeypatch.setattr("parakeet_coreml.audio.microphone.STALL_WARNING", 60.0)
    fake.stream, fake.next = Sleeps(RATE), [Clocked(24_000)]
    listening = Listening(fake, device="Desk")
    until(lambda: "device_reopened" in fake.codes())
    listening.capture.stop()
    listening.ended()
    assert fake.codes() == ["input_overflow", "capture_stall", "device_reopened"]
    assert int(fake.warnings[0][1].split(" ms")[0].split()[-1]) >= 900
    assert "gives 24000 samples a second" in fake.warnings[-1][1]
    assert (listening.error, fake.broken) == (None, [])


@pytest.mark.parametrize("device", [None, "Desk"])
def test_one_that_dies_as_it_is_paused_is_paused_all_the_same(
    fake: Fake, device: str | None
) -> None:
    known = threading.Event()

    def dies_in_a_pause(stream: FakeStream) -> int:
        known.wait(PATIENCE)
        listening.capture.pause()
        return dies(stream)

    fake.stream.script, fake.next = [gives(4_800), dies_in_a_pause], [Clocked(RATE)]
    listening = Listening(fake, device=device)
    known.set()
    assert listening.paused.wait(PATIENCE)
    assert fake.codes() == ["capture_stall"]
    before = len(listening.blocks)
    listening.capture.resume()
    until(lambda: len(listening.blocks) > before)
    listening.capture.stop()
    listening.ended()
    assert (listening.error, len(fake.opened), fake.broken) == (None, 2, [])


def test_a_microphone_that_went_during_a_pause_is_replaced_at_its_end(fake: Fake) -> None:
    fake.stream, fake.next = Clocked(RATE), [Clocked(RATE)]
    listening = Listening(fake)
    listening.capture.pause()
    assert listening.paused.wait(PATIENCE)
    before = len(listening.blocks)
    fake.devices, fake.gone = ["Built-in"], ["Desk"]
    listening.capture.resume()
    until(lambda: len(listening.blocks) > before)
    listening.capture.stop()
    listening.ended()
    assert (listening.error, fake.broken, fake.starts) == (None, [], 1)
    assert listening.capture.source is not None
    assert listening.capture.source.name == "Built-in"
    assert fake.codes() == []


def test_without_a_microphone_at_the_end_of_a_pause_it_is_lost(fake: Fake) -> None:
    fake.stream = Clocked(RATE)
    listening = Listening(fake)
    listening.capture.pause()
    assert listening.paused.wait(PATIENCE)
    fake.devices, fake.gone = [], ["Desk"]
    listening.capture.resume()
    listening.ended()
    assert listening.error is not None
    assert "did not open again: there is no microphone" in listening.error.message


# A rate that is not what the device claims: AirPods


@pytest.mark.parametrize("claimed", [24_000, 48_000])
@pytest.mark.parametrize("device", [None, "Desk"])
def test_a_device_at_half_its_rate_is_opened_again_at_that(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, claimed: int, device: str | None
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    fake.stream, fake.next = Clocked(24_000), [Clocked(24_000)]
    listening = Listening(fake, device=device)
    fake.claims = {"Desk": claimed}
    until(lambda: "device_reopened" in fake.codes())
    time.sleep(1.0)  # at its true rate nothing is amiss any more
    listening.capture.stop()
    heard = listening.ended()
    assert [asked["samplerate"] for asked in fake.opened] == [48_000, 24_000]
    assert fake.codes() == ["capture_stall", "device_reopened"]
    message = fake.warnings[-1][1]
    assert "gives 24000 samples a second, not 48000" in message
    assert "s were heard at another speed" in message
    assert "at 24000 Hz" in message
    assert len(heard) >= (0.3 + 1.0) * SAMPLE_RATE
    assert (listening.error, fake.broken) == (None, [])


def test_elsewhere_a_rate_that_is_off_is_only_told(fake: Fake) -> None:
    fake.stream = Clocked(24_000)
    listening = Listening(fake)
    time.sleep(1.5)
    listening.capture.stop()
    listening.ended()
    assert len(fake.opened) == 1


def test_a_device_at_half_its_rate_that_does_not_open_again_is_lost(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("parakeet_coreml.recording.capture.PATIENCE", 0.1)
    fake.stream, fake.devices = Clocked(24_000), []
    listening = Listening(fake)
    listening.ended()
    assert listening.error is not None
    assert (listening.error.name, listening.error.exit_code) == ("device_lost", 12)
    assert "24000" in listening.error.message
