"""The clock that stops are measured by adds up, and what is measured on it is the same lines."""

import threading
import time

import paced
import paced_stops
import pytest
from sounds import VOCABULARY, spoken

from parakeet_coreml.recognition.geometry import Geometry

PATIENCE = 60.0

WORDS = [("alfa", 1.0, 1.3), ("bravo", 1.5, 1.8), ("charlie", 2.0, 2.4), ("delta", 14.5, 15.4)]


def stopped(at: float, *, window: float = 0.3, speculates: bool = True) -> paced.Stopped:
    return paced.stopped(
        spoken(WORDS, 20.0),
        at,
        window=window,
        speculates=speculates,
        geometry=Geometry.of(15, 2),
    )


@pytest.mark.parametrize("window", [0.026, 0.3, 2.0])
@pytest.mark.parametrize("speculates", [True, False])
def test_a_stop_in_a_word_costs_one_window(window: float, speculates: bool) -> None:
    done = stopped(2.2, window=window, speculates=speculates)
    assert done.seconds == pytest.approx(window)
    assert done.texts == ["alfa bravo charlie"]


def test_in_a_pause_nothing_is_left_if_it_was_decoded_ahead() -> None:
    done, plain = stopped(3.2), stopped(3.2, speculates=False)
    assert done.seconds == 0
    assert plain.seconds == pytest.approx(0.3)
    assert done.lines == plain.lines


def test_what_a_window_has_left_is_waited_for() -> None:
    """The pause is 300 ms old at 2.7 s, seen by the block that ends then, and decoded until 3.7."""
    assert stopped(3.2, window=1.0).seconds == pytest.approx(0.5)


def test_a_slow_backend_has_time_for_the_first_pause_though_somebody_reads_along() -> None:
    """It looks once at speech that goes on: how slow it is shows only then."""
    words = [(VOCABULARY[i % 26], 1 + 0.5 * i, 1.3 + 0.5 * i) for i in range(15)]  # until 8.3 s
    done = paced.stopped(
        spoken(words, 13.0),
        12.0,
        window=2.0,
        speculates=True,
        live_text=True,
        geometry=Geometry.of(15, 2),
    )
    assert done.seconds == 0
    assert done.texts == [" ".join(word for word, _, _ in words)]


def test_a_regular_window_that_is_due_comes_before_the_last_one() -> None:
    """One falls due at 15 s, in the midst of a word: until 17 it is decoded, then the last one."""
    done = stopped(15.2, window=2.0, speculates=False)
    assert done.seconds == pytest.approx(1.8 + 2.0)
    assert done.texts == ["alfa bravo charlie", "delta"]


def test_the_same_stop_takes_the_same_time() -> None:
    assert stopped(2.9) == stopped(2.9)


def test_windows_upon_one_another_do_not_stop_the_clock() -> None:
    """As a further attempt at a window is: asked for at once when the one before is done."""
    clock = paced._Clock()

    def decode() -> None:
        for _ in range(2_000):
            clock.decode(0.001)
        with clock.changed:
            clock.idle = True
            clock.changed.notify_all()

    threads = [
        threading.Thread(target=decode, daemon=True),
        threading.Thread(target=clock.pass_until, args=(3.0,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (clock.now, clock.decoded) == (3.0, 2_000)


def test_the_clock_is_put_back() -> None:
    stopped(2.2)
    assert all(module.time is time for module in paced.TIMED)


def test_lines_of_real_speech_are_the_same_decoded_ahead_or_not() -> None:
    found = paced_stops.real_pairs_of(
        paced_stops.SPEAKERS[0], 1, 6, window=0.06, seconds=30, live_text=False
    )
    assert [pair.same for pair in found] == [True] * 6
    assert any(pair.ahead < pair.plain for pair in found)
