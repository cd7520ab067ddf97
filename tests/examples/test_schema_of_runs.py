"""Every line of real recordings keeps to the schema, and every line and key of it comes from one.

The recordings are chosen so that each kind of line, and each optional key, is written by at least
one of them.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples_stage import Stage, set_stage  # it puts the harness on the path
from recorder import sound, write_script, write_wav
from schemas import check_line, shape_of

import parakeet_coreml
from parakeet_coreml.protocol.types import LINES

pytest_plugins = ("examples_fixtures",)

ALL = ("--events", "all", "--meta", "--words")
NOWHERE = ("--models-dir", "/nonexistent")
NOT_HERE = {"ModelReadyLine": {"warm"}, "CaptureReadyLine": {"silent"}}
"""Keys that only Core ML on a Mac brings, and only a microphone; tests/backends/test_coreml.py and
tests/audio/test_microphone_faults.py look at them."""
MICROPHONES_OWN = {"StateLine"}
"""Lines that no file brings; tests/host/test_live_ends.py looks at them."""
Lines = list[dict[str, Any]]


def record(stage: Stage, *arguments: str | Path, code: int = 0) -> Lines:
    """Return the lines of a recording that ends with this exit code."""
    done = stage.run("parakeet-coreml", "progressive-record", *arguments)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def plain(stage: Stage) -> Lines:
    return record(stage, "--input", stage.speech)


def everything(stage: Stage) -> Lines:
    return record(stage, "--input", stage.speech, *ALL)


def decoded(stage: Stage) -> Lines:
    return record(stage, "--input", stage.speech, "--model", "tiny-en", "--backend", "onnx", *ALL)


def with_terms(stage: Stage) -> Lines:
    sample = Path(parakeet_coreml.__file__).parent / "samples" / "speech.wav"
    model = ("--model", "tiny-en", "--backend", "onnx")
    return record(stage, "--input", sample, *model, "--phrase", "main branch", *ALL)


def live(stage: Stage) -> Lines:
    """At the pace of speech no line is left out; of a fast file some are."""
    return unstopped(stage, "--input", stage.speech, "--realtime", "--max-seconds", "4", *ALL)


def restarted(stage: Stage) -> Lines:
    script = write_script(stage.folder, failures={"0": {"how": "exit"}})
    return record(stage, "--input", stage.speech, "--model", script, *ALL)


def failed(stage: Stage) -> Lines:
    script = write_script(stage.folder, failures={"0": {"how": "error", "attempts": 9}})
    return record(stage, "--input", stage.speech, "--model", script, *ALL, code=23)


def without_a_model(stage: Stage) -> Lines:
    return record(stage, "--backend", "onnx", "--model", "v3", *NOWHERE, *ALL, code=20)


def too_loud(stage: Stage) -> Lines:
    file = write_wav(stage.folder / "loud.wav", np.clip(sound("alfa") * 9, -1, 1))
    return record(stage, "--input", file, *ALL)


def silent(stage: Stage) -> Lines:
    return record(stage, "--input", write_wav(stage.folder / "zero.wav", np.zeros(80_000)), *ALL)


def cut_off(stage: Stage) -> Lines:
    file = stage.folder / "short.wav"
    file.write_bytes(stage.speech.read_bytes()[:100_001])
    return record(stage, "--input", file, *ALL)


def without_any_audio(stage: Stage) -> Lines:
    return unstopped(stage, "--input", "-", *ALL)


def unstopped(stage: Stage, *arguments: str | Path) -> Lines:
    """Return the lines of a recording whose stdin is nobody's."""
    done = subprocess.run(
        [stage.folder / "bin" / "parakeet-coreml", "progressive-record", *arguments],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **stage.env},
        capture_output=True,
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


RECORDINGS = (
    plain,
    everything,
    decoded,
    with_terms,
    live,
    restarted,
    failed,
    without_a_model,
    too_loud,
    silent,
    cut_off,
    without_any_audio,
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lines]:
    """Give the lines of every recording."""
    stage = set_stage(tmp_path_factory.mktemp("lines"))
    return {make.__name__: make(stage) for make in RECORDINGS}


@pytest.mark.parametrize("recording", RECORDINGS)
def test_every_line_keeps_to_the_schema(recording: Any, recorded: dict[str, Lines]) -> None:
    lines = recorded[recording.__name__]
    assert lines[-1]["type"] == "done"
    for line in lines:
        check_line(line)


def test_without_options_only_the_documented_keys_come(recorded: dict[str, Lines]) -> None:
    *chunks, done = recorded["plain"]
    assert {tuple(line) for line in chunks} == {
        ("type", "index", "text", "confidence", "elapsed_ms")
    }
    assert tuple(done) == ("type", "totalChunks", "full_text")


def test_every_line_and_key_of_the_schema_is_written_by_some_recording(
    recorded: dict[str, Lines],
) -> None:
    seen: dict[str, set[str]] = {}
    for line in (line for lines in recorded.values() for line in lines):
        seen.setdefault(str(shape_of(line)["description"]), set()).update(line)
    for kind in (kind for kind in LINES if kind.__name__ not in MICROPHONES_OWN):
        expected = set(kind.__annotations__) - NOT_HERE.get(kind.__name__, set())
        assert seen[str(kind.__doc__)] == expected, kind.__name__


def test_the_recordings_warn_and_fail_as_they_were_made_to(recorded: dict[str, Lines]) -> None:
    codes = {
        name: {line["code"] for line in lines if line["type"] in {"warning", "error"}}
        for name, lines in recorded.items()
    }
    assert "worker_restarted" in codes["restarted"]
    assert "backend_failed" in codes["failed"]
    assert codes["without_a_model"] == {"model_missing", "stdin_closed"}
    assert "short_file" in codes["cut_off"]
    assert codes["silent"] == set()
