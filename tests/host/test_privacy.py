"""What is said stays here: no internet socket, no file, no word on stderr or in a command line."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from pulse import RATE, PulseServer
from recorder import PROGRAM, WORDS, Start, command, processes_naming, s16, sound, write_wav
from support import requires

from parakeet_coreml.store.locate import BUILT_IN_DIRECTORY

pytest_plugins = ("host_fixtures",)

SECONDS = int(os.environ.get("PARAKEET_TRACE_SECONDS", "5"))
"""How long a traced recording from the microphone listens; 60 for a release, for ONNX Runtime was
seen to call home late."""

SPEECH = BUILT_IN_DIRECTORY.parent / "samples" / "speech.wav"

TRACED = "trace=%network,open,openat,creat,mkdir,mkdirat,rename,renameat2,link,symlink,mknod"

WRITES = re.compile(r'\b(?:open|openat|creat)\((?:AT_FDCWD, )?"([^"]*)", [^)]*O_(?:WRONLY|RDWR)')

OTHERS = re.compile(
    r'\b(?:mkdir|mkdirat|rename|renameat2|link|symlink|mknod)\((?:[^"]*"([^"]*)".*)?= 0$'
)

HARMLESS = re.compile(r"/dev/(?:null|tty)|/proc/self/.*|.*/__pycache__/.*\.pyc(?:\.\d+)?")
"""What may be opened for writing; bytecode is Python's own."""

OF_PORTAUDIO = re.compile(r"/dev/dsp\d*|/dev/shm/jack_db-\d+(?:/[a-z_.\d]+)?")
"""What Debian's PortAudio opens besides: OSS devices that are not there, and its JACK's table."""


def of_a_user(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without `CI`, which keeps libraries from calling home."""
    kept = {key: value for key, value in environment.items() if key != "CI"}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}


def trace(
    folder: Path, *arguments: str | Path, env: Mapping[str, str] | None = None
) -> tuple[list[str], str]:
    """Return what a recording asked of the kernel, and what it heard."""
    requires("strace", present=shutil.which("strace") is not None)
    log = folder / "strace.log"
    traced = ["strace", "-f", "-qq", "-s", "256", "-o", str(log), "-e", TRACED]
    done = subprocess.run(
        [*traced, *command("progressive-record", *arguments)],
        env=of_a_user(env or os.environ | {"HOME": str(folder / "home")}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if b"ptrace" in done.stderr.lower():
        requires("permission to trace", present=False)
    assert done.returncode == 0, done.stderr.decode()
    last = json.loads(done.stdout.splitlines()[-1])
    return log.read_text().splitlines(), last["full_text"]


def assert_private(calls: list[str], harmless: re.Pattern[str] = HARMLESS) -> None:
    assert any(re.search("parakeet.coreml", call) for call in calls), "the trace holds nothing"
    assert [call for call in calls if "AF_INET" in call] == []
    written = [path for call in calls for path in WRITES.findall(call)]
    written += [path for call in calls for path in OTHERS.findall(call)]
    assert [path for path in written if not harmless.fullmatch(path)] == []


def test_a_recording_opens_no_internet_socket_and_writes_no_file(
    start: Start, tmp_path: Path
) -> None:
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:2]))
    recorder = start("--input", wav).finish(0)
    arguments = recorder.process.args
    assert isinstance(arguments, list)
    calls, _ = trace(tmp_path, *arguments[len(PROGRAM) + 1 :])
    assert_private(calls)
    assert not (tmp_path / "home").exists()


def test_the_runtime_of_the_built_in_model_does_not_call_home(tmp_path: Path) -> None:
    requires("the built-in model", present=(BUILT_IN_DIRECTORY / "vocab.txt").exists())
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:2]))
    model = ("--model", "tiny-en", "--backend", "onnx")
    calls, _ = trace(tmp_path, "--input", wav, *model)
    assert_private(calls)
    assert not (tmp_path / "home").exists()


@pytest.mark.timeout(180 + 3 * SECONDS)
def test_a_recording_from_the_microphone_opens_no_internet_socket_and_writes_no_file(
    room: PulseServer, tmp_path: Path
) -> None:
    requires("the built-in model", present=(BUILT_IN_DIRECTORY / "vocab.txt").exists())
    speech, rate = soundfile.read(SPEECH)
    room.mic.play(s16(soxr.resample(np.resize(speech, (SECONDS + 10) * rate), rate, RATE)))
    model = ("--model", "tiny-en", "--backend", "onnx")
    calls, heard = trace(tmp_path, "--max-seconds", str(SECONDS), *model, env=room.env)
    assert heard
    assert_private(calls, re.compile(f"{HARMLESS.pattern}|{OF_PORTAUDIO.pattern}"))


CANARY = "xylophonist"
SAID = f"say {CANARY} and then no more of it"
"""A word alone would last as long as a window, and cross the whole overlap."""

FAILING = [
    {"text": SAID, "fail": {"how": "abort"}},
    {"text": SAID, "fail": {"how": "error", "attempts": 99}},
]


@pytest.mark.parametrize(("windows", "code"), [([{"text": SAID}] * 2, 0), (FAILING, 23)])
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
