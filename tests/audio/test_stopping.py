"""When a stop has all that was said before it: in a pause at once, in speech a little later."""

import math
import threading
import time

import pytest
from portaudio_standin import RATE, Clocked, Fake

from parakeet_coreml.audio.microphone import Microphone
from parakeet_coreml.audio.pace import Pace
from parakeet_coreml.audio.stopping import DELAY, DRAIN_LIMIT, STOP_LIMIT, all_here

PATIENCE = 20.0


def steady(seconds: float) -> Pace:
    """Return the pace of a device that gave a burst every 10 ms, from 0 to so many seconds."""
    pace = Pace(RATE, 0.0)
    for burst in range(1, round(seconds * 100) + 1):
        pace.arrived(RATE // 100, burst / 100)
    return pace


@pytest.mark.parametrize(
    ("here", "late", "delay", "over"),
    [
        (1.00, 0.0, 0.0, True),  # in a pause: all of it came
        (0.99, 0.002, 0.0, False),  # the burst of the stop is still due
        (1.00, 0.002, DELAY, False),  # in speech the newest may be on their way
        (1.04, DELAY, DELAY, True),
        (1.03, DELAY, DELAY, False),  # by the clock they are not here
        (1.05, -0.5, 0.0, False),  # a tail: the end is still to come
    ],
)
def test_a_stop_is_over_when_by_the_clock_all_of_it_came(
    here: float, late: float, delay: float, over: bool
) -> None:
    assert all_here(steady(here), 1.0, late, 100, delay) == over


@pytest.mark.parametrize(
    ("late", "count", "over"),
    [
        (STOP_LIMIT - 0.01, 0, False),
        (STOP_LIMIT + 0.01, 0, True),
        (STOP_LIMIT + 0.01, 100, False),  # late, but it comes
        (DRAIN_LIMIT + 0.01, 100, True),
    ],
)
def test_what_does_not_come_is_not_waited_for_for_ever(late: float, count: int, over: bool) -> None:
    assert all_here(steady(0.5), 1.0, late, count, 0.0) == over


@pytest.fixture
def mic(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Microphone:
    """A microphone that a stop outside of a pause never ends."""
    monkeypatch.setattr("parakeet_coreml.audio.microphone.DELAY", math.inf)
    fake.stream = Clocked(RATE)
    mic = fake.microphone()
    mic.open()
    return mic


def test_in_a_pause_a_stop_does_not_wait_for_what_may_be_under_way(mic: Microphone) -> None:
    heard = 0

    def consume() -> None:
        nonlocal heard
        for block in mic.blocks():
            heard += len(block)
            mic.rests(True)
            if heard > RATE // 4:
                mic.stop()

    consumer = threading.Thread(target=consume, daemon=True)
    consumer.start()
    consumer.join(PATIENCE)
    ended = not consumer.is_alive()
    mic.close()
    assert ended
    assert heard > RATE // 4


def test_a_pause_counts_only_once_all_that_came_was_listened_to(mic: Microphone) -> None:
    """What comes last may be a word: an older pause says nothing of it, nor does half a look."""
    blocks = 0
    for _ in mic.blocks():
        blocks += 1
        if blocks == 1:
            mic.rests(True)
        elif blocks == 2:
            mic.stop()
            time.sleep(0.1)  # it takes long to listen to this one, and it is a word
            mic.rests(False)
        elif blocks == 20:
            mic.rests(True)
    mic.close()
    assert blocks >= 20
