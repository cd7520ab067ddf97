"""What the tests of examples/ are given; a plugin, because only plugins share fixtures."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples_stage import Stage, set_stage  # it puts the harness on the path
from recorder import eventually, processes_naming
from support import requires


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a stage; afterwards no process may be left that works there."""
    yield set_stage(tmp_path)
    assert eventually(lambda: not processes_naming(str(tmp_path)), 10), "a process is left"


@pytest.fixture(scope="session")
def node() -> str:
    """Give Node's path."""
    path = shutil.which("node")
    requires("Node", present=path is not None)
    return str(path)
