"""How far a published model is here; asked without the libraries that download it."""

import stat
from pathlib import Path

from parakeet_coreml.errors import ModelCorruptError, ModelMissingError
from parakeet_coreml.store.files import tree
from parakeet_coreml.store.locate import installed
from parakeet_coreml.store.manifest import Manifest

STAGING = ".staging"
"""Folder of the models folder for what is not complete."""


def state_of(wanted: Manifest, root: Path) -> tuple[str, int]:
    """Return a model's state by names and sizes, and how many bytes of it are there.

    The states: installed, partial, damaged, missing. Raises `StorageError` if it cannot be read.
    """
    try:
        installed(wanted, root)
    except ModelCorruptError:
        return "damaged", 0
    except ModelMissingError:
        done = min(staged_size(root, wanted.folder), wanted.size)
        return ("partial", done) if done else ("missing", 0)
    return "installed", wanted.size


def staged_size(root: Path, folder: str) -> int:
    """Return how many bytes an unfinished download of `folder` has brought."""
    entries = tree(root / STAGING / folder)
    return sum(e.st_size for p, e in entries if stat.S_ISREG(e.st_mode) and p.suffix != ".meta")
