"""Which model files there are, where they are stored, and whether they are what they should be.

A published model is described by a manifest that ships with the package: repository, 40-digit
revision, and path, size and SHA-256 of every file. It is installed in one folder of the models
folder, named `<name>-<backend>-<revision>`, whose `MANIFEST.json` is written last: a folder without
it does not count. `resolve` checks names and sizes only, because it runs before every recording;
`verify.verify` reads every byte. Neither opens a socket, and neither changes anything on disk.
"""

import os
import pwd
import shlex
import stat
import sys
from pathlib import Path
from typing import NamedTuple

from parakeet_coreml.errors import ModelCorruptError, ModelMissingError, StorageError, UsageError
from parakeet_coreml.store.files import has_size, read_json, read_text
from parakeet_coreml.store.manifest import (
    DURATIONS,
    MARKER,
    PUBLISHED,
    SCHEMA,
    Manifest,
    is_count,
    no_form,
    parse_durations,
    parse_manifest,
    shipped,
)

BUILT_IN = "tiny-en"
"""The model that ships inside the package."""

NAMES = (*PUBLISHED, BUILT_IN)
"""What `--model` takes besides a folder."""

BUILT_IN_DIRECTORY = Path(__file__).parents[1] / "tiny_en"

OWN_MANIFESTS = (MARKER, "manifest.json")
"""In a folder that was not downloaded: the hub's name, and that of our conversions."""

LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "onnx": (
        ("vocab.txt",),
        ("encoder-model.int8.onnx", "encoder-model.onnx"),
        ("decoder_joint-model.int8.onnx", "decoder_joint-model.onnx"),
    ),
    "coreml": (
        ("Preprocessor.mlmodelc", "Preprocessor.mlpackage"),
        ("Decoder.mlmodelc", "Decoder.mlpackage"),
        (
            "JointDecisionv3.mlmodelc",
            "JointDecision.mlmodelc",
            "JointDecisionv3.mlpackage",
            "JointDecision.mlpackage",
        ),
        ("parakeet_vocab.json", "vocab.json"),
    ),
    "mlx": (("config.json",), ("model.safetensors",)),
}
"""What a model folder holds, by backend: of every row, one of its names.

Core ML's Encoder is not asked for: 110m has it fused into its Preprocessor.
"""


class Model(NamedTuple):
    """A model that is present, as far as names and sizes show."""

    name: str
    """Name for people: `v3`, `tiny-en`, or the folder's name."""
    backend: str
    directory: Path
    """Absolute; for the backend `scripted`, the script's path."""
    blank: int | None = None
    """Blank id, where a manifest states it; never to be guessed from the vocabulary's length."""
    durations: tuple[int, ...] = DURATIONS
    """Durations by index, in encoder frames; a manifest may state others."""


def default_models_dir() -> Path:
    """Return the platform's folder for models; it need not exist.

    Raises `StorageError` if the user has no home folder.
    """
    if sys.platform == "darwin":
        return _home() / "Library" / "Application Support" / "parakeet-coreml" / "models"
    data = os.environ.get("XDG_DATA_HOME", "")
    base = Path(data) if Path(data).is_absolute() else _home() / ".local" / "share"
    return base / "parakeet-coreml" / "models"


def _home() -> Path:
    home = os.environ.get("HOME", "")
    if not Path(home).is_absolute():
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = ""
    if not Path(home).is_absolute():
        raise StorageError(
            "no home folder: HOME is not set and the user database names none",
            "say where models are stored with --models-dir DIR",
        )
    return Path(home)


def auto_backend() -> str:
    """Return what `--backend auto` means here."""
    return "coreml" if sys.platform == "darwin" and os.uname().machine == "arm64" else "onnx"


def resolve(name: str, backend: str, models_dir: Path | None = None) -> Model:
    """Find the files of model `name` for `backend`; takes a few milliseconds at most.

    `name` is one of `NAMES` or a folder (for `scripted`, a script); `models_dir` defaults to
    `default_models_dir()`. Raises `UsageError` if there is no such model, `ModelMissingError` if
    it is not installed, `ModelCorruptError` if a file of it is not what its manifest says,
    `StorageError` if a folder cannot be read.
    """
    if backend == "scripted":
        return _script(name)
    if backend not in LAYOUTS:
        raise UsageError(f"no backend '{backend}'", f"backends are {', '.join(LAYOUTS)}")
    if name == BUILT_IN:
        return _built_in(backend)
    if name in PUBLISHED:
        return installed(shipped(name, backend), models_dir)
    return _folder(name, backend)


# Installed models


def installed(wanted: Manifest, models_dir: Path | None = None) -> Model:
    """Return a published model, checked by names and sizes.

    Raises `ModelMissingError` if no completed installation of these files is there,
    `ModelCorruptError` if a file is absent or has another size, `StorageError` if the folder is a
    link or cannot be read.
    """
    directory = absolute(models_dir or default_models_dir()) / wanted.folder
    refuse_newer(directory)
    try:
        committed = _committed(wanted, directory)
        wrong = [file for file in wanted.files if not has_size(directory / file.path, file.size)]
    except OSError as error:
        raise StorageError(f"cannot read '{directory}': {error.strerror}") from error
    if not committed:
        raise ModelMissingError(
            f"model '{wanted.name}' is not installed for backend '{wanted.backend}'",
            f"{download_command(wanted, models_dir)}\n"
            f"fetches {wanted.size / 1e6:.0f} MB; "
            f"the built-in --model {BUILT_IN} needs no download",
        )
    if wrong:
        raise ModelCorruptError(
            f"model '{wanted.name}' is damaged: '{directory / wrong[0].path}' is absent, "
            f"a link, or not {wrong[0].size} bytes long",
            download_command(wanted, models_dir),
        )
    return Model(wanted.name, wanted.backend, directory, wanted.blank, wanted.durations)


def download_command(wanted: Manifest, models_dir: Path | None = None) -> str:
    """Return the command that installs or repairs a model; `None` is the default folder."""
    command = f"{_program()} models download {wanted.name} --backend {wanted.backend}"
    return f"{command} --models-dir {shlex.quote(str(models_dir))}" if models_dir else command


def _program() -> str:
    """Return how the reader can call this program: as it was called, if it is not on the PATH."""
    name, called = "parakeet-coreml", sys.argv[0] if sys.argv else ""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    if Path(called).name != name or any(os.access(Path(f, name), os.X_OK) for f in folders if f):
        return name
    return shlex.quote(called)


def refuse_newer(directory: Path) -> None:
    """Leave alone what a newer version of this tool wrote: raise `ModelMissingError`."""
    try:
        content = read_json(directory / MARKER)
    except (OSError, ValueError):
        return
    schema = content.get("schema") if isinstance(content, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise ModelMissingError(
            f"'{directory}' was written by a newer version of parakeet-coreml",
            "update parakeet-coreml, or choose another folder with --models-dir",
        )


def _committed(wanted: Manifest, directory: Path) -> bool:
    """Return whether the folder carries the marker of exactly these files."""
    try:
        if not stat.S_ISDIR(directory.lstat().st_mode):
            raise StorageError(f"'{directory}' is not a folder", "move it away")
        names = os.listdir(directory)  # noqa: PTH208  names are all that is needed
        found = parse_manifest(read_text(directory / MARKER))
    except (FileNotFoundError, ValueError, ModelCorruptError):
        return False
    return found.same_files(wanted) and not any(name.endswith(".partial") for name in names)


def absolute(path: Path) -> Path:
    """Return `path` from the root, links kept: the path is what Core ML's cache is keyed by."""
    return Path(os.path.abspath(path))  # noqa: PTH100  Path.absolute keeps `..`


# The built-in model, folders and scripts


def _built_in(backend: str) -> Model:
    forms = tuple(form for form in LAYOUTS if not _lacking(BUILT_IN_DIRECTORY, form))
    if not forms:
        raise ModelMissingError(
            f"the built-in model is absent from '{BUILT_IN_DIRECTORY}'", "install again"
        )
    if backend not in forms:
        raise no_form(BUILT_IN, backend, forms)
    return _local(BUILT_IN, backend, BUILT_IN_DIRECTORY)


def _folder(name: str, backend: str) -> Model:
    """Take `name` as a folder: 2 not a folder's name, 20 incomplete, 31 unreadable."""
    directory = absolute(Path(name))
    if not name:
        raise UsageError("no model is named", f"names are {', '.join(NAMES)}")
    try:
        mode = directory.stat().st_mode
        if not stat.S_ISDIR(mode):
            raise UsageError(f"'{name}' is not a folder", _expected(backend))
        os.listdir(directory)  # noqa: PTH208  asks whether it can be read
        lacking = _lacking(directory, backend)
    except FileNotFoundError as error:
        if os.sep in name:
            raise ModelMissingError(f"no folder '{name}'", _expected(backend)) from error
        known = f"names are {', '.join(NAMES)}; anything else is a folder"
        raise UsageError(f"no model and no folder '{name}'", known) from error
    except ValueError as error:
        raise UsageError(f"{name!r} is no folder's name: {error}") from error
    except OSError as error:
        raise StorageError(f"cannot read '{name}': {error.strerror}") from error
    if lacking:
        raise ModelMissingError(
            f"'{name}' is no model for backend '{backend}': it lacks {' or '.join(lacking)}",
            _expected(backend),
        )
    return _local(directory.name, backend, directory)


def _lacking(directory: Path, backend: str) -> tuple[str, ...]:
    """Return the first row of the layout that the folder does not fulfil, or nothing."""
    for row in LAYOUTS[backend]:
        if not any((directory / name).exists() for name in row):
            return row
    return ()


def _expected(backend: str) -> str:
    rows = [" or ".join(row) for row in LAYOUTS[backend]]
    return f"a model folder for {backend} holds: {'; '.join(rows)}"


def _local(name: str, backend: str, directory: Path) -> Model:
    """Return a model of no published manifest; its own, if any, may state blank and durations."""
    return Model(name, backend, directory, *stated(directory))


def own_manifest(directory: Path) -> Path | None:
    """Return the manifest stored in a model's folder, if there is one."""
    return next((p for n in OWN_MANIFESTS if os.path.lexists(p := directory / n)), None)


def stated(directory: Path) -> tuple[int | None, tuple[int, ...]]:
    """Return blank and durations as the manifest in a folder states them.

    Blank is None where nothing states it, the durations are those of every published Parakeet TDT.
    For whoever opens a backend on a folder without `resolve`. Raises `ModelCorruptError` for a
    manifest that cannot be read.
    """
    path = own_manifest(directory)
    if path is None:
        return None, DURATIONS
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise ModelCorruptError(f"cannot read '{path}': {error}") from error
    if not isinstance(content, dict):
        raise ModelCorruptError(f"'{path}' is not a JSON object")
    blank, durations = content.get("blank"), content.get("durations")
    if not (blank is None or is_count(blank)):
        raise ModelCorruptError(f"'{path}': blank is not a whole number")
    return blank, DURATIONS if durations is None else parse_durations(durations)


def _script(name: str) -> Model:
    path = absolute(Path(name))
    if not path.is_file():
        raise UsageError(f"no script '{name}'", "with --backend scripted, --model is a JSON script")
    return Model(path.name, "scripted", path)
