"""Fixtures for tests that download."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_server import ENVIRONMENT, FaultServer, serving


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Forget proxies and mirrors, and move the home folder."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


@pytest.fixture
def hub(clean: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """Run a server and make it the mirror."""
    with serving() as server:
        monkeypatch.setenv("PARAKEET_COREML_MIRROR", server.base)
        yield server


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"
