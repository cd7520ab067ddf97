"""Backends by name. Importing this loads neither NumPy nor a runtime."""

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from parakeet_coreml.errors import ModelUnusableError

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    from parakeet_coreml.backends.base import Backend

NAMES = ("coreml", "onnx", "mlx", "scripted")
"""What `--backend` takes besides `auto`."""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """What a worker needs to open a backend; crosses the process border as JSON."""

    backend: str
    """One of `NAMES`."""
    model: str
    """Name for people: `tiny-en`, `v3`, or the folder's name."""
    directory: str
    """Folder with the model's files; for `scripted`, the script's path."""
    compute_units: str = "cpu_and_ne"
    models_dir: str = ""
    """Folder of models that was asked for; Core ML keeps what it compiled there."""
    served: int = 0
    """Windows answered or given up before this process started."""
    attempt: int = 0
    """Restarts already spent on the window that comes first, those while loading included."""

    def to_json(self) -> str:
        """Return the spec as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "BackendSpec":
        """Return the spec that `to_json` wrote."""
        return cls(**json.loads(text))

    def retried(self, *, served: int, attempt: int) -> "BackendSpec":
        """Return the spec for a fresh process."""
        return replace(self, served=served, attempt=attempt)


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """What a loaded backend says of itself; for the `ready` line and `timing`."""

    backend: str
    model: str
    compute_units: str
    """What runs it: `cpu` for ONNX Runtime here."""
    runtime: str
    """`onnxruntime 1.30.0`, `coreml`, `reference` (our evaluator), `scripted`, …"""
    max_samples: int
    load_ms: int
    warm: bool | None = None
    """Of Core ML alone: False if loading took as long as it does where the Neural Engine's form of
    the model has to be compiled first."""


def open_backend(spec: BackendSpec) -> "tuple[Backend, BackendInfo]":
    """Load the backend that `spec` names.

    Raises `ModelUnusableError` if the files are not what the backend needs, `ModelMissingError` or
    `ModelCorruptError` if they are absent or damaged.
    """
    try:
        return _open(spec)
    except ImportError as error:
        raise ModelUnusableError(
            f"the backend {spec.backend} cannot be loaded: {error}",
            "install what it needs, or choose another with --backend",
        ) from error


def _open(spec: BackendSpec) -> "tuple[Backend, BackendInfo]":
    # Imported here, one branch each: nothing else of the package may load a runtime.
    if spec.backend == "scripted":
        from parakeet_coreml.backends import scripted  # noqa: PLC0415  lazy by design

        return scripted.open_scripted(spec)
    if spec.backend == "onnx":
        from parakeet_coreml.backends import onnx  # noqa: PLC0415  lazy by design

        return onnx.open_onnx(spec)
    if spec.backend == "coreml":
        from parakeet_coreml.backends import coreml  # noqa: PLC0415  lazy by design

        return coreml.open_coreml(spec)
    if spec.backend == "mlx":
        from parakeet_coreml.backends import mlx  # noqa: PLC0415  lazy by design

        return mlx.open_mlx(spec)
    raise ValueError(spec.backend)
