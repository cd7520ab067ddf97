"""The examples for Node, bash and Python, run as a person would, in a terminal of their own."""

import os
import pty
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from examples_stage import (  # it puts the harness on the path
    EXAMPLES,
    PATIENCE,
    ROOT,
    Stage,
    set_stage,
)
from recorder import WORDS, eventually
from support import requires

pytest_plugins = ("examples_fixtures",)

NODE = ("node", EXAMPLES / "node" / "dictate.mjs")
PYTHON = ("python3", EXAMPLES / "python" / "dictate.py")
BASH = ("bash", EXAMPLES / "bash" / "dictate.sh")
DICTATE = pytest.mark.parametrize("example", [NODE, PYTHON, BASH], ids=["node", "python", "bash"])
TOOLS = {"node": ("node",), "python3": ("python3",), "bash": ("bash", "jq")}


def require_tools(*programs: str) -> None:
    for program in programs:
        requires(program, present=shutil.which(program) is not None)


LOGIN = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the program's own, as a login does; `setsid --ctty` is Linux's alone."""


class Terminal:
    """A terminal with one program in it: Ctrl-C there reaches all of its processes."""

    def __init__(self, stage: Stage, *command: str | Path) -> None:
        self.typed, theirs = pty.openpty()
        self._shown = stage.folder / "shown"
        with self._shown.open("wb") as shown:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LOGIN, *map(str, command)],
                stdin=theirs,
                stdout=shown,
                stderr=subprocess.STDOUT,
                env=stage.env,
                cwd=stage.folder,
            )
        os.close(theirs)

    @property
    def shown(self) -> str:
        return self._shown.read_text(encoding="utf-8")

    def press(self, key: bytes) -> None:
        os.write(self.typed, key)

    def end(self) -> int:
        code = self.process.wait(PATIENCE)
        os.close(self.typed)
        return code


@DICTATE
def test_every_word_of_a_file_is_shown(example: tuple[str, Path], stage: Stage) -> None:
    require_tools(*TOOLS[example[0]])
    done = stage.run(*example, "--input", stage.speech)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(stage.words)


@DICTATE
def test_a_program_off_the_path_can_be_named(example: tuple[str, Path], stage: Stage) -> None:
    require_tools(*TOOLS[example[0]])
    elsewhere = stage.folder / "elsewhere"
    (stage.folder / "bin").rename(elsewhere)
    named = {"PARAKEET_COREML": str(elsewhere / "parakeet-coreml")}
    done = stage.run(*example, "--input", stage.speech, env=named)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(stage.words)


def test_bash_says_what_is_absent(stage: Stage) -> None:
    require_tools("bash")
    done = stage.run(*BASH, env={"PARAKEET_COREML": "absent"})
    assert done.returncode == 127
    assert "PARAKEET_COREML=/path" in done.stderr


def test_the_built_in_model_is_heard(stage: Stage) -> None:
    require_tools("node")
    sample = ROOT / "parakeet_coreml" / "samples" / "speech.wav"
    done = stage.run(*NODE, "--input", sample, "--model=tiny-en", "--backend=onnx")
    assert done.returncode == 0, done.stderr
    said = sample.with_suffix(".txt").read_text(encoding="utf-8").split()
    heard = sum(word in done.stdout.split() for word in said)
    assert heard >= 0.8 * len(said)


@DICTATE
def test_a_failure_is_told_and_is_the_exit_code(example: tuple[str, Path], stage: Stage) -> None:
    require_tools(*TOOLS[example[0]])
    done = stage.run(
        *example, "--input", stage.speech, "--backend=onnx", "--model=v3", "--models-dir=/none"
    )
    assert done.returncode == 20
    assert "models download v3" in done.stderr
    assert done.stdout == ""


def shows(terminal: Terminal) -> bool:
    return WORDS[0] in terminal.shown


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Give exit code and screen of each example after Ctrl-C, pressed when a line had come."""
    terminals = {}
    for name, *arguments in (NODE, PYTHON, BASH):
        if all(shutil.which(tool) for tool in TOOLS[name]):
            stage = set_stage(tmp_path_factory.mktemp(name))
            live = ("--input", stage.speech, "--realtime", "--chunk-seconds=5")
            terminals[name] = Terminal(stage, name, *arguments, *live)
    for terminal in terminals.values():
        assert eventually(partial(shows, terminal), PATIENCE), terminal.shown
        terminal.press(b"\x03")
    return {name: (terminal.end(), terminal.shown) for name, terminal in terminals.items()}


@DICTATE
def test_ctrl_c_ends_it_and_the_last_words_still_come(
    example: tuple[str, Path], interrupted: dict[str, tuple[int, str]]
) -> None:
    require_tools(*TOOLS[example[0]])
    code, shown = interrupted[example[0]]
    assert code == 0, shown
    assert "Traceback" not in shown
    heard = [word for word in shown.split() if word in WORDS]
    assert heard == list(WORDS[: len(heard)])
    # The first line comes 5 s in and holds back what its window heard last: it is not lost.
    assert len(heard) >= len([word for word in range(10) if 0.4 + 0.6 * word + 0.2 < 5])


@pytest.mark.parametrize("example", [NODE, PYTHON], ids=["node", "python"])
def test_enter_ends_it(example: tuple[str, Path], stage: Stage) -> None:
    require_tools(*TOOLS[example[0]])
    terminal = Terminal(stage, *example, "--input", stage.speech, "--realtime")
    assert eventually(lambda: "Enter ends it" in terminal.shown, PATIENCE), terminal.shown
    terminal.press(b"\n")
    assert terminal.end() == 0, terminal.shown


def test_bash_transcribes_files(stage: Stage) -> None:
    require_tools("bash", "jq")
    done = stage.run(EXAMPLES / "bash" / "transcribe.sh", stage.speech, stage.speech)
    assert done.returncode == 0, done.stderr
    line = f"{stage.speech}\t{' '.join(stage.words)}"
    assert done.stdout.splitlines() == [line, line]


def test_the_shortest_host_of_the_guide_is_one(stage: Stage) -> None:
    require_tools("bash", "jq")
    guide = (ROOT / "docs" / "HOSTS.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^```bash\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    done = stage.run("bash", "-c", line, env={"PARAKEET_COREML_INPUT": str(stage.speech)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(stage.words)


def test_bash_ends_with_the_first_file_that_is_none(stage: Stage) -> None:
    require_tools("bash", "jq")
    done = stage.run(EXAMPLES / "bash" / "transcribe.sh", "/nonexistent.wav", stage.speech)
    assert done.returncode == 2
    assert done.stdout == ""
