"""Which compute units a Mac gets where none are asked for."""

import os
from types import SimpleNamespace

import pytest

from parakeet_coreml.selection import default_units


@pytest.mark.parametrize(
    ("system", "release", "units"),
    [
        ("darwin", "23.6.0", "cpu_and_gpu"),  # macOS 14
        ("darwin", "24.0.0", "cpu_and_ne"),
        ("darwin", "27.1.0", "cpu_and_ne"),
        ("linux", "23.0.0", "cpu_and_ne"),
    ],
)
def test_only_macos_14_keeps_off_the_neural_engine(
    monkeypatch: pytest.MonkeyPatch, system: str, release: str, units: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    assert default_units() == units
