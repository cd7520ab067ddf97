"""Run a backend in a second process of this executable, and start it again when it fails.

    recorder: WorkerBackend              worker: serve
    request: seq, samples, audio   ──▶   fd 0, read by a thread that ends the process at EOF
    answer: length, JSON           ◀──   a private copy of fd 1; fd 1 itself becomes stderr

The first answer is `{"ready": {…}}` or `{"failed": {…}}`, then one for each request, in order:
`{"seq": 1, "tokens": [[id, piece, start, duration, probability], …]}`, or `{"seq": 1, "error":
{…}}`. Anything else, an answer that is late, or none at all, means that the process is broken:
it is killed, a fresh one loads the model, and the window is asked again.

Importing this loads no NumPy: the worker is started before the microphone runs.
"""

import contextlib
import errno
import json
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

from parakeet_coreml.audio.samples import SAMPLE_RATE
from parakeet_coreml.backends.base import BackendInfo, BackendSpec, Hypothesis, Token
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.errors import BackendFailedError, ModelUnusableError, ParakeetError

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    from parakeet_coreml.audio.samples import Samples
    from parakeet_coreml.backends.base import Backend

REQUEST = struct.Struct("<II")
"""Sequence number and sample count of the audio that follows."""

LENGTH = struct.Struct("<I")
"""Bytes of the JSON that follows."""

MAX_ANSWER = 1 << 20
"""Longest answer believed, in bytes; a full window's tokens take some 10 kB."""

MAX_OVERHANG = SAMPLE_RATE
"""Samples a token may reach past its window: its duration is the model's unchecked guess."""

SHIELDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that reach the whole process group but are the recorder's to act on."""

LONGEST = 1_800
"""Seconds after which the kernel ends a worker that is stuck in one call. Its recorder does so much
earlier; this is for one that is gone, when the call holds the GIL and no thread sees the pipe end.
"""

PULSE = 0.25
"""Seconds between two looks at whether `kill` was called; the pipe's end usually tells sooner."""

GOODBYE = 0.2
"""Seconds an idle worker gets to end by itself."""

REAP = 5.0
"""Seconds until a killed process that stays is given up: only a stuck kernel call can hold it."""

HINT = "what the worker printed on stderr may say more"

ERRORS = {error.name: error for error in ParakeetError.__subclasses__()}
"""The error classes by the names that cross the pipe."""

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


class _BrokenError(Exception):
    """A process is of no more use; the message says why, in one line."""


class WorkerBackend:
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
        self._process: _Process | None = None
        self._ended = False
        self._info: BackendInfo | None = None
        self._unusable: ParakeetError | None = None
        self._starts = 0
        self._finished = 0  # windows answered or given up
        self._spent = 0  # restarts since the last window was finished
        self._slowest = 0.0  # seconds
        with contextlib.suppress(_BrokenError):  # `wait_ready` tries again and tells
            self._start()

    @property
    def pid(self) -> int | None:
        """Process id of the present worker, None while there is none."""
        process = self._process
        return process.pid if process else None

    @property
    def restarts(self) -> int:
        """Processes started after the first one."""
        return max(0, self._starts - 1)

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
                except _BrokenError as error:
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
            except _BrokenError as error:
                reason = f"a window could not be transcribed: {error}"
                raise BackendFailedError(reason, HINT) from error
            finally:
                self._finished += 1
                self._spent = 0

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

    def _persist(self, act: Callable[["_Process"], T]) -> T:
        """Return what `act` gives for a process, restarting it as often as allowed.

        Raises `_BrokenError` when the last one broke too.
        """
        if self._unusable:
            raise type(self._unusable)(self._unusable.message, self._unusable.hint)
        attempt, allowed = 0, self._limits.restarts
        while True:
            try:
                return act(self._process or self._start())
            except _BrokenError as error:
                self._discard()
                if self._ended:
                    raise _ended_error() from error
                if attempt == allowed:
                    raise
                attempt += 1
                self._spent += 1
                again = f"{error}; starting it again, {attempt} of {allowed}"
                self._tell("worker_restarted", again)

    def _load(self, process: "_Process") -> BackendInfo:
        if process.info is None:
            answer = self._load_answer(process)
            if "failed" in answer:
                error = _error_from(answer["failed"])
                self._discard()
                raise self._spoil(error)
            process.info = _info_from(answer.get("ready"))
        return process.info

    def _load_answer(self, process: "_Process") -> dict[str, object]:
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
                    raise _BrokenError(reason)  # the next process tries other compute units
                self._discard()
                raise self._spoil(ModelUnusableError(reason, HINT))
            self._tell("model_loading", self._still_loading(pause))

    def _still_loading(self, seconds: float) -> str:
        line = f"the model is still loading after {seconds:g} s"
        if self._spec.backend == "coreml" and sys.platform == "darwin":
            line += "; a first load is compiled for this Mac, which takes minutes but once"
        return line

    def _ask(self, process: "_Process", window: "Samples") -> Hypothesis:
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
            raise _BrokenError(f"the worker did not answer within {limit:.3g} s")
        hypothesis = _hypothesis_from(answer, seq=seq, samples=len(window))
        process.answered += 1
        self._slowest = max(self._slowest, time.monotonic() - begun)
        return hypothesis

    def _start(self) -> "_Process":
        with self._guard:
            if self._ended:
                raise _ended_error()
            spec = self._spec.retried(served=self._finished, attempt=self._spent)
            process = self._process = _Process(spec)
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


class _Process:
    """One worker process and its two pipes."""

    def __init__(self, spec: BackendSpec) -> None:
        self.started = time.monotonic()
        self.info: BackendInfo | None = None
        self.answered = 0
        self._killed = False
        self._buffer = bytearray()
        try:
            self._popen = _spawn(spec)
        except OSError as error:
            raise _BrokenError(f"the worker could not be started: {error.strerror}") from error
        assert self._popen.stdin and self._popen.stdout  # noqa: S101, PT018  both are pipes
        self._requests, self._answers = self._popen.stdin, self._popen.stdout
        os.set_blocking(self._requests.fileno(), False)
        os.set_blocking(self._answers.fileno(), False)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, *parts: bytes | memoryview, until: float) -> None:
        """Write the parts; the time limit, on the monotonic clock, is left to `receive` to tell."""
        fd = self._requests.fileno()
        for part in parts:
            rest = memoryview(part)
            while rest and self._wait(fd, select.POLLOUT, until):
                try:
                    rest = rest[os.write(fd, rest) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    raise _BrokenError(self._obituary()) from None

    def receive(self, until: float) -> dict[str, object] | None:
        """Return the next answer, or None if it is not whole at `until`, on the monotonic clock."""
        fd = self._answers.fileno()
        while (answer := self._taken()) is None:
            if not self._wait(fd, select.POLLIN, until):
                return None
            data = os.read(fd, 1 << 16)
            if not data:
                raise _BrokenError(self._obituary())
            self._buffer += data
        return answer

    def kill(self) -> None:
        self._killed = True
        self._popen.kill()

    def end(self, patience: float) -> None:
        """Close the pipes and reap the process, killing it if it stays longer than `patience`."""
        self._requests.close()
        try:
            self._popen.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(REAP)
        finally:
            self._answers.close()

    def _taken(self) -> dict[str, object] | None:
        """Take one whole answer off the buffer."""
        if len(self._buffer) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._buffer)
        if length > MAX_ANSWER:
            raise _BrokenError("the worker gave an answer of impossible length")
        stop = LENGTH.size + length
        if len(self._buffer) < stop:
            return None
        text = bytes(self._buffer[LENGTH.size : stop])
        del self._buffer[:stop]
        return _object_from(text)

    def _wait(self, fd: int, event: int, until: float) -> bool:
        """Wait for a pipe; False if it is not ready at `until`."""
        poll = select.poll()
        poll.register(fd, event)
        while True:
            left = until - time.monotonic()
            if poll.poll(1000 * min(max(left, 0), PULSE)):
                return True
            if self._killed:
                raise _BrokenError("the worker was killed")
            if left <= 0:
                return False

    def _obituary(self) -> str:
        """Say how the process ended, whose pipe has just closed."""
        try:
            code = self._popen.wait(1.0)
        except subprocess.TimeoutExpired:
            return "the worker closed its pipe"
        if code >= 0:
            return f"the worker exited with code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "no name"
        return f"the worker was ended by signal {-code} ({name})"


def _ended_error() -> BackendFailedError:
    return BackendFailedError("the worker was ended by the recorder")


def command_for(spec: BackendSpec) -> list[str]:
    """Return the command that starts this executable as a worker."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "worker", spec.to_json()]
    # -P: the folder the user stands in must not shadow a module.
    return [sys.executable, "-P", "-m", "parakeet_coreml", "worker", spec.to_json()]


def _spawn(spec: BackendSpec) -> subprocess.Popen[bytes]:
    """Start a worker that no signal to the group can hit, not even while it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SHIELDED)  # the child inherits the mask
    try:
        return subprocess.Popen(
            command_for(spec),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=_stderr(),
            env=_environment(spec),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _environment(spec: BackendSpec) -> dict[str, str]:
    """Return the worker's environment: no telemetry, one thread for small matrix products."""
    # OpenBLAS threads spin and fight for cores; runtimes bring their own threads where they pay.
    settings = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    if spec.models_dir:
        settings["PARAKEET_COREML_MODELS_DIR"] = spec.models_dir
    return settings


def _stderr() -> int | None:
    """Return a private copy of stderr where there is one: fd 2 is mute while PortAudio loads."""
    fd = sys.stderr.fileno()
    return None if fd == 2 else fd  # noqa: PLR2004  stderr itself


def _object_from(text: bytes) -> dict[str, object]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _BrokenError("the worker gave an answer that is not a JSON object")
    return answer


def _hypothesis_from(answer: Mapping[str, object], *, seq: int, samples: int) -> Hypothesis:
    if answer.get("seq") != seq:
        raise _BrokenError("the worker answered something that was not asked")
    if "error" in answer:
        raise _BrokenError(_error_from(answer["error"]).message)
    tokens = answer.get("tokens")
    if not isinstance(tokens, list):
        raise _BrokenError("the worker gave an answer without tokens")
    return Hypothesis(tuple(_token_from(token, samples) for token in tokens))


def _token_from(fields: object, samples: int) -> Token:
    match fields:
        case [*values] if bool in map(type, values):
            pass
        case [int(number), str(piece), int(start), int(duration), float() | int() as probability]:
            if (
                number >= 0
                and start >= 0
                and duration >= 0
                and start + duration <= samples + MAX_OVERHANG
                and 0 <= probability <= 1  # false for NaN
            ):
                return Token(number, piece, start, duration, float(probability))
    raise _BrokenError(f"the worker gave an impossible token: {str(fields)[:80]}")


def _info_from(fields: object) -> BackendInfo:
    match fields:
        case {
            "backend": str(backend),
            "model": str(model),
            "compute_units": str(units),
            "runtime": str(runtime),
            "max_samples": int(most),
            "load_ms": int(ms),
            "warm": None | bool() as warm,
        } if most > 0 <= ms:
            return BackendInfo(backend, model, units, runtime, most, ms, warm)
    raise _BrokenError("the worker did not say what it loaded")


def _error_from(fields: object) -> ParakeetError:
    match fields:
        case {"name": str(name), "message": str(message), "hint": str(hint)} if name in ERRORS:
            return ERRORS[name](message, hint)
    raise _BrokenError("the worker named an error that does not exist")


def serve(argument: str) -> NoReturn:
    """Be the worker: load the backend of the spec in `argument`, answer requests until fd 0 ends.

    A `ParakeetError` is answered; any other exception ends the process with a traceback and
    code 1, and the recorder starts it again.
    """
    answers = _claim_stdout()
    _set_signals()
    sys.excepthook = _die
    requests: queue.SimpleQueue[tuple[int, bytearray]] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    signal.alarm(LONGEST)
    try:
        backend, info = open_backend(BackendSpec.from_json(argument))
    except ParakeetError as error:
        _answer(answers, {"failed": _fields_of(error)})
    else:
        _answer(answers, {"ready": asdict(info)})
        while True:
            signal.alarm(0)
            request = requests.get()
            signal.alarm(LONGEST)
            _answer(answers, _served(backend, *request))
    os._exit(0)


def _claim_stdout() -> int:
    """Return a private copy of fd 1, and turn fd 1 to stderr: libraries print there."""
    try:
        os.fstat(2)
    except OSError:  # the host closed it; the copy below must not become fd 2
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    answers = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def _set_signals() -> None:
    for number in (*SHIELDED, signal.SIGPIPE):  # a host that closes stderr must not end us
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*SHIELDED, signal.SIGALRM))


def _die(_kind: type[BaseException], error: BaseException, _trace: object) -> NoReturn:
    """Print the traceback and leave at once: a runtime's own teardown can hang."""
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(1)


def _read_requests(requests: "queue.SimpleQueue[tuple[int, bytearray]]") -> NoReturn:
    """Queue what comes on fd 0, and end the process with it, whatever the main thread does."""
    try:
        while header := _read(REQUEST.size):
            seq, samples = REQUEST.unpack(header)
            requests.put((seq, _read(4 * samples)))
    finally:
        os._exit(0)


def _read(size: int) -> bytearray:
    """Return `size` bytes of fd 0; raises `EOFError` if it ends before."""
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = os.readv(0, [rest])
        if not count:
            raise EOFError
        rest = rest[count:]
    return data


def _served(backend: "Backend", seq: int, audio: bytearray) -> dict[str, object]:
    import numpy as np  # noqa: PLC0415  the recorder imports this module too

    try:
        hypothesis = backend.transcribe(np.frombuffer(audio, dtype="<f4"))
    except ParakeetError as error:
        return {"seq": seq, "error": _fields_of(error)}
    tokens = [[t.id, t.piece, t.start, t.duration, t.probability] for t in hypothesis.tokens]
    return {"seq": seq, "tokens": tokens}


def _fields_of(error: ParakeetError) -> dict[str, str]:
    return {"name": error.name, "message": error.message, "hint": error.hint}


def _answer(fd: int, fields: Mapping[str, object]) -> None:
    text = json.dumps(fields).encode()
    rest = memoryview(LENGTH.pack(len(text)) + text)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        os._exit(0)  # the recorder is gone
