"""`warm` loads a model as a recording does, and says what that took or why it failed."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from recorder import command, eventually, processes_naming, write_script

from parakeet_coreml.backends.worker.client import Limits
from parakeet_coreml.checks.warm import warm
from parakeet_coreml.selection import ModelSelection
from parakeet_coreml.store.locate import BUILT_IN_DIRECTORY

KEYS = (
    *("schema", "exit_code", "backend", "model", "compute_units", "runtime", "directory"),
    *("load_ms", "ready_ms", "window_ms", "first_window_ms", "second_window_ms", "restarts"),
    "error",
)

COSTS = ("load_ms", "ready_ms", "first_window_ms", "second_window_ms")

LIMIT = 120.0
"""Seconds in which any answer comes, on a very busy machine."""

Run = subprocess.CompletedProcess[str]


def run(*arguments: str | Path, code: int, env: dict[str, str] | None = None) -> Run:
    done = subprocess.run(
        command("warm", *arguments),
        env=os.environ | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    return done


def found(done: Run) -> dict[str, Any]:
    (line,) = done.stdout.splitlines()
    fields = json.loads(line)
    assert tuple(fields) == KEYS
    assert fields["exit_code"] == done.returncode
    return dict(fields)


def test_the_built_in_model_costs_time_that_is_told() -> None:
    fields = found(run("--json", "--model", "tiny-en", "--backend", "onnx", code=0))
    assert all(type(fields[key]) is int and fields[key] >= 0 for key in COSTS)
    assert fields["load_ms"] <= fields["ready_ms"]
    assert (fields["model"], fields["window_ms"], fields["error"]) == ("tiny-en", 15_000, None)
    assert fields["runtime"].startswith("onnxruntime ")


def test_people_read_the_same_and_options_come_from_the_environment(tmp_path: Path) -> None:
    script = write_script(tmp_path, windows=[], delay_s=0)
    own = {"PARAKEET_COREML_BACKEND": "scripted", "PARAKEET_COREML_MODEL": str(script)}
    lines = run(code=0, env=own).stdout.splitlines()
    assert lines[0].startswith(f"{script.name} on scripted")
    assert [line.split()[0] for line in lines[1:]] == ["load", "first", "second"]


def test_a_missing_model_is_told_with_its_cure(tmp_path: Path) -> None:
    done = run("--json", "--backend", "onnx", "--models-dir", tmp_path, code=20)
    fields = found(done)
    # Where the program is not on PATH, the cure names it as it was called.
    cure = f"parakeet-coreml models download v3 --backend onnx --models-dir {tmp_path}"
    assert fields["error"]["code"] == "model_missing"
    assert fields["error"]["hint"].splitlines()[0].endswith(cure)
    assert cure in done.stderr
    assert [fields[key] for key in COSTS] == [None] * 4
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_load_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(BUILT_IN_DIRECTORY, folder)
    (folder / "encoder-model.onnx").write_bytes(b"no network")
    fields = found(run("--json", "--model", folder, "--backend", "onnx", code=22))
    assert fields["error"]["code"] == "model_unusable"
    assert run("--model", folder, "--backend", "onnx", code=22).stdout == ""


# In this process: whatever the worker does, it is told, and nothing is left


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"windows": [{"text": "a"}, {"text": "b"}]}, 0),
        ({"windows": [{"text": "a", "fail": {"how": "abort", "attempts": 1}}]}, 0),
        ({"windows": [{"text": "a", "fail": {"how": "exit", "attempts": 9}}]}, 23),
        ({"windows": [{"text": "a", "fail": {"how": "hang", "attempts": 9}}]}, 23),
        ({"windows": [], "load_s": 600}, 22),
        ({"windows": [], "no_such_key": 1}, 22),
    ],
)
def test_what_the_worker_does_is_told(script: dict[str, Any], code: int, tmp_path: Path) -> None:
    path = write_script(tmp_path, **script)
    slow = 2.0 if "load_s" in script else 60.0
    limits = Limits(load=slow, first_window=3.0, restarts=1)
    report = warm(ModelSelection(str(path), None, "scripted"), limits=limits)
    assert report.exit_code == code, report
    assert (report.error is None) == (code == 0)
    assert (report.second_window_ms is None) == (code != 0)
    assert report.restarts == ("fail" in str(script))
    assert eventually(lambda: not processes_naming(str(path)), 5), "a worker is left"


def test_a_name_of_no_model_is_wrong_usage() -> None:
    report = warm(ModelSelection("v9", None, "onnx"))
    assert report.exit_code == 2
    assert report.error is not None
    assert "v9" in report.error["message"]
