"""Run a backend in a second process of this executable, and start it again when it fails.

An answer that is none (see `wire`), one that is late, or none at all means that the process is
broken: it is killed, a fresh one loads the model, and the window is asked again.

Importing this loads no NumPy: the worker is started before the microphone runs.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from parakeet_coreml.backends.base import BackendInfo, BackendSpec, Hypothesis, Supervised
from parakeet_coreml.backends.worker.process import Process
from parakeet_coreml.backends.worker.wire import (
    REQUEST,
    BrokenError,
    error_from,
    hypothesis_from,
    info_from,
)
from parakeet_coreml.errors import BackendFailedError, ModelUnusableError, ParakeetError

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    from parakeet_coreml.audio.samples import Samples

GOODBYE = 0.2
"""Seconds an idle worker gets to end by itself."""

HINT = "what the worker printed on stderr may say more"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a worker may take, in seconds, and how often it is started again."""

    load: float = 600.0
    """For loading the model, in each process: a first Neural Engine compile takes minutes. Core ML
    gets a second process, which tries other compute units."""
    load_tell: float = 5.0
    """Between two words to the user while loading."""
    first_window: float = 60.0
    """For the first window of a process, which may compile still."""
    window_floor: float = 5.0
    """For later windows, at least."""
    window_factor: float = 10.0
    """For later windows, times the slowest one answered so far."""
    restarts: int = 2
    """For the same window."""


LIMITS = Limits()
"""The design's limits."""


class WorkerBackend(Supervised):
    """A `Backend` whose model lives in a worker process.

    The process starts at once and loads while the caller goes on. `tell(code, message)` is called
    from the thread that waits: `model_loading` while loading takes long, `worker_restarted` when a
    process had to be replaced. One thread transcribes; `kill` may come from any other, and so may
    `close`.
    """

    def __init__(
        self, spec: BackendSpec, *, tell: Callable[[str, str], None], limits: Limits = LIMITS
    ) -> None:
        self._spec = spec
        self._tell = tell
        self._limits = limits
        self._turn = threading.RLock()  # held while waiting for the worker
        self._guard = threading.RLock()  # held for an instant; reentrant for signal handlers
        self._process: Process | None = None
        self._ended = False
        self._info: BackendInfo | None = None
        self._unusable: ParakeetError | None = None
        self._starts = 0
        self._forgiven = 0  # processes started after a speculation broke one
        self._finished = 0  # windows answered or given up
        self._spent = 0  # restarts since the last window was finished
        self._slowest = 0.0  # seconds
        with contextlib.suppress(BrokenError):  # `wait_ready` tries again and reports it
            self._start()

    @property
    def pid(self) -> int | None:
        """Process id of the present worker, None while there is none."""
        process = self._process
        return process.pid if process else None

    @property
    def restarts(self) -> int:
        """Processes started after the first one."""
        return max(0, self._starts - 1 - self._forgiven)

    @property
    def max_samples(self) -> int:
        """Longest window one call accepts, in samples at 16 kHz.

        Waits and raises as `wait_ready` does.
        """
        return self.wait_ready().max_samples

    def wait_ready(self) -> BackendInfo:
        """Wait until the model is loaded and return what it says of itself.

        Raises `ModelMissingError`, `ModelCorruptError` or `ModelUnusableError`, as every later call
        does then, and `BackendFailedError` if the worker was killed or closed.
        """
        with self._turn:
            if self._info is None:
                try:
                    self._info = self._persist(self._load)
                except BrokenError as error:
                    reason = f"the model could not be loaded: {error}"
                    raise self._spoil(ModelUnusableError(reason, HINT)) from error
            return self._info

    def transcribe(self, window: "Samples") -> Hypothesis:
        """Transcribe one window of 1 to `max_samples` samples, shape (samples,), 16 kHz.

        Waits for the model if need be. Token times count from the window's first sample. Raises
        `BackendFailedError` if no process answered, restarts included; the next call starts a
        fresh one. Raises what `wait_ready` raises if the model does not load.
        """
        with self._turn:
            info = self.wait_ready()
            if window.ndim != 1 or not 1 <= len(window) <= info.max_samples:
                raise ValueError(window.shape)
            try:
                return self._persist(lambda process: self._ask(process, window))
            except BrokenError as error:
                reason = f"a window could not be transcribed: {error}"
                raise BackendFailedError(reason, HINT) from error
            finally:
                self._finished += 1
                self._spent = 0

    def speculate(self, window: "Samples") -> Hypothesis:
        """Transcribe a window that nobody may need.

        A worker that breaks over it is replaced, which counts as no restart, and the window is not
        asked again: raises `BackendFailedError`, or what `wait_ready` raises.
        """
        with self._turn:
            self.wait_ready()
            process = self._process
            if process is None:  # it has just been killed
                raise _ended_error()
            try:
                return self._ask(process, window)
            except BrokenError as error:
                self._discard()
                self._spent += 1  # a backend may try another way then
                with contextlib.suppress(BrokenError):  # the next window tries again and reports it
                    self._start()
                self._forgiven += 1
                raise BackendFailedError(f"a speculation failed: {error}", HINT) from error

    def abandon(self) -> None:
        """End the process that is busy with a speculation, from any thread."""
        with self._guard:
            if self._process:
                self._process.kill()

    def kill(self) -> None:
        """End the worker at once and for good, from any thread.

        A call that waits for it raises `BackendFailedError`. `close` is still needed.
        """
        with self._guard:
            self._ended = True
            if self._process:
                self._process.kill()

    def close(self) -> None:
        """Let the worker go, and leave no process behind. A second call does nothing.

        An idle worker ends by itself; one that is loading or transcribing is killed.
        """
        idle = self._turn.acquire(blocking=False)
        if not idle:
            self.kill()
            self._turn.acquire()
        try:
            self._ended = True
            self._discard(GOODBYE)
        finally:
            self._turn.release()

    def _persist(self, act: Callable[[Process], T]) -> T:
        """Return what `act` gives for a process, restarting it as often as allowed.

        Raises `BrokenError` when the last one broke too.
        """
        if self._unusable:
            raise type(self._unusable)(self._unusable.message, self._unusable.hint)
        attempt, allowed = 0, self._limits.restarts
        while True:
            try:
                return act(self._process or self._start())
            except BrokenError as error:
                self._discard()
                if self._ended:
                    raise _ended_error() from error
                if attempt == allowed:
                    raise
                attempt += 1
                self._spent += 1
                again = f"{error}; starting it again, {attempt} of {allowed}"
                self._tell("worker_restarted", again)

    def _load(self, process: Process) -> BackendInfo:
        if process.info is None:
            answer = self._load_answer(process)
            if "failed" in answer:
                error = error_from(answer["failed"])
                self._discard()
                raise self._spoil(error)
            process.info = info_from(answer.get("ready"))
        return process.info

    def _load_answer(self, process: Process) -> dict[str, object]:
        limit, step = self._limits.load, self._limits.load_tell
        while True:
            passed = time.monotonic() - process.started
            pause = min(limit, (passed // step + 1) * step)
            answer = process.receive(process.started + pause)
            if answer is not None:
                return answer
            if pause >= limit:
                reason = f"the model did not load within {limit:g} s"
                if self._spec.backend == "coreml" and not self._spent:
                    raise BrokenError(reason)  # the next process tries other compute units
                self._discard()
                raise self._spoil(ModelUnusableError(reason, HINT))
            self._tell("model_loading", self._still_loading(pause))

    def _still_loading(self, seconds: float) -> str:
        line = f"the model is still loading after {seconds:g} s"
        if self._spec.backend == "coreml" and sys.platform == "darwin":
            line += "; a first load is compiled for this Mac, which takes minutes but once"
        return line

    def _ask(self, process: Process, window: "Samples") -> Hypothesis:
        self._load(process)
        limit = self._limits.first_window
        if process.answered:
            slowest = self._slowest * self._limits.window_factor
            limit = max(self._limits.window_floor, slowest)
        seq = process.answered
        begun = time.monotonic()
        samples = window.astype("<f4", order="C", copy=False)
        process.send(REQUEST.pack(seq, len(window)), samples.data.cast("B"), until=begun + limit)
        answer = process.receive(begun + limit)
        if answer is None:
            raise BrokenError(f"the worker did not answer within {limit:.3g} s")
        hypothesis = hypothesis_from(answer, seq=seq, samples=len(window))
        process.answered += 1
        self._slowest = max(self._slowest, time.monotonic() - begun)
        return hypothesis

    def _start(self) -> Process:
        with self._guard:
            if self._ended:
                raise _ended_error()
            spec = self._spec.retried(served=self._finished, attempt=self._spent)
            process = self._process = Process(spec)
            self._starts += 1
            if self._ended:  # a signal handler of this very thread called `kill`
                process.kill()
        return process

    def _discard(self, patience: float = 0.0) -> None:
        if self._process:
            self._process.end(patience)
            with self._guard:
                self._process = None

    def _spoil(self, error: ParakeetError) -> ParakeetError:
        self._unusable = error
        return error


def _ended_error() -> BackendFailedError:
    return BackendFailedError("the worker was ended by the recorder")
