"""Put a published model into the models folder, all of it or none, and take it out again.

    <models>/.staging/<folder>.lock        held while one process downloads
    <models>/.staging/<folder>/            `<sha256>.partial` of the file that is arriving
    <models>/.staging/<folder>/files/      files whose bytes have been verified
    <models>/<folder>/                     renamed from `files` once it is complete, marker last

A kill at any moment leaves either the old state or the new one. Of two that download at once
without a lock, where the file system has none, the rename makes the later one harmless.
"""

import fcntl
import functools
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from parakeet_coreml.errors import (
    DownloadFailedError,
    ModelCorruptError,
    ModelMissingError,
    StorageError,
)
from parakeet_coreml.store.fetch import fetch
from parakeet_coreml.store.files import make_folders, sha256, tree
from parakeet_coreml.store.http import Limits, Mirror, is_offline
from parakeet_coreml.store.locate import (
    Model,
    absolute,
    default_models_dir,
    installed,
    refuse_newer,
)
from parakeet_coreml.store.manifest import MARKER, Manifest, ModelFile
from parakeet_coreml.store.partial import (
    NO_SUPPORT,
    Partial,
    locked,
    open_folder,
    partial_name,
    suppressed,
    try_lock,
    write_all,
)
from parakeet_coreml.store.share import borrow
from parakeet_coreml.store.state import STAGING, staged_size
from parakeet_coreml.store.verify import verify_files

STALE = 30 * 24 * 3600.0
"""Seconds after which what an abandoned download left is removed."""

_HEADROOM = 1.05
"""Free space asked for, per byte still to come."""

Progress = Callable[[int], None]
"""Called often, with the number of bytes of the model that are there."""


def install(
    wanted: Manifest,
    models_dir: Path | None = None,
    *,
    limits: Limits = Limits(),  # noqa: B008  frozen
    on_progress: Progress = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Model:
    """Download a model, or what is missing of it, and verify every byte; nothing if it is whole.

    `tell` is given a line for people whenever the network failed and is tried again.
    Raises `DownloadFailedError`, `StorageError`, `UsageError` for a useless mirror, and
    `ModelMissingError` if a newer version of this tool wrote the model's folder.
    """
    root = absolute(models_dir or default_models_dir())
    refuse_newer(root / wanted.folder)
    if model := _whole(wanted, root):
        return model
    try:
        with _staging(wanted, root, limits) as stage:
            if not _whole(wanted, root):  # another process may have been quicker
                _sweep(stage)
                if stage.held:
                    _adopt(stage)
                _gather(stage, Mirror(limits, tell), on_progress)
                _commit(stage)
            shutil.rmtree(stage.name, dir_fd=stage.staging)
    except OSError as error:
        raise StorageError(
            f"cannot write in '{root}': {error.strerror}",
            "free some space, or choose another folder with --models-dir; what arrived is kept",
        ) from error
    return installed(wanted, root)


def _whole(wanted: Manifest, root: Path) -> Model | None:
    """Return the model if it is installed and every byte of it is right."""
    try:
        model = installed(wanted, root)
        verify_files(wanted, model.directory)
    except (ModelMissingError, ModelCorruptError):
        return None
    return model


# The staging folder


@dataclass(frozen=True, slots=True)
class _Stage:
    """Open folders of one download."""

    wanted: Manifest
    root: Path
    root_folder: int
    staging: int
    name: str
    """Of `folder`, within `staging`."""
    folder: int
    files: int
    held: bool
    """Whether the lock is; else the file system has none, and `name` is nobody else's."""

    @property
    def files_path(self) -> Path:
        return self.root / STAGING / self.name / "files"

    def remaining(self) -> int:
        """Return how many bytes are still to come, sizes taken at their word."""
        total = 0
        for file in self.wanted.files:
            if not (self.files_path / file.path).is_file():
                total += file.size
                with suppress(FileNotFoundError):
                    there = os.lstat(partial_name(file), dir_fd=self.folder).st_size
                    total -= min(there, file.size)
        return total


@contextmanager
def _staging(wanted: Manifest, root: Path, limits: Limits) -> Iterator[_Stage]:
    """Open the folders, hold the lock."""
    make_folders(root.parent)
    folders: list[int] = []
    try:
        folders.append(open_folder(str(root)))
        folders.append(open_folder(STAGING, folders[0]))
        arrived = functools.partial(staged_size, root, wanted.folder)
        lock = f"{wanted.folder}.lock"
        with locked(folders[1], lock, patience=limits.lock, progress=arrived) as held:
            name = wanted.folder if held else f"{wanted.folder}.{os.getpid()}-{token_hex(4)}"
            folders.append(open_folder(name, folders[1]))
            folders.append(open_folder("files", folders[2]))
            top, staging, folder, files = folders
            yield _Stage(wanted, root, top, staging, name, folder, files, held=held)
    finally:
        for folder in reversed(folders):
            os.close(folder)


def _sweep(stage: _Stage) -> None:
    """Remove what downloads left that were given up long ago; never one that is going on."""
    for name in os.listdir(stage.staging):  # noqa: PTH208  of an open folder
        entries = tree(stage.root / STAGING / name)
        newest = max((entry.st_mtime for _, entry in entries), default=time.time())
        if name != stage.name and time.time() - newest > STALE:
            _remove_if_free(stage, name)


def _remove_if_free(stage: _Stage, name: str) -> None:
    lock_name = f"{name.partition('.')[0]}.lock"
    if lock_name == f"{stage.wanted.folder}.lock":  # ours, and held
        shutil.rmtree(name, dir_fd=stage.staging)
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    lock = os.open(lock_name, flags, 0o644, dir_fd=stage.staging)
    try:
        if try_lock(lock) is not False:
            shutil.rmtree(name, dir_fd=stage.staging)
    finally:
        os.close(lock)


def _adopt(stage: _Stage) -> None:
    """Take over the files of a damaged installation: few of them will be wrong."""
    old = stage.root / stage.wanted.folder
    try:
        entry = old.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(entry.st_mode) or entry.st_uid != os.geteuid():
        raise StorageError(f"'{old}' is not a folder of ours", "move it away")
    (old / MARKER).unlink(missing_ok=True)
    for file in stage.wanted.files:
        path = old / file.path
        if path.is_file() and path.resolve() == old.resolve() / file.path:  # through no link
            with _parent(stage, file) as (folder, name):
                os.rename(path, name, dst_dir_fd=folder)
    _discard(stage)


def _discard(stage: _Stage) -> None:
    """Remove the installed folder, out of sight first."""
    old = stage.root / stage.wanted.folder
    trash = f"{stage.wanted.folder}.{token_hex(4)}-old"
    os.rename(old, trash, dst_dir_fd=stage.staging)
    shutil.rmtree(trash, dir_fd=stage.staging)


# Gathering the files


def _gather(stage: _Stage, mirror: Mirror, on_progress: Progress) -> None:
    """Bring every file that is not there yet, nor in another model, each verified."""
    done, missing = 0, []
    for file in stage.wanted.files:
        if _is_there(stage, file) or _borrowed(stage, file):
            done += file.size
            on_progress(done)
        else:
            missing.append(file)
    if missing:
        _check_network(stage.wanted)
        _check_space(stage)
    for file in missing:
        _bring(stage, mirror, file, functools.partial(_shift, on_progress, done))
        done += file.size


def _bring(stage: _Stage, mirror: Mirror, file: ModelFile, on_progress: Progress) -> None:
    with Partial(stage.folder, file) as partial:
        fetch(mirror, mirror.url(stage.wanted, file), partial, on_progress)
        with _parent(stage, file) as (folder, name):
            partial.place(folder, name)


def _shift(on_progress: Progress, done: int, size: int) -> None:
    on_progress(done + size)


def _is_there(stage: _Stage, file: ModelFile) -> bool:
    """Return whether a file is staged, by its hash; a wrong one is removed."""
    with _parent(stage, file) as (folder, name):
        try:
            entry = os.lstat(name, dir_fd=folder)
        except FileNotFoundError:
            return False
        if entry.st_size == file.size and sha256(name, folder=folder) == file.sha256:
            return True
        os.unlink(name, dir_fd=folder)
    return False


def _borrowed(stage: _Stage, file: ModelFile) -> bool:
    """Take a file from another model that is installed, rather than from the network."""
    with _parent(stage, file) as (folder, name):
        return borrow(file, stage.wanted, stage.root, folder, name)


def _check_network(wanted: Manifest) -> None:
    if is_offline():
        raise DownloadFailedError(
            f"model '{wanted.name}' is to be downloaded, but the environment forbids the network",
            "unset PARAKEET_COREML_OFFLINE and HF_HUB_OFFLINE",
        )


def _check_space(stage: _Stage) -> None:
    disk = os.fstatvfs(stage.root_folder)
    free, need = disk.f_bavail * disk.f_frsize, int(stage.remaining() * _HEADROOM)
    if free < need:
        raise StorageError(
            f"the disk of '{stage.root}' has {free} bytes free; the model needs {need} more",
            "free some space, or choose another folder with --models-dir",
        )


@contextmanager
def _parent(stage: _Stage, file: ModelFile) -> Iterator[tuple[int, str]]:
    """Open the staged folder that `file` goes into; give it with the file's own name."""
    *parts, name = file.path.split("/")
    folder = os.dup(stage.files)
    try:
        for part in parts:
            inner = open_folder(part, folder)
            os.close(folder)
            folder = inner
        yield folder, name
    finally:
        os.close(folder)


# Committing and removing


def _commit(stage: _Stage) -> None:
    """Make the staged files the installed model: marker, disk, rename, disk."""
    _write_marker(stage)
    for folder in {Path(file.path).parent for file in stage.wanted.files}:
        for path in (folder, *folder.parents):
            _sync(stage.files_path / path)
    if (stage.root / stage.wanted.folder).exists():  # where there are no locks
        if _whole(stage.wanted, stage.root):
            return
        _discard(stage)
    os.rename("files", stage.wanted.folder, src_dir_fd=stage.folder, dst_dir_fd=stage.root_folder)
    with suppressed(NO_SUPPORT):
        os.fsync(stage.root_folder)


def _write_marker(stage: _Stage) -> None:
    with suppress(FileNotFoundError):
        os.unlink(MARKER, dir_fd=stage.files)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    marker = os.open(MARKER, flags, 0o644, dir_fd=stage.files)
    try:
        write_all(marker, stage.wanted.text.encode())
        os.fsync(marker)
        if full := getattr(fcntl, "F_FULLFSYNC", None):  # macOS: fsync stops at the drive's cache
            with suppressed(NO_SUPPORT):  # as a network share does, which knows only fsync
                fcntl.fcntl(marker, full)
    finally:
        os.close(marker)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with suppressed(NO_SUPPORT):  # some network shares sync files, but no folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_removable(wanted: Manifest, root: Path) -> bool:
    """Return whether there is anything of a model, installed or unfinished.

    Raises `ModelMissingError` if a newer version made it, `StorageError` if nobody can say.
    """
    refuse_newer(root / wanted.folder)
    try:
        return (root / wanted.folder).exists() or (root / STAGING / wanted.folder).exists()
    except OSError as error:
        raise StorageError(f"cannot look into '{root}': {error.strerror}") from error


def remove(wanted: Manifest, models_dir: Path | None = None) -> bool:
    """Remove an installed model and what an unfinished download left; whether there was any.

    Raises `StorageError` if it is not ours to remove, or is being downloaded right now.
    """
    root = absolute(models_dir or default_models_dir())
    if not is_removable(wanted, root):
        return False
    try:
        with _staging(wanted, root, Limits(lock=0.0)) as stage:
            _adopt(stage)  # the marker goes first: what is left of a kill is no model
            shutil.rmtree(stage.name, dir_fd=stage.staging)
    except DownloadFailedError as error:
        raise StorageError(
            f"model '{wanted.name}' is being downloaded right now", error.hint
        ) from error
    except OSError as error:
        raise StorageError(f"cannot remove from '{root}': {error.strerror}") from error
    return True
