"""One recording: start its parts, serve the host until the end, leave with the right code.

The main thread serves the host (`Host.watch`): it sees a stop, a signal, the host's death at once.
The work happens on `work`, capture on `cut` (`pipeline`), stdout on `writer`. What happens there
is a fact for `ending`, which decides; its orders are carried out here.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from parakeet_coreml import lastwords
from parakeet_coreml.audio.onset import Onset
from parakeet_coreml.audio.samples import to_ms, to_samples
from parakeet_coreml.audio.source import Source
from parakeet_coreml.backends.base import BackendInfo, BackendSpec, Supervised
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.errors import DeadlineError, ModelUnusableError, ParakeetError, UsageError
from parakeet_coreml.host import leave, limits, stdio, watch, writer
from parakeet_coreml.protocol import json_lines
from parakeet_coreml.protocol.json_lines import Value
from parakeet_coreml.recording import ending, summary
from parakeet_coreml.recording.capture import Capture, Watcher
from parakeet_coreml.recording.ending import Ending, Order, Phase
from parakeet_coreml.recording.notices import Notices, report_of
from parakeet_coreml.recording.options import Options
from parakeet_coreml.recording.sources import Again, Told, open_source
from parakeet_coreml.threads import Thread
from parakeet_coreml.timing import Waterfall

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    from parakeet_coreml.backends.base import Backend
    from parakeet_coreml.recognition.account import Account
    from parakeet_coreml.recognition.live import Forecast
    from parakeet_coreml.recognition.pipeline import Line

DRAIN_PATIENCE = 5.0
"""Seconds a blocked stdout is waited for at the end."""

ABORT_PATIENCE = 0.2
"""Seconds the last line may take when the user wants to leave now."""


def record(options: Options, *, waterfall: Waterfall) -> int:
    """Carry out one recording and return its exit code.

    Raises `UsageError` for what no recording can be made of; stdout is untouched then.
    """
    stdio.check_stdout()
    limits.prepare()
    return Recording(options, waterfall).run()


class Recording:
    """The parts of one recording, and what its threads do."""

    def __init__(self, options: Options, waterfall: Waterfall) -> None:
        self._options = options
        self._waterfall = waterfall
        self._geometry = options.geometry()
        json_lines.parse_events(options.events)  # refused before anything begins
        self._ending = Ending(live=options.live)
        self._lock = threading.RLock()
        self._spec: BackendSpec | None = None
        self._info: BackendInfo | None = None
        self._capture = Capture(
            options,
            open_source=self._open_source,
            watcher=Watcher(
                sounds=self._sounds,
                paused=lambda: self._say_state("paused"),
                stop=self._stop,
                warn=self._warn,
                left=self._left,
                ended=self._captured,
            ),
        )
        self._backend: Backend | None = None
        self._worker: Supervised | None = None
        self._account: Account | None = None
        self._refused: UsageError | None = None
        self._sounding = self._paused = self._done = False
        self._index = 0  # of the chunk line that is open
        self._moved = time.monotonic()
        self._finished = threading.Event()
        self._drained = threading.Event()
        self._acts: dict[Order, Callable[[], object]] = {
            Order.STOP_SOURCE: self._stop_source,
            Order.KILL_WORKER: self._kill_worker,
            Order.SAY_DEADLINE: self._say_deadline,
            Order.WRITE_DONE: self._write_done,
            Order.DRAIN: self._begin_to_drain,
            Order.FLUSH: lambda: self._writer.flush(ABORT_PATIENCE),
            Order.SAY_UNREAD: lambda: stdio.say(summary.unread(self._writer.cause)),
            Order.SAY_READER_LOST: lambda: stdio.say(summary.reader_lost(self._writer.cause)),
            Order.LET_GO: self._let_go,
            Order.REFUSE: self._refuse,
            # The system takes the microphone back with the process.
            Order.LEAVE: lambda: leave.leave(self._ending.exit_code),
        }

    # On the main thread

    def run(self) -> int:
        """Serve the host until the recording has ended; returns the exit code."""
        try:
            return self._run()
        except UsageError:
            raise
        except BaseException as error:  # noqa: BLE001  whatever it is, the host must not wait
            return self._crashed(error)

    def _run(self) -> int:
        stdout = stdio.take_stdout()
        lastwords.owe(stdout if self._options.format == "json" else -1)
        self._host = watch.Host(
            on_stop=self._stop,
            on_abort=lambda code: self._happened(ending.Aborted(code)),
            on_lost=lambda: self._happened(ending.ReaderLost()),
            on_odd=self._warn,
            commands={b"pause": self._capture.pause, b"resume": self._capture.resume},
        )
        self._writer = writer.Writer(stdout, on_lost=self._host.wake)
        self._report = report_of(self._options, self._writer.put, stdout)
        self._notices = Notices(self._report)
        threading.excepthook = self._on_bug
        Thread(target=self._work, name="work").start()
        self._serve(self._finished, stdout)
        self._happened(ending.Finished() if self._refused is None else ending.Refused())
        self._serve(self._drained, None)
        self._happened(ending.Drained(whole=self._writer.flush(0)))
        return self._ending.exit_code

    def _serve(self, until: threading.Event, stdout: int | None) -> None:
        commands = self._options.live and watch.takes_commands()
        self._host.watch(until, stdout=stdout, commands=commands, each=self._check)

    def _check(self) -> None:
        """Notice a lost reader, and how long nothing has moved."""
        if self._writer.lost:
            self._happened(ending.ReaderLost())
        now = time.monotonic()
        if not self._finished.is_set():
            self._happened(ending.Tick(now, now - self._moved))

    # How it ends, from any thread

    def _happened(self, fact: ending.Fact) -> None:
        """Pass on a fact, and carry out what follows from it."""
        with self._lock:
            self._ending, orders = self._ending.on(fact)
        for order in orders:
            self._acts[order]()

    def _stop_source(self) -> None:
        by_hand = self._ending.reason in ending.BY_HAND
        self._capture.stop(self._options.tail_ms / 1000 if by_hand else 0.0)

    def _kill_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()

    def _say_deadline(self) -> None:
        self._fail(DeadlineError("the recording did not end after a stop was asked for"))
        self._finished.set()

    def _refuse(self) -> None:
        if self._refused is not None:
            raise self._refused

    def _write_done(self) -> None:
        self._notices.accept()
        if self._ending.phase is Phase.DRAINING:
            self._waterfall.mark("done")
        info, spec = self._info, self._spec
        self._report.event("timing", **summary.timing(info, spec, self._waterfall, self._worker))
        reason = self._ending.reason or "end_of_input"
        self._report.done(**summary.meta(info, spec, self._account, reason))
        self._done = True

    def _begin_to_drain(self) -> None:
        self._drained.clear()  # which an earlier bug has set
        try:
            Thread(target=self._drain, name="drain").start()
        except RuntimeError:  # no thread for it: the user's patience has to do
            self._drain()

    def _drain(self) -> None:
        """Wait for stdout on a thread of its own: the user may lose patience meanwhile."""
        self._writer.flush(DRAIN_PATIENCE)
        self._over(self._drained)

    def _let_go(self) -> None:
        self._capture.close()
        if self._backend is not None:
            self._backend.close()

    def _stop(self, reason: str) -> None:
        """End the recording gracefully; the first reason counts."""
        now = time.monotonic()
        if self._ending.stopped_at is None:
            self._moved = now
            self._waterfall.mark("stop")
        self._happened(ending.Stop(reason, now))

    # On the thread `work`

    def _work(self) -> None:
        try:
            self._transcribe()
        except UsageError as error:
            # Only the worker can find fault with files once the options are accepted.
            if self._notices.accepted:
                self._fail(ModelUnusableError(error.message, error.hint))
            else:
                self._refused = error
        except ParakeetError as error:
            self._fail(error)
        self._over(self._finished)

    def _over(self, stage: threading.Event) -> None:
        """Let the main thread go on."""
        stage.set()
        self._host.wake()

    def _transcribe(self) -> None:
        """Start the parts in the order that loses no speech, then follow the lines."""
        limits.check_memory()
        self._spec = self._options.selection.spec()
        self._happened(ending.Selected(compiles=self._spec.backend == "coreml"))
        if not self._options.in_process:
            self._backend = self._worker = self._start_worker(self._spec)
        if self._options.input == "mic":
            self._notices.accept()
        self._capture.open()
        self._notices.accept()
        backend = self._backend or self._open_in_process(self._spec)
        lines = self._lines(backend)
        self._await_model()
        for line in self._notices.followed(lines, self._options.language):
            self._moved = time.monotonic()
            self._report.chunk(line.words, elapsed=line.elapsed, start=line.start, stop=line.stop)
            self._index += 1
            self._waterfall.mark("first_chunk")
        if self._account is not None and (words := summary.wordless(self._account, self._levels)):
            self._warn("no_words", words)
        if self._options.input == "mic":
            summary.check_microphone(self._account, self._levels)

    def _open_source(self, again: Again) -> Source:
        watched = self._report.wants("level") or self._report.wants("speech")
        mark = self._waterfall.mark
        told = Told(warn=self._warn, begun=lambda: mark("first_sample"), sounds=self._sounds)
        source = open_source(self._options, told, watched=watched, again=again)
        if self._options.input == "mic":
            mark("capture")
        return source

    def _start_worker(self, spec: BackendSpec) -> Supervised:
        from parakeet_coreml.backends.worker.client import WorkerBackend  # noqa: PLC0415  not in-process

        return WorkerBackend(spec, tell=self._warn)

    def _open_in_process(self, spec: BackendSpec) -> "Backend":
        self._backend, self._info = open_backend(spec)
        return self._backend

    def _lines(self, backend: "Backend") -> "Iterator[Line]":
        """Begin to listen, and return the lines to come."""
        from parakeet_coreml.recognition import pipeline  # noqa: PLC0415  NumPy loads here, not before
        from parakeet_coreml.recognition.account import Account, Listener  # noqa: PLC0415  likewise
        from parakeet_coreml.recognition.meter import LevelMeter  # noqa: PLC0415  likewise

        wants = self._report.wants
        self._levels = LevelMeter(
            silent=self._warn_silence,
            silent_after=summary.SILENT_AFTER,
            level=self._report.event if wants("level") else None,
            speaking=self._report.event if wants("speech") else None,
        )
        listener = Listener(
            heard=self._levels.heard,
            failed=self._fail,
            end_live=self._capture.stop if self._options.live else None,
            nothing_to_decode=lambda: self._happened(ending.NothingToDecode()),
            quiet=self._quiet,
            look_within=self._capture.look_within,
            rests=self._capture.rests,
            forecast=self._forecast if wants("partial") else None,
            measured=summary.measuring(self._waterfall, self._report.event),
        )
        self._account = Account()
        return pipeline.transcribe(
            self._capture.audio(),
            backend=backend,
            plan=pipeline.Plan(self._geometry, self._options.speculates, self._worker),
            listener=listener,
            account=self._account,
        )

    def _forecast(self, forecast: "Forecast", at: int) -> None:
        text, stable = forecast.texts
        self._waterfall.mark("first_partial")
        self._report.event("partial", index=self._index, text=text, stable=stable, t_ms=to_ms(at))

    def _await_model(self) -> None:
        """Wait for the model and report it ready; capture runs meanwhile."""
        try:
            info = self._info if self._worker is None else self._worker.wait_ready()
        except ParakeetError as error:
            if self._ending.needs_no_model:
                return  # whatever became of it, nothing is left to be done
            self._stop(error.name)
            if isinstance(error, ModelUnusableError):
                # Whole files that will not load, or damaged ones: only their hashes can show it.
                self._options.selection.verify()
            raise
        self._info, self._moved = info, time.monotonic()
        self._waterfall.mark("model")
        self._notices.loaded(info)

    # On the thread `cut`, and where the host asks

    def _captured(self) -> None:
        self._happened(ending.Captured())
        self._waterfall.mark("capture_end")

    def _left(self, source: Source, used: int) -> None:
        """Say what an end left unheard."""
        reason, live = self._ending.reason, self._options.live
        if left := summary.left_of(source, used, reason, live=live):
            self._warn("input_left", left)

    def _say_state(self, state: str, **more: Value) -> None:
        self._paused = state == "paused"
        captured = self._account.captured if self._account is not None else 0
        self._report.event("state", state=state, t_ms=to_ms(captured), **more)

    def _quiet(self, samples: int) -> None:
        """End the recording after so long without speech, once there was some."""
        limit, quiet = self._options.auto_stop, self._capture.quiet_of(samples)
        if limit is not None and self._options.live and quiet >= to_samples(limit):
            self._stop("auto_stop")

    def _sounds(self, source: Source, onset: Onset) -> None:
        """Tell that sound arrives: a microphone says so itself, before NumPy is there."""
        if not self._sounding:
            self._sounding = True
            self._waterfall.mark("first_sample")
            self._notices.listening(source, onset, live=self._options.live)
        if self._paused:
            self._say_state("recording", **summary.silent(onset))

    # What is reported, from any thread

    def _warn(self, code: str, message: str) -> None:
        self._moved = time.monotonic()
        self._notices.warn(code, message)

    def _fail(self, error: ParakeetError) -> None:
        """Say a failure at once; the first one sets the exit code."""
        if isinstance(error, UsageError) and self._writer.unused:
            self._refused = error  # a stream, which only the first bytes could show
            self._over(self._finished)
        if self._refused is not None:
            return  # what fails as it is closed then is no news
        self._happened(ending.Failed(error.name, error.exit_code))
        self._notices.fail(error)

    def _warn_silence(self, sounded: bool) -> None:  # noqa: FBT001  it is the whole message
        if self._options.input == "mic":
            self._warn("mic_silent", summary.MUTED if sounded else summary.SILENT)

    def _on_bug(self, args: threading.ExceptHookArgs) -> None:
        """Turn an unexpected exception on any thread into an error line and exit code 1."""
        try:
            self._tell_bug(args.exc_value)
        finally:  # what cannot even be said must not leave the host waiting
            self._over(self._drained)  # the bug may be in waiting for the reader
            self._over(self._finished)

    def _tell_bug(self, error: BaseException | None) -> None:
        """Say a bug; one behind `done` changes nothing that the host was promised."""
        if not self._done:
            self._happened(ending.Failed(ParakeetError.name, ParakeetError.exit_code))
        self._notices.fail(summary.bug(error))

    def _crashed(self, error: BaseException) -> int:
        """End as after a bug on any other thread, or, where that fails too, by `lastwords`."""
        with contextlib.suppress(BaseException):
            if self._done or self._ending.phase is not Phase.DRAINING:
                self._tell_bug(error)
                self._happened(ending.Finished())
                self._happened(ending.Drained(whole=self._writer.flush(DRAIN_PATIENCE)))
                return self._ending.exit_code
        if hasattr(self, "_writer"):
            self._writer.rescue(DRAIN_PATIENCE)
        raise error
