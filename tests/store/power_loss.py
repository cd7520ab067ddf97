"""A disk that remembers: what a power cut leaves of a sequence of file operations."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Replay = Callable[[Path, int, str], None]


@dataclass
class Journal:
    """Notes, in order, what is done to the files below `root`.

    A file is named by the descriptor that wrote it, followed through renames when it is replayed.
    """

    root: Path
    steps: list[tuple[Any, ...]] = field(default_factory=list)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Note the operations that `os` is asked for from now on."""
        for name in ("open", "write", "fsync", "ftruncate", "mkdir", "rename", "unlink", "rmdir"):
            monkeypatch.setattr(os, name, self._noting(name, getattr(os, name)))

    def _noting(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            before = self._step(name, args, kwargs)
            result = real(*args, **kwargs)
            if before is not None:
                self.steps.append(before)
            return result

        return noted

    def _step(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name in ("write", "fsync", "ftruncate"):
            path = self._of(args[0])
            data = (bytes(args[1]),) if name == "write" else args[1:]
            return path and (name, path, *data)
        if name == "open" and not args[1] & os.O_CREAT:
            return None
        path = self._path(args[0], kwargs.get("dir_fd") or kwargs.get("src_dir_fd"))
        if path is None:
            return None
        if name == "rename":
            return (name, path, self._path(args[1], kwargs.get("dst_dir_fd")))
        return (name, path)

    def _of(self, descriptor: int) -> str | None:
        return self._path(Path(f"/proc/self/fd/{descriptor}").readlink(), None)

    def _path(self, path: Any, folder: int | None) -> str | None:
        base = Path(f"/proc/self/fd/{folder}").readlink() if folder is not None else Path()
        whole = Path(base / path)
        return str(whole.relative_to(self.root)) if whole.is_relative_to(self.root) else None

    def replay(self, target: Path, count: int, unsynced: str) -> None:
        """Make in `target` what a cut after `count` steps leaves.

        `unsynced` says what becomes of written bytes that no fsync followed: all are `kept`, all
        are `lost`, or the last are `garbled`. Names, as on a journalling file system, are kept.
        """
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        safe: dict[str, int] = {}
        for step in self.steps[:count]:
            self._apply(target, step, safe)
        for path in [p for p in target.rglob("*") if p.is_file()]:
            synced = safe.get(str(path.relative_to(target)), 0)
            data = path.read_bytes()
            if unsynced == "lost":
                path.write_bytes(data[:synced])
            elif unsynced == "garbled" and len(data) > synced:
                path.write_bytes(data[:synced] + bytes(len(data) - synced))

    @staticmethod
    def _apply(target: Path, step: tuple[Any, ...], safe: dict[str, int]) -> None:
        name, path = step[0], target / step[1]
        if name == "open":
            path.touch()
        elif name == "mkdir":
            path.mkdir(exist_ok=True)
        elif name == "write":
            with path.open("ab") as stream:
                stream.write(step[2])
        elif name == "ftruncate":
            os.truncate(path, step[2])
        elif name == "fsync" and path.is_file():
            safe[step[1]] = path.stat().st_size
        elif name == "unlink":
            path.unlink(missing_ok=True)
        elif name == "rmdir":
            path.rmdir()
        elif name == "rename":
            path.rename(target / step[2])
            for old in [s for s in safe if s == step[1] or s.startswith(f"{step[1]}/")]:
                safe[step[2] + old[len(step[1]) :]] = safe.pop(old)
