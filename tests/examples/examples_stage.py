"""Where examples run: the program on the PATH, and what the harness of the host contract has."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "host"))  # the harness of the host contract

from recorder import PROGRAM, WORDS, sound, write_script, write_wav  # behind the line above

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
PATIENCE = 120
"""Seconds in which an example has to end, however busy the machine."""


@dataclass(frozen=True)
class Stage:
    """A folder with the program in `bin`, and the environment in which it hears tones."""

    folder: Path
    env: dict[str, str]
    speech: Path
    """Ten words, then quiet: two windows."""

    words = WORDS[:10]

    def run(
        self, *command: str | Path, env: dict[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            [str(part) for part in command],
            input=stdin,
            env={**self.env, **(env or {})},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )


def set_stage(folder: Path) -> Stage:
    """Put the program, a script for it and a sound file into a folder."""
    put_program(folder / "bin" / "parakeet-coreml")
    speech = write_wav(folder / "speech.wav", sound(*WORDS[:10], rest=12.0))
    env = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PARAKEET_COREML_BACKEND": "scripted",
        "PARAKEET_COREML_MODEL": str(write_script(folder)),
        "SPEECH": str(speech),
        "NO_COLOR": "1",
    }
    return Stage(folder, env, speech)


def put_program(path: Path) -> None:
    """Make `path` the program under test, the frozen one where PARAKEET_BIN names it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    path.chmod(0o755)
