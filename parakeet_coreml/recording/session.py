"""One recording: start its parts, serve the host until the end, leave with the right code.

The main thread does nothing but serve the host (`Host.watch`), so that a stop, a signal or the
host's death is seen at every moment. The work happens on the thread `work`, capture on `cut`
(`pipeline`), stdout on `writer`. Nothing heavy is imported before the microphone runs.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples, to_ms, to_samples
from parakeet_coreml.audio.source import Source
from parakeet_coreml.backends.base import BackendInfo, BackendSpec
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.errors import (
    DeadlineError,
    ModelUnusableError,
    OutputLostError,
    ParakeetError,
    SilentMicrophoneError,
    UsageError,
)
from parakeet_coreml.host import stdio
from parakeet_coreml.host.leave import leave
from parakeet_coreml.host.watch import Host, takes_commands
from parakeet_coreml.host.writer import Writer
from parakeet_coreml.protocol import json_lines
from parakeet_coreml.protocol.json_lines import Value
from parakeet_coreml.recognition.geometry import Geometry
from parakeet_coreml.recognition.words import text_of
from parakeet_coreml.selection import Choice
from parakeet_coreml.timing import Waterfall

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    from parakeet_coreml.backends.base import Backend
    from parakeet_coreml.protocol.text import Text
    from parakeet_coreml.recognition.pipeline import Line, Monitor

DRAIN_PATIENCE = 5.0
"""Seconds a blocked stdout is waited for at the end."""

SILENT_AFTER = 3 * SAMPLE_RATE
"""Digital zeros for so long from the start mean: no permission, or muted."""

ABORT_PATIENCE = 0.2
"""Seconds the last line may take when the user wants to leave now."""

STUCK = 720.0
"""Seconds without any movement after a stop; above every limit that has an error of its own."""

MAX_SECONDS = 1e9
"""Largest limit that is one: 30 years."""

HEARD = 0.05
"""Seconds of a file that may be left unread in silence: a rest that resampling rounds away."""

CAPTURE_STUCK = 15.0
"""Seconds a source may take to end after it was told to stop."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `progressive-record` was asked to do."""

    input: str = "mic"
    realtime: bool = False
    input_rate: int = SAMPLE_RATE
    input_encoding: str = "s16le"
    device: str | None = None
    model: str = "v3"
    models_dir: str | None = None
    backend: str = "auto"
    compute_units: str | None = None
    chunk_seconds: float = 15.0
    overlap_seconds: float = 2.0
    max_seconds: float = 14_400.0
    events: str = ""
    meta: bool = False
    words: bool = False
    format: str = "json"
    in_process: bool = False

    @property
    def choice(self) -> Choice:
        """Which model, and who runs it."""
        return Choice(self.model, self.models_dir, self.backend, self.compute_units)

    @property
    def live(self) -> bool:
        """Whether the source plays at its own pace and takes commands."""
        return self.input == "mic" or self.realtime


def record(options: Options, *, waterfall: Waterfall) -> int:
    """Carry out one recording and return its exit code.

    Raises `UsageError` for what no recording can be made of; stdout is untouched then.
    """
    stdio.check_stdout()
    stdio.forbid_core_dumps()
    return Recording(options, waterfall).run()


class Recording:
    """The parts of one recording and how it ends."""

    def __init__(self, options: Options, waterfall: Waterfall) -> None:
        self._options = options
        self._waterfall = waterfall
        self._geometry = Geometry.of(options.chunk_seconds, options.overlap_seconds)
        if not 0 < options.max_seconds <= MAX_SECONDS:
            raise UsageError(
                f"--max-seconds must be above 0 and up to {MAX_SECONDS:g}, "
                f"not {options.max_seconds:g}"
            )
        if options.realtime and options.input == "-":
            raise UsageError(
                "--realtime plays a file, not raw PCM", "its writer sets the pace; leave it out"
            )
        self._wanted = json_lines.parse_events(options.events)
        self._spec: BackendSpec | None = None
        self._info: BackendInfo | None = None
        self._source: Source | None = None
        self._backend: Backend | None = None
        self._monitor: Monitor | None = None
        self._refused: UsageError | None = None
        self._accepted = False
        self._early: list[tuple[str, str]] = []
        self._unready = deque(("capture", "model"))
        self._ready: dict[str, dict[str, Value]] = {}
        self._exit_code = 0
        self._reason: str | None = None
        self._stopped_at: float | None = None
        self._moved = time.monotonic()
        self._spared = False
        self._captured = threading.Event()
        self._finished = threading.Event()
        self._drained = threading.Event()
        self._lock = threading.RLock()

    # On the main thread

    def run(self) -> int:
        """Serve the host until the recording has ended; returns the exit code."""
        stdout = stdio.take_stdout()
        self._host = Host(
            on_stop=self._stop,
            on_abort=self._abort,
            on_lost=self._lose,
            on_odd=lambda message: self._warn("unknown_command", message),
        )
        self._writer = Writer(stdout, on_lost=self._host.wake)
        self._report = self._new_report(stdout)
        threading.excepthook = self._on_bug
        threading.Thread(target=self._work, name="work", daemon=True).start()
        self._serve(self._finished, stdout)
        if self._refused is not None:
            self._let_go()
            raise self._refused
        return self._end()

    def _serve(self, until: threading.Event, stdout: int | None) -> None:
        commands = self._options.live and takes_commands()
        self._host.watch(until, stdout=stdout, commands=commands, each=self._check)

    def _new_report(self, stdout: int) -> "json_lines.JsonLines | Text":
        if self._options.format == "text":
            from parakeet_coreml.protocol.text import Text  # noqa: PLC0415  not for a host

            return Text(self._writer.put, screen=stdio.is_terminal(stdout))
        return json_lines.JsonLines(
            self._writer.put,
            events=self._wanted,
            meta=self._options.meta,
            words=self._options.words,
        )

    def _end(self) -> int:
        """Write the last lines, let everything go, and return the exit code."""
        self._waterfall.mark("done")
        self._report.event("timing", **self._timing())
        self._report.done(**self._meta())
        threading.Thread(target=self._drain, name="drain", daemon=True).start()
        self._serve(self._drained, None)
        self._let_go()
        if not self._writer.flush(0):
            stdio.say("Error: stdout cannot be written; the rest of the text is lost")
            return OutputLostError.exit_code
        return self._exit_code

    def _drain(self) -> None:
        """Wait for stdout on a thread of its own: the user may lose patience meanwhile."""
        self._writer.flush(DRAIN_PATIENCE)
        self._drained.set()
        self._host.wake()

    def _let_go(self) -> None:
        if self._source is not None:
            self._source.close()
        if self._backend is not None:
            self._backend.close()

    def _stop(self, reason: str) -> None:
        """End the recording gracefully; the first reason counts. From any thread."""
        with self._lock:
            self._reason = self._reason or reason
            if self._stopped_at is None:
                self._stopped_at = self._moved = time.monotonic()
                self._waterfall.mark("stop")
        if self._source is not None:
            self._source.stop()
        self._spare_model()

    def _abort(self, code: int) -> None:
        """Leave now: the last line with what there is, no further transcription."""
        self._reason = "cancel"
        self._accept()
        self._report.event("timing", **self._timing())
        self._report.done(**self._meta())
        self._writer.flush(ABORT_PATIENCE)
        self._leave(code)

    def _lose(self) -> None:
        """Leave because nobody reads stdout any more."""
        stdio.say("Error: nobody reads stdout any more; the recording was ended")
        self._leave(OutputLostError.exit_code)

    def _leave(self, code: int) -> None:
        """End the process at once; the system takes the microphone back with it."""
        self._kill_worker()
        leave(code)

    def _kill_worker(self) -> None:
        kill = getattr(self._backend, "kill", None)
        if kill is not None:
            kill()

    def _spare_model(self) -> None:
        """Wait no longer for the model if there is nothing to decode at an early end."""
        # A first compile for the Neural Engine takes minutes and would be lost.
        compiles = self._spec is not None and self._spec.backend == "coreml"
        if self._spared and self._reason is not None and not compiles:
            self._kill_worker()

    def _check(self) -> None:
        """Notice a lost reader, and a recording that was told to end and does not move."""
        if self._writer.lost:
            self._lose()
        stopped = self._stopped_at
        if stopped is None or self._finished.is_set():
            return
        now = time.monotonic()
        # A source that can wait is held up by a slow model, and that has limits of its own.
        waits = not self._options.live or self._captured.is_set()
        source_hangs = not waits and now - stopped > CAPTURE_STUCK
        if source_hangs or now - self._moved > STUCK:
            self._fail(DeadlineError("the recording did not end after it was told to"))
            self._finished.set()

    # On the thread `work`

    def _work(self) -> None:
        try:
            self._transcribe()
        except UsageError as error:
            # Only the worker can find fault with files once the options are accepted.
            if self._accepted:
                self._fail(ModelUnusableError(error.message, error.hint))
            else:
                self._refused = error
        except ParakeetError as error:
            self._fail(error)
        self._finished.set()
        self._host.wake()

    def _transcribe(self) -> None:
        """Start the parts in the order that loses no speech, then follow the lines."""
        self._spec = self._options.choice.spec()
        if not self._options.in_process:
            self._backend = self._start_worker(self._spec)
        if self._options.input == "mic":
            self._accept()
        source = self._source = self._open_source()
        self._accept()
        if self._stopped_at is not None:
            source.stop()
        backend = self._backend or self._open_in_process(self._spec)
        lines = self._lines(source, backend)
        self._await_model(backend)
        for index, line in enumerate(lines):
            self._moved = time.monotonic()
            self._report.chunk(line.words, elapsed=line.elapsed, start=line.start, stop=line.stop)
            self._waterfall.mark("first_chunk")
            if self._report.wants("partial"):
                held = text_of(line.held)
                self._report.event("partial", index=index + 1, text=held, t_ms=to_ms(line.stop))
        self._judge_silence()

    def _accept(self) -> None:
        """Begin the protocol: from now on the last line is `done`."""
        with self._lock:
            if not self._accepted:
                self._accepted = True
                self._report.hello()
                for code, message in self._early:
                    self._report.event("warning", code=code, message=message)

    def _open_source(self) -> Source:
        # Imported here: each brings a library that the others do not need.
        options = self._options
        if options.input == "mic":
            from parakeet_coreml.audio.microphone import LIVE_POLL, Microphone  # noqa: PLC0415  see above

            watched = self._meter or self._report.wants("level") or self._report.wants("speech")
            microphone = Microphone(
                options.device, warn=self._warn, begun=lambda: self._sounds(microphone)
            )
            if watched:
                microphone.poll = LIVE_POLL
            microphone.open()
            self._waterfall.mark("capture")
            return microphone
        if options.input == "-":
            from parakeet_coreml.audio.pcm import PcmSource  # noqa: PLC0415  see above

            rate, encoding = options.input_rate, options.input_encoding
            return PcmSource(stdio.STDIN, rate=rate, encoding=encoding, warn=self._warn)
        from parakeet_coreml.audio.file import FileSource  # noqa: PLC0415  see above

        return FileSource(options.input, realtime=options.realtime, warn=self._warn)

    def _start_worker(self, spec: BackendSpec) -> "Backend":
        from parakeet_coreml.backends.worker import WorkerBackend  # noqa: PLC0415  not in-process

        return WorkerBackend(spec, tell=self._warn)

    def _open_in_process(self, spec: BackendSpec) -> "Backend":
        backend, self._info = open_backend(spec)
        self._backend = backend
        return backend

    def _lines(self, source: Source, backend: "Backend") -> "Iterator[Line]":
        """Begin to listen, and return the lines to come."""
        from parakeet_coreml.recognition import pipeline  # noqa: PLC0415  NumPy loads here, not before
        from parakeet_coreml.recognition.meter import Ear  # noqa: PLC0415  likewise

        wants = self._report.wants
        self._ear = Ear(
            silent=self._warn_silence,
            silent_after=SILENT_AFTER,
            level=self._level if wants("level") or self._meter else None,
            speaking=self._report.event if wants("speech") else None,
        )
        self._monitor = pipeline.Monitor(
            heard=self._ear.heard,
            failed=self._fail,
            end_live=source.stop if self._options.live else None,
            spared=self._on_spared,
        )
        return pipeline.transcribe(
            self._audio(source), backend=backend, geometry=self._geometry, monitor=self._monitor
        )

    def _await_model(self, backend: "Backend") -> None:
        """Wait for the model and tell that it is there; capture runs meanwhile."""
        wait = getattr(backend, "wait_ready", None)
        try:
            info = self._info if wait is None else wait()
        except ParakeetError as error:
            if self._spared and self._reason is not None:
                return  # whatever became of it, nothing is left to be done
            self._stop(error.name)
            if isinstance(error, ModelUnusableError):
                # Whole files that will not load, or damaged ones: only their hashes can tell.
                self._options.choice.verify()
            raise
        self._info = info
        self._moved = time.monotonic()
        self._waterfall.mark("model")
        self._tell_ready("model", _described(info))

    def _tell_ready(self, what: str, fields: dict[str, Value]) -> None:
        """Tell that something is ready; capture before the model, whichever was first."""
        with self._lock:
            self._ready[what] = fields
            while self._unready and self._unready[0] in self._ready:
                first = self._unready.popleft()
                self._report.event("ready", what=first, **self._ready[first])

    # On the thread `cut`

    def _audio(self, source: Source) -> Iterator[Samples]:
        """Yield 16 kHz audio until the source ends or `--max-seconds` is reached."""
        from parakeet_coreml.audio.resample import Counts, to_16k  # noqa: PLC0415  NumPy again

        counts = Counts()
        most = left = to_samples(self._options.max_seconds)
        if self._options.input != "mic":
            self._sounds(source)
        try:
            for block in to_16k(source.blocks(), source.rate, counts=counts):
                yield block[:left]
                left -= len(block)
                if left <= 0:
                    self._stop("max_seconds")
                    break
            if self._options.input == "-":
                self._stop("end_of_input")  # its end is how a host stops it
            self._tell_unread(source, most - max(left, 0))
        finally:
            # Before the last window is decoded: the next recording may want the microphone.
            source.close()
            self._captured.set()
            self._waterfall.mark("capture_end")
            if counts.bad_samples:
                self._warn("nan_samples", f"{counts.bad_samples} samples were not numbers")

    def _tell_unread(self, source: Source, used: int) -> None:
        """Say how much of a file a stop left; one in real time is over like a microphone."""
        if self._options.live or self._reason is None:
            return
        if source.seconds is None:
            self._warn("input_left", "the rest of the file was left unread")
        elif (left := source.seconds - used / SAMPLE_RATE) >= HEARD:
            self._warn("input_left", f"{left:.1f} s of the file were left unread")

    def _on_spared(self) -> None:
        self._spared = True
        self._spare_model()

    def _sounds(self, source: Source) -> None:
        """Tell that sound arrives: a microphone says so itself, before NumPy is there."""
        if self._meter:
            stdio.say("Listening; Ctrl-C ends it")
        self._waterfall.mark("first_sample")
        device: dict[str, Value] = {
            "name": source.name,
            "sample_rate": source.rate,
        }
        self._tell_ready("capture", {"t_ms": 0, "device": device})

    def _level(self, event: str, **fields: Value) -> None:
        self._report.event(event, **fields)
        if self._meter:
            stdio.draw_level(float(str(fields["rms_db"])))

    @property
    def _meter(self) -> bool:
        """Whether a person watches: text on stdout and a terminal on stderr."""
        return (
            self._options.format == "text"
            and self._options.live
            and stdio.is_terminal(stdio.STDERR)
        )

    # What is told, from any thread

    def _warn(self, code: str, message: str) -> None:
        self._moved = time.monotonic()
        with self._lock:
            if self._accepted:
                self._report.event("warning", code=code, message=message)
            else:  # what is refused leaves stdout empty
                self._early.append((code, message))
        stdio.say(f"Warning: {message}")

    def _fail(self, error: ParakeetError) -> None:
        """Tell a failure at once; the first one sets the exit code."""
        with self._lock:
            self._exit_code = self._exit_code or error.exit_code
            self._reason = self._reason or error.name
        self._accept()
        self._report.error(error)
        stdio.say(f"Error: {error.message}" + (f"\n{error.hint}" if error.hint else ""))

    def _warn_silence(self) -> None:
        if self._options.input == "mic":
            message = "the microphone gives only digital silence: muted, or no permission"
            self._warn("mic_silent", message)

    def _judge_silence(self) -> None:
        """Tell at the end what was not speech, and what was speech to nobody."""
        from parakeet_coreml.recognition.windows import length_of  # noqa: PLC0415  NumPy is there by now

        monitor = self._monitor
        if monitor is not None and monitor.missed:
            seconds = length_of(monitor.missed) / SAMPLE_RATE
            self._warn(
                "no_words", f"no words were recognised in {seconds:.1f} s of sound like speech"
            )
        captured = monitor.captured if monitor is not None else 0
        silent = not self._ear.sounded and captured >= SILENT_AFTER
        if self._options.input == "mic" and silent:
            raise SilentMicrophoneError("the microphone gave only digital silence", _silence_hint())

    def _on_bug(self, args: threading.ExceptHookArgs) -> None:
        """Turn an unexpected exception on any thread into an error line and exit code 1."""
        import traceback  # noqa: PLC0415  start-up is not for bugs

        frames = traceback.extract_tb(args.exc_traceback)
        where = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "?"
        kind = args.exc_type.__name__
        self._fail(ParakeetError(f"internal error: {kind} in {where}: {args.exc_value}", BUG_HINT))
        self._finished.set()
        self._host.wake()

    def _meta(self) -> dict[str, Value]:
        """Return what `--meta` adds to the last line."""
        described = _described(self._info)
        monitor = self._monitor
        account: dict[str, Value] = {}
        if monitor is not None:
            captured, transcribed, silent = monitor.captured, monitor.transcribed, monitor.silent
            # Not the pipeline's own count: it may have been left behind with windows undecoded.
            account = {
                "captured": captured,
                "transcribed": transcribed,
                "silent": silent,
                "lost": captured - transcribed - silent,
            }
        return {
            "backend": described.get("backend", self._spec.backend if self._spec else None),
            "model": described.get("model", self._spec.model if self._spec else None),
            "stop_reason": self._reason or "end_of_input",
            "audio_ms": to_ms(monitor.captured) if monitor is not None else 0,
            "samples": account,
        }

    def _timing(self) -> dict[str, Value]:
        stages: dict[str, Value] = dict(self._waterfall.stages().items())
        restarts = getattr(self._backend, "restarts", 0)
        return {**_described(self._info), "stages": stages, "restarts": restarts}


BUG_HINT = "please report this with the command line and the version"


def _silence_hint() -> str:
    if sys.platform == "darwin":
        return (
            "allow the app that started this in System Settings, Privacy & Security, Microphone; "
            "check that the microphone is not muted"
        )
    return "check that the microphone is not muted; `parakeet-coreml devices` lists the others"


def _described(info: BackendInfo | None) -> dict[str, Value]:
    """Return what is told of a loaded model; nothing before it is loaded."""
    if info is None:
        return {}
    described: dict[str, Value] = {
        "backend": info.backend,
        "model": info.model,
        "compute_units": info.compute_units,
        "runtime": info.runtime,
        "load_ms": info.load_ms,
    }
    return described if info.warm is None else {**described, "warm": info.warm}
