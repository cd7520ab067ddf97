"""What the tests of the host contract are given; a plugin, because only plugins share fixtures."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulse import PulseServer
from recorder import (
    WORDS,
    Fields,
    Recorder,
    Start,
    command,
    eventually,
    processes_naming,
    sound,
    write_script,
    write_wav,
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give a function that starts recordings; afterwards none of them may be left."""
    started: list[Recorder] = []

    def begin(
        *arguments: str | Path,
        script: Fields | None = None,
        env: dict[str, str] | None = None,
        wrap: str = "",
        model: bool = True,
        **options: Any,
    ) -> Recorder:
        chosen: tuple[str | Path, ...] = ()
        if model:
            chosen = ("--backend", "scripted", "--model", write_script(tmp_path, **(script or {})))
        line = command("progressive-record", *arguments, *chosen, wrap=wrap)
        recorder = Recorder(line, env={**os.environ, **(env or {})}, **options)
        started.append(recorder)
        return recorder

    yield begin
    unchecked = [recorder.story() for recorder in started if not recorder.checked]
    for recorder in started:
        recorder.dispose()
    assert eventually(lambda: not processes_naming(str(tmp_path)), 5), "a process is left"
    assert not unchecked, unchecked


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Give a file of ten words: 6.4 s."""
    return write_wav(tmp_path / "speech.wav", sound(*WORDS[:10]))


@pytest.fixture
def two_words(tmp_path: Path) -> Path:
    """Give a file of two words in the first second, and a quiet room for a minute."""
    return write_wav(tmp_path / "two.wav", sound(*WORDS[:2], rest=60.0))


@pytest.fixture(scope="module")
def room() -> Iterator[PulseServer]:
    """Give a sound server with one microphone, shared by the tests of a module."""
    with PulseServer() as server:
        yield server


@pytest.fixture
def room_env(room: PulseServer) -> dict[str, str]:
    """Give the environment in which programs find the shared sound server."""
    return room.env
