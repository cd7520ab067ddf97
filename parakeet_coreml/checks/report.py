"""What an examination finds, as JSON and for people."""

import math
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from parakeet_coreml.audio.devices import DeviceInfo
from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.protocol.json_lines import plain
from parakeet_coreml.store.verify import HashedFile

SCHEMA = 1
"""The form of the JSON object; new keys do not change it."""

SECTIONS = {
    "no_device": "No microphone",
    "mic_silent": "Silence",
    "model_missing": "Model missing",
    "model_corrupt": "Model missing",
    "model_unusable": "Exit codes",
    "download_failed": "Behind a proxy",
    "storage": "Exit codes",
}
"""Where the page for people says more, by a problem's code."""

Fields = dict[str, object]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong."""

    code: str
    """As in a recording's `error` line."""
    exit_code: int
    message: str
    cure: str
    blocking: bool
    """Whether the recording that was asked about would fail of it."""

    @classmethod
    def of(cls, error: ParakeetError, *, blocking: bool = True) -> "Problem":
        """Return the problem that an error describes."""
        return cls(error.name, error.exit_code, error.message, runnable(error.hint), blocking)


def runnable(cure: str) -> str:
    """Return a cure as it can be typed here: with this Python's pip, which need not be on PATH.

    The frozen program has none.
    """
    if not cure.startswith("pip "):
        return cure
    if getattr(sys, "frozen", False):
        return "nothing can be installed into this program: get its folder again"
    return f"{shlex.quote(sys.executable)} -m {cure}"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Whether a backend can run here; not whether a model is there."""

    name: str
    chosen: bool
    runs: bool
    runtime: str
    """`onnxruntime 1.30.0`, `reference` (our evaluator); empty if it does not run."""
    reason: str = ""
    cure: str = ""


@dataclass(slots=True)
class ModelState:
    """A model in one form, and how far it is here."""

    name: str
    backend: str
    chosen: bool
    state: str
    """`built in`, `folder`, `installed`, `partial`, `damaged`, `missing` or `unreadable`."""
    bytes: int
    """When complete; 0 where no manifest says so."""
    done_bytes: int
    path: str | None
    encoder: str = ""
    """How the encoder's weights are stored; empty where nobody knows."""
    flaw: str = ""
    """What is wrong with the published files; empty where nothing is known."""
    verified: bool | None = None
    """Whether every hash is right; null if they were not asked, or nothing states them."""
    files: list[HashedFile] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Python:
    """What runs this program."""

    version: str
    implementation: str
    executable: str
    frozen: bool


@dataclass(frozen=True, slots=True)
class System:
    """The machine, as it calls itself."""

    system: str
    release: str
    machine: str
    macos: str | None
    cores: int | None


@dataclass(frozen=True, slots=True)
class Selected:
    """What was asked about, defaults resolved."""

    model: str
    backend: str
    compute_units: str
    device: str | None
    models_dir: str | None


@dataclass(frozen=True, slots=True)
class ComputeUnits:
    """Where Core ML may run a model."""

    choices: tuple[str, ...]
    selected: str
    used: bool
    """Whether the backend asked about has a choice."""
    neural_engine: bool


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are."""

    program: str
    package: str
    built_in_model: str
    models_dir: str | None


@dataclass(frozen=True, slots=True)
class Cache:
    """What takes room and may be removed while nothing runs."""

    what: str
    path: str
    bytes: int


@dataclass(slots=True)
class Report:
    """Everything that was found; the fields are the keys of the JSON object."""

    schema: int
    exit_code: int
    """Of the recording that was asked about, as far as is known without making it."""
    version: str
    python: Python
    system: System
    libraries: dict[str, str | None]
    """Versions; null where a package is absent or nameless."""
    selected: Selected
    backends: list[Runtime]
    compute_units: ComputeUnits
    devices: list[DeviceInfo]
    models: list[ModelState]
    paths: Paths
    caches: list[Cache]
    environment: dict[str, str]
    problems: list[Problem]

    def to_json(self) -> Fields:
        """Return the JSON object. Numbers that are none are null."""
        found = asdict(self)
        for device in found["devices"]:
            device["rate"] = device["rate"] if math.isfinite(device["rate"]) else None
        return found

    def to_text(self) -> str:
        """Return what a person wants to know, the verdict last."""
        return "\n".join(plain(line) for line in _lines(self))


def _lines(report: Report) -> Iterator[str]:
    """Yield the lines of the report."""
    system, selected = report.system, report.selected
    yield (
        f"parakeet-coreml {report.version}, Python {report.python.version}, "
        f"{system.system} {system.macos or system.release} {system.machine}"
    )
    yield f"models in {report.paths.models_dir or '?'}"
    for name, value in report.environment.items():
        yield f"{name}={value}"
    yield from ("", "Backends")
    for backend in report.backends:
        state = backend.runtime if backend.runs else f"does not run: {backend.reason}"
        if state == "reference":
            state = "reference evaluator: slow, for checking models off a Mac"
        yield f"{_mark(backend.chosen)} {backend.name:7} {state}"
    if report.compute_units.used:
        yield f"  compute units: {report.compute_units.selected}"
    yield from ("", "Microphones")
    if not report.devices:
        yield "  none"
    for device in report.devices:
        yield f"{_mark(device.is_default)} {device.index:3}  {device.name}  ({device.rate:g} Hz)"
    yield from ("", "Models")
    yield from _models(report.models)
    yield ""
    for problem in report.problems:
        yield f"{'Error' if problem.blocking else 'Warning'}: {problem.message}"
        yield from (f"  {line}" for line in problem.cure.splitlines())
        if problem.code in SECTIONS:
            yield f"  docs/TROUBLESHOOTING.md: {SECTIONS[problem.code]}"
    what = f"{selected.model} on {selected.backend}"
    if report.exit_code:
        yield f"A recording with {what} would end with exit code {report.exit_code}."
    else:
        yield f"A recording with {what} would work."


def _models(rows: list[ModelState]) -> Iterator[str]:
    for row in rows:
        hashes = {None: "", True: ", every hash is right", False: ", HASHES DIFFER"}[row.verified]
        encoder = f" ({row.encoder} encoder)" if row.encoder else ""
        yield f"{_mark(row.chosen)} {row.name:8} {row.backend:7} {row.state}{hashes}{encoder}"
        if row.flaw and (row.chosen or row.state == "installed"):
            yield f"    {row.flaw}"


def _mark(marked: object) -> str:
    return "*" if marked else " "
