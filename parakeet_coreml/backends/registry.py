"""Backends by name, each described once. Importing this loads neither NumPy nor a runtime."""

from collections.abc import Callable
from typing import NamedTuple

from parakeet_coreml.backends.base import (
    COMPUTE_UNITS,
    INSTALL,
    Backend,
    BackendInfo,
    BackendSpec,
)
from parakeet_coreml.errors import ModelUnusableError
from parakeet_coreml.store.locate import LAYOUTS

Opened = tuple[Backend, BackendInfo]


class Entry(NamedTuple):
    """What there is to know of a backend without loading it."""

    name: str
    """What `--backend` takes."""
    open: Callable[[BackendSpec], Opened]
    """Imports the backend's module, and loads a model. Raises `ImportError` too."""
    package: str = ""
    """The runtime's package, as it is imported; empty where none is needed."""
    units: tuple[str, ...] = ()
    """The compute units it lets one choose from."""

    @property
    def layout(self) -> tuple[tuple[str, ...], ...]:
        """What a model's folder holds, of every row one name; empty if a model is no folder."""
        return LAYOUTS.get(self.name, ())

    @property
    def install(self) -> str:
        """The command that installs the package; empty where none is needed."""
        return INSTALL.get(self.name, "")


# Imported inside the functions: nothing else of the package may load a runtime.


def _coreml(spec: BackendSpec) -> Opened:
    from parakeet_coreml.backends import coreml  # noqa: PLC0415  lazy by design

    return coreml.open_coreml(spec)


def _onnx(spec: BackendSpec) -> Opened:
    from parakeet_coreml.backends import onnx  # noqa: PLC0415  lazy by design

    return onnx.open_onnx(spec)


def _mlx(spec: BackendSpec) -> Opened:
    from parakeet_coreml.backends import mlx  # noqa: PLC0415  lazy by design

    return mlx.open_mlx(spec)


def _scripted(spec: BackendSpec) -> Opened:
    from parakeet_coreml.backends import scripted  # noqa: PLC0415  lazy by design

    return scripted.open_scripted(spec)


ENTRIES = {
    entry.name: entry
    for entry in (
        Entry("coreml", _coreml, "coremltools", COMPUTE_UNITS),
        Entry("onnx", _onnx, "onnxruntime"),
        Entry("mlx", _mlx, "parakeet_mlx"),
        Entry("scripted", _scripted),
    )
}
"""Every backend by its name."""

NAMES = tuple(ENTRIES)
"""What `--backend` takes besides `auto`."""

RUNTIMES = {name: entry.package for name, entry in ENTRIES.items() if entry.package}
"""The package behind each backend that has one."""


def open_backend(spec: BackendSpec) -> Opened:
    """Load the backend that `spec` names.

    Raises `ModelUnusableError` if the files are not what the backend needs, `ModelMissingError` or
    `ModelCorruptError` if they are absent or damaged.
    """
    if spec.backend not in ENTRIES:
        raise ValueError(spec.backend)
    try:
        return ENTRIES[spec.backend].open(spec)
    except ImportError as error:
        raise ModelUnusableError(
            f"the backend {spec.backend} cannot be loaded: {error}",
            "install what it needs, or choose another with --backend",
        ) from error
