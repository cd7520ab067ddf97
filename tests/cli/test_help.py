"""Help as people see it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("group", [[], ["models"]])
def test_no_summary_of_a_command_is_cut(group: list[str]) -> None:
    command = [sys.executable, "-P", "-m", "parakeet_coreml", *group, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    _, _, listed = done.stdout.partition("\nCommands:\n")
    assert len(listed.splitlines()) >= 5
    assert "..." not in listed
