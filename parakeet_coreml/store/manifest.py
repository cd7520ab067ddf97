"""What a published model consists of: repository, revision, files. Pure, but for reading our own.

The manifests ship with the package and are the anchor of trust: whatever host, mirror or proxy
serves a file, it counts only if its size and SHA-256 are those stated here.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from parakeet_coreml.errors import ModelCorruptError, UsageError

PUBLISHED: dict[str, tuple[str, ...]] = {
    "v3": ("coreml", "onnx", "mlx"),
    "v3-int8": ("coreml",),
    "v2": ("coreml", "onnx", "mlx"),
    "110m": ("coreml",),
}
"""Models that can be downloaded, and the backends each is published for."""

DURATIONS = (0, 1, 2, 3, 4)
"""Of every published Parakeet TDT, by index, in encoder frames."""

SCHEMA = 1
"""The form of manifest this code reads."""

MARKER = "MANIFEST.json"
"""Name of the manifest in a model's folder; written last, it says that the rest is complete."""

MANIFESTS = Path(__file__).parents[1] / "manifests"


class ModelFile(NamedTuple):
    """One file of a published model."""

    path: str
    """Relative, with `/`."""
    size: int
    """Bytes."""
    sha256: str
    """64 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a published model consists of."""

    name: str
    backend: str
    repository: str
    revision: str
    blank: int
    durations: tuple[int, ...]
    files: tuple[ModelFile, ...]
    encoder: str
    """How the encoder's weights are stored, in a word; empty where nobody knows."""
    flaw: str
    """What is wrong with the published files, and the cure; empty where nothing is known."""
    text: str = field(repr=False)
    """The JSON it came from, as it is written into the model's folder."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def folder(self) -> str:
        """Name of the model's folder.

        The revision is part of it, so a newer pin is installed beside the old one, and the path of
        each stays the same for ever: Core ML's own cache is keyed by it.
        """
        return f"{self.name}-{self.backend}-{self.revision[:12]}"

    def same_files(self, other: "Manifest") -> bool:
        """Return whether both list the same files of the same revision."""
        mine = (self.repository, self.revision, self.files)
        return mine == (other.repository, other.revision, other.files)


def shipped(name: str, backend: str) -> Manifest:
    """Return the manifest of a published model.

    Raises `UsageError` if `name` is not published for `backend`.
    """
    if name not in PUBLISHED:
        raise UsageError(f"no published model '{name}'", f"names are {', '.join(PUBLISHED)}")
    if backend not in PUBLISHED[name]:
        raise no_form(name, backend, PUBLISHED[name])
    text = (MANIFESTS / f"{name}-{backend}.json").read_text(encoding="utf-8")
    return parse_manifest(text)


def published() -> list[Manifest]:
    """Return every shipped manifest."""
    return [shipped(name, backend) for name, backends in PUBLISHED.items() for backend in backends]


def no_form(name: str, backend: str, others: tuple[str, ...]) -> UsageError:
    """Return the error for a model that exists, but not for this backend."""
    return UsageError(
        f"model '{name}' has no form for backend '{backend}'",
        f"use --backend {' or --backend '.join(others)}, or another --model",
    )


_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", re.ASCII)
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.ASCII | re.IGNORECASE)
_SUFFIXES = (".bin", ".data", ".json", ".mil", ".mlmodel", ".onnx", ".safetensors", ".txt")
"""Kinds of file we load. No archive, nothing that unpickles."""
_MAX_SIZE = 1 << 36
_MAX_DEPTH = 8


def parse_manifest(text: str) -> Manifest:
    """Read a manifest; nothing in it is trusted before it was looked at.

    Raises `ModelCorruptError` for anything but a complete manifest with safe names: a path that
    leaves the folder, differs from another by case only, or is not portable is refused.
    """
    try:
        content = json.loads(text)
        files = tuple(_file(entry) for entry in content["files"])
        result = Manifest(
            name=_matching(r"[a-z0-9-]{1,20}", content["name"]),
            backend=_matching(r"coreml|onnx|mlx", content["backend"]),
            repository=_matching(_REPOSITORY.pattern, content["repository"]),
            revision=_matching(r"[0-9a-f]{40}", content["revision"]),
            blank=content["blank"],
            durations=parse_durations(content["durations"]),
            files=files,
            encoder=_matching(r"[\w-]{0,20}", content.get("encoder", "")),
            flaw=_matching(r"[ -~]{0,200}", content.get("flaw", "")),
            text=text,
        )
        total, schema = content["bytes"], content["schema"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelCorruptError(f"not a model manifest: {error}") from error
    _check_names([file.path for file in files])
    if schema != SCHEMA or total != result.size or not is_count(result.blank):
        raise ModelCorruptError("not a model manifest: schema, bytes or blank is wrong")
    return result


def _file(entry: dict[str, Any]) -> ModelFile:
    path, size = _matching(r"[A-Za-z0-9._/-]{1,255}", entry["path"]), entry["size"]
    if not _is_safe(path):
        raise ValueError(f"path {path!r}")
    if not is_count(size) or not 0 < size <= _MAX_SIZE:
        raise ValueError(f"size of {path!r}")
    return ModelFile(path, size, _matching("[0-9a-f]{64}", entry["sha256"]))


def _is_safe(path: str) -> bool:
    """Return whether `path` stays inside its folder and means the same on every file system."""
    parts = path.split("/")
    return (
        len(parts) <= _MAX_DEPTH
        and path.endswith(_SUFFIXES)
        and path.lower() != MARKER.lower()
        and all(_PART.fullmatch(part) for part in parts)
        and not any(part.endswith(".") or _RESERVED.fullmatch(part) for part in parts)
    )


def _check_names(paths: list[str]) -> None:
    """Refuse two files that some file system would take for one, or a file that is a folder too."""
    folded = [path.lower() for path in paths]
    folders = {"/".join(p.split("/")[:i]) for p in folded for i in range(1, p.count("/") + 1)}
    if not paths or len(set(folded)) != len(folded) or folders & set(folded):
        raise ModelCorruptError("not a model manifest: no files, or two with one name")


def _matching(pattern: str, text: object) -> str:
    if not isinstance(text, str) or not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError(f"{text!r} does not look like {pattern}")
    return text


def parse_durations(values: object) -> tuple[int, ...]:
    """Return durations by index, in encoder frames; `ModelCorruptError` if they are none."""
    if not isinstance(values, list) or not values or not all(is_count(v) for v in values):
        raise ModelCorruptError("durations are not a list of whole numbers")
    return tuple(values)


def is_count(value: object) -> bool:
    """Return whether `value` is a whole number from 0 up, and not `true`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
