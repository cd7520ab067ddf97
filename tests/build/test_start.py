"""What is loaded before sound runs: whatever is here delays the first word that is kept."""

import json
import os
import subprocess
import sys
from pathlib import Path

OURS = {
    *("parakeet_coreml", "errors", "lastwords", "selection", "threads", "timing"),
    *("cli", "cli.main", "cli.options"),
    *("audio", "audio.devices", "audio.microphone", "audio.onset", "audio.opening", "audio.pace"),
    *("audio.portaudio", "audio.samples", "audio.source", "audio.stopping"),
    *("backends", "backends.base", "backends.registry"),
    *("backends.worker", "backends.worker.client", "backends.worker.process"),
    "backends.worker.wire",
    *("host", "host.leave", "host.limits", "host.stdio", "host.watch", "host.writer"),
    *("protocol", "protocol.json_lines"),
    *("recognition", "recognition.geometry", "recognition.words"),
    *("recording", "recording.capture", "recording.ending", "recording.notices"),
    *("recording.options", "recording.reopening"),
    *("recording.session", "recording.sources", "recording.summary"),
    *("store", "store.files", "store.locate", "store.manifest"),
}
"""Modules of the package: a new one here is a decision, and one that is gone is to be taken out."""

LIBRARIES = {
    *("__future__", "abc", "ast", "atexit", "bisect", "codecs", "collections", "contextlib"),
    *("contextvars", "copy", "copyreg", "dataclasses", "datetime", "dis", "enum", "errno", "fcntl"),
    *(
        "fnmatch",
        "functools",
        "gc",
        "gettext",
        "glob",
        "heapq",
        "importlib",
        "inspect",
        "ipaddress",
    ),
    *("itertools", "json", "keyword", "linecache", "locale", "math", "ntpath", "numbers", "opcode"),
    *("operator", "pathlib", "platform", "pwd", "queue", "re", "reprlib", "resource", "runpy"),
    *("select", "selectors", "shlex", "signal", "stat", "string", "struct", "subprocess"),
    *("textwrap", "threading", "token", "tokenize", "traceback", "types", "typing"),
    *("typing_extensions", "unicodedata", "urllib", "uuid", "warnings", "weakref"),
    *("click", "sounddevice"),
    # Of sounddevice, through ctypes.util; the frozen program does without.
    *("bz2", "ctypes", "lzma", "random", "shutil", "sysconfig", "tempfile", "zlib"),
}
"""Top-level modules of others. No NumPy, soxr, runtime or sound file library; no network, no
logging, no asyncio."""

SOUNDDEVICE = """
import json, os, sys

class PortAudioError(Exception):
    pass

class default:
    device = (0, 0)

def query_hostapis():
    return [{"name": "none"}]

def query_devices():
    return [{"index": 0, "name": "mic", "hostapi": 0, "max_input_channels": 1,
             "default_samplerate": 48000.0}]

class RawInputStream:
    def __init__(self, **_):
        pass

    def start(self):
        with open(os.environ["LOADED"], "w") as file:
            json.dump(sorted(sys.modules), file)
        os._exit(0)
"""


def bare(env: dict[str, str]) -> set[str]:
    """Return what an interpreter loads by itself."""
    command = [sys.executable, "-P", "-c", "import sys; print(*sys.modules)"]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return set(done.stdout.split())


def test_nothing_heavy_is_loaded_before_the_stream_starts(tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text(SOUNDDEVICE)
    (tmp_path / "script.json").write_text('{"windows": []}')
    loaded = tmp_path / "loaded.json"
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "LOADED": str(loaded)}
    arguments = ["--backend", "scripted", "--model", str(tmp_path / "script.json")]
    command = [sys.executable, "-P", "-m", "parakeet_coreml", "progressive-record", *arguments]
    subprocess.run(command, env=env, stdin=subprocess.PIPE, check=True, timeout=60)
    modules = set(json.loads(loaded.read_text())) - bare(env) - {"__main__"}
    ours = {name for name in modules if name.partition(".")[0] == "parakeet_coreml"}
    assert {name.removeprefix("parakeet_coreml.") for name in ours} == OURS
    # What begins with `_` is a part of a module without.
    others = {name.partition(".")[0] for name in modules - ours if not name.startswith("_")}
    assert others - LIBRARIES == set()


VERSION = """
import os, sys

def leave(code):
    print(code, sorted(set(sys.modules) - known))
    raise SystemExit

known, os._exit, sys.argv[1:] = set(sys.modules), leave, ["--version"]
from parakeet_coreml.__main__ import main
main()
"""


def test_the_version_is_told_without_loading_anything() -> None:
    command = [sys.executable, "-P", "-c", VERSION]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ["0 ['parakeet_coreml', 'parakeet_coreml.__main__']"]


LISTENING = """
import sys
import numpy
from parakeet_coreml.recognition.energy import floor_of

known = set(sys.modules)
assert floor_of(numpy.full(50, 0.004, numpy.float32)) > 0.007
print(sorted(set(sys.modules) - known))
"""


def test_listening_loads_no_more_of_numpy() -> None:
    command = [sys.executable, "-P", "-c", LISTENING]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "[]\n"
