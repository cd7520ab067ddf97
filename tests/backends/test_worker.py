"""The worker process: crashes, hangs, noise, signals, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import BackendSpec, Hypothesis
from parakeet_coreml.backends.worker import client, process
from parakeet_coreml.backends.worker.client import Limits, WorkerBackend
from parakeet_coreml.errors import (
    BackendFailedError,
    ModelCorruptError,
    ModelMissingError,
    ModelUnusableError,
    ParakeetError,
)

WINDOW: Samples = np.zeros(15 * SAMPLE_RATE, np.float32)
TEXTS = ["fix the login bug", "please", "terminal two"]
SOON = 20.0
"""Seconds: far longer than anything here takes, far shorter than the design's limits."""

Open = Callable[..., WorkerBackend]

READY = {
    "ready": {
        "backend": "scripted",
        "model": "fake",
        "compute_units": "cpu",
        "runtime": "fake",
        "max_samples": len(WINDOW),
        "load_ms": 1,
        "warm": None,
    }
}

FAKE = f"""
import json, os, struct, sys, time
READY = {READY!r}

def say(fields):
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    os.write(1, struct.pack("<I", len(text)) + text)

def asked():
    header = sys.stdin.buffer.read(8)
    if len(header) < 8:
        sys.exit(0)
    seq, samples = struct.unpack("<II", header)
    return seq, sys.stdin.buffer.read(4 * samples)

def token(**changes):
    fields = {{"id": 7, "piece": "\\u2581fix", "start": 0, "duration": 1280, "probability": 0.5}}
    return list((fields | changes).values())
"""


class Told:
    """Collects what a worker tells the user."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.then: Callable[[], object] = bool

    def __call__(self, code: str, message: str) -> None:
        self.lines.append((code, message))
        self.then()

    @property
    def codes(self) -> list[str]:
        return [code for code, _ in self.lines]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def open_worker(tmp_path: Path, told: Told) -> Iterator[Open]:
    """Give a function that opens a worker of the scripted backend; all are closed at the end."""
    opened: list[WorkerBackend] = []

    def open_one(script: dict[str, Any] | None = None, **limits: Any) -> WorkerBackend:
        path = tmp_path / f"script{len(opened)}.json"
        path.write_text(json.dumps(script or scripted()))
        spec = BackendSpec(backend="scripted", model="script", directory=str(path))
        opened.append(WorkerBackend(spec, tell=told, limits=Limits(**limits)))
        return opened[-1]

    yield open_one
    for backend in opened:
        backend.close()


@pytest.fixture
def open_fake(open_worker: Open, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Give a function that opens a worker whose process runs the given Python."""

    def open_one(code: str, **limits: Any) -> WorkerBackend:
        command = [sys.executable, "-I", "-S", "-c", FAKE + textwrap.dedent(code)]
        monkeypatch.setattr(process, "command_for", lambda spec: command)
        return open_worker(**limits)

    return open_one


def scripted(*failures: dict[str, Any] | None, **keys: Any) -> dict[str, Any]:
    """Return a script for `TEXTS` whose n-th window has the n-th failure."""
    windows: list[dict[str, Any]] = [{"text": text} for text in TEXTS]
    for window, failure in zip(windows, failures, strict=False):
        if failure:
            window["fail"] = failure
    return {"windows": windows, **keys}


def failing_at(k: int, how: str, attempts: int = 1) -> dict[str, Any]:
    return scripted(*[None] * k, {"how": how, "attempts": attempts})


def text_of(hypothesis: Hypothesis) -> str:
    return "".join(token.piece for token in hypothesis.tokens).replace("▁", " ").strip()


def hear_all(backend: WorkerBackend) -> list[str]:
    return [text_of(backend.transcribe(WINDOW)) for _ in TEXTS]


def in_thread(act: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Run `act` in a thread and collect what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except ParakeetError as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, raised


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_it_hears_what_the_backend_says_and_tells_what_was_loaded(
    open_worker: Open, told: Told
) -> None:
    backend = open_worker()
    info = backend.wait_ready()
    assert (info.backend, info.model, info.runtime) == ("scripted", "script", "scripted")
    assert backend.max_samples == info.max_samples == len(WINDOW)
    assert hear_all(backend) == TEXTS
    assert backend.restarts == 0
    assert told.lines == []


def test_every_sample_reaches_the_worker_whatever_the_arrays_layout(open_fake: Open) -> None:
    backend = open_fake(
        """
        import zlib
        say(READY)
        while True:
            seq, audio = asked()
            say({"seq": seq, "tokens": [token(id=zlib.crc32(audio))]})
        """
    )
    noise = np.random.default_rng(1).standard_normal(2 * len(WINDOW), dtype=np.float32)
    for window in (noise[: len(WINDOW)], noise[::2], noise[:1]):
        assert backend.transcribe(window).tokens[0].id == zlib.crc32(window.tobytes())


def test_a_window_of_a_wrong_shape_is_a_mistake_of_the_caller(open_worker: Open) -> None:
    backend = open_worker()
    for shape in (0, len(WINDOW) + 1, (10, 1)):
        with pytest.raises(ValueError, match=r"\("):
            backend.transcribe(np.zeros(shape, np.float32))
    assert hear_all(backend) == TEXTS


@pytest.mark.parametrize("k", range(len(TEXTS)))
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("exit", "exited with code 3"),
        ("abort", "was ended by signal 6 (SIGABRT)"),
        ("segv", "was ended by signal 11 (SIGSEGV)"),
        ("error", "the script says"),
        ("garbage", "impossible token"),
    ],
)
def test_a_failure_at_any_window_costs_a_restart_and_no_word(
    open_worker: Open, told: Told, k: int, how: str, reason: str
) -> None:
    backend = open_worker(failing_at(k, how))
    assert hear_all(backend) == TEXTS
    assert backend.restarts == 1
    assert told.codes == ["worker_restarted"]
    assert reason in told.lines[0][1]


def test_a_second_failure_of_the_same_window_is_survived_too(open_worker: Open, told: Told) -> None:
    backend = open_worker(failing_at(1, "exit", attempts=2))
    assert hear_all(backend) == TEXTS
    assert [message[-6:] for _, message in told.lines] == ["1 of 2", "2 of 2"]


def test_every_window_has_restarts_of_its_own(open_worker: Open) -> None:
    twice = {"how": "exit", "attempts": 2}
    backend = open_worker(scripted(twice, twice))
    assert hear_all(backend) == TEXTS
    assert backend.restarts == 4


def test_a_hang_is_ended_at_the_limit_and_costs_no_word(open_worker: Open, told: Told) -> None:
    backend = open_worker(failing_at(0, "hang"), first_window=2.0)
    assert hear_all(backend) == TEXTS
    assert told.lines == [
        ("worker_restarted", "the worker did not answer within 2 s; starting it again, 1 of 2")
    ]


def test_after_the_first_window_of_a_process_the_shorter_limit_holds(
    open_worker: Open, told: Told
) -> None:
    backend = open_worker(failing_at(1, "hang"), first_window=1e6, window_floor=2.0)
    assert hear_all(backend) == TEXTS
    assert told.codes == ["worker_restarted"]


def test_a_slow_backend_gets_ten_times_its_slowest_window(open_worker: Open) -> None:
    script = scripted()
    script["windows"][0]["delay_s"] = 0.5
    script["windows"][1]["delay_s"] = 1.0  # over the floor, under 10 x 0.5
    backend = open_worker(script, window_floor=0.1)
    assert hear_all(backend) == TEXTS
    assert backend.restarts == 0


def test_a_window_that_always_fails_is_given_up_and_the_next_one_is_heard(
    open_worker: Open, told: Told
) -> None:
    backend = open_worker(failing_at(1, "abort", attempts=9))
    assert text_of(backend.transcribe(WINDOW)) == TEXTS[0]
    with pytest.raises(BackendFailedError, match="SIGABRT"):
        backend.transcribe(WINDOW)
    assert told.codes == ["worker_restarted"] * 2
    assert text_of(backend.transcribe(WINDOW)) == TEXTS[2]


def test_a_worker_that_dies_between_two_windows_is_replaced(open_worker: Open) -> None:
    backend = open_worker()
    backend.wait_ready()
    assert backend.pid
    os.kill(backend.pid, signal.SIGKILL)
    assert hear_all(backend) == TEXTS
    assert backend.restarts == 1


def test_a_worker_that_never_reads_is_ended_at_the_limit(open_fake: Open) -> None:
    backend = open_fake("say(READY); time.sleep(600)", first_window=0.2, restarts=1)
    with pytest.raises(BackendFailedError, match=r"did not answer within 0\.2 s"):
        backend.transcribe(WINDOW)


def test_noise_on_stdout_goes_to_stderr(
    open_worker: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = open_worker(failing_at(1, "noise"))
    assert hear_all(backend) == TEXTS
    assert backend.restarts == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert "noise" in err


@pytest.mark.parametrize(
    "answer",
    [
        "b'hello'",
        "b'[1, 2]'",
        "b'[' * 500_000",
        "b'\\xff\\xfe'",
        "{}",
        "{'seq': 0}",
        "{'seq': 1, 'tokens': []}",
        "{'seq': 0, 'tokens': {}}",
        "{'seq': 0, 'tokens': [7]}",
        "{'seq': 0, 'tokens': [token()[:4]]}",
        "{'seq': 0, 'tokens': [token() + [1]]}",
        "{'seq': 0, 'tokens': [token(id=-1)]}",
        "{'seq': 0, 'tokens': [token(id=True)]}",
        "{'seq': 0, 'tokens': [token(id=1.0)]}",
        "{'seq': 0, 'tokens': [token(piece=None)]}",
        "{'seq': 0, 'tokens': [token(start=-1)]}",
        "{'seq': 0, 'tokens': [token(start=300_000)]}",
        "{'seq': 0, 'tokens': [token(duration=-1)]}",
        "{'seq': 0, 'tokens': [token(duration=10 ** 9)]}",
        "{'seq': 0, 'tokens': [token(probability=1.01)]}",
        "{'seq': 0, 'tokens': [token(probability=-0.01)]}",
        "{'seq': 0, 'tokens': [token(probability=float('nan'))]}",
        "{'seq': 0, 'tokens': [token(probability=float('inf'))]}",
        "{'seq': 0, 'tokens': [token(probability=10 ** 400)]}",
        "{'seq': 0, 'tokens': [token(piece='x' * 2_000_000)]}",
        "{'seq': 0, 'tokens': [token(piece='x' * 257)]}",
        "{'seq': 0, 'tokens': [token(start=1280), token()]}",
        "{'seq': 0, 'error': {'name': 'no_such', 'message': '', 'hint': ''}}",
        "{'seq': 0, 'error': 'x'}",
    ],
)
def test_an_impossible_answer_breaks_the_worker(open_fake: Open, answer: str) -> None:
    backend = open_fake(f"say(READY)\nasked()\nsay({answer})\nasked()", restarts=0)
    with pytest.raises(BackendFailedError, match=r"the worker (gave|answered|named)"):
        backend.transcribe(WINDOW)


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "{'ready': {}}",
        "{'ready': READY['ready'] | {'max_samples': 0}}",
        "{'ready': READY['ready'] | {'model': None}}",
        "{'ready': READY['ready'] | {'warm': 1}}",
        "{'failed': {}}",
    ],
)
def test_an_impossible_answer_to_loading_breaks_the_worker(open_fake: Open, answer: str) -> None:
    backend = open_fake(f"say({answer})\nasked()", restarts=0)
    with pytest.raises(ModelUnusableError, match=r"the worker (did not say|named)"):
        backend.wait_ready()


def test_more_tokens_than_any_search_gives_break_the_worker(open_fake: Open) -> None:
    answer = "{'seq': 0, 'tokens': [token()] * (10 * (len(audio) // 5120 + 1) + 1)}"
    backend = open_fake(f"say(READY)\n_, audio = asked()\nsay({answer})\nasked()", restarts=0)
    with pytest.raises(BackendFailedError, match="the worker heard"):
        backend.transcribe(WINDOW)


@pytest.mark.parametrize("how", ["segv", "exit", "garbage"])
def test_a_speculation_that_breaks_its_worker_is_no_restart(
    open_worker: Open, told: Told, how: str
) -> None:
    backend = open_worker(failing_at(0, how))
    with pytest.raises(BackendFailedError, match="a speculation failed"):
        backend.speculate(WINDOW)
    assert hear_all(backend) == list(TEXTS)
    assert backend.restarts == 0
    assert told.codes == []


def test_a_speculation_is_answered_as_any_window(open_worker: Open) -> None:
    backend = open_worker()
    assert text_of(backend.speculate(WINDOW)) == TEXTS[0]
    assert backend.restarts == 0


def test_an_abandoned_speculation_ends_and_the_next_window_is_heard(
    open_worker: Open, told: Told
) -> None:
    backend = open_worker(failing_at(0, "hang"))
    backend.wait_ready()
    thread, raised = in_thread(lambda: backend.speculate(WINDOW))
    backend.abandon()
    thread.join(SOON)
    assert [type(error) for error in raised] == [BackendFailedError]
    assert hear_all(backend) == list(TEXTS)
    assert backend.restarts == 0
    assert told.codes == []


def test_a_worker_that_closes_its_pipe_but_stays_is_broken(open_fake: Open) -> None:
    backend = open_fake("say(READY)\nasked()\nos.close(1)\ntime.sleep(600)", restarts=0)
    with pytest.raises(BackendFailedError, match="closed its pipe"):
        backend.transcribe(WINDOW)


@pytest.mark.parametrize("error", [ModelMissingError, ModelCorruptError, ModelUnusableError])
def test_a_model_that_will_not_load_is_told_at_once_and_for_good(
    open_fake: Open, told: Told, error: type[ParakeetError]
) -> None:
    fields = {"name": error.name, "message": "no such file", "hint": "fetch it"}
    backend = open_fake(f"say({{'failed': {fields!r}}})\nasked()")
    for call in (backend.wait_ready, backend.wait_ready, lambda: backend.transcribe(WINDOW)):
        with pytest.raises(error, match="no such file") as raised:
            call()
        assert raised.value.hint == "fetch it"
    assert backend.restarts == 0
    assert backend.pid is None
    assert told.lines == []


def test_the_backends_own_load_error_crosses_the_border(open_worker: Open) -> None:
    backend = open_worker(scripted(load_fail={"how": "error", "attempts": 9}))
    with pytest.raises(ModelUnusableError, match="the script says"):
        backend.wait_ready()
    assert backend.restarts == 0


def test_a_crash_while_loading_is_survived_twice(open_worker: Open, told: Told) -> None:
    backend = open_worker(scripted(load_fail={"how": "segv", "attempts": 2}))
    assert hear_all(backend) == TEXTS
    assert told.codes == ["worker_restarted"] * 2


def test_a_worker_that_always_crashes_while_loading_makes_the_model_unusable(
    open_worker: Open,
) -> None:
    backend = open_worker(scripted(load_fail={"how": "abort", "attempts": 9}))
    for call in (backend.wait_ready, lambda: backend.transcribe(WINDOW)):
        with pytest.raises(ModelUnusableError, match="SIGABRT"):
            call()
    assert backend.restarts == 2
    assert backend.pid is None


def test_a_load_that_hangs_is_told_and_ended_at_its_limit(open_worker: Open, told: Told) -> None:
    script = scripted(load_fail={"how": "hang", "attempts": 9})
    backend = open_worker(script, load=2.0, load_tell=0.75)
    with pytest.raises(ModelUnusableError, match="did not load within 2 s"):
        backend.wait_ready()
    assert set(told.codes) == {"model_loading"}
    assert told.lines[-1][1] == "the model is still loading after 1.5 s"
    assert backend.pid is None


@pytest.fixture
def open_core_ml(told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Give a function that opens a worker of Core ML whose process runs the given Python.

    The code finds the restarts so far in `sys.argv[1]`.
    """
    opened: list[WorkerBackend] = []

    def open_one(code: str, **limits: Any) -> WorkerBackend:
        start = [sys.executable, "-I", "-S", "-c", FAKE + textwrap.dedent(code)]
        monkeypatch.setattr(process, "command_for", lambda spec: [*start, str(spec.attempt)])
        spec = BackendSpec("coreml", "fake", "x")
        opened.append(WorkerBackend(spec, tell=told, limits=Limits(**limits)))
        return opened[-1]

    yield open_one
    for backend in opened:
        backend.close()


def test_d10_core_ml_that_hangs_while_loading_is_asked_for_other_compute_units(
    open_core_ml: Open, told: Told
) -> None:
    backend = open_core_ml("if sys.argv[1] == '0': time.sleep(600)\nsay(READY)\nasked()", load=2.0)
    assert backend.wait_ready().model == "fake"
    again = "the model did not load within 2 s; starting it again, 1 of 2"
    assert told.lines == [("worker_restarted", again)]


def test_d10_core_ml_that_hangs_with_the_other_units_too_is_given_up(open_core_ml: Open) -> None:
    backend = open_core_ml("time.sleep(600)", load=0.5)
    with pytest.raises(ModelUnusableError, match=r"did not load within 0\.5 s"):
        backend.wait_ready()
    assert backend.restarts == 1
    assert backend.pid is None


def test_a_long_first_load_on_a_mac_is_explained(
    open_core_ml: Open, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    backend = open_core_ml("time.sleep(0.7)\nsay(READY)\nasked()", load_tell=0.5)
    backend.wait_ready()
    code, line = told.lines[0]
    assert code == "model_loading"
    assert line.startswith("the model is still loading after 0.5 s; a first load is compiled for")


@pytest.mark.parametrize("warm", [True, False])
def test_whether_the_model_was_warm_crosses_the_border(open_core_ml: Open, *, warm: bool) -> None:
    backend = open_core_ml(f"READY['ready']['warm'] = {warm}\nsay(READY)\nasked()")
    assert backend.wait_ready().warm is warm


def test_a_bug_in_the_worker_ends_it_with_a_traceback(
    told: Told, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = WorkerBackend(BackendSpec("no_such", "x", "x"), tell=told, limits=Limits(restarts=0))
    with pytest.raises(ModelUnusableError, match="exited with code 1"):
        backend.wait_ready()
    assert "ValueError: no_such" in capfd.readouterr().err


def test_a_process_that_cannot_be_started_is_told_when_waited_for(
    open_worker: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "command_for", lambda spec: ["/no/such/executable"])
    backend = open_worker()
    with pytest.raises(ModelUnusableError, match="could not be started: No such file"):
        backend.wait_ready()


def test_signals_to_the_group_do_not_reach_the_worker_from_its_first_instant_on(
    open_worker: Open,
) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    backend = open_worker()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    for moment in (lambda: None, backend.wait_ready):
        moment()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            assert backend.pid
            os.kill(backend.pid, number)
    assert hear_all(backend) == TEXTS
    assert backend.restarts == 0


def test_kill_releases_a_thread_that_waits_for_a_window(open_worker: Open, told: Told) -> None:
    backend = open_worker(failing_at(0, "hang"))
    backend.wait_ready()
    thread, raised = in_thread(lambda: backend.transcribe(WINDOW))
    backend.kill()
    thread.join(SOON)
    assert [type(error) for error in raised] == [BackendFailedError]
    with pytest.raises(BackendFailedError, match="ended by the recorder"):
        backend.transcribe(WINDOW)
    assert backend.restarts == 0
    assert told.lines == []


def test_kill_releases_a_thread_that_waits_for_the_model(open_worker: Open) -> None:
    backend = open_worker(scripted(load_s=600))
    thread, raised = in_thread(backend.wait_ready)
    backend.kill()
    thread.join(SOON)
    assert [type(error) for error in raised] == [BackendFailedError]


def test_kill_while_a_worker_is_replaced_starts_no_other(open_worker: Open, told: Told) -> None:
    backend = open_worker(failing_at(0, "exit", attempts=9))
    told.then = backend.kill
    with pytest.raises(BackendFailedError, match="ended by the recorder"):
        backend.transcribe(WINDOW)
    assert backend.pid is None
    assert backend.restarts == 0


def test_kill_from_a_signal_handler_while_a_worker_starts_ends_it(
    open_worker: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_worker(failing_at(0, "exit", attempts=9))
    backend.wait_ready()

    def interrupted(spec: BackendSpec) -> list[str]:
        backend.kill()
        return [sys.executable, "-c", "import time; time.sleep(600)"]

    monkeypatch.setattr(process, "command_for", interrupted)
    with pytest.raises(BackendFailedError, match="ended by the recorder"):
        backend.transcribe(WINDOW)
    assert backend.pid is None


def test_kill_needs_no_end_of_the_pipe(open_fake: Open, tmp_path: Path) -> None:
    forked = tmp_path / "forked"
    backend = open_fake(
        f"""
        say(READY)
        if os.fork() == 0:  # holds the pipe open after the worker's death
            os.symlink(str(os.getpid()), {str(forked)!r})  # there, and told, in one step
            asked()
        time.sleep(600)
        """
    )
    thread, raised = in_thread(lambda: backend.transcribe(WINDOW))
    wait_until(forked.is_symlink)
    backend.kill()
    thread.join(SOON)
    os.kill(int(forked.readlink().name), signal.SIGKILL)
    assert [type(error) for error in raised] == [BackendFailedError]


def test_close_ends_a_hanging_worker_and_releases_who_waits(open_worker: Open) -> None:
    backend = open_worker(failing_at(0, "hang"))
    backend.wait_ready()
    thread, raised = in_thread(lambda: backend.transcribe(WINDOW))
    backend.close()
    thread.join(SOON)
    assert [type(error) for error in raised] == [BackendFailedError]
    assert backend.pid is None
    backend.close()


def test_an_idle_worker_ends_by_itself_when_closed(
    open_worker: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "GOODBYE", SOON)
    backend = open_worker()
    backend.wait_ready()
    assert backend._process
    popen = backend._process._popen
    backend.close()
    assert popen.returncode == 0
    with pytest.raises(BackendFailedError):
        backend.transcribe(WINDOW)


def test_a_worker_ends_by_itself_even_while_it_hangs_in_a_call(
    open_worker: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "GOODBYE", SOON)
    backend = open_worker(failing_at(0, "hang"), first_window=1.0, restarts=0)
    backend.wait_ready()
    assert backend._process
    process = backend._process
    monkeypatch.setattr(process, "kill", lambda: None)
    monkeypatch.setattr(process, "end", lambda patience: None)
    with pytest.raises(BackendFailedError, match="did not answer"):
        backend.transcribe(WINDOW)
    monkeypatch.undo()
    process.end(SOON)
    assert process._popen.returncode == 0


STUCK = """
import ctypes, sys
from parakeet_coreml.backends.base import BackendInfo
from parakeet_coreml.backends.worker import server

class Stuck:
    def transcribe(self, window):
        ctypes.PyDLL(None).sleep(600)  # unlike CDLL, PyDLL keeps the GIL

info = BackendInfo("scripted", "x", "cpu", "stuck", 240_000, 1)
server.open_backend = lambda spec: (Stuck(), info)
server.LONGEST = int(sys.argv[1])
server.serve(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("longest", "reason"),
    [("1", r"was ended by signal 14 \(SIGALRM\)"), ("600", r"did not answer within 3 s")],
)
def test_a_call_that_never_gives_the_interpreter_back_is_ended_from_outside(
    open_worker: Open, monkeypatch: pytest.MonkeyPatch, longest: str, reason: str
) -> None:
    def command(spec: BackendSpec) -> list[str]:
        return [sys.executable, "-c", STUCK, longest, spec.to_json()]

    monkeypatch.setattr(process, "command_for", command)
    backend = open_worker(first_window=SOON if longest == "1" else 3.0, restarts=0)
    with pytest.raises(BackendFailedError, match=reason):
        backend.transcribe(WINDOW)


def test_twenty_workers_leave_no_process_no_descriptor_and_no_thread(
    open_fake: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *words: Any, **named: Any) -> None:
            super().__init__(*words, **named)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)

    threads, descriptors = set(threading.enumerate()), len(os.listdir("/dev/fd"))  # noqa: PTH208  no path needed
    crash = "say(READY)\nasked()\nos.abort()"
    for how in [crash, "time.sleep(600)", "asked()", "say(READY)\nasked()"] * 5:
        backend = open_fake(how, restarts=1)
        if how is crash:
            with pytest.raises(BackendFailedError):
                backend.transcribe(WINDOW)
        backend.close()
        # Fewer there may be: a server of an earlier test may just be ending.
        assert set(threading.enumerate()) <= threads
        assert len(os.listdir("/dev/fd")) <= descriptors  # noqa: PTH208  no path needed
    assert len(started) >= 20
    for popen in started:
        with pytest.raises(ChildProcessError):
            os.waitpid(popen.pid, os.WNOHANG)


def test_the_worker_inherits_no_descriptor_but_stderr_and_no_telemetry(
    open_fake: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        backend = open_fake(
            """
            say(READY)
            seq, _ = asked()
            try:
                kept = os.fstat(WRITER)
            except OSError:
                kept = None
            piece = f"{kept} {os.environ['ORT_DISABLE_TELEMETRY']}"
            say({"seq": seq, "tokens": [token(piece=piece)]})
            """.replace("WRITER", str(writer))
        )
        assert backend.transcribe(WINDOW).tokens[0].piece == "None 1"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_file_where_the_user_stands_shadows_no_module(
    open_worker: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    assert hear_all(open_worker()) == TEXTS


def test_a_frozen_executable_starts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = BackendSpec("scripted", "x", "y")
    words = ["-P", "-m", "parakeet_coreml", "worker", spec.to_json()]
    assert process.command_for(spec) == [sys.executable, *words]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert process.command_for(spec) == [sys.executable, "worker", spec.to_json()]


def test_importing_it_loads_no_numpy() -> None:
    code = "import parakeet_coreml.backends.worker.client, sys; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


RECORDER = """
import json, sys
from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.backends.worker import client
spec = BackendSpec("scripted", "x", sys.argv[1])
backend = client.WorkerBackend(spec, tell=print)
backend.wait_ready()
if sys.argv[2] == "hang":
    import numpy
    process = backend._process
    receive = process.receive
    process.receive = lambda until: print("asked", flush=True) or receive(until)
    backend.transcribe(numpy.zeros(240_000, "f4"))
print("idle", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("script", "state"), [(scripted(), "idle"), (failing_at(0, "hang"), "hang")]
)
def test_a_worker_whose_recorder_was_killed_ends_too(
    tmp_path: Path, script: dict[str, Any], state: str
) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps(script))
    with subprocess.Popen(
        [sys.executable, "-c", RECORDER, path, state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,  # the worker holds it too: its end is the end of both
    ) as recorder:
        assert recorder.stdout
        assert recorder.stdout.readline() == {"idle": b"idle\n", "hang": b"asked\n"}[state]
        recorder.kill()
        _, errors = recorder.communicate(timeout=3.0)
    assert errors == b""


def test_a_closed_stderr_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps(failing_at(0, "noise")))
    code = """
import os, sys
os.close(2)
import numpy
from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.backends.worker import client
backend = client.WorkerBackend(BackendSpec("scripted", "x", sys.argv[1]), tell=print)
tokens = backend.transcribe(numpy.zeros(240_000, "f4")).tokens
backend.close()
print(len(tokens), backend.restarts)
"""
    command = [sys.executable, "-c", code, str(path)]
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    assert out.split() == [b"4", b"0"]


def test_the_worker_knows_the_folder_of_models_and_phones_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.delenv("PARAKEET_COREML_MODELS_DIR", raising=False)
    spec = BackendSpec("coreml", "v3", "/models/v3", models_dir="/models")
    environment = process.environment(spec)
    assert environment["PARAKEET_COREML_MODELS_DIR"] == "/models"
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"
    assert "PARAKEET_COREML_MODELS_DIR" not in process.environment(spec._replace(models_dir=""))
