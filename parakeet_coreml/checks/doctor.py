"""What is here to record with, what is wrong with it, and the cure.

Looks and asks, and changes nothing: no microphone is opened, no internet socket, no file is
written, but for what the libraries behind PortAudio leave, JACK's in /dev/shm and libpulse's in
~/.config. What may crash or hang, PortAudio and the runtimes, is asked in processes of its own, all
at once and for a limited time, so that the answer comes on a broken machine too.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from parakeet_coreml import __version__
from parakeet_coreml.audio.devices import DeviceInfo, first_there
from parakeet_coreml.audio.samples import MAX_RATE, MIN_RATE
from parakeet_coreml.backends.base import COMPUTE_UNITS, INSTALL
from parakeet_coreml.backends.registry import RUNTIMES
from parakeet_coreml.checks.probes import AGAIN, DEVICES, Probes
from parakeet_coreml.checks.report import (
    SCHEMA,
    Cache,
    ComputeUnits,
    Fields,
    ModelState,
    Paths,
    Problem,
    Python,
    Report,
    Runtime,
    Selected,
    System,
    runnable,
)
from parakeet_coreml.errors import (
    ModelCorruptError,
    ModelMissingError,
    ModelUnusableError,
    NoDeviceError,
    ParakeetError,
    StorageError,
    UsageError,
)
from parakeet_coreml.selection import ModelSelection
from parakeet_coreml.store import locate
from parakeet_coreml.store.files import size_of
from parakeet_coreml.store.manifest import Manifest, published
from parakeet_coreml.store.state import STAGING, state_of
from parakeet_coreml.store.verify import hashed

LIBRARIES = (
    *("click", "coremltools", "mlx", "numpy", "onnxruntime", "parakeet-mlx", "sounddevice"),
    *("soundfile", "soxr", "urllib3"),
)

NEEDED = ("numpy", "soxr")
"""Without these, no recording; the runtimes and sounddevice are asked."""


SECRET = re.compile(r"//[^/@\s]*@")
"""Name and password in an address."""


def examine(choice: ModelSelection, wanted: Sequence[str], *, verify: bool = False) -> Report:
    """Find out what a recording from the microphone with these options would meet.

    `wanted` are microphones, of which the first that is there counts; none for the default.
    With `verify`, every byte of the models that are here is read. Takes `PATIENCE` and some seconds
    at most without it. Raises nothing a user can cause.
    """
    probes = Probes()
    problems: list[Problem] = []
    root = _root(choice, problems)
    rows = _models(choice, root, problems, verify=verify)
    answers = probes.answers()
    devices, device = _devices(answers[DEVICES], wanted, problems)
    problems += _lacking_libraries()
    backends = [_runtime(name, choice, answers[name], problems) for name in RUNTIMES]
    first = next((problem for problem in problems if problem.blocking), None)
    return Report(
        schema=SCHEMA,
        exit_code=first.exit_code if first else 0,
        version=__version__,
        python=_python(),
        system=_system(),
        libraries={name: _version(name) for name in LIBRARIES},
        selected=_selected(choice, device),
        backends=backends,
        compute_units=_compute_units(choice),
        devices=devices,
        models=rows,
        paths=_paths(root),
        caches=list(_caches(root)),
        environment=_environment(),
        problems=problems,
    )


# Microphones and runtimes


def _devices(
    found: Fields, wanted: Sequence[str], problems: list[Problem]
) -> tuple[list[DeviceInfo], str | None]:
    """Return the microphones and the one asked for, and find out whether it would do.

    One is named as it was asked for, one of several by its name.
    """
    first = wanted[0] if wanted else None
    try:
        devices = _listed(found)
    except NoDeviceError as error:
        problems.append(Problem.of(error))
        return [], first
    try:
        info, wrong = first_there(devices, wanted)
        if wrong is not None:
            problems.append(Problem.of(wrong, blocking=False))
        first = info.name if len(wanted) > 1 else first
        _check_rate(info)
    except NoDeviceError as error:
        problems.append(Problem.of(error))
    return devices, first


def _listed(found: Fields) -> list[DeviceInfo]:
    match found:
        case {"devices": [*devices]}:
            return [DeviceInfo(**fields) for fields in devices if isinstance(fields, dict)]
        case {"failed": {"message": str(message), "cure": str(cure)}}:
            raise NoDeviceError(f"cannot ask for microphones: {message}", cure)
    raise NoDeviceError("cannot ask for microphones: an answer that makes no sense")


def _check_rate(device: DeviceInfo) -> None:
    if not MIN_RATE <= device.rate <= MAX_RATE:  # true for NaN
        raise NoDeviceError(
            f"{device.name!r} records at {device.rate:g} Hz, outside {MIN_RATE} to {MAX_RATE}",
            "choose another one: parakeet-coreml progressive-record --device NAME",
        )


def _runtime(
    backend: str, choice: ModelSelection, found: Fields, problems: list[Problem]
) -> Runtime:
    """Return whether a backend runs; that it does not is a problem if it is the chosen one."""
    wanted = backend == choice.backend_name
    match found:
        case {"runtime": str(runtime)}:
            return Runtime(backend, wanted, runs=True, runtime=runtime)
        case {"failed": {"message": str(message), "cure": str(cure)}}:
            reason, cure = message, runnable(cure or INSTALL[backend])
        case _:
            reason, cure = "an answer that makes no sense", runnable(INSTALL[backend])
    if wanted:
        error = ModelUnusableError(f"backend '{backend}' does not run here: {reason}", cure)
        problems.append(Problem.of(error))
    return Runtime(backend, wanted, runs=False, runtime="", reason=reason, cure=cure)


def _lacking_libraries() -> Iterator[Problem]:
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            yield Problem.of(ParakeetError(f"the package {name} is absent", AGAIN))


def _compute_units(choice: ModelSelection) -> ComputeUnits:
    apple = sys.platform == "darwin"
    return ComputeUnits(
        COMPUTE_UNITS,
        choice.units,
        used=apple and choice.backend_name == "coreml",
        neural_engine=apple and platform.machine() == "arm64",
    )


# Models


def _root(choice: ModelSelection, problems: list[Problem]) -> Path | None:
    """Return the models folder; None if there is no home folder to have it in."""
    try:
        return locate.absolute(choice.folder or locate.default_models_dir())
    except StorageError as error:
        problems.append(Problem.of(error, blocking=False))
        return None


def _models(
    choice: ModelSelection, root: Path | None, problems: list[Problem], *, verify: bool
) -> list[ModelState]:
    """Return every model, and find out whether the one asked for is here."""
    rows = [*_built_in(choice), *_published(choice, root)]
    try:
        spec = choice.spec()
        if not any(row.chosen for row in rows):
            size = size_of(Path(spec.directory))
            rows.append(
                ModelState(spec.model, spec.backend, True, "folder", size, size, spec.directory)  # noqa: FBT003  a field
            )
    except ParakeetError as error:
        problems.insert(0, Problem.of(error))
    for row in rows:
        if verify and row.state in {"installed", "built in", "folder"} and not _scripted(row):
            row.files = hashed(Path(row.path or ""), row.backend, _manifest_of(row))
            row.verified = all(file.ok for file in row.files) if row.files else None
        if row.verified is False:
            problems.append(_damaged(row, choice))
        elif row.state in {"damaged", "partial"} and not row.chosen:
            problems.append(_unfinished(row, choice))
    return rows


def _built_in(choice: ModelSelection) -> Iterator[ModelState]:
    name = locate.BUILT_IN
    for backend in RUNTIMES:
        try:
            folder = locate.resolve(name, backend).directory
        except (UsageError, ModelMissingError, ModelCorruptError):
            continue
        size = size_of(folder)
        wanted = (choice.model, choice.backend_name) == (name, backend)
        yield ModelState(name, backend, wanted, "built in", size, size, str(folder))


def _published(choice: ModelSelection, root: Path | None) -> Iterator[ModelState]:
    for manifest in published():
        wanted = (choice.model, choice.backend_name) == (manifest.name, manifest.backend)
        row = ModelState(
            manifest.name, manifest.backend, wanted, "unreadable", manifest.size, 0, None
        )
        row.encoder, row.flaw = manifest.encoder, manifest.flaw
        if root is not None:
            row.path = str(root / manifest.folder)
            with suppress(StorageError, OSError):
                row.state, row.done_bytes = state_of(manifest, root)
        yield row


def _damaged(row: ModelState, choice: ModelSelection) -> Problem:
    """Return the problem of a model with a wrong hash."""
    wrong = next(file.path for file in row.files if not file.ok)
    error = ModelCorruptError(
        f"model '{row.name}' is damaged: '{wrong}' does not have the SHA-256 of its manifest",
        _cure(row, choice),
    )
    return Problem.of(error, blocking=row.chosen)


def _unfinished(row: ModelState, choice: ModelSelection) -> Problem:
    """Return the problem of a model that nobody asked for."""
    kind = ModelCorruptError if row.state == "damaged" else ModelMissingError
    error = kind(f"model '{row.name}' for {row.backend} is {row.state}", _cure(row, choice))
    return Problem.of(error, blocking=False)


def _cure(row: ModelState, choice: ModelSelection) -> str:
    manifest = _manifest_of(row)
    if manifest is not None:
        return locate.download_command(manifest, choice.folder)
    return AGAIN if row.state == "built in" else "make or copy the model folder again"


def _scripted(row: ModelState) -> bool:
    return row.backend == "scripted"


def _manifest_of(row: ModelState) -> Manifest | None:
    """Return the manifest of a published model."""
    if row.state in {"folder", "built in"}:
        return None
    pair = row.name, row.backend
    return next(found for found in published() if (found.name, found.backend) == pair)


# The machine


def _python() -> Python:
    return Python(
        platform.python_version(),
        platform.python_implementation(),
        sys.executable,
        frozen=bool(getattr(sys, "frozen", False)),
    )


def _system() -> System:
    about = os.uname()
    macos = platform.mac_ver()[0] or None
    return System(about.sysname, about.release, about.machine, macos, os.cpu_count())


def _selected(choice: ModelSelection, device: str | None) -> Selected:
    return Selected(choice.model, choice.backend_name, choice.units, device, choice.models_dir)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _paths(root: Path | None) -> Paths:
    return Paths(
        program=str(Path(sys.argv[0]).absolute()),
        package=str(Path(__file__).parents[1]),
        built_in_model=str(locate.BUILT_IN_DIRECTORY),
        models_dir=None if root is None else str(root),
    )


def _caches(root: Path | None) -> Iterator[Cache]:
    """Yield what takes room and may be removed while nothing runs."""
    if root is not None:
        for what, name in (("unfinished downloads", STAGING), ("compiled packages", "compiled")):
            yield _cache(what, root / name)
    home = os.environ.get("HOME", "")
    if sys.platform == "darwin" and home:
        # Core ML names a process's folder by its bundle or its file.
        names = {"parakeet-coreml", "python3", "org.python.python", Path(sys.executable).name}
        for name in sorted(names):
            folder = Path(home, "Library", "Caches", name, "com.apple.e5rt.e5bundlecache")
            yield _cache("Core ML's compiled models", folder)


def _cache(what: str, path: Path) -> Cache:
    return Cache(what, str(path), size_of(path))


def _environment() -> dict[str, str]:
    """Return our own variables, without passwords."""
    own = (name for name in sorted(os.environ) if name.startswith("PARAKEET_COREML_"))
    return {name: SECRET.sub("//***@", os.environ[name]) for name in own}
