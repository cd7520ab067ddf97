"""What is here to record with, what is wrong with it, and the cure.

Looks and asks, and changes nothing: no microphone is opened, no internet socket, no file is
written, but for what the libraries behind PortAudio leave, JACK's in /dev/shm and libpulse's in
~/.config. What may crash or hang, PortAudio and the runtimes, is asked in processes of its own, all
at once and for a limited time, so that the answer comes on a broken machine too.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from parakeet_coreml import __version__
from parakeet_coreml.audio.devices import DeviceInfo, chosen
from parakeet_coreml.audio.samples import MAX_RATE, MIN_RATE
from parakeet_coreml.backends.base import COMPUTE_UNITS, INSTALL
from parakeet_coreml.backends.registry import RUNTIMES
from parakeet_coreml.checks.probes import AGAIN, DEVICES, Probes
from parakeet_coreml.checks.report import (
    SCHEMA,
    Fields,
    HashedFile,
    ModelState,
    Problem,
    Report,
    Runtime,
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
from parakeet_coreml.store.manifest import Manifest, published
from parakeet_coreml.store.state import STAGING, state_of

LIBRARIES = (
    *("click", "coremltools", "mlx", "numpy", "onnxruntime", "parakeet-mlx", "sounddevice"),
    *("soundfile", "soxr", "urllib3"),
)

NEEDED = ("numpy", "soxr")
"""Without these, no recording; the runtimes and sounddevice are asked."""


SECRET = re.compile(r"//[^/@\s]*@")
"""Name and password in an address."""


def examine(choice: ModelSelection, device: str | None, *, verify: bool = False) -> Report:
    """Find out what a recording from the microphone with these options would meet.

    With `verify`, every byte of the models that are here is read. Takes `PATIENCE` and some seconds
    at most without it. Raises nothing a user can cause.
    """
    probes = Probes()
    problems: list[Problem] = []
    root = _root(choice, problems)
    rows = _models(choice, root, problems, verify=verify)
    answers = probes.answers()
    devices = _devices(answers[DEVICES], device, problems)
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


def _devices(found: Fields, wanted: str | None, problems: list[Problem]) -> list[DeviceInfo]:
    """Return the microphones, and find out whether the one asked for would do."""
    try:
        devices = _listed(found)
    except NoDeviceError as error:
        problems.append(Problem.of(error))
        return []
    try:
        _check_rate(chosen(devices, wanted))
    except NoDeviceError as error:
        problems.append(Problem.of(error))
    return devices


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
            reason, cure = message, cure or INSTALL[backend]
        case _:
            reason, cure = "an answer that makes no sense", INSTALL[backend]
    if wanted:
        error = ModelUnusableError(f"backend '{backend}' does not run here: {reason}", cure)
        problems.append(Problem.of(error))
    return Runtime(backend, wanted, runs=False, runtime="", reason=reason, cure=cure)


def _lacking_libraries() -> Iterator[Problem]:
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            yield Problem.of(ParakeetError(f"the package {name} is absent", AGAIN))


def _compute_units(choice: ModelSelection) -> Fields:
    apple = sys.platform == "darwin"
    return {
        "choices": list(COMPUTE_UNITS),
        "selected": choice.units,
        "used": apple and choice.backend_name == "coreml",
        "neural_engine": apple and platform.machine() == "arm64",
    }


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
            size = _size(Path(spec.directory))
            rows.append(
                ModelState(spec.model, spec.backend, True, "folder", size, size, spec.directory)  # noqa: FBT003  a field
            )
    except ParakeetError as error:
        problems.insert(0, Problem.of(error))
    for row in rows:
        if verify and row.state in {"installed", "built in", "folder"}:
            _verify(row, choice)
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
        size = _size(folder)
        wanted = (choice.model, choice.backend_name) == (name, backend)
        yield ModelState(name, backend, wanted, "built in", size, size, str(folder))


def _published(choice: ModelSelection, root: Path | None) -> Iterator[ModelState]:
    for manifest in published():
        wanted = (choice.model, choice.backend_name) == (manifest.name, manifest.backend)
        row = ModelState(
            manifest.name, manifest.backend, wanted, "unreadable", manifest.size, 0, None
        )
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


def _manifest_of(row: ModelState) -> Manifest | None:
    """Return the manifest of a published model."""
    if row.state in {"folder", "built in"}:
        return None
    pair = row.name, row.backend
    return next(found for found in published() if (found.name, found.backend) == pair)


def _verify(row: ModelState, choice: ModelSelection) -> None:
    """Hash a model's files and compare them with what is stated, if anything is."""
    folder = Path(row.path or "")
    manifest = _manifest_of(row)
    if choice.backend_name == "scripted" and row.chosen:
        return
    if manifest is None:
        hashes = _own_hashes(folder)
        stated = {path: sha256 for path, sha256 in hashes.items() if _is_of(row.backend, path)}
    else:
        stated = {file.path: file.sha256 for file in manifest.files}
    row.files = [_hashed(folder / path, path, sha256) for path, sha256 in stated.items()]
    if row.files:
        row.verified = all(file.ok for file in row.files)


FORMS = {"onnx": (".onnx",), "coreml": (".mlpackage", ".mlmodelc"), "mlx": (".safetensors",)}
"""What only one backend reads; a bundle may be without the other forms of a model."""


def _is_of(backend: str, path: str) -> bool:
    """Tell whether a file belongs to the model's form for a backend, or to all of them."""
    own = FORMS.get(backend, ())
    others = {suffix for form in FORMS.values() for suffix in form if suffix not in own}
    return Path(path.partition("/")[0]).suffix not in others


def _own_hashes(folder: Path) -> dict[str, str]:
    """Return SHA-256 by path, as our conversions state them; nothing if they do not."""
    for name in locate.OWN_MANIFESTS:
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            match json.loads((folder / name).read_text(encoding="utf-8")):
                case {"files": dict(files)}:
                    return {path: str(stated["sha256"]) for path, stated in files.items()}
                case {"files": [*files]}:
                    return {str(stated["path"]): str(stated["sha256"]) for stated in files}
    return {}


def _hashed(path: Path, name: str, stated: str) -> HashedFile:
    read: list[int] = []
    try:
        found = locate.sha256(path, on_bytes=read.append)
    except (StorageError, ValueError):  # a name with a NUL is no file's
        return HashedFile(name, sum(read), None, ok=False)
    return HashedFile(name, sum(read), found, ok=found == stated)


# The machine


def _python() -> Fields:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "frozen": bool(getattr(sys, "frozen", False)),
    }


def _system() -> Fields:
    about = os.uname()
    return {
        "system": about.sysname,
        "release": about.release,
        "machine": about.machine,
        "macos": platform.mac_ver()[0] or None,
        "cores": os.cpu_count(),
    }


def _selected(choice: ModelSelection, device: str | None) -> Fields:
    return {
        "model": choice.model,
        "backend": choice.backend_name,
        "compute_units": choice.units,
        "device": device,
        "models_dir": choice.models_dir,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _paths(root: Path | None) -> dict[str, str | None]:
    return {
        "program": str(Path(sys.argv[0]).absolute()),
        "package": str(Path(__file__).parents[1]),
        "built_in_model": str(locate.BUILT_IN_DIRECTORY),
        "models_dir": None if root is None else str(root),
    }


def _caches(root: Path | None) -> Iterator[Fields]:
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


def _cache(what: str, path: Path) -> Fields:
    return {"what": what, "path": str(path), "bytes": _size(path)}


def _size(folder: Path) -> int:
    """Return the bytes of the files in a folder, 0 if there is none."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total


def _environment() -> dict[str, str]:
    """Return our own variables, without passwords."""
    own = (name for name in sorted(os.environ) if name.startswith("PARAKEET_COREML_"))
    return {name: SECRET.sub("//***@", os.environ[name]) for name in own}
