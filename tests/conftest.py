"""Profiles, a report header that names the machine, and the sound server for every test folder."""

import os
import platform
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from ctypes.util import find_library
from importlib.metadata import PackageNotFoundError, version

import pytest
from hypothesis import HealthCheck, settings
from portaudio_standin import Fake
from pulse import PulseServer, remove_jack_table
from support import hide_linux

settings.register_profile(
    "dev", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "ci",
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

if os.environ.get("PARAKEET_AS_MAC") == "1":
    hide_linux()

# A shell starts what it puts into the background deaf to Ctrl-C, and every program of a test would
# inherit that; `nohup` makes what it starts deaf to a hang-up, which programs of ours keep to.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

remove_jack_table()  # a program that was killed before the tests may have left it locked

LIBRARIES = (
    "numpy",
    "onnxruntime",
    "sounddevice",
    "soundfile",
    "soxr",
    "hypothesis",
    "coremltools",
)


def pytest_report_header() -> list[str]:
    """Name what the results depend on."""
    return [
        f"machine: {platform.platform()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}",
        "libraries: " + ", ".join(f"{name} {_version(name)}" for name in LIBRARIES),
        f"sound: portaudio {find_library('portaudio')}, pulseaudio {shutil.which('pulseaudio')}",
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


@pytest.fixture
def pulse() -> Iterator[PulseServer]:
    """Give a private PulseAudio server with one microphone, and stop it afterwards."""
    with PulseServer() as server:
        yield server


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """Give a stand-in for sounddevice with one microphone."""
    one = Fake()
    monkeypatch.setitem(sys.modules, "sounddevice", one.module())
    # Of a process: what one test gave up is nothing to the next.
    monkeypatch.setattr("parakeet_coreml.audio.portaudio._given_up", threading.Event())
    yield one
    one.let_go()
