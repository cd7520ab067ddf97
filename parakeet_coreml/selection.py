"""What the options of a model mean: which backend, which files, which compute units."""

import os
from dataclasses import dataclass
from pathlib import Path

from parakeet_coreml.backends.base import BackendSpec, Term
from parakeet_coreml.store import locate


@dataclass(frozen=True, slots=True)
class ModelSelection:
    """The options that recording, `doctor` and `warm` share."""

    model: str = "v3"
    models_dir: str | None = None
    backend: str = "auto"
    compute_units: str | None = None
    terms: tuple[Term, ...] = ()
    boost: float = 1.0
    language: str | None = None

    @property
    def backend_name(self) -> str:
        """The backend by name, `auto` resolved."""
        return locate.auto_backend() if self.backend == "auto" else self.backend

    @property
    def units(self) -> str:
        """The compute units, the default resolved."""
        return self.compute_units or default_units()

    @property
    def folder(self) -> Path | None:
        """The folder of models that was given; None is the default one."""
        return Path(self.models_dir) if self.models_dir else None

    def spec(self) -> BackendSpec:
        """Find the model's files, by names and sizes. Raises what `locate.resolve` raises."""
        model = locate.resolve(self.model, self.backend_name, self.folder)
        folder = str(self.folder.absolute()) if self.folder else ""
        return BackendSpec(
            self.backend_name,
            model.name,
            str(model.directory),
            self.units,
            models_dir=folder,
            blank=model.blank,
            durations=model.durations,
            terms=self.terms,
            boost=self.boost,
            language=self.language or "",
        )

    def verify(self) -> None:
        """Read every byte of the model. Raises what `verify.verify` raises."""
        from parakeet_coreml.store.verify import verify  # noqa: PLC0415  no recording asks for it

        verify(self.model, self.backend_name, self.folder)


def default_units() -> str:
    """Return the Neural Engine, except on macOS 14, where it crashes on long recordings.

    macOS 14 is Darwin 23. `platform` would parse a property list, with the microphone waiting.
    """
    system = os.uname()
    sonoma = system.sysname == "Darwin" and system.release.split(".")[0] == "23"
    return "cpu_and_gpu" if sonoma else "cpu_and_ne"
