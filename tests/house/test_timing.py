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
