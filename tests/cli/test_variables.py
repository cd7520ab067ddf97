"""A wrong value is blamed on the variable it came from, not on an option nobody gave."""

import os
import subprocess
import sys

import pytest

from parakeet_coreml.cli.options import suspects

PROGRAM = [sys.executable, "-P", "-m", "parakeet_coreml"]


def refused(variable: str, value: str, *arguments: str) -> list[str]:
    """Return what a command says on stderr that ends with exit code 2."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        env=os.environ | {variable: value},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("CHUNK_SECONDS", "x", "progressive-record"),
        ("META", "banana", "progressive-record"),
        ("COMPUTE_UNITS", "npu", "warm"),
        ("BACKEND", "torch", "doctor"),
        ("BACKEND", "torch", "models path v3"),
    ],
)
def test_a_value_that_click_refuses(name: str, value: str, command: str) -> None:
    *_, line = refused(f"PARAKEET_COREML_{name}", value, *command.split())
    assert line.startswith(f"Error: Invalid value for PARAKEET_COREML_{name}: '{value}'")


@pytest.mark.parametrize(
    ("name", "value"),
    [("CHUNK_SECONDS", "500"), ("MAX_SECONDS", "-1"), ("EVENTS", "leve"), ("MODEL", "v9")],
)
def test_a_value_that_a_recording_refuses(name: str, value: str) -> None:
    variable = f"PARAKEET_COREML_{name}"
    *_, line = refused(variable, value, "progressive-record")
    assert line == f"{variable} is set in the environment, to '{value}'"


def test_an_option_on_the_command_line_is_blamed_itself() -> None:
    variable, command = "PARAKEET_COREML_CHUNK_SECONDS", "progressive-record"
    said = refused(variable, "15", command, "--chunk-seconds", "500")
    assert said == ["Error: --chunk-seconds must be from 5 to 120, not 500"]
    said = refused(variable, "15", command, "--chunk-seconds=x")
    assert "Invalid value for '--chunk-seconds'" in said[-1]


def test_what_an_error_is_not_about_is_not_named() -> None:
    mine = {"PARAKEET_COREML_INPUT": "mic", "PARAKEET_COREML_CHUNK": "7", "HOME": "/v9"}
    assert list(suspects("--input-rate is odd, --chunk-seconds too, '/v9'", [], mine)) == []
