"""Backends by name. Importing this loads neither NumPy nor a runtime."""

from parakeet_coreml.backends.base import Backend, BackendInfo, BackendSpec
from parakeet_coreml.errors import ModelUnusableError

NAMES = ("coreml", "onnx", "mlx", "scripted")
"""What `--backend` takes besides `auto`."""


def open_backend(spec: BackendSpec) -> tuple[Backend, BackendInfo]:
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


def _open(spec: BackendSpec) -> tuple[Backend, BackendInfo]:
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
