import threading

import pytest

from parakeet_coreml.timing import Waterfall


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_stages_are_milliseconds_from_the_start(clock: list[float]) -> None:
    waterfall = Waterfall()
    clock[0] = 100.0126
    waterfall.mark("capture")
    clock[0] = 101.5
    waterfall.mark("model")
    assert waterfall.stages() == {"capture_ms": 13, "model_ms": 1500}
    assert list(waterfall.stages()) == ["capture_ms", "model_ms"]


def test_only_the_first_time_counts(clock: list[float]) -> None:
    waterfall = Waterfall()
    waterfall.mark("first_chunk")
    clock[0] += 5
    waterfall.mark("first_chunk")
    assert waterfall.stages() == {"first_chunk_ms": 0}


def test_what_is_given_out_is_a_copy() -> None:
    waterfall = Waterfall()
    waterfall.stages()["capture_ms"] = 3
    assert waterfall.stages() == {}


def test_any_thread_may_mark() -> None:
    waterfall = Waterfall()
    threads = [threading.Thread(target=waterfall.mark, args=(f"s{i}",)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(waterfall.stages()) == {f"s{i}_ms" for i in range(20)}


def test_the_key_was_pressed_before_the_program_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.5)
    waterfall = Waterfall()
    waterfall.mark("capture")
    waterfall.key(1_700_000_000_410.4)
    assert next(iter(waterfall.stages().items())) == ("key_ms", -90)
    assert waterfall.epoch == 1_700_000_000_500.0


def test_a_stage_that_is_reached_again_moves_where_it_may(clock: list[float]) -> None:
    waterfall = Waterfall()
    waterfall.mark("last_window", again=True)
    clock[0] += 2
    waterfall.mark("done")
    clock[0] += 1
    waterfall.mark("last_window", again=True)
    assert waterfall.stages() == {"done_ms": 2000, "last_window_ms": 3000}


def test_what_windows_cost_is_added_up_and_what_nobody_measured_stays_away() -> None:
    waterfall = Waterfall()
    assert waterfall.sums() == {}
    first = {"audio_ms": 100.0, "elapsed_ms": 2.1, "tokens": 3, "retries": 0, "ahead": True}
    assert waterfall.window(first) == 0
    assert waterfall.window({**first, "encoder_ms": 1.25, "retries": 2, "ahead": False}) == 1
    assert waterfall.sums() == {
        "windows": 2,
        "ahead": 1,
        "audio_ms": 200.0,
        "elapsed_ms": 4.2,
        "encoder_ms": 1.2,
        "tokens": 6,
        "retries": 2,
    }
