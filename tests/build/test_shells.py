"""The completions complete, in bash, zsh and fish themselves, typed on a terminal."""

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pulse import PulseServer
from support import requires

pyte = pytest.importorskip("pyte", reason="pyte is absent; pip install pyte")

PATIENCE = 30.0
"""Seconds until a shell has answered, on the slowest machine."""

SHELLS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
LOADED = {
    "bash": 'eval "$(_PARAKEET_COREML_COMPLETE=bash_source parakeet-coreml)"',
    "zsh": 'eval "$(_PARAKEET_COREML_COMPLETE=zsh_source parakeet-coreml)"',
    "fish": "_PARAKEET_COREML_COMPLETE=fish_source parakeet-coreml | source",
}
"""What the README has people put into the file that their shell reads first."""


PROMPT = {"fish": "function fish_prompt; echo '> '; end"}


LOGIN = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the shell's own, which fish wants."""


class Typing:
    """A shell on a terminal, into which a person types."""

    def __init__(self, shell: str, folder: Path, env: dict[str, str]) -> None:
        self._screen = pyte.Screen(200, 50)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOGIN, *SHELLS[shell]],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**env, "TERM": "linux", "PS1": "> "},
            cwd=folder,
        )
        os.close(theirs)

    def type(self, text: str, until: str | tuple[str, ...]) -> None:
        """Type, and wait until the line at the cursor, with the one above, ends with something."""
        os.write(self._ours, text.encode())
        limit = time.monotonic() + PATIENCE
        while not self.lines.endswith(until):
            left = limit - time.monotonic()
            if left <= 0 or not select.select([self._ours], [], [], left)[0]:
                pytest.fail(f"{until!r} was not shown:\n" + "\n".join(self._screen.display).strip())
            self._stream.feed(os.read(self._ours, 65_536))

    @property
    def lines(self) -> str:
        above = self._screen.display[max(0, self._screen.cursor.y - 1)]
        return f"\n{above.rstrip()}\n{self.line}"

    @property
    def line(self) -> str:
        row, column = self._screen.cursor.y, self._screen.cursor.x
        return str(self._screen.display[row][:column])

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


@contextmanager
def typing(shell: str, folder: Path, **env: str) -> Iterator[Typing]:
    requires(shell, present=shutil.which(shell) is not None)
    programs = folder / "programs"
    programs.mkdir()
    program = programs / "parakeet-coreml"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m parakeet_coreml "$@"\n')
    program.chmod(0o755)
    (folder / "music.wav").touch()
    (folder / "models").mkdir()
    path = f"{programs}:{os.environ['PATH']}"
    keyboard = Typing(shell, folder, {**os.environ, "HOME": str(folder), **env, "PATH": path})
    try:
        keyboard.type(f"{LOADED[shell]}\n{PROMPT.get(shell, '')}\necho lo''aded\n", "\nloaded\n> ")
        yield keyboard
    finally:
        keyboard.end()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("begun", "whole"),
    [
        ("prog", "progressive-record "),
        ("mod", "models "),
        ("models down", "models download "),
        ("progressive-record --voc", "progressive-record --vocabulary "),
        ("progressive-record --model t", "progressive-record --model tiny-en "),
        ("progressive-record --model=t", "progressive-record --model=tiny-en "),
        ("progressive-record --events level,par", "progressive-record --events level,partial "),
        ("progressive-record --input mu", "progressive-record --input music.wav "),
        ("progressive-record --model mod", "progressive-record --model models/"),
    ],
)
def test_a_tab_completes(shell: str, begun: str, whole: str, tmp_path: Path) -> None:
    with typing(shell, tmp_path) as keyboard:
        keyboard.type(f"parakeet-coreml {begun}\t", f"\n> parakeet-coreml {whole}")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_microphone_with_spaces_and_commas_is_one_word(shell: str, tmp_path: Path) -> None:
    with (
        PulseServer("Desk, Left") as server,
        typing(shell, tmp_path, **server.env) as keyboard,
    ):
        keyboard.type("parakeet-coreml progressive-record --device De\t", ("Left ", "Left' "))
        assert shlex.split(keyboard.line)[-1] == "Desk, Left"


def test_a_program_off_the_path_is_asked_itself(tmp_path: Path) -> None:
    for shell in ("bash", "zsh"):
        folder = tmp_path / shell
        folder.mkdir()
        with typing(shell, folder) as keyboard:
            keyboard.type("PATH=/usr/bin:/bin; echo g''one\n", "\ngone\n> ")
            keyboard.type("programs/parakeet-coreml mod\t", "programs/parakeet-coreml models ")
