"""Reading what is stored in a folder of models, whatever that is: plain files, up to a limit.

A pipe without a writer, a link to /dev/zero, a device or a file without an end must cost neither
time nor memory, so each file is opened without waiting, looked at, and read up to a limit.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from parakeet_coreml.errors import StorageError

MANIFEST_LIMIT = 1 << 20
"""Most bytes of a manifest; ours have 5 kB."""

READ = 1 << 20
"""Bytes read at a time; hashing a megabyte takes about a millisecond."""

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


def read_text(path: Path, limit: int = MANIFEST_LIMIT) -> str:
    """Return the UTF-8 text of a plain file, or of one that a link leads to.

    Raises `OSError` if it cannot be opened or read, `ValueError` if it is no plain file, larger
    than `limit` bytes, or no text.
    """
    with os.fdopen(os.open(path, _FLAGS), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("it is not a plain file")
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it is larger than {limit} bytes")
    return data.decode("utf-8")


def read_json(path: Path, limit: int = MANIFEST_LIMIT) -> object:
    """Return the value that a file of JSON states; raises as `read_text` does."""
    try:
        value: object = json.loads(read_text(path, limit))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def has_size(path: Path, size: int) -> bool:
    """Return whether `path` is a plain file of `size` bytes; a link is not."""
    try:
        entry = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(entry.st_mode) and entry.st_size == size


def tree(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Give everything in a folder, and the folder; what vanishes is left out."""
    for parent, _, names in os.walk(folder):  # unlike rglob, does not mind what vanishes
        for path in (Path(parent), *(Path(parent, name) for name in names)):
            with suppress(FileNotFoundError, NotADirectoryError):
                yield path, path.lstat()


def make_folders(folder: Path) -> None:
    """Make a folder, and those above it, where nobody but us may write whatever the umask.

    Raises `OSError`; what is there already is left as it is.
    """
    if not folder.is_dir():
        make_folders(folder.parent)
        try:
            folder.mkdir(0o755)
        except FileExistsError:  # by another process, just now
            if not folder.is_dir():
                raise


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder, 0 if there is none or it cannot be read."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total


def sha256(
    path: Path | str,
    *,
    folder: int | None = None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> str:
    """Return the SHA-256 of a plain file, in hexadecimal; `path` may count from an open `folder`.

    `on_bytes` gets the number of bytes read since its last call. Raises `StorageError` if it
    cannot be read, or is a link or a pipe.
    """
    import hashlib  # noqa: PLC0415  loads OpenSSL; `resolve` does without

    digest = hashlib.sha256()
    try:
        with os.fdopen(os.open(path, _FLAGS | os.O_NOFOLLOW, dir_fd=folder), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise StorageError(f"'{path}' is not a plain file")
            while block := stream.read(READ):
                digest.update(block)
                on_bytes(len(block))
    except OSError as error:
        raise StorageError(f"cannot read '{path}': {error.strerror}") from error
    return digest.hexdigest()
