"""What a model costs to load and to run, shown by loading and running it once.

The first load of a Core ML model is compiled for the Neural Engine, which takes seconds to minutes,
and a package is compiled before that; both are kept, so whoever runs this after an installation has
recordings that start at once. The process that records loads it in the same way.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from parakeet_coreml.audio.microphone import NOISE_RMS
from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, noise
from parakeet_coreml.backends.worker.client import LIMITS, Limits, WorkerBackend
from parakeet_coreml.errors import ModelUnusableError, ParakeetError, UsageError
from parakeet_coreml.host import stdio
from parakeet_coreml.host.limits import prepare
from parakeet_coreml.selection import ModelSelection

SCHEMA = 1
"""The form of the JSON object; new keys do not change it."""


@dataclass(slots=True)
class Report:
    """What happened; the fields are the keys of the JSON object, null where it did not come to it.

    Times in ms. `ready_ms` counts from the start of the worker process to its being loaded, and
    `load_ms` the loading alone, as `ready` reports it.
    """

    schema: int = SCHEMA
    exit_code: int = 0
    backend: str | None = None
    model: str | None = None
    compute_units: str | None = None
    runtime: str | None = None
    directory: str | None = None
    load_ms: int | None = None
    ready_ms: int | None = None
    window_ms: int | None = None
    """Length of the noise that was transcribed twice."""
    first_window_ms: int | None = None
    second_window_ms: int | None = None
    restarts: int = 0
    """Processes that had to be replaced."""
    error: dict[str, str] | None = None
    """`code`, `message` and `hint`, as in a recording's `error` line."""

    def to_json(self) -> dict[str, object]:
        """Return the JSON object."""
        return asdict(self)

    def to_text(self) -> str:
        """Return what a person wants to know of a run that went well."""
        seconds = (self.window_ms or 0) / 1000
        return "\n".join(
            (
                f"{self.model} on {self.backend} ({self.runtime}, {self.compute_units})",
                f"  load           {self.load_ms:>7} ms, {self.ready_ms} ms with its process",
                f"  first window   {self.first_window_ms:>7} ms for {seconds:g} s of noise",
                f"  second window  {self.second_window_ms:>7} ms",
            )
        )


def warm(choice: ModelSelection, *, limits: Limits = LIMITS) -> Report:
    """Load a model in a worker, transcribe two windows of low noise, and say what that took.

    Raises nothing a user can cause: the error and its exit code are in the report. While it takes
    long, stderr says so.
    """
    prepare()
    report = Report()
    try:
        _measure(choice, report, limits)
    except ParakeetError as error:
        report.exit_code = error.exit_code
        report.error = {"code": error.name, "message": error.message, "hint": error.hint}
    return report


def _measure(choice: ModelSelection, report: Report, limits: Limits) -> None:
    report.backend, report.model, report.compute_units = (
        choice.backend_name,
        choice.model,
        choice.units,
    )
    spec = choice.spec()
    report.model, report.directory = spec.model, spec.directory
    began = time.monotonic()
    backend = WorkerBackend(spec, tell=_tell, limits=limits)
    try:
        info = backend.wait_ready()
        report.ready_ms = _ms_since(began)
        report.compute_units, report.runtime = info.compute_units, info.runtime
        report.load_ms = info.load_ms
        window = noise(min(MODEL_WINDOW, info.max_samples), NOISE_RMS)
        report.window_ms = len(window) * 1000 // SAMPLE_RATE
        report.first_window_ms = _timed(lambda: backend.transcribe(window))
        report.second_window_ms = _timed(lambda: backend.transcribe(window))
    except ModelUnusableError:
        choice.verify()  # damaged files load no better than whole ones that do not fit
        raise
    except UsageError as error:  # a fault in files that only the worker reads
        raise ModelUnusableError(error.message, error.hint) from error
    finally:
        report.restarts = backend.restarts
        backend.close()


def _timed(action: Callable[[], object]) -> int:
    began = time.monotonic()
    action()
    return _ms_since(began)


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _tell(_code: str, message: str) -> None:
    stdio.say(f"Warning: {message}")
