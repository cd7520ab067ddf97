"""Whether a model's bytes are what was stated: every file read, every SHA-256 compared."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from parakeet_coreml.errors import ModelCorruptError, StorageError
from parakeet_coreml.store.files import read_json, sha256
from parakeet_coreml.store.locate import OWN_MANIFESTS, Model, download_command, resolve
from parakeet_coreml.store.manifest import PUBLISHED, Manifest, shipped

FORMS = {"onnx": (".onnx",), "coreml": (".mlpackage", ".mlmodelc"), "mlx": (".safetensors",)}
"""What only one backend reads; a bundle may be without the other forms of a model."""


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file that was read whole."""

    path: str
    bytes: int
    sha256: str | None
    """None if it cannot be read."""
    ok: bool


def verify(
    name: str,
    backend: str,
    models_dir: Path | None = None,
    *,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Model:
    """Read every byte of a model and compare it with the manifest; the disk sets the pace.

    `on_bytes` gets the number of bytes read since its last call. Models without a manifest
    of files (a folder, the built-in one) are only resolved. Raises what `resolve` raises, and
    `ModelCorruptError` naming the first file that differs. Deletes nothing.
    """
    model = resolve(name, backend, models_dir)
    if name in PUBLISHED and backend != "scripted":
        wanted = shipped(name, backend)
        verify_files(wanted, model.directory, models_dir, on_bytes=on_bytes)
    return model


def verify_files(
    wanted: Manifest,
    directory: Path,
    models_dir: Path | None = None,
    *,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> None:
    """Compare every file in `directory` with its SHA-256; as `verify` does.

    `models_dir` is what the hint of the error repeats.
    """
    for file in wanted.files:
        path = directory / file.path
        if sha256(path, on_bytes=on_bytes) != file.sha256:
            raise ModelCorruptError(
                f"model '{wanted.name}' is damaged: "
                f"'{path}' does not have the SHA-256 of its manifest",
                download_command(wanted, models_dir),
            )


def hashed(directory: Path, backend: str, manifest: Manifest | None) -> list[HashedFile]:
    """Read every file of a model whose SHA-256 is stated, and say which differ.

    Stated by `manifest` or, for a folder without a published one, by the folder's own; nothing is
    returned where nothing is stated. Raises nothing for what is there.
    """
    if manifest is None:
        own = _own_hashes(directory)
        stated = {path: digest for path, digest in own.items() if _is_of(backend, path)}
    else:
        stated = {file.path: file.sha256 for file in manifest.files}
    return [_hashed(directory / path, path, digest) for path, digest in stated.items()]


def _is_of(backend: str, path: str) -> bool:
    """Return whether a file belongs to the model's form for a backend, or to all of them."""
    own = FORMS.get(backend, ())
    others = {suffix for form in FORMS.values() for suffix in form if suffix not in own}
    return Path(path.partition("/")[0]).suffix not in others


def _own_hashes(folder: Path) -> dict[str, str]:
    """Return SHA-256 by path, as our conversions state them; nothing if they do not."""
    for name in OWN_MANIFESTS:
        with suppress(OSError, ValueError, TypeError, KeyError):
            return dict(_pairs(read_json(folder / name)))
    return {}


def _pairs(content: object) -> Iterator[tuple[str, str]]:
    """Yield paths and hashes of a manifest of either form."""
    match content:
        case {"files": dict(files)}:
            yield from ((path, str(stated["sha256"])) for path, stated in files.items())
        case {"files": [*files]}:
            yield from ((str(stated["path"]), str(stated["sha256"])) for stated in files)
        case _:
            raise ValueError("it lists no files")


def _hashed(path: Path, name: str, stated: str) -> HashedFile:
    read: list[int] = []
    try:
        found = sha256(path, on_bytes=read.append)
    except (StorageError, ValueError):  # a name with a NUL is no file's
        return HashedFile(name, sum(read), None, ok=False)
    return HashedFile(name, sum(read), found, ok=found == stated)
