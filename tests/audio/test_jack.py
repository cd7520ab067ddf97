"""What becomes of JACK's table; that a locked one is mended is in tests/host/test_failures.py."""

import os
from pathlib import Path

import pytest

from parakeet_coreml.audio.jack import unlock

TABLE = f"jack_db-{os.geteuid()}"


@pytest.fixture(params=[TABLE, "jack_db"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder: Path = tmp_path / request.param
    folder.mkdir()
    (folder / "__db.001").touch()
    return folder


def maps(folder: Path, *mapped: str) -> Path:
    """Write what /proc/self/maps says of a process that has these files in its memory."""
    path = folder / "maps"
    path.write_text("".join(f"7f00-7f01 rw-s 00000000 00:16 7      {name}\n" for name in mapped))
    return path


def test_a_table_in_which_we_hang_is_removed(tmp_path: Path, table: Path) -> None:
    told = unlock(tmp_path, maps(tmp_path, "/lib/libjack.so.0", f"{table}/__db.001"))
    assert told.startswith("start again:")
    assert str(table) in told
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]


def test_who_hangs_elsewhere_touches_nothing(tmp_path: Path, table: Path) -> None:
    assert unlock(tmp_path, maps(tmp_path, "/lib/libjack.so.0")) == ""
    assert unlock(tmp_path, tmp_path / "no such file") == ""
    assert list(table.iterdir()) == [table / "__db.001"]


def test_the_table_of_a_running_server_stays(tmp_path: Path, table: Path) -> None:
    (tmp_path / f"jack_default_{os.geteuid()}_0").touch()
    told = unlock(tmp_path, maps(tmp_path, f"{table}/__db.001"))
    assert told.startswith("restart the JACK server:")
    assert list(table.iterdir()) == [table / "__db.001"]


@pytest.mark.parametrize("left", ["{}/__db.001 (deleted)", "{}.4711/__db.001 (deleted)"])
def test_what_another_recorder_removed_is_not_removed_again(
    tmp_path: Path, table: Path, left: str
) -> None:
    told = unlock(tmp_path, maps(tmp_path, left.format(table)))
    assert told.startswith("start again:")
    assert list(table.iterdir()) == [table / "__db.001"]


def test_a_table_that_is_not_ours_to_remove(tmp_path: Path) -> None:
    gone = tmp_path / TABLE
    told = unlock(tmp_path, maps(tmp_path, f"{gone}/__db.001"))
    assert told.startswith(f"remove {gone}:")
