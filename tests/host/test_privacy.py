"""What is said stays here: no internet socket, no file, no word on stderr or in a command line."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from recorder import PROGRAM, WORDS, Start, command, processes_naming, sound, write_wav
from support import requires

from parakeet_coreml.models import BUILT_IN_DIRECTORY

pytest_plugins = ("host_fixtures",)

TRACED = "trace=%network,open,openat,creat,mkdir,mkdirat,rename,renameat2,link,symlink,mknod"

WRITES = re.compile(r'\b(?:open|openat|creat)\((?:AT_FDCWD, )?"([^"]*)", [^)]*O_(?:WRONLY|RDWR)')

OTHERS = re.compile(r"\b(?:mkdir|mkdirat|rename|renameat2|link|symlink|mknod)\(.*= 0$")

HARMLESS = re.compile(r"/dev/(?:null|tty)|/proc/self/.*|.*/__pycache__/.*\.pyc(?:\.\d+)?")
"""What may be opened for writing; bytecode is Python's own."""


def quiet_environment() -> dict[str, str]:
    """Return the environment of a user: CI keeps libraries from calling home."""
    kept = {key: value for key, value in os.environ.items() if key != "CI"}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}


def trace(folder: Path, *arguments: str | Path) -> list[str]:
    """Return what a recording asked of the kernel."""
    requires("strace", present=shutil.which("strace") is not None)
    log = folder / "strace.log"
    traced = ["strace", "-f", "-qq", "-s", "256", "-o", str(log), "-e", TRACED]
    done = subprocess.run(
        [*traced, *command("progressive-record", *arguments)],
        env=quiet_environment() | {"HOME": str(folder / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if b"ptrace" in done.stderr.lower():
        requires("permission to trace", present=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b'"type":"done"' in done.stdout
    return log.read_text().splitlines()


def assert_private(calls: list[str], folder: Path) -> None:
    assert any(re.search("parakeet.coreml", call) for call in calls), "the trace holds nothing"
    assert [call for call in calls if "AF_INET" in call] == []
    written = [path for call in calls for path in WRITES.findall(call)]
    assert [path for path in written if not HARMLESS.fullmatch(path)] == []
    assert [call for call in calls if OTHERS.search(call)] == []
    assert not (folder / "home").exists()


def test_a_recording_opens_no_internet_socket_and_writes_no_file(
    start: Start, tmp_path: Path
) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:2]))
    recorder = start("--input", wav).finish(0)
    arguments = recorder.process.args
    assert isinstance(arguments, list)
    assert_private(trace(tmp_path, *arguments[len(PROGRAM) + 1 :]), tmp_path)


def test_the_runtime_of_the_built_in_model_does_not_call_home(tmp_path: Path) -> None:
    requires("the built-in model", present=(BUILT_IN_DIRECTORY / "vocab.txt").exists())
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:2]))
    model = ("--model", "tiny-en", "--backend", "onnx")
    assert_private(trace(tmp_path, "--input", wav, *model), tmp_path)


CANARY = "xylophonist"

FAILING = [
    {"text": CANARY, "fail": {"how": "abort"}},
    {"text": CANARY, "fail": {"how": "error", "attempts": 9}},
]


@pytest.mark.parametrize(("windows", "code"), [([{"text": CANARY}] * 2, 0), (FAILING, 23)])
def test_no_word_is_on_stderr_or_in_a_command_line(
    windows: list[dict[str, object]], code: int, start: Start, speech: Path
) -> None:
    short = ("--chunk-seconds", "5", "--events", "all", "--words")
    recorder = start("--input", speech, *short, script={"windows": windows})
    recorder.until("chunk")
    assert processes_naming(CANARY) == []
    recorder.finish(code)
    assert CANARY in recorder.text
    assert CANARY not in recorder.stderr
