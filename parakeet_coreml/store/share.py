"""Files that two models have in common are stored once, under two names."""

import os
from collections.abc import Iterator
from pathlib import Path

from parakeet_coreml.store.files import has_size, sha256
from parakeet_coreml.store.manifest import Manifest, ModelFile, published


def borrow(file: ModelFile, wanted: Manifest, root: Path, folder: int, name: str) -> bool:
    """Link `file` of another installed model as `name` into the open `folder`, if one has it.

    A name of its own for the same bytes: either model can be removed, and a repair replaces files
    and never writes into one. False where there is none, the file system has no links, or the bytes
    are not the stated ones.
    """
    for path in _elsewhere(file, wanted, root):
        try:
            os.link(path, name, dst_dir_fd=folder, follow_symlinks=False)
        except OSError:
            continue
        if sha256(name, folder=folder) == file.sha256:
            return True
        os.unlink(name, dir_fd=folder)
    return False


def _elsewhere(file: ModelFile, wanted: Manifest, root: Path) -> Iterator[Path]:
    """Yield where else the file should be: through no link, with the right size."""
    for other in published():
        if other.folder == wanted.folder:
            continue
        home = root / other.folder
        for same in other.files:
            path = home / same.path
            if (
                same.sha256 == file.sha256
                and has_size(path, file.size)
                and path.resolve() == root.resolve() / other.folder / same.path
            ):
                yield path
