"""Decoding ahead of need: it changes when words are known, and never which."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from sounds import (
    DEFAULT,
    VOCABULARY,
    Listener,
    cut_every,
    dictation,
    ears,
    noise,
    silence,
    spoken,
    text_in,
    tone,
)

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples, to_samples
from parakeet_coreml.backends.base import Hypothesis
from parakeet_coreml.errors import BackendFailedError, ModelUnusableError
from parakeet_coreml.recognition import pipeline, speculation
from parakeet_coreml.recognition.account import Account
from parakeet_coreml.recognition.account import Listener as Watcher
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.intake import Intake
from parakeet_coreml.recognition.live import Forecast
from parakeet_coreml.recognition.pipeline import Plan
from parakeet_coreml.recognition.speculation import DroppedError, SpeculatingBackend
from parakeet_coreml.recognition.words import text_of

BLOCK = SAMPLE_RATE // 10
PATIENCE = 30.0


class Desk:
    """A recording as it is made, on a clock of its own: the backend is idle between two blocks."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *,
        backend: Listener | None = None,
        speculates: bool = True,
        geometry: Geometry = DEFAULT,
        live_text: bool = False,
    ) -> None:
        self.now = 100.0
        self.backend = backend or Listener()
        self.speculates, self.geometry = speculates, geometry
        self.forecasts: list[tuple[str, str, int]] = []
        self.live_text = live_text
        self.asked_at_stop = 0
        self.looks: list[tuple[float, float]] = []
        """When a look at what comes next was wanted, and for when."""
        self.intakes: list[Intake] = []
        self.busy = True
        self.waiting, self.pace = 0.0, 1.0
        """Seconds of audio that are there at the start, and that pass for one of the rest."""
        self.monkeypatch = monkeypatch

    def watch(self) -> None:
        """See what waits from outside."""
        desk, real = self, Intake

        class Seen(real):  # type: ignore[misc, valid-type]  # a class of this moment
            def __init__(self, most: int) -> None:
                super().__init__(most)
                desk.intakes.append(self)

            def get(self) -> object:
                with self._changed:  # so that nothing is between waiting and busy
                    desk.busy = False
                    item = super().get()
                    desk.busy = True
                    return item

        self.monkeypatch.setattr(pipeline, "Intake", Seen)
        self.monkeypatch.setattr("time.monotonic", lambda: self.now)

    def settle(self) -> None:
        """Wait until the thread that decodes has nothing to do."""
        deadline = time.perf_counter() + PATIENCE
        intake = self.intakes[-1]
        while True:
            with intake._changed:
                if not (intake.waiting or intake._tail or self.busy):
                    return
            assert time.perf_counter() < deadline
            time.sleep(0.0002)

    def blocks(self, audio: Samples, block: int) -> Iterator[Samples]:
        waiting = to_samples(self.waiting)
        if waiting:
            yield audio[:waiting]
            self.settle()
        for piece in cut_every(audio[waiting:], block):
            yield piece
            self.now += self.pace * len(piece) / SAMPLE_RATE
            self.settle()
        self.asked_at_stop = len(self.backend.asked)

    def record(self, audio: Samples, block: int = BLOCK) -> list[str]:
        self.watch()
        listener = Watcher(
            heard=lambda *_: None,
            failed=lambda error: pytest.fail(error.message),
            end_live=lambda: pytest.fail("overload"),
            forecast=self.forecast if self.live_text else None,
            look_within=lambda seconds: self.looks.append((self.now, self.now + seconds)),
        )
        lines = pipeline.transcribe(
            self.blocks(audio, block),
            backend=self.backend,
            plan=Plan(self.geometry, self.speculates),
            listener=listener,
            account=Account(),
        )
        return [text_of(line.words) for line in lines]

    def forecast(self, forecast: Forecast, at: int) -> None:
        self.forecasts.append((*forecast.texts, at))

    @property
    def asked_after_stop(self) -> int:
        return len(self.backend.asked) - self.asked_at_stop


def talk(seconds: float, pause: float, *, room: float = 1e-4) -> tuple[Samples, str]:
    """Return words, then a pause, and the words."""
    words = dictation(seconds)
    audio = spoken(words, seconds + pause)
    return audio + noise(seconds + pause, room, seed=1), text_in(words)


@pytest.mark.parametrize("seconds", [4.0, 11.0, 14.9, 15.2, 31.0, 40.0])
def test_after_a_pause_a_stop_costs_no_decode(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    audio, text = talk(seconds, 0.8)
    desk = Desk(monkeypatch)
    assert " ".join(desk.record(audio)) == text
    assert desk.asked_after_stop == 0


def test_without_a_pause_a_stop_costs_one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = spoken(dictation(20), 19.3)
    desk = Desk(monkeypatch)
    desk.record(audio)
    assert desk.asked_after_stop == 1


def test_without_speculation_nothing_is_decoded_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    audio, text = talk(10, 2)
    desk = Desk(monkeypatch, speculates=False)
    assert " ".join(desk.record(audio)) == text
    assert desk.asked_at_stop == 0
    assert desk.asked_after_stop == 1


@pytest.mark.parametrize("later", [0.35, 0.4, 0.6, 1.2, 5.0])
@pytest.mark.parametrize("room", [0.0, 1e-4, 2e-3])
def test_a_stop_sooner_or_later_in_a_pause_needs_the_same_input(
    monkeypatch: pytest.MonkeyPatch, later: float, room: float
) -> None:
    audio, _ = talk(9, later, room=room)
    desk = Desk(monkeypatch, speculates=False)
    desk.record(audio)
    reference = Desk(monkeypatch, speculates=False)
    whole, _ = talk(9, 0.35, room=room)
    reference.record(whole)
    (asked,), (expected,) = desk.backend.asked, reference.backend.asked
    assert np.array_equal(asked, expected)


def test_one_more_word_makes_a_speculation_worthless(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*dictation(8), ("zulu", 9.0, 9.4)]
    desk = Desk(monkeypatch)
    assert " ".join(desk.record(spoken(words, 9.5))) == text_in(words)
    assert desk.asked_after_stop == 1


def test_a_pause_costs_one_speculation_however_long_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    audio, _ = talk(9, 4)
    desk = Desk(monkeypatch)
    desk.record(audio)
    assert len(desk.backend.asked) == 1


def test_a_pause_is_looked_for_when_it_can_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    audio, _ = talk(9, 1.2)
    spoken = dictation(9)[-1][2]
    desk = Desk(monkeypatch)
    poll = 0.2
    desk.record(audio, round(poll * SAMPLE_RATE))
    # The desk hands a block over when its first sample is due.
    wanted = [until + poll - 100 - spoken for asked, until in desk.looks]
    assert min(abs(behind - 0.3) for behind in wanted) < 0.05
    assert all(behind < 0.35 for behind in wanted)


@pytest.mark.parametrize("later", [0.4, 20.0])
def test_no_look_is_wanted_in_a_pause_that_was_found(
    monkeypatch: pytest.MonkeyPatch, later: float
) -> None:
    audio, _ = talk(9, later)
    desk = Desk(monkeypatch)
    desk.record(audio)
    spoken = dictation(9)[-1][2]
    assert max(asked for asked, _ in desk.looks) - 100 < spoken + 0.5


def test_a_microphone_that_ran_before_anyone_listened_is_live_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch)
    desk.waiting = 4.0
    desk.record(talk(12, 1)[0])
    assert desk.asked_after_stop == 0


def test_audio_that_comes_faster_than_it_is_made_is_not_decoded_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch)
    desk.pace = 0.2
    audio = np.concatenate([talk(4, 1)[0] for _ in range(5)])
    desk.record(audio)
    regular = sum(len(window) == DEFAULT.size for window in desk.backend.asked[:-1])
    assert desk.asked_at_stop == regular


def test_without_speculation_nobody_hurries(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, speculates=False)
    desk.record(talk(9, 2)[0])
    assert not desk.looks


def random_dictation(seed: int, seconds: float) -> Samples:
    """Return words in phrases with pauses, in a room that is not silent."""
    rng = np.random.default_rng(seed)
    at, words = 0.3, []
    while at < seconds:
        for _ in range(int(rng.integers(1, 7))):
            length = float(rng.uniform(0.15, 0.4))
            words.append((VOCABULARY[int(rng.integers(26))], at, at + length))
            at += length + float(rng.uniform(0.05, 0.2))
        at += float(rng.uniform(0.3, 2.5))
    return spoken(words, seconds) + noise(seconds, float(rng.choice([0.0, 3e-4, 2e-3])), seed)


@pytest.mark.parametrize("pause_ms", [None, 600])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_speculation_changes_no_line_wherever_the_stop_falls(
    monkeypatch: pytest.MonkeyPatch, seed: int, pause_ms: int | None
) -> None:
    audio = random_dictation(seed, 34)
    rng = np.random.default_rng(seed)
    geometry = Geometry.of(15, 2, pause_ms)
    for stop in rng.integers(SAMPLE_RATE, len(audio), 8):
        plain = Desk(monkeypatch, speculates=False, geometry=geometry)
        ahead = Desk(monkeypatch, geometry=geometry, live_text=True)
        block = int(rng.integers(800, 9000))
        assert ahead.record(audio[:stop], block) == plain.record(audio[:stop])


# Live words


def test_words_show_while_they_are_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    words = dictation(10)
    desk = Desk(monkeypatch, live_text=True)
    desk.record(spoken(words, 10.8))
    first_text, _, at = desk.forecasts[0]
    assert first_text.split()[0] == "alfa"
    assert at <= 1.5 * SAMPLE_RATE
    assert desk.forecasts[-1][0] == text_in(words)
    assert len(desk.forecasts) >= 8
    assert all(text.startswith(stable) for text, stable, _ in desk.forecasts)


def test_live_words_are_those_since_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    words = dictation(24)
    desk = Desk(monkeypatch, live_text=True)
    first, second = desk.record(spoken(words, 24.8))
    texts = [text for text, _, _ in desk.forecasts]
    behind = next(i for i, (_, _, at) in enumerate(desk.forecasts) if at > 15 * SAMPLE_RATE)
    assert all(text_in(words).startswith(text) for text in texts[: behind - 1])
    assert texts[-1] == second
    assert all(not text.startswith(first) for text in texts[behind:])


def test_nobody_who_reads_along_means_no_decode_in_speech(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch)
    desk.record(spoken(dictation(12), 11.5))
    assert desk.asked_at_stop == 0


# What it may cost


class Slow(Listener):
    """Takes time on the desk's clock."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.desk: Desk | None = None
        self.seconds_each = seconds

    def transcribe(self, window: Samples, /) -> Hypothesis:
        assert self.desk is not None
        self.desk.now += self.seconds_each
        return super().transcribe(window)


def on_slow(monkeypatch: pytest.MonkeyPatch, seconds: float, *, live: bool) -> Desk:
    slow = Slow(seconds)
    slow.desk = Desk(monkeypatch, backend=slow, live_text=live)
    return slow.desk


def test_a_slow_backend_speculates_at_long_pauses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = on_slow(monkeypatch, 2.0, live=True)
    # The first decode tells how slow it is.
    audio = np.concatenate([talk(6, 2)[0], talk(5, 0.5)[0], talk(3, 0.9)[0]])
    desk.record(audio)
    ends = [round(len(window) / SAMPLE_RATE) for window in desk.backend.asked[:-1]]
    assert 11 not in ends


def test_no_more_than_a_quarter_of_the_time_goes_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = on_slow(monkeypatch, 0.6, live=True)
    audio = random_dictation(4, 60)
    begun = desk.now
    desk.record(audio)
    regular = sum(len(w) == DEFAULT.size for w in desk.backend.asked)
    spent = (len(desk.backend.asked) - min(regular, 5)) * 0.6
    assert spent <= 0.25 * (desk.now - begun) + 1.0 + 0.6


def test_between_two_attempts_it_gives_way() -> None:
    waits = [False]
    backend = Listener(deaf=frozenset(range(99)))
    ahead = SpeculatingBackend(backend, wanted=lambda: waits[0])
    with ahead.speculating():
        ahead.transcribe(noise(1))
        waits[0] = True
        ahead.transcribe(noise(2))
        pytest.fail("it did not give way")
    assert len(backend.asked) == 1
    ahead.transcribe(noise(1))  # what was heard before is not asked again
    assert len(backend.asked) == 1


def test_a_glance_at_speech_that_goes_on_is_not_remembered() -> None:
    backend = Listener()
    ahead = SpeculatingBackend(backend)
    with ahead.speculating():
        ahead.transcribe(noise(1, seed=1))
    for seed in range(2, 2 + speculation.REMEMBERED):
        with ahead.speculating(passing=True):
            ahead.transcribe(noise(1, seed=seed))
    asked = len(backend.asked)
    ahead.transcribe(noise(1, seed=1))  # nothing has driven it out
    assert len(backend.asked) == asked
    ahead.transcribe(noise(1, seed=2))
    assert len(backend.asked) == asked + 1


@pytest.mark.parametrize("error", [BackendFailedError("gone"), ModelUnusableError("broken")])
def test_a_failed_speculation_is_nobodys_failure(error: BackendFailedError) -> None:
    backend = Listener(failing={0: error})
    ahead = SpeculatingBackend(backend)
    with ahead.speculating():
        ahead.transcribe(noise(1))
        pytest.fail("it did not fail")
    assert ahead.transcribe(noise(1)) == Hypothesis()
    assert len(backend.asked) == 2


def test_a_bug_is_not_hidden() -> None:
    ahead = SpeculatingBackend(Listener())
    with pytest.raises(AssertionError), ahead.speculating():
        ahead.transcribe(silence(16))


def test_the_decoding_time_of_a_line_is_told_whenever_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    class Second(Listener):
        def transcribe(self, window: Samples, /) -> Hypothesis:
            clock[0] += 1.0
            return super().transcribe(window)

    ahead = SpeculatingBackend(Second())
    with ahead.speculating():
        ahead.transcribe(noise(1))
    assert (ahead.seconds, ahead.recalled, ahead.asked) == (0.0, 0, 0)
    ahead.transcribe(noise(1))
    assert (ahead.seconds, ahead.recalled, ahead.asked) == (1.0, 1, 0)


class Worker(Listener):
    """A supervised backend that hangs over a speculation until it is abandoned."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs, self.gone = threading.Event(), threading.Event()

    restarts = 0

    def wait_ready(self) -> object:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError

    def speculate(self, window: Samples, /) -> Hypothesis:
        self.hangs.set()
        assert self.gone.wait(PATIENCE)
        raise BackendFailedError("abandoned")

    def abandon(self) -> None:
        self.gone.set()


def test_real_work_does_not_wait_for_ever_behind_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speculation, "PATIENCE", 0.05)
    worker = Worker()
    ahead = SpeculatingBackend(worker, supervisor=worker)  # type: ignore[arg-type]  # no pid, no info

    def speculate() -> None:
        with ahead.speculating():
            ahead.transcribe(tone("alfa", to_samples(1)))

    thread = threading.Thread(target=speculate)
    thread.start()
    assert worker.hangs.wait(PATIENCE)
    ahead.work_waits()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_speculation_that_ends_in_time_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Callable[[], None]] = []

    class Timer:
        def __init__(self, _seconds: float, act: Callable[[], None]) -> None:
            started.append(act)

        def start(self) -> None:
            """Wait for the test to strike."""

    monkeypatch.setattr("parakeet_coreml.recognition.speculation.Timer", Timer)
    worker = Worker()
    worker.gone.set()
    ahead = SpeculatingBackend(worker, supervisor=worker)  # type: ignore[arg-type]  # no pid, no info
    with ahead.speculating():
        ahead.work_waits()
    worker.gone.clear()
    started[0]()
    assert not worker.gone.is_set()
    with ahead.speculating():
        started[0]()  # it was for the one before
    assert not worker.gone.is_set()
    ahead.work_waits()
    assert len(started) == 1


def test_dropped_is_no_failure_of_a_backend() -> None:
    assert not issubclass(DroppedError, BackendFailedError)
    assert ears().max_samples == SpeculatingBackend(ears()).max_samples
