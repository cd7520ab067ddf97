"""The spec of a model's folder, with what its manifest states."""

from pathlib import Path
from typing import Any

from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.store.locate import stated


def spec_of(backend: str, model: str, folder: Path, **how: Any) -> BackendSpec:
    """Return what opens the folder."""
    blank, durations = stated(folder)
    return BackendSpec(backend, model, str(folder), blank=blank, durations=durations, **how)
