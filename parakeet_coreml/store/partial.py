"""Files that are still arriving: their folders, their lock, their bytes.

Everything is opened relative to a folder that is already open and never through a link, so that
nobody can make us write elsewhere. A partial is named after the SHA-256 its file will have, and its
bytes are written as they come: a kill loses none that arrived.
"""

import errno
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from parakeet_coreml.errors import DownloadFailedError, StorageError
from parakeet_coreml.store.manifest import ModelFile

READ = 1 << 20
"""Bytes read at a time when a partial is hashed again."""

_POLL = 0.1
"""Seconds between two attempts at a lock."""

NO_SUPPORT = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems say that lack an operation; the two in the middle are one on Linux, not on
macOS, whose network shares say the first of them."""

_NO_LOCKS = (errno.ENOLCK, *NO_SUPPORT)
"""What flock says on file systems without locks."""


def open_folder(name: str, parent: int | None = None) -> int:
    """Open a folder, made if need be; the caller closes the descriptor.

    Raises `StorageError` if it is a link (unless `parent` is None), belongs to someone else, or
    others may write in it; `OSError` if it cannot be opened.
    """
    follow = os.O_NOFOLLOW if parent is not None else 0
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | follow, dir_fd=parent)
    entry = os.fstat(folder)
    wrong = ""
    if entry.st_uid != os.geteuid():
        wrong = f"belongs to user {entry.st_uid}, not to you"
    elif entry.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        wrong = "can be written by other users"
    if wrong:
        os.close(folder)
        where = f"'{name}'" if parent is None else f"'{name}' in the models folder"
        raise StorageError(
            f"folder {where} {wrong}", "run chmod go-w on it, or choose another with --models-dir"
        )
    return folder


@contextmanager
def locked(
    folder: int, name: str, *, patience: float, progress: Callable[[], int]
) -> Iterator[bool]:
    """Hold the lock file `name` in `folder`; gives False where the file system has no locks.

    Waits while `progress()` of the holder rises, and `patience` seconds beyond. A holder that died
    holds nothing: the kernel let go for it. Raises `DownloadFailedError` when patience ends.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    lock = os.open(name, flags, 0o644, dir_fd=folder)
    try:
        _refuse_odd(lock, name)
        held = _lock(lock, patience, progress)
        if held:
            os.ftruncate(lock, 0)
            os.pwrite(lock, b"%d\n" % os.getpid(), 0)
        yield held
    finally:
        os.close(lock)


def try_lock(lock: int) -> bool | None:
    """Take a lock without waiting; None where the file system has no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


@contextmanager
def suppressed(codes: tuple[int, ...]) -> Iterator[None]:
    """Pass over an `OSError` of one of these numbers."""
    try:
        yield
    except OSError as error:
        if error.errno not in codes:
            raise


def _lock(lock: int, patience: float, progress: Callable[[], int]) -> bool:
    seen, since = progress(), time.monotonic()
    while (held := try_lock(lock)) is False:
        if (now := progress()) != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > patience:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            known = holder.isdigit()  # else it has only just begun
            raise DownloadFailedError(
                f"{f'process {holder}' if known else 'another process'} is downloading this model, "
                "but nothing arrives",
                f"wait for it, or end it{f': kill {holder}' if known else ''}; nothing is lost",
            )
        time.sleep(_POLL)
    return held is True


def _refuse_odd(descriptor: int, name: str) -> None:
    """Refuse a pipe, a device, or a file that has a second name elsewhere."""
    entry = os.fstat(descriptor)
    if not stat.S_ISREG(entry.st_mode) or entry.st_nlink != 1 or entry.st_uid != os.geteuid():
        raise StorageError(f"'{name}' in the models folder is not a file of ours", "remove it")


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however little the system takes at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def partial_name(file: ModelFile) -> str:
    """Return the name that a file has while it arrives."""
    return f"{file.sha256}.partial"


class Partial:
    """What has arrived of one file: `<sha256>.partial`, and the server's validator in `.meta`."""

    def __init__(self, folder: int, file: ModelFile) -> None:
        """Open or make the partial in the open folder `folder` and hash what is there.

        Raises `StorageError` if something else is in its place, `OSError` if it will not open.
        """
        self.file = file
        self.name = partial_name(file)
        self._meta = f"{file.sha256}.meta"
        self._folder = folder
        self._descriptor = self._open()
        self._hash = hashlib.sha256()
        self.size = 0
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    @property
    def sha256(self) -> str:
        """SHA-256 of what has arrived, in hexadecimal."""
        return self._hash.hexdigest()

    @property
    def etag(self) -> str:
        """The strong validator its bytes came with, or nothing."""
        try:
            meta = os.open(self._meta, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._folder)
            with os.fdopen(meta, "rb") as stream:
                etag = json.loads(stream.read(4096))["etag"]
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return ""
        return etag if isinstance(etag, str) else ""

    def append(self, block: bytes) -> None:
        """Write `block` behind what is there; `OSError` if the disk will not."""
        write_all(self._descriptor, block)
        self._hash.update(block)
        self.size += len(block)

    def restart(self) -> None:
        """Forget all bytes."""
        self.remember("")
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.size = 0

    def remember(self, etag: str) -> None:
        """Note which version of the file the bytes belong to."""
        with suppress(FileNotFoundError):
            os.unlink(self._meta, dir_fd=self._folder)
        if etag:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            meta = os.open(self._meta, flags, 0o644, dir_fd=self._folder)
            try:
                write_all(meta, json.dumps({"etag": etag}).encode())
            finally:
                os.close(meta)

    def place(self, folder: int, name: str) -> None:
        """Bring the bytes to the disk, then give them their name in `folder`."""
        os.fsync(self._descriptor)
        os.rename(self.name, name, src_dir_fd=self._folder, dst_dir_fd=folder)
        self.remember("")

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            try:
                descriptor = os.open(self.name, flags, dir_fd=self._folder)
            except FileNotFoundError:
                created = flags | os.O_CREAT | os.O_EXCL
                descriptor = os.open(self.name, created, 0o644, dir_fd=self._folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
                what = f"'{self.name}' in the models folder is not a file of ours"
                raise StorageError(what, "remove it") from error
            raise
        try:
            _refuse_odd(descriptor, self.name)
        except StorageError:
            os.close(descriptor)
            raise
        return descriptor

    def _read(self) -> None:
        while block := os.read(self._descriptor, READ):
            self._hash.update(block)
            self.size += len(block)
